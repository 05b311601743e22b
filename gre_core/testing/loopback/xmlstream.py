"""XML streams without I/O: bounded parsing by expat, and serialising (RFC 6120 sections 4 and 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element
from xml.parsers import expat

from gre_core.testing.loopback.stanza import CLIENT, STREAMS, namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICE: Final = 8192
"""Bytes that are parsed before the size of the stanza is looked at again."""

_XML: Final = "http://www.w3.org/XML/1998/namespace"


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened its stream."""

    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class StanzaReceived:
    """A complete first-level element."""

    stanza: Element


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The peer closed its stream in good order."""


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream must be closed with this error; nothing more comes from this parser."""

    condition: str
    text: str | None = None


Event = StreamOpened | StanzaReceived | StreamClosed | StreamFailed


class _Refused(Exception):
    def __init__(self, condition: str, text: str | None = None) -> None:
        super().__init__(condition)
        self.failure = StreamFailed(condition, text)


class StreamParser:
    """Turns the bytes of one stream into events; refuses DTDs, comments, processing instructions, and excess.

    Args:
        stream_ns: the namespace of stanzas in this stream; it is turned into ``jabber:client``.
        limit: bytes of one stanza.
        too_large: the condition of the stream error for a larger one.
    """

    def __init__(self, stream_ns: str, limit: int, too_large: str = "policy-violation") -> None:
        self.limit = limit
        self._stream_ns = stream_ns
        self._too_large = too_large
        self._events: list[Event] = []
        self._stack: list[Element] = []
        self._foreign = 0  # depth below the first element that is not in the stream's namespace
        self._text: list[str] = []
        self._opened = False
        self._failed = False
        self._fed = 0
        self._done = 0  # bytes up to the end of the last complete stanza
        self._parser = self._make_parser()

    def _make_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(encoding="utf-8", namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._restricted
        parser.CommentHandler = self._restricted
        parser.ProcessingInstructionHandler = self._restricted
        # Newer expat waits with an unfinished tag until the buffer has doubled: a stanza could hang.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)  # noqa: FBT003 - expat's signature
        return parser

    def feed(self, data: bytes) -> Iterator[Event]:
        """Parse ``data`` slice by slice and give the events of each slice."""
        for start in range(0, len(data), SLICE):
            if self._failed:
                return
            self._feed_slice(data[start : start + SLICE])
            events, self._events = self._events, []
            yield from events

    def _feed_slice(self, data: bytes) -> None:
        self._fed += len(data)
        try:
            self._parser.Parse(data)
            if self._fed - self._done > self.limit:
                raise _Refused(
                    self._too_large,
                    "XML stanza is too big" if self._too_large == "policy-violation" else None,
                )
        except _Refused as refused:
            self._failed = True
            self._events.append(refused.failure)
        except expat.ExpatError:
            self._failed = True
            self._events.append(StreamFailed("not-well-formed"))

    # -- expat's callbacks -------------------------------------------------------------------------

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        ns, _, local = name.rpartition(" ")
        clark = {_clark(key): value for key, value in attributes.items()}
        if not self._opened:
            if (ns, local) != (STREAMS, "stream"):
                raise _Refused("invalid-namespace")
            self._opened = True
            self._done = self._parser.CurrentByteIndex
            self._events.append(StreamOpened(clark))
            return
        self._flush_text()
        if self._foreign or ns != self._stream_ns:
            self._foreign += 1
        else:
            ns = CLIENT
        element = Element(f"{{{ns}}}{local}" if ns else local, clark)
        if self._stack:
            self._stack[-1].append(element)
        self._stack.append(element)

    def _end(self, _name: str) -> None:
        if not self._stack:
            self._events.append(StreamClosed())
            return
        self._flush_text()
        self._foreign -= bool(self._foreign)
        element = self._stack.pop()
        if not self._stack:
            self._done = self._parser.CurrentByteIndex
            self._events.append(StanzaReceived(element))

    def _characters(self, text: str) -> None:
        if self._stack:
            self._text.append(text)
        else:
            self._done = self._parser.CurrentByteIndex  # white space between stanzas keeps the stream alive

    def _flush_text(self) -> None:
        if not self._text:
            return
        text = "".join(self._text)
        self._text.clear()
        element = self._stack[-1]
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0" or (encoding or "utf-8").lower() != "utf-8" or standalone == 0:
            self._restricted()

    def _restricted(self, *_: object) -> None:
        raise _Refused("not-well-formed")


def _clark(name: str) -> str:
    ns, _, local = name.rpartition(" ")
    return f"{{{ns}}}{local}" if ns else local


def serialise(element: Element, stream_ns: str = CLIENT) -> str:
    """Write a first-level element for a stream whose default namespace is ``stream_ns``.

    Without recursion: a stanza may be as deep as its size allows.
    """
    parts: list[str] = []
    # What is still to be written: text, or an element with the namespace around it and whether all its
    # ancestors belong to the stream.
    todo: list[str | tuple[Element, str, bool]] = [(element, stream_ns, True)]
    while todo:
        entry = todo.pop()
        if isinstance(entry, str):
            parts.append(entry)
            continue
        current, inherited, in_stream = entry
        ns = namespace(current)
        in_stream = in_stream and ns == CLIENT
        if in_stream:
            ns = stream_ns
        name = current.tag.rpartition("}")[2]
        if ns == STREAMS:
            name, ns = f"stream:{name}", inherited  # the stream's header declares the prefix
        parts.append(f"<{name}")
        if ns != inherited:
            parts.append(f' xmlns="{_attribute(ns)}"')
        parts.extend(_attributes(current))
        if not len(current) and not current.text:
            parts.append("/>")
            continue
        parts.append(f">{_escape(current.text or '')}")
        todo.append(f"</{name}>")
        for child in reversed(current):
            if child.tail:
                todo.append(_escape(child.tail))
            todo.append((child, ns, in_stream))
    return "".join(parts)


def _attributes(element: Element) -> Iterator[str]:
    for number, (key, value) in enumerate(element.attrib.items()):
        ns, _, name = key.rpartition("}")
        if not ns:
            yield f' {name}="{_attribute(value)}"'
        elif ns[1:] == _XML:
            yield f' xml:{name}="{_attribute(value)}"'
        else:
            yield f' xmlns:n{number}="{_attribute(ns[1:])}" n{number}:{name}="{_attribute(value)}"'


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attribute(text: str) -> str:
    # As Prosody, which leaves white space alone: a line break in an attribute arrives as a space,
    # and a carriage return in a text as a line feed.
    return _escape(text).replace('"', "&quot;")
