"""The clients of a gateway's users that are there, and what they announce."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from gre_core.errors import RemoteProtocolError
from gre_core.jid_escape import canonical
from gre_core.log import get_logger
from gre_core.slixmpp.caps import CAPS_TAG
from gre_core.stanza_ports import DISCO, read_disco

if TYPE_CHECKING:
    from collections.abc import Callable

    from slixmpp import ComponentXMPP

    from gre_core.slixmpp.stream import Stream

MAX_RESOURCES: Final = 32
"""Clients of one user, beyond which further ones are not seen."""
MAX_USERS: Final = 100_000

_MOST_SETS: Final = 100

_log = get_logger(__name__)


@dataclass(slots=True)
class _Client:
    """One client of a user that is there."""

    version: str
    """Of its capabilities (XEP-0115), or ``""``."""
    via: str
    """The gateway, or the contact, to which it showed itself: it goes when it says so there."""
    features: asyncio.Task[frozenset[str]] | None = None
    """What it announces, asked once per version."""


class Clients:
    """Remembers who of the users is there.

    Arguments:
        component: runs the requests.
        stream: the stream.
        domain: of the gateway.
    """

    def __init__(self, component: ComponentXMPP, stream: Stream, domain: str) -> None:
        self._component = component
        self._stream = stream
        self._domain = domain
        self._online: dict[str, dict[str, _Client]] = {}
        self._on_change: list[Callable[[str, bool], None]] = []
        self._alike: dict[frozenset[str], frozenset[str]] = {}
        """Thousands of clients announce the same few sets."""

    def on_change(self, callback: Callable[[str, bool], None]) -> None:
        """Call it with a user's bare JID: with True when a client comes, with False when the last one went."""
        self._on_change.append(callback)

    # -- who is there --------------------------------------------------------------------------------

    def of(self, user: str) -> tuple[str, ...]:
        """Give the full JIDs of a user's clients that are known to be there."""
        return tuple(self._online.get(canonical(user), ()))

    def clear(self) -> None:
        """Forget everybody, without a word to the callbacks: the stream is down."""
        self._online.clear()

    def drop(self, user: str) -> None:
        """Forget a user, without a word to the callbacks."""
        self._online.pop(canonical(user), None)

    def came(self, user: str, full: str, via: str, presence: Element) -> bool:
        """Note a client that is there; tell whether it was not before.

        Arguments:
            user: canonical bare JID.
            full: JID of the client.
            via: bare JID that the presence was sent to.
            presence: with its capabilities.
        """
        caps = presence.find(CAPS_TAG)
        version = "" if caps is None else caps.get("ver", "")[:256]
        if user not in self._online and len(self._online) >= MAX_USERS:
            return False
        clients = self._online.setdefault(user, {})
        known = clients.get(full)
        if known is None and len(clients) >= MAX_RESOURCES:
            return False
        if known is not None and via == self._domain:
            known.via = via
        if known is None or known.version != version or not version:
            clients[full] = _Client(version, via if known is None else known.via)
        if known is None:
            self._tell(user, there=True)
        return known is None

    def went(self, user: str, full: str, via: str) -> None:
        """Note that a client is away.

        Arguments:
            user: canonical bare JID.
            full: JID of the client, or bare for all of the user.
            via: bare JID that the presence was sent to. Presence may be directed: who is away for one contact is still
                there for the gateway (XEP-0100, section 4.5).
        """
        clients = self._online.get(user, {})
        gone = [
            jid for jid, client in clients.items() if "/" not in full or (jid == full and client.via == via)
        ]
        for jid in gone:
            del clients[jid]
        if gone and not clients:
            self._online.pop(user, None)
            self._tell(user, there=False)

    def _tell(self, user: str, *, there: bool) -> None:
        for callback in self._on_change:
            try:
                callback(user, there)
            except Exception as error:  # noqa: BLE001 - the host's mistake must not end the work on presence
                _log.error("presence-callback-failed", error_type=type(error).__name__)

    # -- what they announce --------------------------------------------------------------------------

    async def features(self, user: str) -> dict[str, frozenset[str]]:
        """Give what the clients of a user announce, by full JID; each is asked once per version.

        A client that does not answer has nothing until its next presence.
        """
        clients = list(self._online.get(canonical(user), {}).items())
        for full, client in clients:
            if client.features is None:
                client.features = self._component.loop.create_task(self.ask(full))
        return {full: await asyncio.shield(client.features) for full, client in clients if client.features}

    async def ask(self, full: str) -> frozenset[str]:
        """Ask one client what it announces; nothing when it does not say."""
        try:
            found = read_disco(await self._stream.iq(full, "get", Element(f"{{{DISCO}}}query"))).features
        except RemoteProtocolError:
            return frozenset()
        if len(self._alike) >= _MOST_SETS:
            self._alike.clear()
        return self._alike.setdefault(found, found)
