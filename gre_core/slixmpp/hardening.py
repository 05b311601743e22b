"""What comes from the server is hostile until it is proven harmless: bytes, XML, stanzas.

slixmpp expands the entities of a document type, takes a stanza of any size and any depth, and lets the exception of a
matcher or filter end the stream. :func:`harden_stream` bounds all of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast
from xml.etree import ElementTree as ET
from xml.parsers import expat

from gre_core.errors import Refused
from gre_core.log import get_logger
from gre_core.slixmpp.stream import answer_error, needs_answer

if TYPE_CHECKING:
    from slixmpp import BaseXMPP

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 20_000
MAX_INCOMING: Final = 16 * 1024 * 1024
"""Bytes of one incoming stanza. A server that has no lower limit lets anyone reach it: then the stream is closed."""

MOST_LEVELS: Final = 200_000
"""Levels of a stanza that are passed over; more would take too much memory, and the stream is closed."""

_SLICE: Final = 64 * 1024
_STANZA: Final = 2
"""The level of a stanza; the stream itself is the first."""

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


class GuardedParser:
    """The XML parser of one stream, in the place of slixmpp's: no document types, no comments, all else bounded.

    A stanza with too many levels or elements is emptied while it is parsed, so that it takes no memory, and marked; the
    stream goes on. All else that is forbidden ends it.

    Arguments:
        max_bytes: of one stanza.

    Attributes:
        oversized: the stanza that was just given had too many levels or elements.
    """

    def __init__(self, max_bytes: int = MAX_INCOMING) -> None:
        self.oversized: bool = False
        self._max_bytes = max_bytes
        self._fed = self._done = 0
        self._level = self._elements = 0
        self._too_much = False
        self._open: list[ET.Element] = []
        self._text: list[str] = []
        self._events: deque[tuple[str, ET.Element, bool]] = deque()
        self._failure: Forbidden | None = None
        # Always UTF-8, whatever the XML declaration says.
        self._parser = expat.ParserCreate(encoding="utf-8", namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._restricted
        self._parser.CommentHandler = self._restricted
        defer: Any = getattr(self._parser, "SetReparseDeferralEnabled", None)
        if defer is not None:  # newer versions of expat keep back half of a tag, and so a whole stanza
            defer(False)  # noqa: FBT003 - its signature

    def feed(self, data: str | bytes) -> None:
        """Take a piece of the stream."""
        raw = data.encode() if isinstance(data, str) else data
        for at in range(0, len(raw), _SLICE):
            if self._failure is None:
                self._feed(raw[at : at + _SLICE])

    def _feed(self, raw: bytes) -> None:
        self._fed += len(raw)
        try:
            self._parser.Parse(raw, False)  # noqa: FBT003 - its signature
        except Forbidden as error:
            self._failure = error
        except expat.ExpatError as error:
            self._failure = Forbidden("not-well-formed", f"XML that is not well-formed ({error.code})")
        else:
            if self._fed - self._done > self._max_bytes:
                self._failure = self._too_large()

    def read_events(self) -> Iterator[tuple[str, ET.Element]]:
        """Give start and end of the stream and of its stanzas, complete; slixmpp counts its levels by them.

        Raises:
            Forbidden: what came after them ends the stream.
        """
        while self._events:
            event, element, self.oversized = self._events.popleft()
            yield event, element
        if self._failure is not None:
            raise self._failure

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._level += 1
        if self._level > MOST_LEVELS:
            raise Forbidden("policy-violation", f"more than {MOST_LEVELS:,} levels")
        if self._level <= _STANZA:
            element = _element(name, attributes)
            self._open, self._elements, self._too_much = [element], 0, False
            self._events.append(("start", element, False))
            self._done = self._parser.CurrentByteIndex
        self._elements += 1
        if self._elements > MAX_ELEMENTS or self._level >= MAX_DEPTH + _STANZA:
            self._empty()
        elif self._level > _STANZA and not self._too_much:
            self._flush()
            element = _element(name, attributes)
            self._open[-1].append(element)
            self._open.append(element)

    def _end(self, _name: str) -> None:
        self._level -= 1
        if self._level >= _STANZA and not self._too_much:
            self._flush()
            self._open.pop()
        elif self._level < _STANZA:
            if self._parser.CurrentByteIndex - self._done > self._max_bytes:
                raise self._too_large()
            self._flush()
            self._events.append(("end", self._open[0], self._too_much))
            self._done = self._parser.CurrentByteIndex

    def _empty(self) -> None:
        """Forget what the stanza holds."""
        self._too_much = True
        del self._open[1:]
        del self._open[0][:]
        self._open[0].text = None
        self._text.clear()

    def _characters(self, text: str) -> None:
        if self._level < _STANZA:
            self._done = self._parser.CurrentByteIndex  # white space keeps the stream alive
        elif not self._too_much:
            self._text.append(text)

    def _flush(self) -> None:
        if self._text:
            parent, text = self._open[-1], "".join(self._text)
            self._text.clear()
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + text
            else:
                parent.text = (parent.text or "") + text

    def _too_large(self) -> Forbidden:
        return Forbidden("policy-violation", f"a stanza of more than {self._max_bytes:,} bytes")

    def _restricted(self, *_: object) -> None:
        raise Forbidden("restricted-xml", "a document type declaration or a comment")


def _element(name: str, attributes: dict[str, str]) -> ET.Element:
    return ET.Element(_clark(name), {_clark(key): value for key, value in attributes.items()})


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


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
