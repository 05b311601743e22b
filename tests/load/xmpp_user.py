"""A user's client that loses nothing: it keeps each message until a receipt or an error comes, and sends it again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from letters import GATEWAY, read
from xmpp_stream import CLIENT, StreamEnded, XmppStream

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.server import XmppServer

FEATURES = (
    "http://jabber.org/protocol/disco#info",
    "urn:xmpp:gre:0",
    "urn:xmpp:gre:formatter:mime:0",
    "urn:xmpp:gre:encrypter:openpgp:0",
    "urn:xmpp:eme:0",
)
RECEIPTS = "urn:xmpp:receipts"
_DISCO = "{http://jabber.org/protocol/disco#info}query"


class Watcher(Protocol):
    """Is told what happens."""

    def receipt(self, marker: str) -> None:
        """A receipt came for a message that this user sent."""

    def error(self, marker: str, condition: str, text: str, *, final: bool) -> None:
        """An error came; unless it is final, the client sends the message again."""

    def message(self, user: str, stanza_id: str, marker: str, check: int) -> None:
        """A message came from the gateway."""


@dataclass(slots=True)
class _Kept:
    xml: str
    sent_at: float = field(default=float("-inf"))


class XmppUser:
    """A client with one account.

    Arguments:
        server: where the account is.
        name: local part.
        watcher: is told what happens.
        receipts: gives receipts (XEP-0184).
        patience: after so many seconds without an answer a message is sent again.
        pause: after so many seconds it is sent again when the answer was "try again later".
    """

    def __init__(
        self,
        server: XmppServer,
        name: str,
        watcher: Watcher,
        *,
        receipts: bool,
        patience: float = 8.0,
        pause: float = 0.5,
    ) -> None:
        self.jid = f"{name}@{server.domain}"
        self.name = name
        self.online = asyncio.Event()
        self.room = asyncio.Event()
        self.foreign: list[str] = []
        self._server = server
        self._watcher = watcher
        self._receipts = receipts
        self._patience = patience
        self._pause = pause
        self._outbox: dict[str, _Kept] = {}
        self._stream: XmppStream | None = None
        self._away = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> tuple[str, ...]:
        """The messages that have neither receipt nor error yet."""
        return tuple(self._outbox)

    async def start(self) -> None:
        """Connect, and stay connected."""
        self._tasks = [asyncio.ensure_future(self._connect()), asyncio.ensure_future(self._resend())]
        await self.online.wait()

    async def stop(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._stream is not None:
            await self._stream.close()

    def send(self, marker: str, xml: str) -> None:
        """Send a message, and keep it until it is answered."""
        self._outbox[marker] = _Kept(xml)
        self._transmit(marker)

    def repeat(self, marker: str) -> None:
        """Send a message that has no final answer again, now."""
        self._transmit(marker)

    async def slot(self, window: int) -> None:
        """Wait until fewer than so many messages wait for an answer."""
        while len(self._outbox) >= window:
            self.room.clear()
            await self.room.wait()

    def freeze(self) -> None:
        """Stop reading, as a client does whose network is gone."""
        if self._stream is not None:
            self._stream.freeze()

    def cut(self, away: float = 0.0) -> None:
        """Lose the connection, and come back after so many seconds."""
        self._away = away
        if self._stream is not None:
            self._stream.cut()

    # -- inside --------------------------------------------------------------------------------------

    def _transmit(self, marker: str) -> None:
        kept = self._outbox.get(marker)
        if kept is not None and self._stream is not None and self.online.is_set():
            kept.sent_at = time.monotonic()
            self._stream.send(kept.xml)

    async def _connect(self) -> None:
        server = self._server
        while True:
            stream = XmppStream(self._take)
            with contextlib.suppress(OSError, StreamEnded, TimeoutError):
                await stream.open(
                    server.host, server.c2s_port, server.domain, self.name, server.accounts[self.name], "test"
                )
                self._stream = stream
                stream.send("<presence/>")
                self.online.set()
                for marker in tuple(self._outbox):
                    self._transmit(marker)
                await stream.run()
            self.online.clear()
            away, self._away = self._away, 0.0
            await asyncio.sleep(away + 0.1)

    async def _resend(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            old = time.monotonic() - self._patience
            for marker, kept in tuple(self._outbox.items()):
                if kept.sent_at < old:
                    self._transmit(marker)

    def _take(self, stanza: Element) -> None:
        if stanza.tag == f"{CLIENT}message":
            self._message(stanza)
        elif stanza.tag == f"{CLIENT}iq" and stanza.get("type") in {"get", "set"}:
            self._iq(stanza)
        elif stanza.tag == f"{CLIENT}presence" and stanza.get("type") == "subscribe":
            self._send(f"<presence to='{stanza.get('from')}' type='subscribed'/>")

    def _send(self, text: str) -> None:
        if self._stream is not None:
            self._stream.send(text)

    def _iq(self, iq: Element) -> None:
        to, id_ = iq.get("from"), iq.get("id")
        query = iq.find(_DISCO)
        if query is None:
            error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
            self._send(f"<iq type='error' to='{to}' id='{id_}'>{error}</iq>")
            return
        features = (*FEATURES, RECEIPTS) if self._receipts else FEATURES
        found = "".join(f"<feature var='{each}'/>" for each in features)
        node = f" node='{query.get('node')}'" if query.get("node") else ""
        self._send(
            f"<iq type='result' to='{to}' id='{id_}'><query xmlns='http://jabber.org/protocol/disco#info'{node}>"
            f"<identity category='client' type='pc'/>{found}</query></iq>"
        )

    def _message(self, message: Element) -> None:
        sender, id_ = message.get("from") or "", message.get("id") or ""
        if not sender.endswith(GATEWAY):
            return
        if message.get("type") == "error":
            self._error(message, id_)
            return
        receipt = message.find(f"{{{RECEIPTS}}}received")
        if receipt is not None:
            self._watcher.receipt(receipt.get("id") or "")
            self._done(receipt.get("id") or "")
            return
        encrypted = message.find("{urn:xmpp:gre:0}encrypted")
        try:
            if encrypted is not None:
                marker, check = read(base64.b64decode(encrypted.text or "", validate=True))
            else:
                marker, check = read((message.findtext(f"{CLIENT}body") or "").encode())
        except ValueError as error:
            self.foreign.append(str(error))  # reports and notices of the gateway, for people
        else:
            self._watcher.message(self.name, id_, marker, check)
        if self._receipts and message.find(f"{{{RECEIPTS}}}request") is not None:
            received = f"<received xmlns='{RECEIPTS}' id='{id_}'/>"
            self._send(f"<message to='{sender}' id='r-{id_}' type='chat'>{received}</message>")

    def _error(self, message: Element, id_: str) -> None:
        if id_.startswith("r-"):
            return  # a receipt that found no gateway: the message comes again
        error = message.find(f"{CLIENT}error")
        names = [] if error is None else [each.tag.rpartition("}")[2] for each in error]
        condition = next((name for name in names if name != "text"), "")
        text = "" if error is None else error.findtext("{urn:ietf:params:xml:ns:xmpp-stanzas}text") or ""
        # The server answers for a gateway that is away; "wait" is the gateway's own word for it.
        again = (error is not None and error.get("type") == "wait") or condition in {
            "remote-server-not-found",
            "remote-server-timeout",
            "service-unavailable",
        }
        self._watcher.error(id_, condition, text, final=not again)
        kept = self._outbox.get(id_)
        if kept is None:
            return
        if again:
            kept.sent_at = time.monotonic() - self._patience + self._pause
        else:
            self._done(id_)

    def _done(self, marker: str) -> None:
        self._outbox.pop(marker, None)
        self.room.set()
