"""Thousands of users at once: all of a domain that one component serves, so that none costs a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from letters import GATEWAY
from xmpp_stream import XmppStream
from xmpp_user import FEATURES, RECEIPTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from gre_core.testing.server import XmppServer

DOMAIN = "users.localhost"
_COMPONENT = "{jabber:component:accept}"
_CAPS = (
    "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://users.example' ver='c2FtZQ=='/>"
)
_DISCO = "http://jabber.org/protocol/disco#info"


class ManyUsers:
    """Clients that give receipts, with names ``u0``, ``u1`` and so on; each has one client, ``JID/c``.

    Arguments:
        on_receipt: called with the id of a message that a user sent and the gateway confirmed.
        on_message: called with the id of a message that came to a user.
        on_error: called with an error stanza's id and text.
    """

    def __init__(
        self,
        on_receipt: Callable[[str], None],
        on_message: Callable[[str], None],
        on_error: Callable[[str, str], None],
    ) -> None:
        self._stream = XmppStream(self._take)
        self._on_receipt = on_receipt
        self._on_message = on_message
        self._on_error = on_error
        self._run: asyncio.Task[None] | None = None
        self.asked = 0
        """Requests about clients that the gateway made."""

    @staticmethod
    def jid(number: int) -> str:
        """Give the bare JID of a user."""
        return f"u{number}@{DOMAIN}"

    async def start(self, server: XmppServer) -> None:
        """Connect."""
        await self._stream.open_component(
            server.host, server.component_port, DOMAIN, server.components[DOMAIN]
        )
        self._run = asyncio.ensure_future(self._stream.run())

    async def stop(self) -> None:
        """Leave."""
        await self._stream.close()
        if self._run is not None:
            self._run.cancel()

    def show(self, count: int) -> None:
        """Let the clients of so many users be there."""
        for number in range(count):
            self._stream.send(f"<presence from='{self.jid(number)}/c' to='{GATEWAY}'>{_CAPS}</presence>")

    def send(self, number: int, stanza: str) -> None:
        """Send a stanza that begins with ``<message`` as a user."""
        self._stream.send(stanza.replace("<message", f"<message from='{self.jid(number)}/c'", 1))

    def _take(self, stanza: Element) -> None:
        sender, to, id_ = stanza.get("from"), stanza.get("to"), stanza.get("id") or ""
        if stanza.tag == f"{_COMPONENT}message":
            receipt = stanza.find(f"{{{RECEIPTS}}}received")
            if stanza.get("type") == "error":
                self._on_error(id_, "".join(stanza.itertext())[:300])
            elif receipt is not None:
                self._on_receipt(receipt.get("id") or "")
            else:
                self._on_message(id_)
                received = f"<received xmlns='{RECEIPTS}' id='{id_}'/>"
                self._stream.send(
                    f"<message from='{to}/c' to='{sender}' id='r-{id_}' type='chat'>{received}</message>"
                )
        elif stanza.tag == f"{_COMPONENT}iq" and stanza.get("type") in {"get", "set"}:
            self._iq(stanza)
        elif stanza.tag == f"{_COMPONENT}presence" and stanza.get("type") == "subscribe":
            self._stream.send(f"<presence from='{to}' to='{sender}' type='subscribed'/>")

    def _iq(self, iq: Element) -> None:
        head = f"from='{iq.get('to')}' to='{iq.get('from')}' id='{iq.get('id')}'"
        self.asked += 1
        if iq.find(f"{{{_DISCO}}}query") is not None and "/" in (iq.get("to") or ""):
            found = "".join(f"<feature var='{each}'/>" for each in (*FEATURES, RECEIPTS))
            answer = f"<query xmlns='{_DISCO}'><identity category='client' type='pc'/>{found}</query>"
            self._stream.send(f"<iq type='result' {head}>{answer}</iq>")
        elif iq.find("{urn:xmpp:ping}ping") is not None:
            self._stream.send(f"<iq type='result' {head}/>")
        else:
            missing = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            self._stream.send(f"<iq type='error' {head}><error type='cancel'>{missing}</error></iq>")
