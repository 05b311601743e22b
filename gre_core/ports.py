"""The I/O that engines and plugins need, as Protocols. A host implements them; the core only awaits them.

A host bounds each call in time and raises :class:`~gre_core.errors.PeerTimeout` when nothing came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.model import Question

AccessModel = Literal["open", "whitelist"]


class Store(Protocol):
    """Keeps the state of one account: keys, trust, downgrade memory, caches, outbox.

    Keys are 1 to 512 characters of any kind, parts separated by ``/``. Values are bytes. Every method raises
    :class:`~gre_core.errors.StoreError` when the storage fails.
    """

    async def get(self, key: str, /) -> bytes | None:
        """Give the value, or None when there is none."""
        ...

    async def put(self, key: str, value: bytes, /) -> None:
        """Keep the value. When this returns, it survives the end of the process (if the store is durable)."""
        ...

    async def delete(self, key: str, /) -> None:
        """Forget the value; nothing happens when there is none."""
        ...

    async def keys(self, prefix: str, /) -> Sequence[str]:
        """List all keys that start with the prefix, sorted."""
        ...


@runtime_checkable
class Creating(Protocol):
    """What a store may offer besides: two processes that use it at the same time do not overwrite each other."""

    async def create(self, key: str, value: bytes, /) -> bool:
        """Keep the value if there is none yet; tell whether it was kept. Of several callers one gets True."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a pubsub node (XEP-0060, section 6.5.2)."""

    id: str
    payload: Element | None = field(default=None, repr=False)


class PubSub(Protocol):
    """Reads the nodes of any JID and writes our own (XEP-0060, XEP-0163).

    Every method raises :class:`~gre_core.errors.PeerError` (``condition`` says which: ``item-not-found``,
    ``forbidden``, ...) and :class:`~gre_core.errors.PeerTimeout`.
    """

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        """Give items of a node of a bare JID, newest last."""
        ...

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: AccessModel, max_items: int = 1
    ) -> None:
        """Publish an item on our own account, with these publish-options (XEP-0060, section 7.1.5).

        When the node exists with other options, it is configured anew and the item published again.
        """
        ...

    async def retract(self, node: str, item_id: str, /) -> None:
        """Remove an item from a node of our own account."""
        ...


@runtime_checkable
class PersonalPubSub(Protocol):
    """What the pubsub port of a gateway may offer besides: its contacts' nodes as one of its users gets them."""

    def seen_by(self, reader: str, /) -> PubSub:
        """Give the port for the user with a bare JID."""
        ...


@dataclass(frozen=True, slots=True)
class DiscoInfo:
    """What an entity answers to disco#info (XEP-0030).

    Arguments:
        features: their names.
        identities: as (category, type).
        forms: the extended information (XEP-0128): values by field name, by FORM_TYPE.
    """

    features: frozenset[str]
    identities: frozenset[tuple[str, str]] = frozenset()
    forms: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


class Network(Protocol):
    """The XMPP stream as a client engine needs it."""

    @property
    def max_stanza(self) -> int | None:
        """The largest stanza that our server takes, in bytes of UTF-8; None when unknown."""
        ...

    async def disco_info(self, jid: str, /) -> DiscoInfo:
        """Ask an entity what it supports, past every cache of the XMPP library.

        Raises:
            PeerError: the entity answered with an error.
            PeerTimeout: nothing came.
        """
        ...

    async def iq_get(self, jid: str, payload: Element, /) -> Element | None:
        """Send an ``<iq type='get'>`` and give the child of the answer.

        Raises:
            PeerError: the entity answered with an error.
            PeerTimeout: nothing came.
        """
        ...

    async def send_message(self, stanza: Element, /) -> None:
        """Hand a complete ``<message xmlns='jabber:client'/>`` to the stream.

        Raises:
            PeerTimeout: the stream is down; the stanza was not sent.
            TooLarge: the stanza is larger than the server takes.
        """
        ...


Decide = Callable[["Question"], Awaitable[bool]]
"""Asks the user. True only for an explicit yes. Remembering the answer is the work of who asks."""


async def refuse(_question: Question, /) -> bool:
    """Answer no to everything: the default of a host without a user at hand."""
    return False


def utc_now() -> datetime:
    """Give the present time in UTC."""
    return datetime.now(UTC)


@runtime_checkable
class Worker(Protocol):
    """Runs a named function on bytes in an isolated process with limits of memory and time.

    Nothing that comes back is unpickled. Calls may be made at the same time; they queue.
    """

    async def run(self, function: str, data: bytes, /) -> bytes:
        """Call ``module:function`` with the data.

        Raises:
            GreError: the function failed, took too long or too much memory.
        """
        ...


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What a web server answered.

    Arguments:
        status: of HTTP.
        body: complete.
    """

    status: int
    body: bytes = field(repr=False)


class Web(Protocol):
    """Fetches small documents by HTTPS, for key look-ups. Only ever used when a message is sent or the user asks.

    A host guards it: HTTPS on port 443 only, no redirect to another host, no address that is not public (SSRF), its
    own time-out, and the user's proxy.
    """

    async def get(self, url: str, /, *, max_size: int) -> WebAnswer:
        """Fetch a document of at most ``max_size`` bytes.

        Raises:
            NoSuchHost: the name of the host does not exist.
            PeerTimeout: no answer: offline, no connection, no valid certificate.
            Refused: the address is not one that is fetched from, or the document is too large; the text says which.
        """
        ...


@dataclass(frozen=True, slots=True)
class PassphraseRequest:
    """What a passphrase is asked for.

    Arguments:
        account: our bare JID.
        key: fingerprint of the key.
        new: the key is being made: the user chooses a passphrase. None then means an unprotected key.
        attempt: 1 for the first; higher ones follow a wrong passphrase.
    """

    account: str
    key: str
    new: bool = False
    attempt: int = 1


AskPassphrase = Callable[["PassphraseRequest"], Awaitable[str | None]]
"""Asks the user, or a keyring, for a passphrase. None when there is none; the key then stays locked."""


async def no_passphrase(_request: PassphraseRequest, /) -> str | None:
    """Give no passphrase: the default of a host without a user at hand."""
    return None


@dataclass(frozen=True, slots=True)
class BackupOffer:
    """A backup of our own keys that could be made now.

    Arguments:
        account: our bare JID.
        key: fingerprint of the key that exists on this device only.
        code: the backup code that the user has to write down before he agrees. It is kept nowhere.
    """

    account: str
    key: str
    code: str = field(repr=False)


OfferBackup = Callable[["BackupOffer"], Awaitable[bool | None]]
"""Shows the user a backup code. True: it was written down, make the backup. False: no backup is wanted, do not ask
again. None: later."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a plugin may use of its host.

    Arguments:
        store: the state of this account.
        pubsub: nodes of others, and our own.
        decide: asks the user.
        now: the clock, with time zone UTC.
        worker: an isolated process, when the host has one.
        web: look-ups by HTTPS, when the host has them and the user did not switch them off.
        passphrase: unlocks our own keys.
        backup: offers the user a backup of our own keys; None when there is no user at hand.
    """

    store: Store
    pubsub: PubSub
    decide: Decide = refuse
    now: Callable[[], datetime] = utc_now
    worker: Worker | None = None
    web: Web | None = None
    passphrase: AskPassphrase = no_passphrase
    backup: OfferBackup | None = None
