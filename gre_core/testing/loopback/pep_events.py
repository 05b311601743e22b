"""Who may read a node, and who hears of its changes (XEP-0163 section 4, XEP-0115)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from gre_core.testing.loopback import jids
from gre_core.testing.loopback.stanza import IQ, MESSAGE, add, copy_top, make

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account, Origin
    from gre_core.testing.loopback.jids import Jid
    from gre_core.testing.loopback.nodes import Node
    from gre_core.testing.loopback.router import Router

EVENT: Final = "http://jabber.org/protocol/pubsub#event"
DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
_CAPS: Final = "{http://jabber.org/protocol/caps}c"
_ASKED: Final = "disco-"

_SWITCH: Final = {
    "items": "deliver_notifications",
    "retract": "notify_retract",
    "delete": "notify_delete",
}


def may_read(account: Account, node: Node | None, reader: str) -> bool:
    """Tell whether a JID may read a node; what does not exist counts as seen by contacts only."""
    sender = jids.bare(reader)
    if sender == account.bare:
        return True
    model = node.get("access_model") if node is not None else "presence"
    return model == "open" or (model == "presence" and account.lets_see(sender))


def broadcast(router: Router, account: Account, node: Node, kind: str, item: Element | None = None) -> None:
    """Tell subscribers and those who announced their interest.

    Args:
        router: delivers.
        account: the owner.
        node: what changed.
        kind: ``items``, ``retract``, ``delete`` or ``purge``.
        item: the item or the retract element.
    """
    if node.get(_SWITCH.get(kind, "")) is False:
        return
    readers = set(node.subscribers)
    readers.update(
        jid for jid, nodes in account.interests.items() if node.name in nodes and may_read(account, node, jid)
    )
    for reader in readers:
        _notify(router, account, node, "items" if kind == "retract" else kind, item, reader)


def send_last_item(router: Router, account: Account, node: Node, reader: str) -> None:
    """Send the newest item to one reader."""
    if node.items and may_read(account, node, reader):
        _notify(router, account, node, "items", list(node.items.values())[-1], reader)


def _notify(
    router: Router, account: Account, node: Node, kind: str, item: Element | None, reader: str
) -> None:
    message = make(MESSAGE, from_=account.bare, to=reader, type="headline", id=uuid4().hex)
    change = add(add(message, f"{{{EVENT}}}event"), kind, node=node.name)
    if item is not None:
        shown = copy_top(item)
        shown.tag = f"{{{EVENT}}}{item.tag.rpartition('}')[2]}"
        if node.get("deliver_payloads") is False:
            shown[:] = []
        change.append(shown)
    router.deliver(router.server, message)


# -- interest --------------------------------------------------------------------------------------


def on_presence(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> None:
    """Learn from presence to an account which nodes the sender wants to hear of."""
    account = origin.account if to is None else router.account(to)
    sender = stanza.get("from", "")
    kind = stanza.get("type")
    if account is None or "/" not in sender:
        return
    if kind in {"unavailable", "unsubscribe"}:
        for jid in list(account.interests):
            if jid == sender or (kind == "unsubscribe" and jids.bare(jid) == jids.bare(sender)):
                del account.interests[jid]
        return
    if kind is not None or not (jids.bare(sender) == account.bare or account.lets_see(jids.bare(sender))):
        return
    caps = stanza.find(_CAPS)
    if caps is None or caps.get("hash") != "sha-1":
        return
    ver = caps.get("ver", "")
    if ver in router.caps:
        _update_interest(router, account, sender, router.caps[ver])
        return
    ask = make(IQ, type="get", from_=account.bare, to=sender, id=f"{_ASKED}{ver}")
    add(ask, f"{{{DISCO_INFO}}}query", node=f"{caps.get('node', '')}#{ver}")
    origin.send(ask)


def on_answer(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> None:
    """Take the answer to our own disco request; other results to accounts are dropped."""
    account = origin.account if to is None else router.account(to)
    identifier = stanza.get("id", "")
    query = stanza.find(f"{{{DISCO_INFO}}}query")
    if account is None or query is None or not identifier.startswith(_ASKED):
        return
    names = (feature.get("var", "") for feature in query.iterfind(f"{{{DISCO_INFO}}}feature"))
    nodes = frozenset(name.removesuffix("+notify") for name in names if name.endswith("+notify"))
    router.caps[identifier.removeprefix(_ASKED)] = nodes
    _update_interest(router, account, stanza.get("from", ""), nodes)


def _update_interest(router: Router, account: Account, reader: str, nodes: frozenset[str]) -> None:
    before = account.interests.get(reader, frozenset())
    account.interests[reader] = nodes
    for name in nodes - before:
        node = account.nodes.get(name)
        if node is not None and node.get("send_last_published_item") == "on_sub_and_presence":
            send_last_item(router, account, node, reader)
