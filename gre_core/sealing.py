"""The way out: agree with the gateway on a pair, then format, encrypt and wrap one message."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element

from gre_core import wire
from gre_core.addressing import build_addresses
from gre_core.api import AddsFields, NamesMessages, RequestsData
from gre_core.errors import (
    EncryptFailed,
    FormatFailed,
    GreError,
    NoUsableKey,
    PeerError,
    SealError,
    TooLarge,
)
from gre_core.jid_escape import contact
from gre_core.model import Body, DataForm, Message, Notice, Recipient, SealJob
from gre_core.namespaces import MAX_SIZE
from gre_core.negotiation import Agreement, Pair, negotiate
from gre_core.wire import ENCRYPTED_TAG, Encrypted, build_message
from gre_core.xml_text import serialised_size

if TYPE_CHECKING:
    from gre_core.capabilities import Capabilities, Peer
    from gre_core.policy import Memory, Policy
    from gre_core.ports import Network, Ports
    from gre_core.registry import Plugins

_MAX_DIGITS: Final = 15
_ESCAPED: Final = 6
"""Bytes that a character takes at most on the wire."""

_ROOM: Final = 4096
"""Bytes of a stanza that are kept for addresses and what a server adds."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed with a gateway for one contact.

    Arguments:
        agreement: the pair, with its reason.
        data: the gateway's data form.
        receipts: the gateway confirms messages (XEP-0184).
        max_size: the largest ``<encrypted/>`` that gateway and server take, in bytes; None when unknown.
        notices: to be shown.
    """

    agreement: Agreement
    data: DataForm
    receipts: bool
    max_size: int | None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message that is ready to be sent.

    Arguments:
        stanza: the whole ``<message/>``; nothing confidential stands outside ``<encrypted/>``.
        id: of the stanza; also the origin-id, unless several stanzas carry one message.
        to: bare JID of the recipient, in its canonical form; the gateway's domain when there are several.
        agreed: what it rests on.
        recipients: bare JIDs of all.
        message_id: the message's id on the legacy network, when the formatter gives it one.
    """

    stanza: Element = field(repr=False)
    id: str
    to: str
    agreed: Agreed
    recipients: tuple[str, ...] = ()
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A message that is encrypted to some recipients, not yet in a stanza.

    Arguments:
        body: what stands in ``<encrypted/>``.
        job: what it was made for.
        agreed: what it rests on.
        message_id: the message's id on the legacy network, when the formatter gives it one.
    """

    body: Body
    job: SealJob
    agreed: Agreed
    message_id: str | None


class Sealer:
    """Seals messages of one account."""

    def __init__(
        self,
        account: str,
        plugins: Plugins,
        ports: Ports,
        network: Network,
        capabilities: Capabilities,
        memory: Memory,
        policy: Policy,
    ) -> None:
        self._account = account
        self._plugins = plugins
        self._ports = ports
        self._network = network
        self._capabilities = capabilities
        self._memory = memory
        self._policy = policy
        self._agreed: dict[str, tuple[Peer, Agreed]] = {}
        self._known_wishes: dict[Pair, tuple[bool, tuple[RequestsData, ...]]] = {}
        self._known_abilities: dict[Pair, tuple[AddsFields[Any] | None, NamesMessages | None]] = {}

    async def agree(self, jid: str) -> Agreed:
        """Negotiate a pair and fetch its data. Both are cached: in steady state nothing is asked.

        Arguments:
            jid: canonical bare JID of the contact.

        A pair that the gateway refuses with ``modify``/``not-acceptable`` is left out, and only then the next one is
        tried.

        Raises:
            NegotiationError: no agreement, or the user has to decide.
            RemoteProtocolError: the gateway refused, did not answer, or answered nonsense.
            PluginError: the chosen formatter or encrypter cannot be used.
        """
        peer = await self._capabilities.peer(jid)
        before = self._agreed.get(jid)
        if before is not None and before[0] is peer:
            known = self._capabilities.known_data(jid, before[1].agreement.pair)
            if known is before[1].data and not self._wishes(before[1].agreement)[0]:
                return before[1]
        gateway = wire.domain(jid)
        notice = await self._memory.see_offer(gateway, peer.offer)
        agreement, data = await self._first_accepted(jid, peer)
        await self._memory.require_pair(jid, agreement, self._policy)
        await self._memory.require_sender_id(gateway, jid, data.sender_id)
        notices = () if notice is None else (notice,)
        agreed = Agreed(agreement, data, peer.receipts, self._max_size(data), notices)
        self._agreed[jid] = (peer, agreed)
        return agreed

    async def _first_accepted(self, jid: str, peer: Peer) -> tuple[Agreement, DataForm]:
        """Go through the pairs, best first, until the gateway does not refuse one."""
        refused = self._capabilities.refused.setdefault(jid, {})
        while True:
            agreement = negotiate(
                self._plugins.formatters,
                self._plugins.encrypters,
                peer.offer,
                formatter_order=self._policy.formatters,
                encrypter_order=self._policy.encrypters,
                refused=refused,
            )
            try:
                data = await self._data(jid, agreement)
            except PeerError as error:
                if (error.error_type, error.condition) != ("modify", "not-acceptable"):
                    raise
                refused[agreement.pair] = error.peer_text
            else:
                return agreement, data

    async def _data(self, jid: str, agreement: Agreement) -> DataForm:
        dynamic, asking = self._wishes(agreement)
        children: list[Element] = []
        for maker in asking:
            with _Guard(SealError, " and ".join(map(str, agreement.pair)), "preparing the data request"):
                children += [_element(child) for child in maker.data_children()]
        return await self._capabilities.data(jid, agreement, children, fresh=dynamic)

    def _wishes(self, agreement: Agreement) -> tuple[bool, tuple[RequestsData, ...]]:
        """Tell whether a pair wants fresh data for each message, and who puts elements into the request."""
        if agreement.pair not in self._known_wishes:
            makers = (
                self._plugins.formatter(agreement.formatter),
                self._plugins.encrypter(agreement.encrypter),
            )
            dynamic = any(self._plugins.provider(namespace).dynamic_data for namespace in agreement.pair)
            asking = tuple(maker for maker in makers if isinstance(maker, RequestsData))
            self._known_wishes[agreement.pair] = dynamic, asking
        return self._known_wishes[agreement.pair]

    def _abilities(self, pair: Pair) -> tuple[AddsFields[Any] | None, NamesMessages | None]:
        """Give what encrypter and formatter can do besides. Asked once: the question takes as long as formatting."""
        if pair not in self._known_abilities:
            formatter, encrypter = self._plugins.formatter(pair[0]), self._plugins.encrypter(pair[1])
            self._known_abilities[pair] = (
                encrypter if isinstance(encrypter, AddsFields) else None,
                formatter if isinstance(formatter, NamesMessages) else None,
            )
        return self._known_abilities[pair]

    def _max_size(self, data: DataForm) -> int | None:
        limits = []
        if self._network.max_stanza is not None:
            limits.append(max(self._network.max_stanza - _ROOM, 0))
        announced = data.fields.get(MAX_SIZE, ())
        if (
            len(announced) == 1
            and announced[0].isascii()
            and announced[0].isdigit()
            and len(announced[0]) <= _MAX_DIGITS
        ):
            limits.append(int(announced[0]))
        return min(limits, default=None)

    async def seal(self, jid: str, message: Message, stanza_id: str | None = None) -> Sealed:
        """Format and encrypt a message and wrap it into a stanza. Nothing is sent.

        Arguments:
            jid: bare JID of the contact on the gateway.
            message: what to send.
            stanza_id: an id of the caller's; a random one otherwise.

        Raises:
            TooLarge: the message is larger than gateway or server take; nothing was encrypted.
            SealError: it cannot be formatted or encrypted, or a key is missing.
            InvalidAddress: the JID is not that of a contact on a gateway.
            GreError: everything that :meth:`agree` raises.
        """
        jid, legacy_id = contact(jid)
        agreed = await self.agree(jid)
        stanza_id = stanza_id or secrets.token_hex(16)
        job = self.job((Recipient(jid, legacy_id),), agreed, stanza_id)
        return self.wrap(await self.encrypt(message, job, agreed), jid, stanza_id)

    def job(self, recipients: tuple[Recipient, ...], agreed: Agreed, origin_id: str) -> SealJob:
        """Put together the facts for one ciphertext."""
        return SealJob(
            account=self._account,
            recipients=recipients,
            data=agreed.data,
            formatter=agreed.agreement.formatter,
            encrypter=agreed.agreement.encrypter,
            origin_id=origin_id,
            date=self._ports.now(),
            max_size=agreed.max_size,
            options=self._policy.options,
        )

    async def find_keys(self, job: SealJob) -> object:
        """Find the keys for a message, as its encrypter needs them.

        Raises:
            NoUsableKey: a key is missing.
            GreError: the user has to decide first, or the encrypter failed.
        """
        encrypter = self._plugins.encrypter(job.encrypter)
        try:
            with _Guard(EncryptFailed, job.encrypter, "finding the keys"):
                return await encrypter.seal_keys(job, self._ports)
        except NoUsableKey:
            # The gateway may learn of a key at any time: the next try must not go by what it said before.
            for recipient in job.recipients:
                self._capabilities.forget_data(recipient.jid)
            raise

    async def encrypt(self, message: Message, job: SealJob, agreed: Agreed) -> Ciphertext:
        """Format and encrypt a message to the recipients of a job.

        Raises:
            TooLarge, SealError, GreError: as :meth:`seal`.
        """
        _require_size(sum(file.size or 0 for file in message.attachments), agreed.max_size)
        formatter = self._plugins.formatter(job.formatter)
        encrypter = self._plugins.encrypter(job.encrypter)
        keys = await self.find_keys(job)
        adding, naming = self._abilities((job.formatter, job.encrypter))
        if adding is not None:
            with _Guard(EncryptFailed, job.encrypter, "adding fields"):
                job = replace(job, protected=tuple(adding.protected_fields(keys, job)))
        with _Guard(FormatFailed, job.formatter, "formatting"):
            payload = formatter.format(message, job)
            message_id = None if naming is None else naming.message_id(job)
        if not isinstance(payload, bytes):
            raise FormatFailed(f"{job.formatter} gave no bytes. Tell its authors.")
        _require_size(len(payload), agreed.max_size)
        with _Guard(EncryptFailed, job.encrypter, "encrypting"):
            body = await encrypter.encrypt(payload, keys, self._ports)
            if not isinstance(body, Body):
                raise EncryptFailed(f"{job.encrypter} gave no body. Tell its authors.")
        return Ciphertext(body, job, agreed, message_id)

    def wrap(self, cipher: Ciphertext, to: str, stanza_id: str, addressed: tuple[str, ...] = ()) -> Sealed:
        """Put a ciphertext into a stanza.

        Arguments:
            cipher: what to send.
            to: the contact, or the gateway's domain when the stanza is for several.
            stanza_id: of the stanza.
            addressed: the recipients of a stanza for several (XEP-0033).

        Raises:
            TooLarge, SealError, LocalProtocolError: as :meth:`seal`.
        """
        job, agreed = cipher.job, cipher.agreed
        with _Guard(EncryptFailed, job.encrypter, "encrypting"):
            stanza = build_message(
                to,
                stanza_id,
                Encrypted(job.formatter, job.encrypter, cipher.body),
                receipt=agreed.receipts,
                origin_id=job.origin_id,
                addresses=build_addresses(addressed) if addressed else None,
            )
            size = _size(stanza, cipher.body, agreed.max_size)
        if agreed.max_size is not None and size > agreed.max_size:
            raise _too_large(size, agreed.max_size)
        return Sealed(stanza, stanza_id, to, agreed, addressed or (to,), cipher.message_id)


def _size(stanza: Element, body: Body, limit: int | None) -> int:
    """Give the size of ``<encrypted/>``, or 0 when it is far from the limit: most messages are."""
    if limit is None or (not body.children and _ESCAPED * len(body.text) + _ROOM < limit):
        return 0
    return sum(serialised_size(element) for element in stanza.iterfind(ENCRYPTED_TAG))


def _require_size(plain: int, limit: int | None) -> None:
    """Refuse before encrypting: the wire needs at least four characters for three bytes."""
    size = plain * 4 // 3
    if limit is not None and size > limit:
        raise _too_large(size, limit)


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"The message needs about {size:,} bytes when it is encrypted; the gateway and the server take {limit:,}. "
        "Leave out or shrink attachments.",
        size=size,
        limit=limit,
    )


def _element(child: object) -> Element:
    if not isinstance(child, Element):
        raise TypeError(type(child).__name__)
    return child


class _Guard:
    """Turns what a plugin raises into an error of ours; its own text may hold plaintext and is left out.

    A generator would do, and take three times as long: every message passes here six times.
    """

    __slots__ = ("_doing", "_failed", "_namespace")

    def __init__(self, failed: type[GreError], namespace: object, doing: str) -> None:
        self._failed = failed
        self._namespace = namespace
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, GreError) or not isinstance(error, Exception):
            return
        text = (
            f"{self._namespace} failed while {self._doing} ({type(error).__name__}). Nothing was sent. "
            "Tell its authors."
        )
        raise self._failed(text, namespace=str(self._namespace)) from error
