"""The stream: whether it is up, what it can carry, and how stanzas get onto it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.stanza import Iq, Message, Presence
from slixmpp.xmlstream.stanzabase import StanzaBase

from gre_core import wire
from gre_core.errors import GreError, PeerError, PeerTimeout, TooLarge
from gre_core.gateway import GatewayEngine
from gre_core.incoming import read_error
from gre_core.xml_text import is_legal, local_name, most_bytes, require_legal, serialised_size

if TYPE_CHECKING:
    import asyncio
    from xml.etree.ElementTree import Element

    from slixmpp import BaseXMPP

IQ_TIMEOUT: Final = 30.0
"""Seconds that a peer has to answer."""

_LEAST_LIMIT: Final = 10_000
"""Bytes that every server has to take (RFC 6120, section 13.12); a lower announcement is a mistake."""

_STANZA: Final = 250
"""Bytes of a small stanza."""

_CLASSES: Final[dict[str, type[StanzaBase]]] = {"message": Message, "presence": Presence, "iq": Iq}


class Stream:
    """Whether the stream is up, and a way to put stanzas on it.

    Arguments:
        xmpp: a client or a component.
        max_stanza: bytes that the server takes, when it announces nothing itself; None for no limit.
        sender: what stands in ``from`` of requests; needed for components.

    Attributes:
        up: stanzas can be sent now.
    """

    def __init__(self, xmpp: BaseXMPP, *, max_stanza: int | None, sender: str | None = None) -> None:
        self.xmpp = xmpp
        self.up: bool = False
        self._max_stanza = max_stanza
        self._sender = sender
        self._asked: set[asyncio.Future[Any]] = set()
        xmpp.add_event_handler("session_start", self._on_up)
        xmpp.add_event_handler("session_resumed", self._on_up)
        xmpp.add_event_handler("disconnected", self._on_down)

    def _on_up(self, _event: object = None) -> None:
        self.up = True

    def _on_down(self, _event: object = None) -> None:
        self.up = False
        for answer in list(self._asked):
            if not answer.done():
                answer.set_exception(PeerTimeout("The connection to the XMPP server was lost."))

    @property
    def max_stanza(self) -> int | None:
        """Bytes that the server takes in one stanza: as it announces (XEP-0478), else as it was configured."""
        announced = getattr(getattr(self.xmpp, "limits", None), "max_bytes", None)
        return self._max_stanza if announced is None else max(announced, _LEAST_LIMIT)

    @property
    def backlog(self) -> int:
        """Bytes and stanzas that the server has not read yet, roughly in bytes."""
        transport = cast("Any", self.xmpp.transport)
        queued = self.xmpp.waiting_queue.qsize() * _STANZA
        return queued + (0 if transport is None else transport.get_write_buffer_size())

    def put(self, stanza: Element, *, wait: bool = False) -> None:
        """Hand a stanza to the server, through slixmpp's filters.

        Arguments:
            stanza: in ``jabber:client`` or the stream's own namespace; changed and kept.
            wait: while the stream is down, keep it for the next session, as an answer that someone waits for.

        Raises:
            PeerTimeout: the stream is down.
            TooLarge: the stanza is larger than the server takes; sending it would close the stream.
            LocalProtocolError: it has characters that XML forbids; sending it would close the stream.
        """
        if not self.up and not wait:
            raise PeerTimeout("There is no connection to the XMPP server now.")
        self.check(stanza)
        put(self.xmpp, stanza)

    def check(self, stanza: Element) -> None:
        """Refuse a stanza that would make the server close the stream; raises as :meth:`put`."""
        require_sendable(stanza)
        limit = self.max_stanza
        if limit is None or most_bytes(stanza) <= limit:
            return
        size = serialised_size(stanza)
        if size > limit:
            text = f"The stanza has about {size:,} bytes; the XMPP server takes {limit:,}."
            raise TooLarge(text, size=size, limit=limit)

    async def iq(
        self, jid: str | None, type_: str, payload: Element, *, sender: str | None = None
    ) -> Element | None:
        """Send an ``<iq/>`` and give the child of the result.

        Arguments:
            jid: to whom; None for our own server.
            type_: get or set.
            payload: the child.
            sender: what stands in ``from``, for components.

        Raises:
            PeerError: the peer answered with an error.
            PeerTimeout: nothing came, or the stream is down.
            TooLarge: the request is larger than the server takes.
        """
        if not self.up:
            raise PeerTimeout("There is no connection to the XMPP server now.")
        iq = cast("Any", self.xmpp).Iq()
        iq["type"] = type_
        if jid is not None:
            iq["to"] = jid
        if sender or self._sender:
            iq["from"] = sender or self._sender
        iq.append(payload)
        self.check(iq.xml)
        answer = iq.send(timeout=IQ_TIMEOUT)
        self._asked.add(answer)
        try:
            result = await answer
        except IqTimeout as error:
            who = jid or "The server"
            raise PeerTimeout(f"{who} did not answer within {IQ_TIMEOUT:.0f} seconds.") from error
        except IqError as error:
            refused = read_error(error.iq.xml)
            raise refused or PeerError("The peer refused.", condition="undefined-condition") from error
        finally:
            self._asked.discard(answer)
        return next(iter(result.xml), None)


def put(xmpp: BaseXMPP, stanza: Element) -> None:
    """Hand a stanza to slixmpp as an object of its own, so that filters and stream management see it."""
    element = in_namespace(stanza, xmpp.default_ns)
    StanzaBase.send(_CLASSES[local_name(element.tag)[1]](xmpp, xml=element))


def in_namespace(element: Element, namespace: str) -> Element:
    """Move a stanza from ``jabber:client`` into the namespace of a stream. Changes the element."""
    if namespace != wire.CLIENT:
        prefix = f"{{{wire.CLIENT}}}"
        for node in (element, *element):
            if node.tag.startswith(prefix):
                node.tag = f"{{{namespace}}}{node.tag[len(prefix) :]}"
    return element


def require_sendable(stanza: Element) -> None:
    """Refuse characters that XML forbids, wherever they stand: the server would close the stream.

    Raises:
        LocalProtocolError: there is one.
    """
    for node in stanza.iter():
        for text in (node.text, node.tail, *node.attrib.values()):
            if text and not is_legal(text):
                require_legal(text, f"The <{local_name(node.tag)[1]}/> element")


def needs_answer(stanza: Element) -> bool:
    """Tell whether silence would be wrong: requests, and messages that are no errors (RFC 6120, section 8.3)."""
    name, kind = local_name(stanza.tag)[1], stanza.get("type")
    return kind not in {"result", "error"} if name == "iq" else name == "message" and kind != "error"


def answer_error(xmpp: BaseXMPP, stanza: Element, error: GreError) -> None:
    """Answer a stanza with an error, once the stream is up. Never answers an error, and never raises."""
    if not needs_answer(stanza):
        return
    answer = GatewayEngine.error(stanza, error)
    for name in ("to", "from"):
        if not answer.get(name):
            answer.attrib.pop(name, None)
    put(xmpp, answer)
