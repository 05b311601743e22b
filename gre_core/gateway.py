"""The gateway's engine: announces, answers data requests, takes and emits ``<encrypted/>``. It cannot decrypt.

What it carries is told by its embedder as pairs of namespaces, never by what happens to be installed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.addressing import ADDRESS, recipients_of
from gre_core.capabilities import DATA_POLICY
from gre_core.contributions import contribution
from gre_core.errors import GreError, InvalidAddress, Refused, RemoteProtocolError
from gre_core.incoming import STANZAS
from gre_core.jid_escape import canonical, escape, unescape
from gre_core.log import get_logger
from gre_core.model import Body, DataForm, DataRequest, Recipient
from gre_core.namespaces import EME, ENCRYPTED_ONLY, GRE, MAX_SIZE, Kind, Namespace
from gre_core.negotiation import Agreement, Pair, negotiate, read_features
from gre_core.user_messages import LATER, Answer, Later, Plain, Relayed, has_content, read_plain
from gre_core.xml_text import clean, is_identifier, local_name, serialised_size

if TYPE_CHECKING:
    from gre_core.api import DataContributor, DataProvider
    from gre_core.errors import StanzaErrorType

__all__ = [
    "ENCRYPT_TEXT",
    "JID_ESCAPING",
    "LATER",
    "Answer",
    "GatewayEngine",
    "Later",
    "Plain",
    "Relayed",
    "SenderId",
]

_log = get_logger(__name__)

ENCRYPT_TEXT: Final = (
    "This gateway takes only encrypted messages. Encrypt it with Gateway Relayed Encryption (urn:xmpp:gre:0)."
)
YOUR_POLICY: Final = (
    "You chose that this gateway takes only encrypted messages from you. Encrypt it with Gateway Relayed Encryption "
    "(urn:xmpp:gre:0), or change your policy: it is one of the gateway's commands."
)
JID_ESCAPING: Final = "jid\\20escaping"
"""Feature of who escapes localparts (XEP-0106, section 5)."""

SenderId = Callable[[str], Awaitable[str | None]]
"""Gives the legacy identifier of a user by bare JID; None when the user is not registered."""

EncryptedOnlyFor = Callable[[str], Awaitable[bool]]
"""Tells whether the user with a bare JID wants encrypted messages only; strangers have no wish."""


class GatewayEngine:
    """The protocol of one gateway.

    Arguments:
        domain: the gateway's JID.
        pairs: the formatters and encrypters that it can carry together, at least one.
        sender_id: gives a user's legacy identifier.
        check_legacy_id: raises :class:`~gre_core.errors.InvalidAddress` for what is no identifier on the network.
        contributors: who adds fields to the data form.
        encrypted_only: refuse what is not encrypted (GRE, "Business Rules").
        encrypted_only_for: users who want that for themselves. A user can be stricter than the gateway, not laxer.
        max_size: how many bytes ``<encrypted/>`` may have, or None. It stands in the data form.

    Raises:
        ValueError: no pair, or a pair of wrong kinds.
    """

    def __init__(
        self,
        domain: str,
        pairs: Iterable[Pair],
        *,
        sender_id: SenderId,
        check_legacy_id: Callable[[str], None] = lambda _: None,
        contributors: Iterable[tuple[DataProvider, DataContributor]] = (),
        encrypted_only: bool = False,
        encrypted_only_for: EncryptedOnlyFor | None = None,
        max_size: int | None = None,
    ) -> None:
        self.domain = domain
        self.pairs: frozenset[Pair] = frozenset(pairs)
        if not self.pairs or any((f.kind, e.kind) != (Kind.FORMATTER, Kind.ENCRYPTER) for f, e in self.pairs):
            msg = "A gateway needs at least one pair of a formatter and an encrypter (GRE, Discovering Support)."
            raise ValueError(msg)
        self.formatters: frozenset[Namespace] = frozenset(formatter for formatter, _ in self.pairs)
        self.encrypters: frozenset[Namespace] = frozenset(encrypter for _, encrypter in self.pairs)
        self.encrypted_only = encrypted_only
        self._encrypted_only_for = encrypted_only_for
        self.max_size = max_size
        self._impossible = frozenset(product(self.formatters, self.encrypters)) - self.pairs
        self._sender_id = sender_id
        self._check_legacy_id = check_legacy_id
        self._contributors = tuple(contributors)

    # -- discovery -----------------------------------------------------------------------------------

    async def takes_only_encrypted(self, user: str) -> bool:
        """Tell whether plain messages of a user, and to that user, are refused: by the gateway's policy or the user's.

        Arguments:
            user: bare JID.

        Raises:
            Refused: the user's policy cannot be looked up now.
        """
        if self.encrypted_only or self._encrypted_only_for is None:
            return self.encrypted_only
        try:
            return await self._encrypted_only_for(user)
        except GreError:
            raise
        except Exception as error:
            raise _failed("look up your policy", error) from error

    def features(self, *, encrypted_only: bool = False) -> tuple[str, ...]:
        """Give the disco#info features, for the domain and for each contact (GRE, "Discovering Support").

        Arguments:
            encrypted_only: who asks has the stricter policy, see :meth:`takes_only_encrypted`.
        """
        only = (ENCRYPTED_ONLY,) if self.encrypted_only or encrypted_only else ()
        names = sorted(map(str, self.formatters)) + sorted(map(str, self.encrypters))
        return (GRE, *only, *names, EME, wire.RECEIPTS, JID_ESCAPING, ADDRESS)

    def forms(self, *, encrypted_only: bool = False) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Give the extended disco#info forms by FORM_TYPE: the data policy (XEP-0504, section 4).

        Arguments:
            encrypted_only: as for :meth:`features`.
        """
        strict = self.encrypted_only or encrypted_only
        return {DATA_POLICY: {"data_transmission": ("gre",)}} if strict else {}

    def choose(self, features: Iterable[str]) -> Agreement:
        """Choose the pair for messages to a client from what it announces (GRE, "Discovering Support").

        Raises:
            NotAGateway, NoCommonGround: the client cannot open anything that we carry.
        """
        return negotiate(self.formatters, self.encrypters, read_features(features), refused=self._impossible)

    # -- data ----------------------------------------------------------------------------------------

    async def answer(self, requester: str, recipient: str, data: Element) -> Element:
        """Answer a data request (GRE, "Relayed Encryption Data").

        Arguments:
            requester: the JID in ``from``.
            recipient: the JID in ``to``.
            data: the ``<data/>`` element.

        Raises:
            Refused, RemoteProtocolError: to be answered as a stanza error, see :meth:`error`.
        """
        who = self.check_contact(recipient)
        user = canonical(requester)
        sender_id = await self._registered(user)
        formatter, encrypter, children = wire.parse_data_request(data)
        self._require_known(formatter, encrypter)
        request = DataRequest(user, who.jid, who.legacy_id, formatter, encrypter, children)
        fields: dict[str, tuple[str, ...]] = {}
        for provider, contributor in self._contributors:
            if self._concerns(provider.namespace, formatter, encrypter):
                fields |= await contribution(provider, contributor, request)
        if self.max_size is not None:
            fields.setdefault(MAX_SIZE, (str(self.max_size),))
        return wire.build_data_form(DataForm(sender_id, fields))

    def _concerns(self, namespace: str, formatter: Namespace | None, encrypter: Namespace | None) -> bool:
        """Tell whether fields of a namespace belong into an answer: not those of a pair that was not asked for."""
        owners = [ns for ns in self.formatters | self.encrypters if str(ns) == namespace]
        if not owners:
            return not namespace.startswith(("urn:xmpp:gre:formatter:", "urn:xmpp:gre:encrypter:"))
        asked = formatter if owners[0].kind is Kind.FORMATTER else encrypter
        return all(owners[0] in pair for pair in self.pairs) if asked is None else asked == owners[0]

    def _require_known(self, formatter: Namespace | None, encrypter: Namespace | None) -> None:
        for asked, ours in ((formatter, self.formatters), (encrypter, self.encrypters)):
            if asked is not None and asked not in ours:
                raise Refused(
                    f"This gateway does not announce {asked}. It has {', '.join(sorted(map(str, ours)))}.",
                    condition="feature-not-implemented",
                    error_type="cancel",
                )
        if formatter is not None and encrypter is not None and (formatter, encrypter) not in self.pairs:
            raise Refused(
                f"This gateway cannot carry {formatter} together with {encrypter}. Try another pair.",
                condition="not-acceptable",
                error_type="modify",
            )

    async def is_registered(self, user: str) -> bool:
        """Tell whether a bare JID may use the gateway; raises as :meth:`answer` when it cannot be looked up."""
        return await self._look_up(user) is not None

    def check_contact(self, jid: str) -> Recipient:
        """Give the contact that a JID stands for.

        Raises:
            Refused: the JID is the gateway's own, or its localpart is no identifier of the network.
        """
        folded = canonical(jid)
        local, at, _ = folded.rpartition("@")
        if not at:
            raise Refused(
                "Address a contact of this gateway, as in alice\\40example.org@" + self.domain + ".",
                condition="item-not-found",
                error_type="modify",
            )
        try:
            legacy_id = unescape(local)
            self._check_legacy_id(legacy_id)
        except InvalidAddress as error:
            raise Refused(error.text, condition="jid-malformed", error_type="modify") from error
        except Exception as error:
            raise _failed("check the address", error) from error
        return Recipient(folded, legacy_id)

    async def _look_up(self, user: str) -> str | None:
        try:
            sender_id = await self._sender_id(user)
            usable = sender_id is None or is_identifier(sender_id)
        except GreError:
            raise
        except Exception as error:
            raise _failed("look up who you are", error) from error
        if not usable:
            raise _failed("look up who you are", ValueError())
        return sender_id

    async def _registered(self, user: str) -> str:
        sender_id = await self._look_up(user)
        if sender_id is None:
            raise Refused(
                "You are not registered with this gateway. Register with it, or ask its operator.",
                condition="registration-required",
                error_type="auth",
            )
        return sender_id

    # -- messages ------------------------------------------------------------------------------------

    async def accept(self, stanza: Element) -> Relayed | Plain | None:
        """Look at a ``<message/>`` from a user.

        Result:
            None for what needs no answer: errors, receipts, chat states, and messages without content.

        Raises:
            Refused, RemoteProtocolError: to be answered as a stanza error, see :meth:`error`.
        """
        if stanza.get("type") == "error":
            return None
        elements = stanza.findall(wire.ENCRYPTED_TAG)
        if not elements and not has_content(stanza):
            return None
        user_full = stanza.get("from", "")
        user = canonical(user_full)
        if stanza.get("type") == "groupchat":
            raise Refused(
                "This gateway has no group chats.", condition="service-unavailable", error_type="cancel"
            )
        if not elements and self.encrypted_only:
            raise Refused(ENCRYPT_TEXT, condition="policy-violation", error_type="modify")
        recipients, hidden = recipients_of(stanza, self.domain, self.check_contact)
        sender_id = await self._registered(user)
        if not elements:
            if await self.takes_only_encrypted(user):
                raise Refused(YOUR_POLICY, condition="policy-violation", error_type="modify")
            return read_plain(stanza, user, user_full, sender_id, recipients, hidden)
        if len(elements) > 1:
            raise Refused(
                "A message has one <encrypted/> element.", condition="bad-request", error_type="modify"
            )
        encrypted = wire.parse_encrypted(elements[0])
        self._require_known(encrypted.formatter, encrypted.encrypter)
        if self.max_size is not None and serialised_size(elements[0]) > self.max_size:
            raise Refused(
                f"The message is too large: this gateway takes {self.max_size:,} bytes of encrypted content.",
                condition="policy-violation",
                error_type="modify",
            )
        return Relayed(
            user,
            user_full,
            sender_id,
            recipients,
            encrypted.formatter,
            encrypted.encrypter,
            encrypted.body,
            wire.stanza_id(stanza),
            stanza,
            hidden,
        )

    def jid_of(self, legacy_id: str) -> str:
        """Give the JID of a contact, as servers write it (XEP-0106).

        Raises:
            InvalidAddress: the identifier cannot be written as a JID.
        """
        return canonical(f"{escape(legacy_id)}@{self.domain}")

    def emit(
        self, legacy_id: str, to: str, pair: Pair, body: Body, stanza_id: str, notes: Iterable[str] = ()
    ) -> Element:
        """Make the stanza of an encrypted message from the legacy network.

        Arguments:
            legacy_id: the sender on the legacy network.
            to: bare JID of the user.
            pair: what the body is made with.
            body: opaque to the gateway.
            stanza_id: also the origin-id; the same when the message is sent again.
            notes: codes of what the reader should know about the mail around the body (:mod:`gre_core.notes`).

        Raises:
            InvalidAddress: the sender cannot be written as a JID.
            LocalProtocolError: body or id have characters that XML forbids, or a note is no code.
        """
        encrypted = wire.Encrypted(*pair, body)
        sender = self.jid_of(legacy_id)
        return wire.build_message(to, stanza_id, encrypted, sender=sender, fallback=True, notes=notes)

    def emit_plain(
        self,
        legacy_id: str,
        to: str,
        text: str,
        subject: str | None,
        stanza_id: str,
        files: Sequence[str] = (),
        *,
        thread: str | None = None,
    ) -> tuple[Element, ...]:
        """Make the stanzas of an unencrypted message, as :func:`gre_core.wire.build_plain_with_files` does.

        Raises as :meth:`emit`.
        """
        sender = self.jid_of(legacy_id)
        return wire.build_plain_with_files(to, stanza_id, text, subject, sender, files, thread)

    def emit_notice(self, to: str, text: str, stanza_id: str) -> Element:
        """Make the stanza of words that the gateway itself says to a user; raises as :meth:`emit_plain`."""
        return wire.build_plain(to, stanza_id, text, subject=None, sender=self.domain)

    # -- answers -------------------------------------------------------------------------------------

    @staticmethod
    def receipt(message: Relayed | Plain) -> Element | None:
        """Make the receipt for a message that the network took (XEP-0184); None when none was asked for."""
        return GatewayEngine.receipt_to(Answer.to(message))

    @staticmethod
    def receipt_to(answer: Answer) -> Element | None:
        """Make the receipt for a message that the network took later; None when none was asked for."""
        if not answer.wants_receipt or not answer.stanza_id:
            return None
        receipt = Element(
            wire.MESSAGE_TAG,
            {
                "from": answer.stanza_to,
                "to": answer.user_full,
                "type": answer.stanza_type,
                "id": f"receipt-{answer.stanza_id}"[: wire.MAX_ID],
            },
        )
        SubElement(receipt, wire.RECEIVED_TAG, {"id": answer.stanza_id})
        SubElement(receipt, wire.STORE_TAG)
        return receipt

    @staticmethod
    def error_to(answer: Answer, error: GreError) -> Element:
        """Make the error answer to a message that the network did not take in the end."""
        stanza = Element(wire.MESSAGE_TAG, {"from": answer.user_full, "to": answer.stanza_to})
        if answer.stanza_id:
            stanza.set("id", answer.stanza_id)
        return GatewayEngine.error(stanza, error)

    @staticmethod
    def error(stanza: Element, error: GreError) -> Element:
        """Make the error answer to a stanza (RFC 6120, section 8.3), always with a text."""
        condition: str = "internal-server-error"
        kind: StanzaErrorType = "cancel"
        if isinstance(error, Refused | RemoteProtocolError):
            condition, kind = error.condition, error.error_type
        answer = Element(
            stanza.tag, {"type": "error", "to": stanza.get("from", ""), "from": stanza.get("to", "")}
        )
        if stanza.get("id"):
            answer.set("id", stanza.get("id", ""))
        namespace = local_name(stanza.tag)[0]
        element = SubElement(answer, f"{{{namespace}}}error", {"type": kind})
        SubElement(element, f"{{{STANZAS}}}{condition}")
        SubElement(element, f"{{{STANZAS}}}text").text = clean(error.text)
        if isinstance(error, Refused) and error.detail is not None:
            SubElement(element, "{{{}}}{}".format(*error.detail))
        return answer


def _failed(doing: str, error: Exception) -> Refused:
    """Answer for a callback of the embedder that failed; its own text may tell too much."""
    _log.error("callback-failed", error_type=type(error).__name__)
    return Refused(
        f"The gateway could not {doing}. Try again later, or tell its operator.",
        condition="internal-server-error",
        error_type="wait",
    )
