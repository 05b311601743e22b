"""Requests to a gateway and its contacts. Each gets exactly one answer, in time, and each error has a text.

The host adds handlers of its own by :meth:`Requests.on`; they have the same guarantees.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from xml.etree.ElementTree import Element

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from gre_core import wire
from gre_core.errors import GreError, LocalProtocolError, Refused
from gre_core.jid_escape import canonical
from gre_core.log import get_logger
from gre_core.slixmpp.stream import answer_error
from gre_core.slixmpp.traps import plugin
from gre_core.slixmpp.work import WorkQueue, weight, within
from gre_core.xml_text import local_name

if TYPE_CHECKING:
    from slixmpp import ComponentXMPP
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.gateway import GatewayEngine
    from gre_core.model import Recipient
    from gre_core.slixmpp.stream import Stream

ANSWER_TIMEOUT: Final = 25.0
"""Seconds that a handler has for an answer; clients give up after 30."""

_AT_ONCE: Final = 100
_MAX_MEMORY: Final = 8 * 1024 * 1024
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"

_log = get_logger(__name__)

Type = Literal["get", "set"]
Where = Literal["gateway", "contact"]


@dataclass(frozen=True, slots=True)
class Request:
    """An ``<iq/>`` that wants an answer.

    Arguments:
        user: canonical bare JID of who asks; perhaps a stranger, or a server.
        user_full: JID of who asks, as it came.
        to: what was asked, as it came.
        contact: the contact that was asked, or None for the gateway itself.
        type: get or set.
        payload: the child.
        lang: ``xml:lang`` of the request, or ``""``.
        then: work for after the answer, see :meth:`after`.
    """

    user: str
    user_full: str
    to: str
    contact: Recipient | None
    type: Type
    payload: Element
    lang: str = ""
    then: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def after(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job when the answer is on the stream, and only when it is no error."""
        self.then.append(job)


Handler = Callable[[Request], Awaitable[Element | None]]
"""Gives the child of the answer, or None for an empty one. A :class:`~gre_core.errors.GreError` becomes a stanza
error with its text; any other exception one that tells nothing."""


class Requests:
    """Answers requests; slixmpp refuses those without a handler.

    Arguments:
        component: the component.
        stream: the stream.
        engine: knows what is a contact.
    """

    def __init__(self, component: ComponentXMPP, stream: Stream, engine: GatewayEngine) -> None:
        self._component = component
        self._stream = stream
        self._engine = engine
        self._work = WorkQueue(component, workers=_AT_ONCE, max_bytes=_MAX_MEMORY)
        component.add_filter("in", self._check)
        plugin(component, "xep_0199")

    def on(
        self,
        tag: str,
        handler: Handler,
        *,
        types: tuple[Type, ...] = ("get",),
        where: tuple[Where, ...] = ("gateway",),
    ) -> None:
        """Answer the requests whose child has a tag.

        100 requests are answered at the same time, further ones wait; those that wait take at most 8 MiB, more are
        refused. A handler has 25 seconds.

        Arguments:
            tag: of the child, in Clark notation.
            handler: gives the answer.
            types: what else comes is refused.
            where: whom such requests may be sent to; elsewhere they are refused.
        """
        path = MatchXPath(f"{{{self._component.default_ns}}}iq/{tag}")

        def run(stanza: StanzaBase) -> None:
            iq = stanza.xml
            if iq.get("type") in {"get", "set"} and not self._work.put(
                lambda: self._answer(iq, handler, types, where), weight(iq)
            ):
                busy = "The gateway is busy. Try again later."
                error = Refused(busy, condition="resource-constraint", error_type="wait")
                answer_error(self._component, iq, error)

        self._component.register_handler(Callback(f"GRE {tag}", path, run))

    def _check(self, stanza: StanzaBase) -> StanzaBase | None:
        """Answer what slixmpp would answer twice, or not at all."""
        iq = stanza.xml
        if local_name(iq.tag)[1] != "iq" or iq.get("type") in {"result", "error"}:
            return stanza
        if iq.get("type") not in {"get", "set"}:
            error = Refused("The type of an <iq/> is get, set, result or error.", condition="bad-request")
        elif len(iq) != 1:
            error = Refused("A request has exactly one child element.", condition="bad-request")
        else:
            return stanza
        answer_error(self._component, iq, error)
        return None

    async def _answer(
        self, iq: Element, handler: Handler, types: tuple[Type, ...], where: tuple[Where, ...]
    ) -> None:
        try:
            request = self._read(iq, types, where)
            result = Element(iq.tag, {"type": "result"})
            for ours, theirs in (("to", "from"), ("from", "to"), ("id", "id")):
                if iq.get(theirs):
                    result.set(ours, iq.get(theirs, ""))
            child = await within(ANSWER_TIMEOUT, handler(request))
            if child is not None:
                result.append(child)
            self._stream.put(result, wait=True)
        except LocalProtocolError as error:
            _log.error("answer-unsendable", code=error.code)
            answer_error(self._component, iq, _failed("The answer cannot be sent: " + error.text))
        except GreError as error:
            answer_error(self._component, iq, error)
        except TimeoutError:
            late = _failed("The gateway did not find the answer in time", "remote-server-timeout")
            answer_error(self._component, iq, late)
        except Exception as error:  # noqa: BLE001 - no request stays unanswered
            _log.error("answer-failed", error_type=type(error).__name__)
            answer_error(self._component, iq, _failed("The gateway could not answer"))
        else:
            for job in request.then:
                await within(ANSWER_TIMEOUT, job())

    def _read(self, iq: Element, types: tuple[Type, ...], where: tuple[Where, ...]) -> Request:
        kind: Type = "get" if iq.get("type") == "get" else "set"
        if kind not in types:
            text = "This can only be read." if kind == "set" else "This cannot be read, only set."
            raise Refused(text, condition="not-allowed", error_type="cancel")
        to = iq.get("to", "")
        contact = self._engine.check_contact(to) if "@" in wire.bare(to) else None
        if ("gateway" if contact is None else "contact") not in where:
            other = f"Ask {self._engine.domain}." if contact else "Ask one of the gateway's contacts."
            raise Refused(
                f"There is no answer to that here. {other}",
                condition="service-unavailable",
                error_type="cancel",
            )
        sender = iq.get("from", "")
        lang = iq[0].get(_LANG) or iq.get(_LANG) or ""
        return Request(canonical(sender), sender, to, contact, kind, iq[0], lang[:64])


def _failed(what: str, condition: str = "internal-server-error") -> Refused:
    return Refused(f"{what}. Try again later, or tell its operator.", condition=condition, error_type="wait")
