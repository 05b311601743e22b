"""Presence of a gateway and its contacts: subscriptions (XEP-0100, sections 4.4 to 4.7) and capabilities (XEP-0115)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from xml.etree.ElementTree import Element, SubElement

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core import wire
from gre_core.errors import GreError, Refused
from gre_core.gateway import GatewayEngine
from gre_core.jid_escape import canonical
from gre_core.log import get_logger
from gre_core.namespaces import GRE
from gre_core.slixmpp.caps import CAPS_NODE, CAPS_TAG
from gre_core.slixmpp.clients import Clients
from gre_core.slixmpp.stream import put, require_sendable
from gre_core.slixmpp.subscriptions import NOTHING, Ledger
from gre_core.slixmpp.work import PATIENCE, WorkQueue, weight, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slixmpp import ComponentXMPP
    from slixmpp.stanza import Presence
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.slixmpp.caps import Announced
    from gre_core.slixmpp.stream import Stream
    from gre_core.slixmpp.subscriptions import Known, Subscription, Subscriptions
    from gre_core.slixmpp.work import Job

_LANES: Final = 8
"""Work for one user is done in its order; a user who keeps the store busy delays few others."""
_MAX_MEMORY: Final = 2 * 1024 * 1024
"""Bytes of each lane."""

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


class Presences:
    """Answers presence for the gateway and its contacts, and remembers the clients of users that are there.

    slixmpp's own roster is taken out: it keeps what anybody sends and gets for ever, and answers each probe with
    ``unsubscribed``. Its events (``presence_available`` and so on) still fire.

    Arguments:
        component: the component.
        stream: the stream.
        engine: knows who is registered.
        announced: what stands behind the capabilities in presence.
        subscriptions: which contacts users see.

    Attributes:
        clients: who is there.
    """

    def __init__(
        self,
        component: ComponentXMPP,
        stream: Stream,
        engine: GatewayEngine,
        announced: Announced,
        subscriptions: Subscriptions,
    ) -> None:
        self._component = component
        self._stream = stream
        self._engine = engine
        self._announced = announced
        self._ledger = Ledger(subscriptions, engine.domain)
        self._lanes = [WorkQueue(component, workers=1, max_bytes=_MAX_MEMORY) for _ in range(_LANES)]
        self._probed: set[str] = set()
        """Users whose clients will answer a probe: they see their contacts when the first one does."""
        self.clients = Clients(component, stream, engine.domain)
        component.remove_handler("Presence")
        component.del_filter("out", component.roster._save_last_status)  # noqa: SLF001 - it keeps each presence sent
        component.use_presence_ids = False  # nobody asks for them, and each costs a UUID
        for event, handler in _ROSTER_EVENTS.items():
            component.del_event_handler(event, getattr(component, handler))
        component.register_handler(Callback("GRE presence", StanzaPath("presence"), self._presence))
        component.add_event_handler("disconnected", self._forget)

    def _forget(self, _event: object = None) -> None:
        self.clients.clear()
        self._probed.clear()

    def _queue(self, user: str, job: Job, size: int = 0) -> bool:
        return self._lanes[hash(canonical(user)) % _LANES].put(job, size)

    # -- who is there --------------------------------------------------------------------------------

    def on_change(self, callback: Callable[[str, bool], None]) -> None:
        """Call it with the bare JID of a user, and with True when a client comes, with False when the last one went."""
        self.clients.on_change(callback)

    def is_online(self, user: str) -> bool:
        """Tell whether a client of a user is known to be there."""
        return bool(self.clients.of(user))

    def clients_of(self, user: str) -> tuple[str, ...]:
        """Give the full JIDs of a user's clients that are known to be there."""
        return self.clients.of(user)

    async def features_of(self, user: str) -> frozenset[str]:
        """Give the features that all GRE clients of a user have in common; each client is asked once per version.

        A client that does not answer counts as one without GRE until its next presence.
        """
        able = [features for features in (await self.clients.features(user)).values() if GRE in features]
        return frozenset.intersection(*able) if able else frozenset()

    async def clients_with(self, user: str, feature: str) -> tuple[str, ...]:
        """Give the full JIDs of the clients of a user that are there and announce a feature."""
        clients = await self.clients.features(user)
        return tuple(full for full, features in clients.items() if feature in features)

    async def contacts_of(self, user: str) -> tuple[str, ...]:
        """Give the JIDs of contacts that are in a user's roster, as far as it is known."""
        (known,) = await self._ledger.of([user])
        return tuple(contact for contact in known if contact != self._engine.domain)

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
            self._queue(to, lambda: self._send_available(to, [sender]))

    def greet(self, user: str, *, subscribe: bool = False) -> None:
        """Do :meth:`greet_all` for one user, when there is time for it."""
        self._queue(user, lambda: self._greet(user, subscribe=subscribe))

    async def _greet(self, user: str, *, subscribe: bool) -> None:
        await self.greet_all({user: await self._is_strict(user)}, subscribe=subscribe)

    async def greet_all(self, users: Mapping[str, bool], *, subscribe: bool = False) -> None:
        """Tell users that gateway and contacts are there, and ask who of their clients is (XEP-0100, section 8).

        Arguments:
            users: bare JIDs, each with whether plain messages are refused for it.
            subscribe: ask those who have not answered yet whether the gateway may see their presence. Some clients
                also let only subscribers read their keys.

        Raises:
            GreError: what is known of them cannot be read.
        """
        for (user, strict), known in zip(users.items(), await self._ledger.of(list(users)), strict=True):
            agreed = known.get(self._engine.domain, NOTHING).agreed
            self._put(user, None, encrypted_only=strict)
            if agreed:
                self._probed.add(canonical(user))
            else:
                for contact in _seen(known):
                    self._put(user, None, contact, encrypted_only=strict)
            if agreed is None and subscribe:
                # No probe: Prosody answers that with "unsubscribed", and forgets that we had asked.
                self._put(user, "subscribe")
            elif agreed or not subscribe:
                self._put(user, "probe")

    def refresh(self, user: str) -> None:
        """Send a user the capabilities anew, after the user's policy changed (XEP-0115, section 5.3)."""
        self._queue(user, lambda: self._refresh(user))

    async def _refresh(self, user: str) -> None:
        (known,) = await self._ledger.of([user])
        await self._send_available(user, [None, *_seen(known)])

    def leave_all(self, users: Iterable[str]) -> None:
        """Tell users that the gateway is away (XEP-0100, section 8)."""
        for user in users:
            self._put(user, "unavailable")

    async def leave_contacts(self, users: Sequence[str]) -> None:
        """Tell those of the users who may be there that their contacts are away.

        Raises:
            GreError: what is known of them cannot be read.
        """
        for user, known in zip(users, await self._ledger.of(users), strict=True):
            if self.is_online(user) or not known.get(self._engine.domain, NOTHING).agreed:
                for contact in _seen(known):
                    self._put(user, "unavailable", contact)

    async def release(self, user: str, contacts: Sequence[str] | None = None) -> None:
        """End all subscriptions of a user who unregistered, both ways (XEP-0100, section 4.3).

        Arguments:
            user: bare JID.
            contacts: what :meth:`contacts_of` gave; None to read them now.

        Raises:
            GreError: what is known cannot be read or removed.
        """
        if contacts is None:
            contacts = await self.contacts_of(user)
        for sender in (*contacts, None):
            for kind in ("unsubscribe", "unsubscribed", "unavailable"):
                self._put(user, kind, sender)
        self.clients.drop(user)
        await self._ledger.forget(user)

    async def release_leftovers(self) -> None:
        """Do :meth:`release` for those who are not registered any more, and were not told. Raises as it does."""
        for user in await self._ledger.leftovers():
            await self.release(user)

    async def _send_available(self, to: str, senders: Sequence[str | None]) -> None:
        strict = await self._is_strict(to) if senders else False
        for sender in senders:
            self._put(to, None, sender, encrypted_only=strict)

    async def _is_strict(self, user: str) -> bool:
        return await within(PATIENCE, self._engine.takes_only_encrypted(canonical(user)))

    def _put(
        self, to: str, type_: str | None, sender: str | None = None, *, encrypted_only: bool = False
    ) -> None:
        source = sender or self._engine.domain
        presence = Element(f"{{{self._component.default_ns}}}presence", {"to": to, "from": source})
        if type_ is not None:
            presence.set("type", type_)
        else:
            version = self._announced.version(contact="@" in source, encrypted_only=encrypted_only)
            SubElement(presence, CAPS_TAG, {"hash": "sha-1", "node": CAPS_NODE, "ver": version})
        self._send(presence)

    def _send(self, presence: Element) -> None:
        if not self._stream.up:
            return
        try:
            require_sendable(
                presence
            )  # no server takes less than what presence needs: its size is not counted
            put(self._component, presence)
        except GreError as error:
            _log.warning("presence-not-sent", code=error.code)

    # -- from the users ------------------------------------------------------------------------------

    def _presence(self, stanza: StanzaBase) -> None:
        presence = cast("Presence", stanza)
        self._component.event("presence", presence)
        self._component.event(f"presence_{presence['type']}", presence)
        sender = stanza.xml.get("from", "")
        if not self._queue(sender, lambda: self._handle(stanza.xml), weight(stanza.xml)):
            _log.warning("presence-dropped", peer_domain=wire.domain(sender))

    async def _handle(self, stanza: Element) -> None:
        kind, full, to = stanza.get("type"), stanza.get("from", ""), wire.bare(stanza.get("to", ""))
        user = canonical(full)
        if kind == "unavailable":
            self.clients.went(user, full, to)
            if to == self._engine.domain and "/" in full:
                self._put(full, "unavailable")  # XEP-0100, section 4.5; to nobody when the client is gone
        elif kind is None:
            await self._came(user, full, to, stanza)
        elif kind == "subscribe":
            await self._asked(user, to)
        elif kind == "probe":
            await self._was_probed(user, full, to)
        elif kind == "unsubscribe":
            await self._ledger.change(user, to, sees=False)
            self._put(user, "unsubscribed", to)
            self._put(user, "unavailable", to)
        elif kind in {"subscribed", "unsubscribed"} and await self._may_see(user, to):
            before = await self._ledger.change(user, to, agreed=kind == "subscribed")
            if kind == "subscribed" and to == self._engine.domain and not before.agreed:
                self._put(user, "probe")  # not every server shows at once who is there

    async def _came(self, user: str, full: str, to: str, stanza: Element) -> None:
        """Note a client, and show it the gateway, and the contact that it showed itself to (XEP-0100, section 4.4)."""
        try:
            if not await self._registered(user):
                raise Refused(
                    f"You are not registered with {self._engine.domain}. Register, or remove it and its contacts.",
                    condition="registration-required",
                    error_type="auth",
                )
        except Refused as error:
            if error.error_type != "wait":  # a failure that passes must not end anything
                self._send(GatewayEngine.error(stanza, error))
            return
        if not self.clients.came(user, full, to, stanza):
            return
        await self._send_available(full, [None])
        if user in self._probed:
            self._probed.discard(user)
            (known,) = await self._ledger.of([user])
            await self._send_available(user, _seen(known))
        elif to != self._engine.domain and self._is_contact(to):
            await self._send_available(full, [to])

    async def _asked(self, user: str, to: str) -> None:
        """Answer a subscription; whoever is seen asks to see as well (XEP-0100, section 4.6)."""
        if not await self._may_see(user, to):
            self._put(user, "unsubscribed", to)
            return
        before: Subscription = await self._ledger.change(user, to, sees=True)
        self._put(user, "subscribed", to)
        await self._send_available(user, [to])
        # The gateway itself asked when the user registered. Servers answer for users who agreed before.
        if to != self._engine.domain or before.agreed is not None:
            self._put(user, "subscribe", to)

    async def _was_probed(self, user: str, full: str, to: str) -> None:
        """Answer a probe; the subscription of who is not registered any more ends (RFC 6121, section 4.3.2)."""
        try:
            allowed = self._is_contact(to) and await self._registered(user)
        except (Refused, TimeoutError):
            return
        if allowed:
            try:
                await self._ledger.change(user, to, sees=True)
            except GreError as error:
                _log.warning("subscription-not-kept", code=error.code)
            await self._send_available(full, [to])
        else:
            self._put(user, "unsubscribed", to)

    async def _registered(self, user: str) -> bool:
        return await within(PATIENCE, self._engine.is_registered(user))

    def _is_contact(self, to: str) -> bool:
        """Tell whether a bare JID is the gateway's own, or that of a contact."""
        if to == self._engine.domain:
            return True
        try:
            self._engine.check_contact(to)
        except Refused:
            return False
        return True

    async def _may_see(self, user: str, to: str) -> bool:
        try:
            return self._is_contact(to) and await self._registered(user)
        except (Refused, TimeoutError):
            return False


def _seen(known: Known) -> list[str]:
    """Give the contacts that a user sees; the gateway's domain is none."""
    return [contact for contact, kept in known.items() if kept.sees and "@" in contact]
