"""What every gateway answers: disco#info and disco#items, data requests, and the pubsub nodes of its contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.errors import PeerError, Refused
from gre_core.slixmpp.traps import plugin
from gre_core.stanza_ports import DISCO, PUBSUB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slixmpp import ComponentXMPP

    from gre_core.gateway import GatewayEngine
    from gre_core.ports import Item
    from gre_core.slixmpp.caps import Announced
    from gre_core.slixmpp.ports import Nodes, NodesFor
    from gre_core.slixmpp.requests import Request, Requests

ITEMS: Final = DISCO.replace("#info", "#items")

_MAX_IDS: Final = 100
_NO_NODE: Final = "There is no such node."
_ANYWHERE: Final = ("gateway", "contact")


async def no_nodes(_jid: str, _node: str, _ids: Sequence[str], /) -> Sequence[Item]:
    """Serve no pubsub node at all."""
    raise PeerError(_NO_NODE, condition="item-not-found")


def for_everybody(nodes: Nodes) -> NodesFor:
    """Serve nodes that are the same for all who ask."""

    async def serve(contact: str, node: str, ids: Sequence[str], _reader: str, /) -> Sequence[Item]:
        return await nodes(contact, node, ids)

    return serve


class DiscoNodes(Protocol):
    """Nodes of disco#info and disco#items that the host has, for who asks (XEP-0030, section 4.2)."""

    async def info(self, request: Request, node: str, /) -> Element | None:
        """Give the ``<query/>`` of disco#info; None for a node that is not one's own."""
        ...

    async def items(self, request: Request, node: str, /) -> Element | None:
        """Give the ``<query/>`` of disco#items; None for a node that is not one's own."""
        ...


class Answers:
    """Answers what belongs to GRE, and discovery.

    Arguments:
        component: the component; slixmpp's own answers to disco are taken out.
        requests: guards the answers.
        engine: the protocol.
        announced: what is announced.
        nodes: the pubsub nodes of contacts.
    """

    def __init__(
        self,
        component: ComponentXMPP,
        requests: Requests,
        engine: GatewayEngine,
        announced: Announced,
        nodes: NodesFor,
    ) -> None:
        self._engine = engine
        self._announced = announced
        self._nodes = nodes
        self._disco: list[DiscoNodes] = []
        plugin(component, "xep_0030")
        for name in ("Disco Info", "Disco Items"):
            component.remove_handler(name)
        requests.on(f"{{{DISCO}}}query", self._info, where=_ANYWHERE)
        requests.on(f"{{{ITEMS}}}query", self._items, where=_ANYWHERE)
        requests.on(wire.DATA_TAG, self._data, where=_ANYWHERE)
        requests.on(f"{{{PUBSUB}}}pubsub", self._pubsub, where=_ANYWHERE)

    def add_nodes(self, nodes: DiscoNodes) -> None:
        """Ask these for further nodes; the first one that knows a node answers."""
        self._disco.append(nodes)

    async def _info(self, request: Request) -> Element:
        node, contact = request.payload.get("node", ""), request.contact is not None
        if not node:
            strict = await self._engine.takes_only_encrypted(request.user)
            return self._announced.info(contact=contact, encrypted_only=strict)
        found = self._announced.of_node(node, contact=contact)
        for nodes in self._disco:
            if found is None:
                found = await nodes.info(request, node)
        return _of_node(found, node)

    async def _items(self, request: Request) -> Element:
        node = request.payload.get("node", "")
        found = None if node else Element(f"{{{ITEMS}}}query")
        for nodes in self._disco:
            if found is None:
                found = await nodes.items(request, node)
        return _of_node(found, node)

    async def _data(self, request: Request) -> Element:
        return await self._engine.answer(request.user_full, request.to, request.payload)

    async def _pubsub(self, request: Request) -> Element:
        items = request.payload.find(f"{{{PUBSUB}}}items")
        if items is None:
            raise Refused("Only items can be read.", condition="feature-not-implemented", error_type="cancel")
        contact = self._engine.check_contact(request.to).jid
        node = items.get("node", "")
        ids = [item.get("id", "") for item in items.findall(f"{{{PUBSUB}}}item")[:_MAX_IDS]]
        answer = Element(f"{{{PUBSUB}}}pubsub")
        found = SubElement(answer, f"{{{PUBSUB}}}items", {"node": node})
        for item in await self._nodes(contact, node, ids, request.user):
            element = SubElement(found, f"{{{PUBSUB}}}item", {"id": item.id})
            if item.payload is not None:
                element.append(item.payload)
        return answer


def _of_node(query: Element | None, node: str) -> Element:
    if query is None:
        raise Refused(_NO_NODE, condition="item-not-found", error_type="cancel")
    if node:
        query.set("node", node)  # as it was asked (XEP-0030, section 3.2)
    return query
