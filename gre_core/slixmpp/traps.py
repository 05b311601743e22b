"""What slixmpp does otherwise than we need. Each function mends one thing, and says what.

slixmpp is imported absolutely: this package only shares its name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from slixmpp.exceptions import IqError, XMPPError
from slixmpp.stanza import Iq, Message, Presence
from slixmpp.stanza.error import Error
from slixmpp.stanza.rootstanza import RootStanza
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath
from slixmpp.xmlstream.stanzabase import ElementBase

from gre_core.errors import Refused
from gre_core.log import get_logger
from gre_core.slixmpp.stream import answer_error
from gre_core.wire import CLIENT, ENCRYPTED_TAG, FALLBACK_TAG, MESSAGE_TAG
from gre_core.xml_text import local_name

if TYPE_CHECKING:
    from slixmpp import BaseXMPP
    from slixmpp.xmlstream.stanzabase import StanzaBase

COMPONENT: Final = "jabber:component:accept"

_STANZAS: Final = frozenset({"iq", "message", "presence"})
_TOGETHER: Final = 65_536
"""Bytes of stanzas that are written at once."""

_log = get_logger(__name__)
_mended = False


def mend_slixmpp() -> None:
    """Mend slixmpp's modules, once for the process. Clients and components may share a process afterwards."""
    global _mended  # noqa: PLW0603 - slixmpp's modules are global as well
    if _mended:
        return
    _mended = True
    Error.conditions.add("policy-violation")
    _tostring.escape = escape
    _mend_error_namespace()
    _mend_exception()
    _mend_matching()
    _mend_unhandled()
    _mend_iq_error()


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


def _mend_error_namespace() -> None:
    """Let ``<error/>`` stand in the namespace of its stanza, so that components read and write it as clients do.

    ``ComponentXMPP(fix_error_ns=True)`` would break the clients of the same process. And a received stanza does not
    become an error because somebody put an ``<error/>`` into it.
    """
    for stanza in (Message, Iq, Presence):
        for namespace in (CLIENT, COMPONENT):
            cast("Any", stanza).plugin_tag_map[f"{{{namespace}}}error"] = Error
    setup: Callable[..., Any] = Error.setup

    @wraps(setup)
    def setup_in_namespace(self: Any, xml: Any = None) -> Any:
        parent = None if self.parent is None else self.parent()
        if parent is not None:
            self.namespace = parent.namespace
        return setup(self) if xml is None else ElementBase.setup(self, xml)

    cast("Any", Error).setup = setup_in_namespace


def _mend_exception() -> None:
    """Keep slixmpp from answering an error or a result with an error, when a handler of it raises: a loop."""
    exception: Callable[..., None] = RootStanza.exception

    @wraps(exception)
    def no_loop(self: RootStanza, error: Exception) -> None:
        if self.xml.get("type") in {"error", "result"}:
            _log.error("handler-failed", error_type=type(error).__name__)
        else:
            exception(self, error)

    cast("Any", RootStanza).exception = no_loop


def _mend_matching() -> None:
    """Look at the name of a stanza before anything else of it: most handlers are for other stanzas."""
    match: Callable[[MatchXPath, StanzaBase], bool] = MatchXPath.match

    @wraps(match)
    def match_name_first(self: MatchXPath, stanza: StanzaBase) -> bool:
        path = self._criteria
        # A path of plain names begins with the tag of the stanza: "{namespace}message/...".
        return (path.startswith(stanza.xml.tag) or "*" in path or path[:1] != "{") and match(self, stanza)

    cast("Any", MatchXPath).match = match_name_first
    match_path: Callable[[StanzaPath, StanzaBase], bool] = StanzaPath.match

    @wraps(match_path)
    def match_path_name_first(self: StanzaPath, stanza: StanzaBase) -> bool:
        name = self._criteria[0].partition("@")[0].rpartition("}")[2]
        return (name not in _STANZAS or name == stanza.name) and match_path(self, stanza)

    cast("Any", StanzaPath).match = match_path_name_first


def _mend_unhandled() -> None:
    """Answer requests that nobody handles with ``service-unavailable`` (RFC 6120, section 8.4), and a text."""

    def unhandled(self: Iq) -> None:
        if self.xml.get("type") not in {"get", "set"}:
            return  # an answer that nobody waits for
        kind = f": {local_name(self.xml[0].tag)[0]}" if len(self.xml) else ""
        text = f"There is no answer to requests like this here{kind}."
        error = Refused(text, condition="service-unavailable", error_type="cancel")
        answer_error(cast("Any", self.stream), self.xml, error)

    cast("Any", Iq).unhandled = unhandled


def _mend_iq_error() -> None:
    """Take an error without a known condition for an answer; slixmpp raises, and who asked waits for the time-out."""
    init: Callable[[IqError, Iq], None] = IqError.__init__

    @wraps(init)
    def init_anyway(self: IqError, iq: Iq) -> None:
        try:
            init(self, iq)
        except ValueError:
            XMPPError.__init__(self)
            self.iq = iq

    cast("Any", IqError).__init__ = init_anyway


def mend_sending(xmpp: BaseXMPP) -> None:
    """Write stanzas that were sent at the same time together; slixmpp asks the kernel for each.

    What is still in the send queue once the stream is down is dropped; slixmpp logs a traceback for each stanza.
    Nothing is lost by that: messages are kept until they are confirmed, and who waits for an answer gets a time-out.
    """
    stream = cast("Any", xmpp)
    send_raw: Callable[[str | bytes], None] = stream.send_raw
    together = bytearray()
    meant_for: list[object] = [None]

    def write() -> None:
        data = bytes(together)
        together.clear()
        if data and meant_for[0] is stream.transport:
            send_raw(data)

    @wraps(send_raw)
    def send_with_the_next(data: str | bytes) -> None:
        if stream.transport is None:
            return
        if meant_for[0] is not stream.transport:
            together.clear()
            meant_for[0] = stream.transport
        first = not together
        together.extend(data.encode() if isinstance(data, str) else data)
        if stream.waiting_queue.empty() or len(together) >= _TOGETHER:
            write()
        elif first:
            # The next may be held up by a filter, or dropped.
            stream.loop.call_soon(write)

    stream.send_raw = send_with_the_next


def plugin(xmpp: BaseXMPP, name: str) -> Any:
    """Give a plugin of slixmpp, registered when it is not yet. They are not typed for third parties."""
    plugins = cast("dict[str, Any]", xmpp.plugin)
    if name not in plugins:
        xmpp.register_plugin(name)
    return plugins[name]


def hide_fallback(stanza: StanzaBase) -> StanzaBase:
    """Take the fallback body (XEP-0428) out of an encrypted message, so that no program takes it for the content."""
    if stanza.name != "message":
        return stanza
    messages = [stanza.xml]
    messages += [node for node in stanza.xml.iter(MESSAGE_TAG) if node is not stanza.xml]
    for message in messages:
        if message.find(ENCRYPTED_TAG) is not None and message.find(FALLBACK_TAG) is not None:
            for node in [each for each in message if local_name(each.tag)[1] in {"body", "fallback"}]:
                message.remove(node)
    return stanza
