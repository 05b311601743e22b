"""The ports :class:`~gre_core.ports.Network` and :class:`~gre_core.ports.PubSub` over any XMPP library.

A host for another library implements :class:`Stanzas`, three members, and gets both::

    engine = ClientEngine(account, plugins, Ports(store, StanzaPubSub(stanzas)), StanzaNetwork(stanzas))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.errors import PeerError
from gre_core.ports import AccessModel, DiscoInfo, Item

if TYPE_CHECKING:
    from collections.abc import Sequence

DISCO: Final = "http://jabber.org/protocol/disco#info"
PUBSUB: Final = "http://jabber.org/protocol/pubsub"
OWNER: Final = f"{PUBSUB}#owner"
EVENT: Final = f"{PUBSUB}#event"

_MAX_ITEMS: Final = 1000
_OTHER_OPTIONS: Final = frozenset(
    {"conflict", "precondition-not-met", "not-acceptable", "bad-request", "resource-constraint"}
)
"""What servers answer when a node has other options than those in a request, or when they do not know one of them: the
last is ejabberd's word for it."""


class Stanzas(Protocol):
    """What an XMPP library does for the ports: requests, and stanzas without an answer."""

    @property
    def max_stanza(self) -> int | None:
        """The largest stanza that our server takes, in bytes of UTF-8; None when unknown."""
        ...

    async def iq(self, jid: str | None, type_: Literal["get", "set"], payload: Element, /) -> Element | None:
        """Send an ``<iq/>``, and give the child of the result.

        Arguments:
            jid: to whom; None for our own account.
            type_: get or set.
            payload: the child.

        Raises:
            PeerError: the answer is an error; :func:`gre_core.incoming.read_error` makes it.
            PeerTimeout: nothing came in time, or the stream is down.
        """
        ...

    def put(self, stanza: Element, /) -> None:
        """Hand a complete stanza to the stream; raises as :meth:`gre_core.ports.Network.send_message`."""
        ...


def read_disco(query: Element | None) -> DiscoInfo:
    """Read the answer to disco#info (XEP-0030, section 3.1; forms: XEP-0128)."""
    if query is None or query.tag != f"{{{DISCO}}}query":
        return DiscoInfo(frozenset())
    forms: dict[str, dict[str, tuple[str, ...]]] = {}
    for x in query.findall(f"{{{wire.FORM}}}x")[:20]:
        fields = {
            field.get("var", ""): tuple(value.text or "" for value in field.iterfind(f"{{{wire.FORM}}}value"))
            for field in x.findall(f"{{{wire.FORM}}}field")[: wire.MAX_FIELDS]
        }
        if len(name := fields.pop("FORM_TYPE", ())) == 1:
            forms[name[0]] = fields
    return DiscoInfo(
        frozenset(node.get("var", "") for node in query.iterfind(f"{{{DISCO}}}feature")),
        frozenset(
            (node.get("category", ""), node.get("type", ""))
            for node in query.iterfind(f"{{{DISCO}}}identity")
        ),
        forms,
    )


class StanzaNetwork:
    """The port :class:`gre_core.ports.Network`.

    Arguments:
        stanzas: the XMPP library.
    """

    def __init__(self, stanzas: Stanzas) -> None:
        self._stanzas = stanzas

    @property
    def max_stanza(self) -> int | None:
        """The largest stanza that our server takes, in bytes."""
        return self._stanzas.max_stanza

    async def disco_info(self, jid: str, /) -> DiscoInfo:
        """Ask an entity what it supports, past every cache."""
        return read_disco(await self._stanzas.iq(jid, "get", Element(f"{{{DISCO}}}query")))

    async def iq_get(self, jid: str, payload: Element, /) -> Element | None:
        """Send an ``<iq type='get'>``."""
        return await self._stanzas.iq(jid, "get", payload)

    async def send_message(self, stanza: Element, /) -> None:
        """Put a message on the stream."""
        self._stanzas.put(stanza)


class StanzaPubSub:
    """The port :class:`gre_core.ports.PubSub`.

    Arguments:
        stanzas: the XMPP library.
    """

    def __init__(self, stanzas: Stanzas) -> None:
        self._stanzas = stanzas

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        """Give items of a node (XEP-0060, section 6.5)."""
        pubsub = Element(f"{{{PUBSUB}}}pubsub")
        items = SubElement(pubsub, f"{{{PUBSUB}}}items", {"node": node})
        if max_items is not None:
            items.set("max_items", str(max_items))
        if item_id is not None:
            SubElement(items, f"{{{PUBSUB}}}item", {"id": item_id})
        answer = await self._stanzas.iq(jid, "get", pubsub)
        found = [] if answer is None else answer.findall(f"{{{PUBSUB}}}items/{{{PUBSUB}}}item")
        return [Item(item.get("id", ""), next(iter(item), None)) for item in found[-_MAX_ITEMS:]]

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: AccessModel, max_items: int = 1
    ) -> None:
        """Publish on our own account (XEP-0060, section 7.1.5). A node with other options is configured anew."""
        options = {
            "pubsub#access_model": access_model,
            "pubsub#persist_items": "true",
            "pubsub#max_items": str(max_items),
            "pubsub#send_last_published_item": "never",
            "pubsub#deliver_payloads": "false",
        }
        try:
            await self._publish(node, item_id, payload, options)
        except PeerError as error:
            if error.condition not in _OTHER_OPTIONS:
                raise
        else:
            return
        needed = {
            key: options[key] for key in ("pubsub#access_model", "pubsub#persist_items", "pubsub#max_items")
        }
        await self._configure(node, needed)
        await self._publish(node, item_id, payload, {"pubsub#access_model": access_model})

    async def _publish(self, node: str, item_id: str, payload: Element, options: dict[str, str]) -> None:
        pubsub = Element(f"{{{PUBSUB}}}pubsub")
        item = SubElement(
            SubElement(pubsub, f"{{{PUBSUB}}}publish", {"node": node}), f"{{{PUBSUB}}}item", {"id": item_id}
        )
        item.append(payload)
        form = SubElement(pubsub, f"{{{PUBSUB}}}publish-options")
        _form(form, f"{PUBSUB}#publish-options", options)
        await self._stanzas.iq(None, "set", pubsub)

    async def _configure(self, node: str, options: dict[str, str]) -> None:
        pubsub = Element(f"{{{OWNER}}}pubsub")
        configure = SubElement(pubsub, f"{{{OWNER}}}configure", {"node": node})
        _form(configure, f"{PUBSUB}#node_config", options)
        try:
            await self._stanzas.iq(None, "set", pubsub)
        except PeerError as error:
            if error.condition != "item-not-found":
                raise
            create = Element(f"{{{PUBSUB}}}pubsub")
            SubElement(create, f"{{{PUBSUB}}}create", {"node": node})
            _form(SubElement(create, f"{{{PUBSUB}}}configure"), f"{PUBSUB}#node_config", options)
            await self._stanzas.iq(None, "set", create)

    async def retract(self, node: str, item_id: str, /) -> None:
        """Remove an item from a node of our own account (XEP-0060, section 7.2)."""
        pubsub = Element(f"{{{PUBSUB}}}pubsub")
        retract = SubElement(pubsub, f"{{{PUBSUB}}}retract", {"node": node, "notify": "true"})
        SubElement(retract, f"{{{PUBSUB}}}item", {"id": item_id})
        await self._stanzas.iq(None, "set", pubsub)


def _form(parent: Element, form_type: str, fields: dict[str, str]) -> None:
    x = SubElement(parent, f"{{{wire.FORM}}}x", {"type": "submit"})
    field = SubElement(x, f"{{{wire.FORM}}}field", {"var": "FORM_TYPE", "type": "hidden"})
    SubElement(field, f"{{{wire.FORM}}}value").text = form_type
    for var, value in fields.items():
        SubElement(SubElement(x, f"{{{wire.FORM}}}field", {"var": var}), f"{{{wire.FORM}}}value").text = value
