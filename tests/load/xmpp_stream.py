"""A small XMPP stream of its own, for a client or a component: it shares no code with what is tested, and costs little."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import struct
from typing import TYPE_CHECKING, cast
from xml.etree.ElementTree import Element, XMLPullParser
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENT = "{jabber:client}"
_SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"


class StreamEnded(Exception):
    """The connection is gone."""


class XmppStream:
    """One connection without TLS: for test servers only.

    Arguments:
        on_stanza: called with each stanza after the login.
    """

    def __init__(self, on_stanza: Callable[[Element], None]) -> None:
        self.jid = ""
        self._on_stanza = on_stanza
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._parser: XMLPullParser[Element]
        self._depth = 0
        self._root: Element | None = None

    async def open(self, host: str, port: int, domain: str, user: str, password: str, resource: str) -> None:
        """Connect and log in.

        Raises:
            StreamEnded, OSError, TimeoutError: it did not work.
        """
        async with asyncio.timeout(10):
            self._reader, self._writer = await asyncio.open_connection(host, port)
            try:
                await self._login(domain, user, password, resource)
            except BaseException:
                self._writer.transport.abort()
                raise

    async def open_component(self, host: str, port: int, domain: str, secret: str) -> None:
        """Connect as a component (XEP-0114).

        Raises:
            StreamEnded, OSError, TimeoutError: it did not work.
        """
        async with asyncio.timeout(10):
            self._reader, self._writer = await asyncio.open_connection(host, port)
            await self._begin(domain, "jabber:component:accept")
            while self._root is None:
                await self._read()
            digest = hashlib.sha1((self._root.get("id") or "").encode() + secret.encode()).hexdigest()
            self.send(f"<handshake>{digest}</handshake>")
            if not (await self._one()).tag.endswith("}handshake"):
                raise StreamEnded("handshake")

    async def run(self) -> None:
        """Read until the connection ends."""
        try:
            while True:
                for stanza in await self._read():
                    self._on_stanza(stanza)
        except (StreamEnded, OSError):
            self._writer.transport.abort()

    def send(self, text: str) -> None:
        """Write a stanza; it is lost when the connection is."""
        if not self._writer.is_closing():
            self._writer.write(text.encode())

    async def close(self) -> None:
        """Say good-bye."""
        with contextlib.suppress(OSError):
            self._writer.write(b"</stream:stream>")
            self._writer.close()
            await self._writer.wait_closed()

    def freeze(self) -> None:
        """Read nothing more: what comes now is lost when the connection is cut."""
        if not self._writer.is_closing():
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def cut(self) -> None:
        """Hang up without a word: what was not read is lost, and the other side gets a reset (TCP RST)."""
        if self._writer.is_closing():
            return
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    # -- inside --------------------------------------------------------------------------------------

    async def _login(self, domain: str, user: str, password: str, resource: str) -> None:
        await self._begin(domain, "jabber:client")
        await self._one()  # the features
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        answer = await self._one()
        if answer.tag != f"{_SASL}success":
            raise StreamEnded(answer.tag)
        await self._begin(domain, "jabber:client")
        await self._one()
        bind = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>"
        self.send(f"<iq type='set' id='bind'>{bind}</iq>")
        answer = await self._one()
        if answer.get("type") != "result":
            raise StreamEnded(answer.tag)
        self.jid = answer.findtext(".//{urn:ietf:params:xml:ns:xmpp-bind}jid") or ""

    async def _begin(self, domain: str, namespace: str) -> None:
        self._parser, self._depth, self._root = XMLPullParser(("start", "end")), 0, None
        self.send(
            f"<?xml version='1.0'?><stream:stream to={quoteattr(domain)} version='1.0' xmlns='{namespace}'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )

    async def _one(self) -> Element:
        while not (stanzas := await self._read()):
            pass
        return stanzas[0]

    async def _read(self) -> list[Element]:
        data = await self._reader.read(1 << 16)
        if not data:
            raise StreamEnded("end of stream")
        self._parser.feed(data)
        found: list[Element] = []
        for event, element in cast("Iterator[tuple[str, Element]]", self._parser.read_events()):
            if event == "start":
                self._depth += 1
                if self._depth == 1:
                    self._root = element
                continue
            self._depth -= 1
            if self._depth == 1:
                found.append(element)
                if self._root is not None:
                    self._root.clear()
            elif self._depth == 0:
                raise StreamEnded("closed by the server")
        return found
