"""Personal eventing (XEP-0163): each account is a publish-subscribe service for its owner."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from gre_core.testing.loopback import jids
from gre_core.testing.loopback.nodes import (
    DATA_FORMS,
    BadForm,
    Config,
    Node,
    acceptable,
    read_form,
    write_form,
)
from gre_core.testing.loopback.pep_events import broadcast, may_read, send_last_item
from gre_core.testing.loopback.stanza import add, error_reply, make, reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account, Origin
    from gre_core.testing.loopback.jids import Jid
    from gre_core.testing.loopback.router import Router

PUBSUB: Final = "http://jabber.org/protocol/pubsub"
OWNER: Final = f"{PUBSUB}#owner"
ERRORS: Final = f"{PUBSUB}#errors"

_FORM: Final = f"{{{DATA_FORMS}}}x"
_ITEM: Final = f"{{{PUBSUB}}}item"

NODE_LIMIT: Final = 1000
"""Nodes of one account."""


class PubsubError(Exception):
    """A request that cannot be done."""

    def __init__(self, kind: str, condition: str, text: str | None = None, extra: str | None = None) -> None:
        super().__init__(condition)
        self.kind = kind
        self.condition = condition
        self.text = text
        self.extra = extra

    def answer(self, stanza: Element) -> Element:
        """Return the stanza that says so."""
        result = error_reply(stanza, self.kind, self.condition, self.text)
        if self.extra is not None:
            add(result[0], f"{{{ERRORS}}}{self.extra}")
        return result


def _forbidden() -> PubsubError:
    return PubsubError("auth", "forbidden")


def _not_found() -> PubsubError:
    return PubsubError("cancel", "item-not-found")


def _node_required() -> PubsubError:
    return PubsubError("modify", "bad-request", extra="nodeid-required")


class _Request:
    """One pubsub request to one account."""

    def __init__(self, router: Router, account: Account, stanza: Element) -> None:
        self.router = router
        self.account = account
        self.stanza = stanza
        self.pubsub = stanza[0]
        self.action = self.pubsub[0]
        self.sender = stanza.get("from", "")
        self.owner = jids.bare(self.sender) == account.bare
        self.name = self.action.get("node")

    def result(self) -> Element:
        return reply(self.stanza)

    def node(self, *, owner: bool = True) -> Node:
        """Return the node that the request names, when the sender may do what it asks for."""
        if not self.name:
            raise _node_required()
        node = self.account.nodes.get(self.name)
        if not (self.owner if owner else may_read(self.account, node, self.sender)):
            raise _forbidden()
        if node is None:
            raise _not_found()
        return node

    def form(self, parent: Element | None) -> Config | None:
        if parent is None:
            return None
        form = parent.find(_FORM)
        if form is None:
            raise PubsubError("modify", "bad-request", "Missing dataform")
        try:
            return read_form(form)
        except BadForm as bad:
            raise PubsubError("modify", "bad-request", str(bad)) from None


def answer(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> bool:
    """Answer a pubsub request to an account; tell whether it was one that is known."""
    pubsub = stanza[0]
    if pubsub.tag not in {f"{{{PUBSUB}}}pubsub", f"{{{OWNER}}}pubsub"}:
        return False
    if not len(pubsub):
        origin.send(error_reply(stanza, "cancel", "bad-request"))
        return True
    prefix = "owner-" if pubsub.tag.startswith(f"{{{OWNER}}}") else ""
    action = pubsub[0].tag.rpartition("}")[2]
    handler = _HANDLERS.get(f"{prefix}{stanza.get('type')}-{action}")
    if handler is None:
        return False
    account = origin.account if to is None else router.account(to)
    if account is None:
        origin.send(_forbidden().answer(stanza))
        return True
    try:
        handler(_Request(router, account, stanza), origin)
    except PubsubError as error:
        origin.send(error.answer(stanza))
    return True


def _create_node(account: Account, name: str, config: Config | None) -> Node:
    config = dict(config or {})
    if not acceptable(config) or len(account.nodes) >= NODE_LIMIT:
        raise PubsubError("modify", "not-acceptable")
    node = account.nodes[name] = Node(name, config)
    return node


def _publish(request: _Request, origin: Origin) -> None:
    if not request.name:
        raise _node_required()
    options = request.form(request.pubsub.find(f"{{{PUBSUB}}}publish-options"))
    node = request.account.nodes.get(request.name)
    if not request.owner and (node is None or node.get("publish_model") != "open"):
        raise _forbidden()
    if node is None:
        node = _create_node(request.account, request.name, options)
    elif options is not None and (field := node.mismatch(options)) is not None:
        text = f"Field does not match: {field}"
        raise PubsubError("cancel", "conflict", text, "precondition-not-met")
    item = request.action.find(_ITEM)
    if item is None or len(item) != 1:
        raise PubsubError("modify", "bad-request", "invalid item")
    identifier = item.get("id") or str(uuid4())
    kept = make(_ITEM, id=identifier, publisher=jids.bare(request.sender))
    kept.append(item[0])
    if node.get("persist_items"):
        node.store(identifier, kept)
    broadcast(request.router, request.account, node, "items", kept)
    result = request.result()
    publish = add(add(result, f"{{{PUBSUB}}}pubsub"), "publish", node=node.name)
    add(publish, "item", id=identifier)
    origin.send(result)


def _items(request: _Request, origin: Origin) -> None:
    node = request.node(owner=False)
    if not node.get("persist_items"):
        raise PubsubError("cancel", "feature-not-implemented", extra="persistent-items")
    wanted = [item.get("id") for item in request.action.iterfind(_ITEM) if item.get("id")]
    limit = request.action.get("max_items", "")
    count = max(1, int(limit) if re.fullmatch(r"-?[0-9]{1,5}", limit) else len(node.items))
    if wanted:
        found = [node.items[identifier] for identifier in wanted if identifier in node.items][:count]
    else:
        found = list(node.items.values())[max(0, len(node.items) - count) :]
    result = request.result()
    items = add(add(result, f"{{{PUBSUB}}}pubsub"), "items", node=node.name)
    for item in found:
        add(items, "item", id=item.get("id")).extend(item)
    origin.send(result)


def _create(request: _Request, origin: Origin) -> None:
    config = request.form(request.pubsub.find(f"{{{PUBSUB}}}configure"))
    if not request.owner:
        raise _forbidden()
    name = request.name or str(uuid4())
    if name in request.account.nodes:
        raise PubsubError("cancel", "conflict")
    _create_node(request.account, name, config)
    result = request.result()
    if not request.name:
        add(add(result, f"{{{PUBSUB}}}pubsub"), "create", node=name)
    origin.send(result)


def _delete(request: _Request, origin: Origin) -> None:
    node = request.node()
    del request.account.nodes[node.name]
    broadcast(request.router, request.account, node, "delete")
    origin.send(request.result())


def _purge(request: _Request, origin: Origin) -> None:
    node = request.node()
    node.items.clear()
    broadcast(request.router, request.account, node, "purge")
    origin.send(request.result())


def _retract(request: _Request, origin: Origin) -> None:
    item = request.action.find(_ITEM)
    identifier = item.get("id") if item is not None else None
    if not request.name:
        raise _node_required()
    if not identifier:
        raise _not_found()
    node = request.node()
    if node.items.pop(identifier, None) is None and node.get("persist_items"):
        raise _not_found()
    if request.action.get("notify") in {"1", "true"}:
        broadcast(
            request.router, request.account, node, "retract", make(f"{{{PUBSUB}}}retract", id=identifier)
        )
    origin.send(request.result())


def _get_configuration(request: _Request, origin: Origin) -> None:
    node = request.node()
    result = request.result()
    add(add(result, f"{{{OWNER}}}pubsub"), "configure", node=node.name).append(write_form(node))
    origin.send(result)


def _configure(request: _Request, origin: Origin) -> None:
    changes = request.form(request.action) if request.owner else None
    node = request.node()
    config = {**node.config, **(changes or {})}
    if not acceptable(config):
        raise PubsubError("modify", "not-acceptable")
    node.config = config
    node.trim()
    node.subscribers = {jid for jid in node.subscribers if may_read(request.account, node, jid)}
    origin.send(request.result())


def _subscription(request: _Request, origin: Origin) -> None:
    subscribing = request.action.tag.endswith("}subscribe")
    jid = jids.parse(request.action.get("jid", ""))
    if jid is None:
        raise PubsubError("modify", "bad-request", extra="invalid-jid")
    if not request.owner and jid.bare != jids.bare(request.sender):
        raise _forbidden()
    address = str(jid)
    if subscribing:
        node = request.node(owner=False)
        if not may_read(request.account, node, address):
            raise _forbidden()
        node.subscribers.add(address)
    else:
        node = request.node(owner=False)
        if address not in node.subscribers:
            raise PubsubError("modify", "unexpected-request", extra="not-subscribed")
        node.subscribers.remove(address)
    result = request.result()
    state = "subscribed" if subscribing else "none"
    add(add(result, f"{{{PUBSUB}}}pubsub"), "subscription", node=node.name, jid=address, subscription=state)
    origin.send(result)
    if subscribing and node.get("send_last_published_item") != "never":
        send_last_item(request.router, request.account, node, address)


_HANDLERS: Final[dict[str, Callable[[_Request, Origin], None]]] = {
    "set-publish": _publish,
    "get-items": _items,
    "set-create": _create,
    "set-retract": _retract,
    "set-subscribe": _subscription,
    "set-unsubscribe": _subscription,
    "owner-set-delete": _delete,
    "owner-set-purge": _purge,
    "owner-get-configure": _get_configuration,
    "owner-set-configure": _configure,
}
