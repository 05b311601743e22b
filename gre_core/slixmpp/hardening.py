"""What comes from the server is hostile until it is proven harmless: bytes, XML, stanzas.

slixmpp expands the entities of a document type, takes a stanza of any size and any depth, and lets the exception of a
matcher or filter end the stream. :func:`harden_stream` bounds all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast
from xml.etree import ElementTree as ET

from gre_core.errors import Refused
from gre_core.log import get_logger
from gre_core.slixmpp.stream import answer_error, needs_answer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from slixmpp import BaseXMPP

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 20_000
MAX_INCOMING: Final = 16 * 1024 * 1024
"""Bytes of one incoming stanza. A server that has no lower limit lets anyone reach it: then the stream is closed."""

if TYPE_CHECKING:
    _PullParser = ET.XMLPullParser[ET.Element]
else:
    _PullParser = ET.XMLPullParser

_CDATA: Final = b"<![CDATA["
_log = get_logger(__name__)


class Forbidden(Exception):
    """The server sent what ends the stream (RFC 6120, section 4.9.3).

    Attributes:
        condition: of the stream error.
        text: for the log; holds nothing of what was received.
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text


class GuardedParser(_PullParser):
    """An XML parser for one stream: no document types, no comments, bounded size, depth and number of elements.

    A stanza with too many levels or elements is emptied while it is parsed, so that it takes no memory, and marked;
    the stream goes on. All else that is forbidden raises :class:`Forbidden`.

    Attributes:
        oversized: the stanza that just ended had too many levels or elements.
    """

    def __init__(self, max_bytes: int = MAX_INCOMING) -> None:
        # Always UTF-8, whatever the XML declaration says: in another encoding a document type would be invisible.
        utf8 = ET.XMLParser(encoding="utf-8")  # noqa: S314 - guarded by this very class
        super().__init__(("start", "end"), _parser=utf8)
        self.oversized = False
        self._max_bytes = max_bytes
        self._tail = b""
        self._size = 0
        self._open: list[ET.Element] = []
        self._elements = 0

    def feed(self, data: str | Buffer) -> None:
        """Take a piece of the stream; raises :class:`Forbidden`."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._size += len(raw)
        if self._size > self._max_bytes:
            raise Forbidden("policy-violation", f"a stanza of more than {self._max_bytes:,} bytes")
        window = self._tail + raw
        _refuse_declarations(window)
        self._tail = window[-len(_CDATA) + 1 :]
        super().feed(raw)
        flush = getattr(super(), "flush", None)  # newer versions of expat keep back what may be half a tag
        if flush is not None:
            flush()

    def read_events(self) -> Iterator[Any]:
        """Give the events that are ready, as (``start`` or ``end``, element); raises :class:`Forbidden`."""
        events: Iterator[Any] = super().read_events()
        try:
            for event in events:
                if event[0] == "start":
                    self._start(event[1])
                else:
                    self._end()
                yield event
        except ET.ParseError as error:
            raise Forbidden("not-well-formed", f"XML that is not well-formed ({error.code})") from None

    def _start(self, element: ET.Element) -> None:
        level = len(self._open)
        self._open.append(element)
        if level == 1:
            self._elements = 0
            self.oversized = False
        self._elements += 1
        self.oversized |= level > MAX_DEPTH or self._elements > MAX_ELEMENTS

    def _end(self) -> None:
        self._open.pop()
        if len(self._open) == 1:
            self._size = 0
        elif self.oversized and self._open:
            del self._open[-1][:]


def _refuse_declarations(window: bytes) -> None:
    """Refuse what XMPP forbids: declarations, comments (RFC 6120, section 11.1), and NUL, a sign of UTF-16."""
    if b"\0" in window:
        raise Forbidden("restricted-xml", "another encoding than UTF-8")
    start = window.find(b"<!")
    while start >= 0:
        found = window[start : start + len(_CDATA)]
        if not _CDATA.startswith(found):
            raise Forbidden("restricted-xml", "a document type declaration or a comment")
        start = window.find(b"<!", start + 2)


class _Guard:
    """Stands between slixmpp's transport, its parser and its handlers."""

    def __init__(self, xmpp: BaseXMPP, max_incoming: int) -> None:
        self._xmpp = xmpp
        self._stream = cast("Any", xmpp)
        self._max_incoming = max_incoming
        self._init: Callable[[], None] = self._stream.init_parser
        self._receive: Callable[[bytes], None] = self._stream.data_received
        self._dispatch: Callable[[ET.Element], None] = self._stream._spawn_event  # noqa: SLF001 - its only hook
        self._stream.init_parser = self.init_parser
        self._stream.data_received = self.data_received
        self._stream._spawn_event = self.dispatch  # noqa: SLF001

    def init_parser(self) -> None:
        self._init()
        self._stream.parser = GuardedParser(self._max_incoming)

    def data_received(self, data: bytes) -> None:
        try:
            self._receive(data)
        except Forbidden as error:
            self._cut(error)
        except Exception as error:  # noqa: BLE001 - asyncio would end the connection without a word
            _log.error("stream-failed", error_type=type(error).__name__)

    def dispatch(self, stanza: ET.Element) -> None:
        """Give a stanza to slixmpp's filters and handlers. What none of them can take is answered here."""
        parser = self._stream.parser
        if isinstance(parser, GuardedParser) and parser.oversized:
            _log.warning("stanza-refused", limit=MAX_ELEMENTS)
            del stanza[:]
            stanza.text = None
            if needs_answer(stanza):
                text = f"The stanza has more than {MAX_ELEMENTS:,} elements or {MAX_DEPTH} levels."
                refused = Refused(text, condition="not-acceptable", error_type="modify")
                answer_error(self._xmpp, stanza, refused)
                # What is left goes on to be counted (XEP-0198), not to be answered again.
                stanza.set("type", "error")
        try:
            self._dispatch(stanza)
        except Exception as error:  # noqa: BLE001 - nothing that is received may end the stream
            _log.error("stanza-failed", error_type=type(error).__name__)
            if needs_answer(stanza):
                text = "The stanza cannot be understood."
                answer_error(self._xmpp, stanza, Refused(text, condition="bad-request", error_type="modify"))

    def _cut(self, error: Forbidden) -> None:
        _log.error("stream-refused", condition=error.condition, stage=error.text)
        self._stream.disconnect_reason = f"refused: {error.text}"
        if self._stream.transport is not None:
            condition = f"<{error.condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            self._stream.send_raw(f"<stream:error>{condition}</stream:error></stream:stream>")
            self._stream.abort()


def harden_stream(xmpp: BaseXMPP, *, max_incoming: int = MAX_INCOMING) -> None:
    """Bound what the stream takes, and keep exceptions from ending it. Call it before ``connect()``.

    Arguments:
        xmpp: a client or a component.
        max_incoming: bytes of one stanza; a larger one closes the stream.
    """
    _Guard(xmpp, max_incoming)
