"""One gateway and the clients of its users on a real server, by ``attach_gateway`` and ``attach_client``."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from gre_core.gateway import GatewayEngine, Relayed
from gre_core.model import Body, Message
from gre_core.registry import Plugins
from gre_core.slixmpp import Client, Gateway, attach_client, attach_gateway
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import say_yes, toy_body, toy_encrypter, toy_formatter, toy_payload
from gre_core.testing.slix import make_client, make_component, offline, online

if TYPE_CHECKING:
    from slixmpp import ClientXMPP, ComponentXMPP

    from gre_core.testing.server import XmppServer

DOMAIN = "mail.localhost"
USER = "juliet@localhost"
SENDER_ID = "juliet@example.org"
LEGACY = "bob@example.net"
CONTACT = rf"bob\40example.net@{DOMAIN}"
PAIR = (toy_formatter().namespace, toy_encrypter().namespace)


def body(text: str) -> Body:
    """A message from Bob to Juliet, as his mail program would make it."""
    return toy_body(toy_payload(Message(text), LEGACY), to=[USER, SENDER_ID], signer=LEGACY)


async def sender_id(user: str) -> str | None:
    return SENDER_ID if user == USER else None


@dataclass
class User:
    """A client with everything that its handlers got."""

    xmpp: ClientXMPP
    gre: Client
    received: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    unopened: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    states: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    notices: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.gre.on_received(self.received.put_nowait)
        self.gre.on_unopened(self.unopened.put_nowait)
        self.gre.on_state(self.states.put_nowait)
        self.gre.on_notice(self.notices.put_nowait)


@dataclass
class Relay:
    """A gateway with everything that came through it. ``relay`` may be replaced at any time."""

    component: ComponentXMPP
    relayed: asyncio.Queue[Relayed] = field(default_factory=asyncio.Queue)
    receipts: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    errors: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    relay: Callable[[Relayed], Awaitable[None]] | None = None
    gre: Gateway = field(init=False)

    async def on_encrypted(self, message: Relayed) -> None:
        if self.relay is not None:
            await self.relay(message)
        self.relayed.put_nowait(message)

    async def on_receipt(self, user: str, stanza_id: str) -> None:
        self.receipts.put_nowait((user, stanza_id))

    async def on_error(self, user: str, stanza_id: str, error: Any) -> None:
        self.errors.put_nowait((user, stanza_id, error))

    def deliver(self, text: str, stanza_id: str) -> None:
        self.gre.deliver(USER, LEGACY, PAIR, body(text), stanza_id)


async def show(xmpp: ClientXMPP) -> None:
    """Ask for the roster and send presence, as every client does; return when the server has taken it."""
    await xmpp.get_roster(timeout=30)
    shown = asyncio.Event()

    def see(presence: Any) -> None:
        if presence["from"] == xmpp.boundjid:
            shown.set()

    xmpp.add_event_handler("presence_available", see)
    xmpp.send_presence()
    async with asyncio.timeout(30):
        await shown.wait()
    xmpp.del_event_handler("presence_available", see)


class World:
    """Makes gateways, users and raw connections on one server; everything ends with the test."""

    pair = PAIR
    body = staticmethod(body)

    def __init__(self, server: XmppServer) -> None:
        self.server = server
        self.streams: list[ClientXMPP | ComponentXMPP] = []
        self.raws: list[Raw] = []

    def engine(self, **options: Any) -> GatewayEngine:
        return GatewayEngine(DOMAIN, [PAIR], **{"sender_id": sender_id, **options})

    async def gateway(self, *, connect: bool = True, engine: Any = None, **options: Any) -> Relay:
        component = make_component(self.server, DOMAIN)
        self.streams.append(component)
        relay = Relay(component)
        relay.gre = attach_gateway(
            component,
            engine or self.engine(),
            **{
                "on_encrypted": relay.on_encrypted,
                "on_receipt": relay.on_receipt,
                "on_error": relay.on_error,
                **options,
            },
        )
        if connect:
            await online(component)
        return relay

    async def user(
        self,
        resource: str | None = "a",
        *,
        connect: bool = True,
        plugins: tuple[str, ...] = (),
        **options: Any,
    ) -> User:
        xmpp = make_client(self.server, "juliet", resource, plugins)
        self.streams.append(xmpp)
        options = {"store": MemoryStore(), "decide": say_yes, **options}
        user = User(xmpp, attach_client(xmpp, Plugins.of(toy_formatter(), toy_encrypter()), **options))
        if connect:
            await online(xmpp)
            await show(xmpp)
            async with asyncio.timeout(30):
                await user.gre.ready.wait()
        return user

    async def plain(self, user: str = "juliet", resource: str = "plain", *plugins: str) -> ClientXMPP:
        """A client that shares no code with ours."""
        xmpp = make_client(self.server, user, resource, plugins)
        self.streams.append(xmpp)
        await online(xmpp)
        await show(xmpp)
        return xmpp

    async def raw(self, user: str = "juliet", resource: str = "raw") -> Raw:
        """A client that writes what it is told, without any library."""
        raw = Raw(self.server)
        self.raws.append(raw)
        await raw.login(user, resource)
        return raw

    async def close(self) -> None:
        for raw in self.raws:
            raw.writer.close()
        for stream in self.streams:
            stream.disconnect(wait=0, ignore_send_queue=True)
            await offline(stream)


class Raw:
    """A client of bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, server: XmppServer) -> None:
        self.server = server
        self.jid = ""
        self._parser = ET.XMLPullParser(("start", "end"))
        self._depth = 0

    async def login(self, user: str, resource: str) -> None:
        domain, secret = self.server.domain, self.server.accounts[user]
        self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.c2s_port)
        await self._open(domain)
        plain = base64.b64encode(f"\0{user}\0{secret}".encode()).decode()
        self.write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
        assert (await self.read()).tag.endswith("}success")
        await self._open(domain)
        self.write(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        answer = await self.read()
        self.jid = answer.findtext(".//{urn:ietf:params:xml:ns:xmpp-bind}jid") or ""

    async def _open(self, domain: str) -> None:
        self._parser, self._depth = ET.XMLPullParser(("start", "end")), 0
        self.write(
            f"<?xml version='1.0'?><stream:stream to='{domain}' xmlns='jabber:client' version='1.0' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        assert (await self.read()).tag.endswith("}features")

    def write(self, text: str) -> None:
        self.writer.write(text.encode())

    async def read(self) -> ET.Element:
        while True:
            for event, element in self._parser.read_events():
                self._depth += 1 if event == "start" else -1
                if event == "end" and self._depth == 1:
                    return element
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionError("the server closed the stream")
            self._parser.feed(data)

    async def until_pong(self, pong: str = "pong") -> list[ET.Element]:
        """Ping our own server through the gateway, and give everything that came until its answer."""
        self.write(f"<iq type='get' id='{pong}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
        found: list[ET.Element] = []
        while True:
            stanza = await self.read()
            if stanza.get("id") == pong:
                return found
            found.append(stanza)


@pytest.fixture
def make_world() -> type[World]:
    """For tests that bring a server of their own."""
    return World


@pytest.fixture
async def world(server: XmppServer) -> AsyncIterator[World]:
    """Gateways and users on both servers."""
    world = World(server)
    yield world
    await world.close()
