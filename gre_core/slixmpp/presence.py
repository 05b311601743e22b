"""Presence of a gateway and of its users: subscriptions, entity capabilities, and what clients announce."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from xml.etree.ElementTree import Element, SubElement

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core import wire
from gre_core.errors import GreError, Refused, RemoteProtocolError
from gre_core.jid_escape import canonical
from gre_core.log import get_logger
from gre_core.namespaces import GRE
from gre_core.slixmpp.caps import CAPS_NODE, CAPS_TAG
from gre_core.slixmpp.ports import DISCO, read_disco
from gre_core.slixmpp.work import PATIENCE, WorkQueue, weight, within

if TYPE_CHECKING:
    from slixmpp import ComponentXMPP
    from slixmpp.stanza import Presence
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.gateway import GatewayEngine
    from gre_core.slixmpp.stream import Stream

_MAX_RESOURCES: Final = 32
_MAX_USERS: Final = 100_000
_MAX_MEMORY: Final = 8 * 1024 * 1024
_ROSTER_EVENTS: Final = {
    "presence_probe": "_handle_probe",
    **dict.fromkeys((f"presence_{show}" for show in ("available", "dnd", "xa", "chat", "away")), "_handle_available"),
    "presence_unavailable": "_handle_unavailable",
    "presence_subscribe": "_handle_subscribe",
    "presence_subscribed": "_handle_subscribed",
    "presence_unsubscribe": "_handle_unsubscribe",
    "presence_unsubscribed": "_handle_unsubscribed",
}  # fmt: skip

_log = get_logger(__name__)


@dataclass(slots=True)
class _Client:
    """One client of a user that is there."""

    version: str
    """Of its capabilities (XEP-0115), or ``""``."""
    features: asyncio.Task[frozenset[str]] | None = None
    """What it announces, asked once per version."""


class Presences:
    """Answers presence for the gateway and its contacts, and remembers the clients of users that are there.

    slixmpp's own roster is taken out: it keeps what anybody sends for ever, and answers each probe with
    ``unsubscribed``. Its events (``presence_available`` and so on) still fire.

    Arguments:
        component: the component.
        stream: the stream.
        engine: knows who is registered.
        caps_version: the verification string of what the gateway answers to disco#info.
    """

    def __init__(
        self, component: ComponentXMPP, stream: Stream, engine: GatewayEngine, caps_version: str
    ) -> None:
        self.caps_version = caps_version
        self._component = component
        self._stream = stream
        self._engine = engine
        self._work = WorkQueue(component, workers=1, max_bytes=_MAX_MEMORY)
        self._online: dict[str, dict[str, _Client]] = {}
        component.remove_handler("Presence")
        for event, handler in _ROSTER_EVENTS.items():
            component.del_event_handler(event, getattr(component, handler))
        component.register_handler(Callback("GRE presence", StanzaPath("presence"), self._presence))
        component.add_event_handler("disconnected", self._forget)

    def _forget(self, _event: object = None) -> None:
        self._online.clear()

    # -- towards the users ---------------------------------------------------------------------------

    def send(self, to: str, type_: str | None = None, sender: str | None = None) -> None:
        """Send presence from the gateway or one of its contacts; available presence names our capabilities.

        Does nothing while the stream is down.

        Arguments:
            to: a JID.
            type_: ``unavailable``, ``subscribe``, ...; None for available.
            sender: JID of a contact; the gateway otherwise.
        """
        if not self._stream.up:
            return
        presence = Element(
            f"{{{self._component.default_ns}}}presence", {"to": to, "from": sender or self._engine.domain}
        )
        if type_ is not None:
            presence.set("type", type_)
        else:
            caps = {"hash": "sha-1", "node": CAPS_NODE, "ver": self.caps_version}
            SubElement(presence, CAPS_TAG, caps)
        try:
            self._stream.put(presence)
        except GreError as error:
            _log.warning("presence-not-sent", code=error.code)

    def greet(self, user: str, *, subscribe: bool = False) -> None:
        """Tell a user that the gateway is there, and ask who of their clients is (XEP-0100, section 4.2).

        Arguments:
            user: bare JID.
            subscribe: ask to see the user's presence; who agreed before is not asked again. Some clients also let only
                subscribers read their keys.
        """
        self.send(user)
        self.send(user, "probe")
        if (
            subscribe
        ):  # after the probe: Prosody answers that with "unsubscribed", and forgets that we had asked
            self.send(user, "subscribe")

    def is_online(self, user: str) -> bool:
        """Tell whether a client of a user is known to be there."""
        return bool(self._online.get(canonical(user)))

    def clients_of(self, user: str) -> tuple[str, ...]:
        """Give the full JIDs of a user's clients that are known to be there."""
        return tuple(self._online.get(canonical(user), ()))

    async def features_of(self, user: str) -> frozenset[str]:
        """Give the features that all GRE clients of a user have in common; each client is asked once per version.

        A client that does not answer counts as one without GRE until its next presence.
        """
        clients = list(self._online.get(canonical(user), {}).items())
        for full, client in clients:
            if client.features is None:
                client.features = self._component.loop.create_task(self._ask(full))
        answers = [await asyncio.shield(client.features) for _, client in clients if client.features]
        able = [features for features in answers if GRE in features]
        return frozenset.intersection(*able) if able else frozenset()

    async def _ask(self, full: str) -> frozenset[str]:
        try:
            return read_disco(await self._stream.iq(full, "get", Element(f"{{{DISCO}}}query"))).features
        except RemoteProtocolError:
            return frozenset()

    # -- from the users ------------------------------------------------------------------------------

    def _presence(self, stanza: StanzaBase) -> None:
        presence = cast("Presence", stanza)
        self._component.event("presence", presence)
        self._component.event(f"presence_{presence['type']}", presence)
        if not self._work.put(lambda: self._handle(stanza.xml), weight(stanza.xml)):
            _log.warning("presence-dropped", peer_domain=wire.domain(stanza.xml.get("from", "")))

    async def _handle(self, stanza: Element) -> None:
        kind, full, to = stanza.get("type"), stanza.get("from", ""), wire.bare(stanza.get("to", ""))
        user = canonical(full)
        if kind == "unavailable":
            self._gone(user, full)
        elif kind == "unsubscribe":
            self.send(user, "unsubscribed", to)
            self.send(user, "unavailable", to)
        elif kind == "subscribe":
            allowed = await self._may_subscribe(user, to)
            self.send(user, "subscribed" if allowed else "unsubscribed", to)
            if allowed:
                self.send(user, None, to)
        elif kind == "probe":
            if await self._may_subscribe(user, to):
                self.send(full, None, to)
        elif kind is None and await self._registered(user):
            self._available(user, full, stanza)

    async def _registered(self, user: str) -> bool:
        return await within(PATIENCE, self._engine.is_registered(user))

    async def _may_subscribe(self, user: str, to: str) -> bool:
        try:
            if to != self._engine.domain:
                self._engine.check_contact(to)
            return await self._registered(user)
        except (Refused, TimeoutError):
            return False

    def _available(self, user: str, full: str, stanza: Element) -> None:
        caps = stanza.find(CAPS_TAG)
        version = "" if caps is None else caps.get("ver", "")[:256]
        if user not in self._online and len(self._online) >= _MAX_USERS:
            return
        clients = self._online.setdefault(user, {})
        known = clients.get(full)
        if known is None and len(clients) >= _MAX_RESOURCES:
            return
        if known is None or known.version != version or not version:
            clients[full] = _Client(version)

    def _gone(self, user: str, full: str) -> None:
        clients = self._online.get(user, {})
        clients.pop(full, None)
        if "/" not in full:
            clients.clear()
        if not clients:
            self._online.pop(user, None)
