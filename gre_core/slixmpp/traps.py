"""What slixmpp does otherwise than we need. Each function mends one thing, and says what.

slixmpp is imported absolutely: this package only shares its name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast
from xml.etree import ElementTree as ET

from slixmpp.exceptions import XMPPError
from slixmpp.stanza.error import Error

from gre_core.log import get_logger
from gre_core.wire import ENCRYPTED_TAG, FALLBACK_TAG
from gre_core.xml_text import local_name

if TYPE_CHECKING:
    from slixmpp import BaseXMPP, ClientXMPP, ComponentXMPP
    from slixmpp.xmlstream.stanzabase import StanzaBase

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 20_000
MAX_INCOMING: Final = 16 * 1024 * 1024
"""Bytes of one incoming stanza. slixmpp has no limit of its own."""

_DECLARATIONS: Final = (b"<!DOCTYPE", b"<!ENTITY", b"<!ELEMENT", b"<!ATTLIST", b"<!NOTATION")
_OVERLAP: Final = max(map(len, _DECLARATIONS)) - 1

_log = get_logger(__name__)


def mend_slixmpp() -> None:
    """Mend slixmpp's modules, once for the process: the missing error condition and the slow escaping."""
    Error.conditions.add("policy-violation")
    _tostring.escape = escape


# The package has a function of the same name, which hides the module from an import statement.
_tostring: Any = import_module("slixmpp.xmlstream.tostring")
_slow_escape: Callable[[str, bool], str] = _tostring.escape


def escape(text: str, use_cdata: bool = False) -> str:  # noqa: FBT001, FBT002 - slixmpp's signature
    """Escape text for XML, as slixmpp's function does, in microseconds instead of milliseconds."""
    if use_cdata:
        return _slow_escape(text, use_cdata)
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("'", "&apos;")
        .replace('"', "&quot;")
    )


def plugin(xmpp: BaseXMPP, name: str) -> Any:  # noqa: ANN401 - slixmpp's plugins are not typed for third parties
    """Give a plugin of slixmpp, registered when it is not yet."""
    plugins = cast("dict[str, Any]", xmpp.plugin)
    if name not in plugins:
        xmpp.register_plugin(name)
    return plugins[name]


def mend_errors(component: ComponentXMPP) -> None:
    """Let slixmpp read and write errors in the namespace of components.

    It does so for the whole process; our own code reads errors from the XML and needs it not.
    """
    cast("Any", component)._fix_error_ns()  # noqa: SLF001 - the constructor's argument, applied later


@dataclass(slots=True)
class _Received:
    tail: bytes = b""
    """The last bytes, so that a declaration cut in two is seen."""
    size: int = 0
    """Bytes since the last whole stanza."""


def harden_stream(xmpp: BaseXMPP, *, max_incoming: int = MAX_INCOMING) -> None:
    """Refuse document type declarations, encodings other than UTF-8, and endless or too deep stanzas."""
    stream = cast("Any", xmpp)
    receive: Callable[[bytes], None] = stream.data_received
    state = _Received()

    def data_received(data: bytes | str) -> None:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        window = state.tail + raw
        state.size += len(raw)
        if b"\0" in raw or any(each in window for each in _DECLARATIONS):
            cut("a document type declaration or another encoding than UTF-8")
        elif state.size > max_incoming:
            cut(f"a stanza of more than {max_incoming:,} bytes")
        else:
            state.tail = window[-_OVERLAP:]
            receive(raw)
            if stream.xml_depth <= 1:
                state.size = 0

    def cut(what: str) -> None:
        _log.error("stream-refused", stage=what)
        stream.disconnect_reason = f"refused: {what}"
        stream.abort()

    def begin(_event: object = None) -> None:
        state.tail, state.size = b"", 0

    stream.data_received = data_received
    xmpp.add_event_handler("connected", begin)
    xmpp.add_event_handler("disconnected", begin)
    xmpp.add_filter("in", refuse_deep)


def refuse_deep(stanza: StanzaBase) -> StanzaBase | None:
    """Answer a stanza of more than 64 levels or 20,000 elements with an error, before any handler sees it."""
    level: list[ET.Element] = [stanza.xml]
    depth = count = 0
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            _log.warning("stanza-refused", limit=MAX_DEPTH)
            if stanza.name in {"message", "iq"} and stanza.xml.get("type") not in {"error", "result"}:
                for child in list(stanza.xml):
                    stanza.xml.remove(child)
                stanza.exception(
                    XMPPError("not-acceptable", "The stanza has too many levels or elements.", etype="modify")
                )
            return None
        level = [child for node in level for child in node]
    return stanza


def hide_fallback(stanza: StanzaBase) -> StanzaBase:
    """Take the fallback body (XEP-0428) out of an encrypted message, so that no program takes it for the content."""
    if stanza.name != "message":
        return stanza
    messages = [stanza.xml]
    messages += [node for node in stanza.xml.iter("{jabber:client}message") if node is not stanza.xml]
    for message in messages:
        if message.find(ENCRYPTED_TAG) is not None and message.find(FALLBACK_TAG) is not None:
            for node in [each for each in message if local_name(each.tag)[1] in {"body", "fallback"}]:
                message.remove(node)
    return stanza


class Reconnector:
    """Connects again after a loss, with back-off and jitter; stops when the program disconnects or login fails."""

    FIRST: Final = 1.0
    LONGEST: Final = 60.0

    def __init__(self, xmpp: ClientXMPP | ComponentXMPP) -> None:
        self._xmpp = cast("Any", xmpp)
        self._wanted = True
        self._delay = self.FIRST
        self._disconnect: Callable[..., Any] = self._xmpp.disconnect
        self._xmpp.disconnect = self._asked
        xmpp.add_event_handler("session_start", self._up)
        xmpp.add_event_handler("session_resumed", self._up)
        xmpp.add_event_handler("disconnected", self._down)

    def _asked(self, *args: object, **kwargs: object) -> object:
        """Note that the program (or a failed login) ends the stream. slixmpp itself does so only on malformed XML."""
        if sys.exc_info()[0] is not ET.ParseError:
            self._wanted = False
        return self._disconnect(*args, **kwargs)

    def _up(self, _event: object = None) -> None:
        self._wanted = True
        self._delay = self.FIRST

    def _down(self, _reason: object = None) -> None:
        if not self._wanted or self._xmpp.is_connecting():
            return
        from random import uniform  # noqa: PLC0415 - only after a loss

        delay = self._delay * uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        self._delay = min(self._delay * 2, self.LONGEST)
        _log.info("reconnecting", ms=int(delay * 1000))
        self._xmpp.loop.call_later(delay, self._connect)

    def _connect(self) -> None:
        if self._wanted and not self._xmpp.is_connected() and not self._xmpp.is_connecting():
            self._xmpp.connect(*(self._xmpp.custom_address or (None, None)))
