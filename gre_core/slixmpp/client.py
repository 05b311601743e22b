"""What a host sees of Gateway Relayed Encryption on a slixmpp client: handlers, sending, the session."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from xml.etree.ElementTree import Element

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core import wire
from gre_core.client import Received, SendState, Sent, Unopened
from gre_core.errors import GreError, PeerTimeout
from gre_core.incoming import receipt_for
from gre_core.log import get_logger
from gre_core.model import Message, Notice
from gre_core.slixmpp.archive import CatchUp
from gre_core.slixmpp.caps import CAPS_TAG
from gre_core.slixmpp.ports import new_id
from gre_core.slixmpp.traps import hide_fallback
from gre_core.slixmpp.work import PATIENCE, WorkQueue, weight, within
from gre_core.stanza_ports import EVENT

if TYPE_CHECKING:
    from datetime import timedelta

    from slixmpp import ClientXMPP
    from slixmpp.stanza import Presence
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.client import ClientEngine
    from gre_core.slixmpp.stream import Stream


CARBONS: Final = "urn:xmpp:carbons:2"
MAX_MEMORY: Final = 64 * 1024 * 1024
"""Bytes of received messages that wait for the host, beyond which further ones are dropped and not confirmed."""

_REMEMBERED: Final = 1000
_MOST_GATEWAYS: Final = 100
_RESEND_PAUSE: Final = 5.0
_PREPARED_WITHIN: Final = 60.0
"""Seconds that the archive, and what comes live behind it, wait for the encrypters to be prepared."""

ROSTER: Final = "jabber:iq:roster"
_NOTICE_PAUSE: Final = 60.0
_DROPPED: Final = (
    "Messages came faster than this program could handle them, and some were left out. They were not confirmed: the "
    "gateway may send them again."
)
_log = get_logger(__name__)

T = TypeVar("T")
Handler = Callable[[T], Awaitable[None] | None]
Event = Received | Unopened | Sent | Notice


class Client:
    """Sends and receives encrypted messages over a slixmpp client. Made by :func:`attach_client`.

    Messages are given to the handlers in the order in which they came, one at a time; what becomes of sent messages
    is told apart from that, so a handler may await :meth:`send` and :meth:`settled`. A handler has five minutes, then
    it is cancelled. A message whose handler fails is not confirmed, and is given again when the gateway repeats it.

    Attributes:
        engine: the engine, for everything that is not here: ``explain``, ``approve``, ``send_plain``, ``pending``.
        ready: set while there is a session and everything for it is prepared.
        caught_up: set while the archive has been read in this session, or cannot be.
    """

    def __init__(
        self, xmpp: ClientXMPP, engine: ClientEngine, stream: Stream, archive: timedelta | None = None
    ) -> None:
        self.engine = engine
        self.ready: asyncio.Event = asyncio.Event()
        self.caught_up: asyncio.Event = asyncio.Event()
        self._archive = None if archive is None else CatchUp(stream, engine, archive, self._deliver)
        self._prepared = asyncio.Event()
        self._held = False
        self._stream = stream
        self._handlers: dict[type, list[Handler[Any]]] = {Received: [], Unopened: [], Sent: [], Notice: []}
        self._messages = WorkQueue(xmpp, workers=1, max_bytes=MAX_MEMORY)
        self._states = WorkQueue(xmpp, workers=1, max_bytes=MAX_MEMORY)
        self._sessions = WorkQueue(xmpp, workers=1, max_bytes=MAX_MEMORY)
        self._settling: dict[str, set[asyncio.Future[Sent]]] = {}
        self._settled: OrderedDict[str, Sent] = OrderedDict()
        self._untold: OrderedDict[tuple[str, str | None], None] = OrderedDict()
        self._gateways: dict[str, float] = {}
        self._dropped = float("-inf")
        self._loop = xmpp.loop
        xmpp.register_handler(Callback("GRE message", StanzaPath("message"), self._on_message))
        xmpp.add_filter("in", hide_fallback)
        xmpp.add_event_handler("session_start", self._on_session)
        xmpp.add_event_handler("session_resumed", self._on_resumed)
        xmpp.add_event_handler("disconnected", self._on_disconnected)
        xmpp.add_event_handler("presence", self._on_presence)

    # -- the host's side -----------------------------------------------------------------------------

    def on_received(self, handler: Handler[Received]) -> None:
        """Call a function, plain or async, with each message that was opened. Its receipt is sent afterwards."""
        self._handlers[Received].append(handler)

    def on_unopened(self, handler: Handler[Unopened]) -> None:
        """Call a function with each message that could not be opened. Show it to the user."""
        self._handlers[Unopened].append(handler)

    def on_state(self, handler: Handler[Sent]) -> None:
        """Call a function when a sent message was relayed or refused."""
        self._handlers[Sent].append(handler)

    def on_notice(self, handler: Handler[Notice]) -> None:
        """Call a function with what the user should know about the session."""
        self._handlers[Notice].append(handler)

    async def send(
        self, to: str, message: Message | str, *, reply_to: str | None = None, thread: str | None = None
    ) -> Sent:
        r"""Encrypt and send a message. It is kept until the gateway confirms or refuses it.

        To several people: ``engine.send_all``. To answer: ``engine.reply``, or ``reply_to``.

        Arguments:
            to: bare JID of the contact on the gateway, as in ``alice\40example.org@gateway``.
            message: a message, or its text.
            reply_to: ``Received.id`` or ``Sent.id`` of the message that this one answers.
            thread: ``Received.thread`` of the conversation that this one continues.

        Raises:
            PolicyChanged: the user has to decide; ask ``error.question`` and then ``engine.approve(question)``.
            GreError: nothing was sent; the text says why and what to do.
        """
        content = Message(text=message) if isinstance(message, str) else message
        return await self.engine.send(to, content, reply_to=reply_to, thread=thread)

    async def settled(self, sent: Sent, timeout: float = 60.0) -> Sent:  # noqa: ASYNC109 - the host's convenience
        """Wait until a sent message was relayed or refused.

        Arguments:
            sent: what :meth:`send` gave.
            timeout: seconds.

        Raises:
            TimeoutError: neither came in time; the message stays queued.
        """
        if sent.state is not SendState.QUEUED:
            return sent
        if sent.id in self._settled:
            return self._settled[sent.id]
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        waiting = self._settling.setdefault(sent.id, set())
        waiting.add(future)
        try:
            return await asyncio.wait_for(future, timeout)
        finally:
            waiting.discard(future)
            if not waiting:
                self._settling.pop(sent.id, None)

    async def reopen(self) -> int:
        """Try again to open what was kept, after a key, a passphrase or a plugin came; the handlers get what opens.

        Result:
            How many messages opened and were taken.

        Raises:
            StoreError: the store failed.
        """
        number = 0
        async for received in self.engine.reopen():
            if not await self._tell(received):
                break
            number += 1
        return number

    def hold(self) -> None:
        """Give the handlers no further message: whatever comes is not confirmed, and comes again another time."""
        self._held = True
        if self._archive is not None:
            self._archive.stopped = True

    # -- messages ------------------------------------------------------------------------------------

    def _on_message(self, stanza: StanzaBase) -> None:
        message = stanza.xml
        if self._archive is not None and self._archive.take(message):
            return
        about_ours = message.get("type") == "error" or receipt_for(message) is not None
        queue = self._states if about_ours else self._messages
        handle = self._handle_state if about_ours or self._archive is None else self._handle_live
        if not queue.put(lambda: handle(message), weight(message)):
            self.engine.handled.complete = False  # it is still in the archive
            _log.error("message-dropped", peer_domain=wire.domain(message.get("from", "")))
            self._say_dropped()

    def _say_dropped(self) -> None:
        now = self._loop.time()
        if now - self._dropped > _NOTICE_PAUSE:
            self._dropped = now
            self._sessions.put(lambda: self._notify(Notice("messages-dropped", _DROPPED)))

    async def _notify(self, *notices: Notice) -> None:
        await self._tell(*notices)

    async def _handle_state(self, stanza: Element) -> None:
        await self._handle(stanza)

    async def _handle_live(self, stanza: Element) -> None:
        """Handle a message, and note that the archive need not give it again."""
        assert self._archive is not None
        handled, mark = self.engine.handled, self.engine.mark(stanza, trusted_ids=self._archive.trusted_ids)
        known = mark is not None and await handled.knows(mark)
        result, well = await self._handle(stanza, known=known)
        if not well:
            handled.complete = False
        elif mark is not None:
            # What could not be opened may come again, with the key for it.
            names = mark if isinstance(result, Received) else replace(mark, id=None)
            if names.hashes and not await handled.knows(
                replace(names, id=None) if names.archive_id else names
            ):
                await handled.add(names, self.engine.ports.now(), move=handled.complete)

    async def _handle(
        self, stanza: Element, *, known: bool = False
    ) -> tuple[Received | Unopened | Sent | None, bool]:
        """Handle a message. Gives the result, and whether the host could take it."""
        event = stanza.find(f"{{{EVENT}}}event/{{{EVENT}}}items")
        if event is not None:
            jid = wire.bare(stanza.get("from", self.engine.account))
            await self._notify(*await self.engine.notified(jid, event.get("node", "")))
        result = await self.engine.handle(stanza)
        if result is None:
            return None, True
        if known and isinstance(result, Received):
            result = replace(result, repeated=True)
        if not await self._deliver(result):
            return result, False
        receipt = None if isinstance(result, Sent) else self.engine.receipt(stanza)
        if receipt is not None:
            receipt.set("id", new_id())
            self._stream.put(receipt, wait=True)
        return result, True

    async def _deliver(self, result: Received | Unopened | Sent) -> bool:
        """Give a result to the host. False when it could not take it."""
        if not isinstance(result, Sent):
            return await self._told(result)
        self._settle(result)
        await self._tell(result)
        return True

    def _settle(self, sent: Sent) -> None:
        self._settled[sent.id] = sent
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)
        for future in self._settling.pop(sent.id, ()):
            if not future.done():
                future.set_result(sent)

    async def _told(self, result: Received | Unopened) -> bool:
        """Give a message to the host, unless it has it already. False when it could not take it."""
        key = (result.peer, result.id)
        if isinstance(result, Received) and result.repeated and key not in self._untold:
            return True
        self._untold.pop(key, None)
        if not self._held and await self._tell(result):
            return True
        self._untold[key] = None
        if len(self._untold) > _REMEMBERED:
            self._untold.popitem(last=False)
        return False

    async def _tell(self, *events: Event) -> bool:
        """Call the host's handlers. False when one failed."""
        well = True
        for event in events:
            for handler in self._handlers[type(event)]:
                try:
                    result = handler(event)
                    if inspect.isawaitable(result):
                        await within(PATIENCE, result)
                except Exception as error:  # noqa: BLE001 - the host's handler must not end the session
                    well = False
                    _log.error("host-handler-failed", error_type=type(error).__name__)
        return well

    # -- the session ---------------------------------------------------------------------------------

    def _on_session(self, _event: object = None) -> None:
        self._gateways.clear()
        self._prepared.clear()
        self._sessions.put(self._start_session)
        self._begin_catch_up()

    def _begin_catch_up(self) -> None:
        """Read the archive before anything that comes live from now on is handled, so that all is in its order."""
        self.caught_up.clear()
        self.engine.handled.complete = False
        self._messages.put(self._catch_up)

    async def _catch_up(self) -> None:
        notices: tuple[Notice, ...] = ()
        try:
            # Without a handler it would count as handled, and nobody would ever see it.
            if self._archive is not None and self._handlers[Received]:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._prepared.wait(), _PREPARED_WITHIN)
                notices = await self._archive.run()
        except GreError as error:
            notices = (Notice(error.code, error.text),)
        finally:
            self.caught_up.set()
        await self._notify(*notices)

    async def _start_session(self) -> None:
        notices: list[Notice] = []
        try:
            await self._stream.iq(None, "set", Element(f"{{{CARBONS}}}enable"))
        except PeerTimeout:
            _log.info("no-carbons")
        except GreError as error:
            text = f"The server gives no copies to other devices (carbons): {error.text}"
            notices.append(Notice("no-carbons", text))
        try:
            notices += await self.engine.start_session()
        except GreError as error:
            notices.append(Notice(error.code, error.text))
        if self._stream.up:
            self.ready.set()
        try:
            notices += await self._acquaint_roster()
        finally:
            self._prepared.set()
        await self._notify(*notices)

    async def _acquaint_roster(self) -> tuple[Notice, ...]:
        """Look up contacts that write to us sooner or later, when this program receives messages at all."""
        if not self._handlers[Received]:
            return ()
        try:
            roster = await self._stream.iq(None, "get", Element(f"{{{ROSTER}}}query"))
            items = () if roster is None else roster.findall(f"{{{ROSTER}}}item")
            return await self.engine.acquaint(item.get("jid", "") for item in items)
        except GreError as error:
            _log.info("roster-not-read", code=error.code)
            return ()

    def _on_resumed(self, _event: object = None) -> None:
        """Send what was never handed to the stream; the rest is sent again by the stream itself (XEP-0198)."""
        self.ready.set()
        self._sessions.put(lambda: self._resend(lambda sent: not sent.attempts))
        if not self.engine.handled.complete:
            self._begin_catch_up()

    def _on_disconnected(self, _event: object = None) -> None:
        self.ready.clear()

    def _on_presence(self, presence: Presence) -> None:
        sender, kind = presence.xml.get("from", ""), presence.xml.get("type")
        caps = presence.xml.find(CAPS_TAG)
        if caps is not None:
            self.engine.saw_capabilities(sender, caps.get("ver", "")[:256])
        if kind is None and "@" not in wire.bare(sender):
            self._gateway_came(wire.bare(sender))

    def _gateway_came(self, domain: str) -> None:
        """Send again what a gateway did not confirm, when it says a second time that it is there: it was away."""
        now = self._loop.time()
        before = self._gateways.get(domain)
        if before is None and len(self._gateways) < _MOST_GATEWAYS:
            self._gateways[domain] = 0.0
        elif before is not None and now - before > _RESEND_PAUSE:
            self._gateways[domain] = now
            self._sessions.put(lambda: self._resend(lambda sent: wire.domain(sent.to) == domain))

    async def _resend(self, wanted: Callable[[Sent], bool]) -> None:
        await self._notify(*await self.engine.resend(wanted))
