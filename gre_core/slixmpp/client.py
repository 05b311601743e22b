"""Gateway Relayed Encryption for a slixmpp client.

::

    xmpp = slixmpp.ClientXMPP("juliet@example.org", password)
    gre = attach_client(xmpp)
    gre.on_received(lambda received: print(received.message.text, received.verdict.signature))
    ...
    await gre.send(r"bob\\40example.net@mail.example.org", "Hello Bob")
"""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from xml.etree.ElementTree import Element

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core import wire
from gre_core.client import ClientEngine, Received, Sent, SendState, Unopened
from gre_core.errors import GreError
from gre_core.log import get_logger
from gre_core.model import Message, Notice
from gre_core.ports import Ports, refuse
from gre_core.registry import Plugins
from gre_core.slixmpp.ports import SlixmppNetwork, SlixmppPubSub, Stream, new_id
from gre_core.slixmpp.traps import Reconnector, harden_stream, hide_fallback, mend_slixmpp, plugin

if TYPE_CHECKING:
    from slixmpp import ClientXMPP
    from slixmpp.stanza import Presence
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.policy import Policy
    from gre_core.ports import Decide, Store

CARBONS: Final = "urn:xmpp:carbons:2"
CAPS: Final = "http://jabber.org/protocol/caps"
EVENT: Final = "http://jabber.org/protocol/pubsub#event"
DEFAULT_MAX_STANZA: Final = 256 * 1024
"""Bytes that Prosody takes from a client as it is shipped. More closes the stream."""

_HIGH_WATER: Final = 500
_REMEMBERED: Final = 1000
_log = get_logger(__name__)

T = TypeVar("T")
Handler = Callable[[T], Awaitable[None] | None]


class Client:
    """Sends and receives encrypted messages over a slixmpp client. Made by :func:`attach_client`.

    Attributes:
        engine: the engine, for everything that is not here: ``explain``, ``approve``, ``send_plain``, ``pending``.
    """

    def __init__(self, xmpp: ClientXMPP, engine: ClientEngine, stream: Stream) -> None:
        self.engine = engine
        self._xmpp = xmpp
        self._stream = stream
        self._handlers: dict[type, list[Handler[Any]]] = {Received: [], Unopened: [], Sent: [], Notice: []}
        self._queue: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._settling: dict[str, list[asyncio.Future[Sent]]] = {}
        self._settled: OrderedDict[str, Sent] = OrderedDict()
        self.ready = asyncio.Event()
        xmpp.register_handler(Callback("GRE message", StanzaPath("message"), self._on_message))
        xmpp.add_filter("in", hide_fallback)
        xmpp.add_event_handler("session_start", self._on_session)
        xmpp.add_event_handler("session_resumed", self._on_resumed)
        xmpp.add_event_handler("disconnected", self._on_disconnected)
        xmpp.add_event_handler("presence", self._on_presence)
        self._announce()

    def _announce(self) -> None:
        disco = plugin(self._xmpp, "xep_0030")
        plugin(self._xmpp, "xep_0115")
        for feature in self.engine.features():
            disco.add_feature(feature)

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

    async def send(self, to: str, message: Message | str) -> Sent:
        """Encrypt and send a message. It is kept until the gateway confirms or refuses it.

        Arguments:
            to: bare JID of the contact on the gateway, as in ``alice\\40example.org@gateway``.
            message: a message, or its text.

        Raises:
            PolicyChanged: the user has to decide; ask ``error.question`` and then ``engine.approve(question)``.
            GreError: nothing was sent; the text says why and what to do.
        """
        return await self.engine.send(to, Message(text=message) if isinstance(message, str) else message)

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
        self._settling.setdefault(sent.id, []).append(future)
        return await asyncio.wait_for(future, timeout)

    # -- the stream's side ---------------------------------------------------------------------------

    def _later(self, job: Callable[[], Awaitable[None]]) -> None:
        """Queue a job: what comes from the stream is handled in its order."""
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work(), loop=self._xmpp.loop)
        self._queue.put_nowait(job)
        transport = cast("Any", self._xmpp.transport)
        if self._queue.qsize() == _HIGH_WATER and transport is not None:
            transport.pause_reading()

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - nothing may end the session
                _log.error("handler-failed", error_type=type(error).__name__)
            transport = cast("Any", self._xmpp.transport)
            if self._queue.qsize() == _HIGH_WATER // 2 and transport is not None:
                transport.resume_reading()

    def _on_message(self, stanza: StanzaBase) -> None:
        self._later(lambda: self._handle(stanza.xml))

    async def _handle(self, stanza: Element) -> None:
        event = stanza.find(f"{{{EVENT}}}event/{{{EVENT}}}items")
        if event is not None:
            jid = wire.bare(stanza.get("from", self.engine.account))
            await self._tell(*await self.engine.notified(jid, event.get("node", "")))
            return
        result = await self.engine.handle(stanza)
        if isinstance(result, Sent):
            self._settled[result.id] = result
            if len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
            for future in self._settling.pop(result.id, ()):
                if not future.done():
                    future.set_result(result)
        if result is None:
            return
        safe = True
        if not (isinstance(result, Received) and result.repeated):
            safe = await self._tell(result)
        receipt = self.engine.receipt(stanza) if safe and not isinstance(result, Sent) else None
        if receipt is not None:
            receipt.set("id", new_id())
            self._stream.put(receipt)

    async def _tell(self, *events: Received | Unopened | Sent | Notice) -> bool:
        """Call the host's handlers. False when one failed: then the message is not confirmed."""
        well = True
        for event in events:
            for handler in self._handlers[type(event)]:
                try:
                    result = handler(event)
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:  # noqa: BLE001 - the host's handler must not end the session
                    well = False
                    _log.error("host-handler-failed", error_type=type(error).__name__)
        return well

    def _on_session(self, _event: object = None) -> None:
        self._later(self._start_session)

    async def _start_session(self) -> None:
        enable = Element(f"{{{CARBONS}}}enable")
        try:
            await self._stream.iq(None, "set", enable)
        except GreError as error:
            text = f"The server gives no copies to other devices (carbons): {error.text}"
            await self._tell(Notice("no-carbons", text))
        notices = await self.engine.start_session()
        self.ready.set()
        await self._tell(*notices)

    def _on_resumed(self, _event: object = None) -> None:
        self.ready.set()

    def _on_disconnected(self, _event: object = None) -> None:
        self.ready.clear()

    def _on_presence(self, presence: Presence) -> None:
        caps = presence.xml.find(f"{{{CAPS}}}c")
        if caps is not None:
            self.engine.saw_capabilities(presence.xml.get("from", ""), caps.get("ver", "")[:256])


def attach_client(  # noqa: PLR0913 - each has a default
    xmpp: ClientXMPP,
    plugins: Plugins | None = None,
    *,
    store: Store | None = None,
    policy: Policy | None = None,
    decide: Decide = refuse,
    max_stanza: int | None = DEFAULT_MAX_STANZA,
    reconnect: bool = True,
) -> Client:
    """Add Gateway Relayed Encryption to a slixmpp client. Call it before ``connect()``.

    Arguments:
        xmpp: the client. Its stream is hardened; carbons are enabled at each session.
        plugins: formatters and encrypters; the installed ones otherwise.
        store: where keys, trust and the outbox are kept; a folder of the account in the user's data directory otherwise.
        policy: the user's preferences.
        decide: asks the user; refuses everything otherwise, and then :meth:`Client.send` raises ``PolicyChanged``.
        max_stanza: bytes that the server takes in one stanza; None for no limit.
        reconnect: connect again after a loss, with back-off.
    """
    if store is None:
        from gre_core.stores import FileStore, default_directory  # noqa: PLC0415 - not for hosts with a store

        store = FileStore(default_directory(xmpp.boundjid.bare))
    mend_slixmpp()
    harden_stream(xmpp)
    stream = Stream(xmpp, max_stanza=max_stanza)
    ports = Ports(store=store, pubsub=SlixmppPubSub(stream), decide=decide)
    engine = ClientEngine(
        xmpp.boundjid.bare, plugins or Plugins.discover(), ports, SlixmppNetwork(stream), policy
    )
    if reconnect:
        Reconnector(xmpp)
    return Client(xmpp, engine, stream)
