"""Requests to a gateway and its contacts: disco#info, data, pubsub. Each gets exactly one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from xml.etree.ElementTree import Element, SubElement

from slixmpp.exceptions import XMPPError
from slixmpp.plugins.xep_0030.stanza.info import DiscoInfo
from slixmpp.plugins.xep_0030.stanza.items import DiscoItems
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from gre_core import wire
from gre_core.errors import GreError, LocalProtocolError, PeerError, Refused
from gre_core.jid_escape import canonical
from gre_core.log import get_logger
from gre_core.slixmpp.caps import CAPS_NODE, disco_info
from gre_core.slixmpp.ports import DISCO, PUBSUB
from gre_core.slixmpp.stream import answer_error
from gre_core.slixmpp.traps import plugin
from gre_core.slixmpp.work import WorkQueue, weight, within
from gre_core.xml_text import local_name

if TYPE_CHECKING:
    from slixmpp import ComponentXMPP
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.gateway import GatewayEngine
    from gre_core.ports import Item
    from gre_core.slixmpp.ports import Nodes, NodesFor
    from gre_core.slixmpp.stream import Stream

ANSWER_TIMEOUT: Final = 25.0
"""Seconds that callbacks of the embedder have for an answer; clients give up after 30."""

_AT_ONCE: Final = 100
_MAX_MEMORY: Final = 8 * 1024 * 1024
_MAX_IDS: Final = 100
_ITEMS: Final = f"{{{DISCO.replace('#info', '#items')}}}query"

_NO_NODE: Final = "There is no such node."

_log = get_logger(__name__)

Answer = Callable[[Element], Awaitable[Element]]


async def no_nodes(_jid: str, _node: str, _ids: Sequence[str], /) -> Sequence[Item]:
    """Serve no pubsub node at all."""
    raise PeerError(_NO_NODE, condition="item-not-found")


def for_everybody(nodes: Nodes) -> NodesFor:
    """Serve nodes that are the same for all who ask."""

    async def serve(contact: str, node: str, ids: Sequence[str], _reader: str, /) -> Sequence[Item]:
        return await nodes(contact, node, ids)

    return serve


class Requests:
    """Answers requests. Other ones may have handlers of the host; slixmpp refuses the rest.

    Arguments:
        component: the component.
        stream: the stream.
        engine: the protocol.
        nodes: the pubsub nodes of contacts.
        identity: category, type and name for disco#info.
        caps_version: the verification string of the answer to disco#info.
    """

    def __init__(
        self,
        component: ComponentXMPP,
        stream: Stream,
        engine: GatewayEngine,
        nodes: NodesFor,
        identity: tuple[str, str, str],
        caps_version: str,
    ) -> None:
        self._component = component
        self._stream = stream
        self._engine = engine
        self._nodes = nodes
        self._identity = identity
        self._caps = f"{CAPS_NODE}#{caps_version}"
        self._work = WorkQueue(component, workers=_AT_ONCE, max_bytes=_MAX_MEMORY)
        component.add_filter("in", self._check)
        plugin(component, "xep_0199")
        disco = plugin(component, "xep_0030")
        disco.set_node_handler("get_info", handler=self._info)
        disco.set_node_handler("get_items", handler=self._items)
        for name, tag, answer in (
            ("GRE data", wire.DATA_TAG, self._data),
            ("GRE pubsub", f"{{{PUBSUB}}}pubsub", self._pubsub),
        ):
            path = MatchXPath(f"{{{component.default_ns}}}iq/{tag}")
            component.register_handler(Callback(name, path, self._answering(answer)))

    def _check(self, stanza: StanzaBase) -> StanzaBase | None:
        """Answer what slixmpp would answer twice, or not at all."""
        iq = stanza.xml
        if local_name(iq.tag)[1] != "iq" or iq.get("type") in {"result", "error"}:
            return stanza
        if iq.get("type") not in {"get", "set"}:
            error = Refused("The type of an <iq/> is get, set, result or error.", condition="bad-request")
        elif len(iq) != 1:
            error = Refused("A request has exactly one child element.", condition="bad-request")
        elif iq.get("type") == "set" and iq[0].tag in {f"{{{DISCO}}}query", _ITEMS}:
            error = Refused("This can only be read.", condition="not-allowed", error_type="cancel")
        else:
            return stanza
        answer_error(self._component, iq, error)
        return None

    def _answering(self, answer: Answer) -> Callable[[StanzaBase], None]:
        def run(stanza: StanzaBase) -> None:
            iq = stanza.xml
            if iq.get("type") in {"get", "set"} and not self._work.put(
                lambda: self._answer(iq, answer), weight(iq)
            ):
                busy = "The gateway is busy. Try again later."
                error = Refused(busy, condition="resource-constraint", error_type="wait")
                answer_error(self._component, iq, error)

        return run

    async def _answer(self, iq: Element, answer: Answer) -> None:
        try:
            if iq.get("type") != "get":
                raise Refused("This can only be read.", condition="not-allowed", error_type="cancel")
            result = Element(iq.tag, {"type": "result"})
            for ours, theirs in (("to", "from"), ("from", "to"), ("id", "id")):
                if iq.get(theirs):
                    result.set(ours, iq.get(theirs, ""))
            result.append(await within(ANSWER_TIMEOUT, answer(iq)))
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

    # -- what is answered ----------------------------------------------------------------------------

    def _items(self, _jid: object, node: str | None, _ifrom: object, _data: object) -> DiscoItems:
        if node:
            raise XMPPError("item-not-found", _NO_NODE, etype="cancel")
        return DiscoItems()

    def _info(self, jid: object, node: str | None, _ifrom: object, _data: object) -> DiscoInfo:
        if node and node != self._caps:
            raise XMPPError("item-not-found", _NO_NODE, etype="cancel")
        contact = wire.bare(str(jid))
        if "@" in contact:
            try:
                self._engine.check_contact(contact)
            except Refused as error:
                # slixmpp's types know only the conditions of the RFC; ours are strings.
                raise XMPPError(
                    cast("Any", error.condition), error.text, etype=cast("Any", error.error_type)
                ) from error
        return DiscoInfo(xml=disco_info(self._engine, self._identity))

    async def _data(self, iq: Element) -> Element:
        return await self._engine.answer(iq.get("from", ""), iq.get("to", ""), iq[0])

    async def _pubsub(self, iq: Element) -> Element:
        items = iq[0].find(f"{{{PUBSUB}}}items")
        if items is None:
            raise Refused("Only items can be read.", condition="feature-not-implemented", error_type="cancel")
        contact = self._engine.check_contact(iq.get("to", "")).jid
        node = items.get("node", "")
        ids = [item.get("id", "") for item in items.findall(f"{{{PUBSUB}}}item")[:_MAX_IDS]]
        answer = Element(f"{{{PUBSUB}}}pubsub")
        found = SubElement(answer, f"{{{PUBSUB}}}items", {"node": node})
        for item in await self._nodes(contact, node, ids, canonical(iq.get("from", ""))):
            element = SubElement(found, f"{{{PUBSUB}}}item", {"id": item.id})
            if item.payload is not None:
                element.append(item.payload)
        return answer


def _failed(what: str, condition: str = "internal-server-error") -> Refused:
    return Refused(f"{what}. Try again later, or tell its operator.", condition=condition, error_type="wait")
