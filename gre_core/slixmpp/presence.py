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
from gre_core.slixmpp.watched import Watched
from gre_core.slixmpp.work import PATIENCE, WorkQueue, weight, within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slixmpp import ComponentXMPP
    from slixmpp.stanza import Presence
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.gateway import GatewayEngine
    from gre_core.slixmpp.caps import Announced
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

    Which contacts are in a user's roster is the user's matter, and nothing of it is stored: only who was told of a
    contact since the program started is remembered, so that it can be told that the contact is away.

    Arguments:
        component: the component.
        stream: the stream.
        engine: knows who is registered.
        announced: what stands behind the capabilities in presence.
    """

    def __init__(
        self, component: ComponentXMPP, stream: Stream, engine: GatewayEngine, announced: Announced
    ) -> None:
        self._component = component
        self._stream = stream
        self._engine = engine
        self._announced = announced
        self._work = WorkQueue(component, workers=1, max_bytes=_MAX_MEMORY)
        self._online: dict[str, dict[str, _Client]] = {}
        self._watched = Watched()
        self._on_change: list[Callable[[str, bool], None]] = []
        component.remove_handler("Presence")
        for event, handler in _ROSTER_EVENTS.items():
            component.del_event_handler(event, getattr(component, handler))
        component.register_handler(Callback("GRE presence", StanzaPath("presence"), self._presence))
        component.add_event_handler("disconnected", self._forget)

    def _forget(self, _event: object = None) -> None:
        self._online.clear()

    def on_change(self, callback: Callable[[str, bool], None]) -> None:
        """Call it with the bare JID of a user, and with True when a client comes, with False when the last one went."""
        self._on_change.append(callback)

    # -- towards the users ---------------------------------------------------------------------------

    def send(self, to: str, type_: str | None = None, sender: str | None = None) -> None:
        """Send presence from the gateway or one of its contacts; available presence names our capabilities.

        Does nothing while the stream is down.

        Arguments:
            to: a JID.
            type_: ``unavailable``, ``subscribe``, ...; None for available: that goes out when it is known which policy
                the user has.
            sender: JID of a contact; the gateway otherwise.
        """
        if type_ is not None:
            self._put(to, type_, sender)
        else:
            self._work.put(lambda: self._send_available(to, [sender]))

    def greet(self, user: str, *, subscribe: bool = False) -> None:
        """Tell a user that gateway and contacts are there, and ask who of their clients is (XEP-0100, section 4.4).

        Arguments:
            user: bare JID.
            subscribe: ask to see the user's presence; who agreed before is not asked again. Some clients also let only
                subscribers read their keys.
        """
        self._work.put(lambda: self._greet(user, subscribe=subscribe))

    async def _greet(self, user: str, *, subscribe: bool) -> None:
        await self._send_available(user, [None, *self._watched.of(user)])
        self._put(user, "probe")
        if subscribe:
            # After the probe: Prosody answers that with "unsubscribed", and forgets that we had asked.
            self._put(user, "subscribe")

    def refresh(self, user: str) -> None:
        """Send a user the capabilities anew, after the user's policy changed (XEP-0115, section 5.3)."""
        self._work.put(lambda: self._send_available(user, [None, *self._watched.of(user)]))

    def leave(self, user: str) -> None:
        """Tell a user that the gateway and the known contacts are away (XEP-0100, section 8, rule 6)."""
        for sender in (*self._watched.of(user), None):
            self._put(user, "unavailable", sender)

    def release(self, user: str) -> None:
        """End all subscriptions of a user who unregistered, both ways (XEP-0100, section 4.3)."""
        for sender in (*self._watched.of(user), None):
            for kind in ("unsubscribe", "unsubscribed", "unavailable"):
                self._put(user, kind, sender)
        self._watched.forget(user)
        self._online.pop(canonical(user), None)

    def watched_contacts(self, user: str) -> tuple[str, ...]:
        """Give the JIDs of contacts that a user subscribed to, as far as it is known since the program started."""
        return self._watched.of(user)

    async def _send_available(self, to: str, senders: Sequence[str | None]) -> None:
        strict = await within(PATIENCE, self._engine.takes_only_encrypted(canonical(to)))
        for sender in senders:
            self._put(to, None, sender, encrypted_only=strict)

    def _put(
        self, to: str, type_: str | None, sender: str | None = None, *, encrypted_only: bool = False
    ) -> None:
        if not self._stream.up:
            return
        source = sender or self._engine.domain
        presence = Element(f"{{{self._component.default_ns}}}presence", {"to": to, "from": source})
        if type_ is not None:
            presence.set("type", type_)
        else:
            version = self._announced.version(contact="@" in source, encrypted_only=encrypted_only)
            SubElement(presence, CAPS_TAG, {"hash": "sha-1", "node": CAPS_NODE, "ver": version})
        try:
            self._stream.put(presence)
        except GreError as error:
            _log.warning("presence-not-sent", code=error.code)

    # -- who is there --------------------------------------------------------------------------------

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
        able = [features for features in (await self._clients(user)).values() if GRE in features]
        return frozenset.intersection(*able) if able else frozenset()

    async def clients_with(self, user: str, feature: str) -> tuple[str, ...]:
        """Give the full JIDs of the clients of a user that are there and announce a feature."""
        return tuple(full for full, features in (await self._clients(user)).items() if feature in features)

    async def _clients(self, user: str) -> dict[str, frozenset[str]]:
        clients = list(self._online.get(canonical(user), {}).items())
        for full, client in clients:
            if client.features is None:
                client.features = self._component.loop.create_task(self._ask(full))
        return {full: await asyncio.shield(client.features) for full, client in clients if client.features}

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
            if to == self._engine.domain and "/" in full:
                self._put(full, "unavailable")  # XEP-0100, section 4.5; to nobody when the client is gone
        elif kind == "unsubscribe":
            self._watched.remove(user, to)
            self._put(user, "unsubscribed", to)
            self._put(user, "unavailable", to)
        elif kind == "subscribe":
            allowed = await self._may_subscribe(user, to)
            self._put(user, "subscribed" if allowed else "unsubscribed", to)
            if allowed:
                await self._show(user, user, to)
        elif kind == "probe":
            await self._probed(user, full, to)
        elif kind is None and await self._registered(user):
            new = self._available(user, full, stanza)
            if new and to == self._engine.domain:
                await self._send_available(full, [None])

    async def _probed(self, user: str, full: str, to: str) -> None:
        """Answer a probe; the subscription of who is not registered any more ends (RFC 6121, section 4.3.2)."""
        try:
            if to != self._engine.domain:
                self._engine.check_contact(to)
            registered = await self._registered(user)
        except (Refused, TimeoutError):
            return
        if registered:
            await self._show(user, full, to)
        else:
            self._put(user, "unsubscribed", to)

    async def _show(self, user: str, to: str, sender: str) -> None:
        if sender != self._engine.domain:
            self._watched.add(user, sender)
        await self._send_available(to, [sender])

    async def _registered(self, user: str) -> bool:
        return await within(PATIENCE, self._engine.is_registered(user))

    async def _may_subscribe(self, user: str, to: str) -> bool:
        try:
            if to != self._engine.domain:
                self._engine.check_contact(to)
            return await self._registered(user)
        except (Refused, TimeoutError):
            return False

    def _available(self, user: str, full: str, stanza: Element) -> bool:
        """Note a client; tell whether it is a new one."""
        caps = stanza.find(CAPS_TAG)
        version = "" if caps is None else caps.get("ver", "")[:256]
        if user not in self._online and len(self._online) >= _MAX_USERS:
            return False
        clients = self._online.setdefault(user, {})
        known = clients.get(full)
        if known is None and len(clients) >= _MAX_RESOURCES:
            return False
        if known is None or known.version != version or not version:
            clients[full] = _Client(version)
        if known is None:
            self._tell(user, there=True)
        return known is None

    def _gone(self, user: str, full: str) -> None:
        clients = self._online.get(user, {})
        were = bool(clients)
        clients.pop(full, None)
        if "/" not in full:
            clients.clear()
        if not clients:
            self._online.pop(user, None)
            if were:
                self._tell(user, there=False)

    def _tell(self, user: str, *, there: bool) -> None:
        for callback in self._on_change:
            try:
                callback(user, there)
            except Exception as error:  # noqa: BLE001 - the host's mistake must not end the work on presence
                _log.error("presence-callback-failed", error_type=type(error).__name__)
