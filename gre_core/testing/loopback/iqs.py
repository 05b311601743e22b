"""Requests: routed to full JIDs, answered here for accounts and for the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback import jids, messages, pep, pep_disco, pep_events, roster
from gre_core.testing.loopback.accounts import Session
from gre_core.testing.loopback.stanza import add, error_reply, reply

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Origin
    from gre_core.testing.loopback.jids import Jid
    from gre_core.testing.loopback.router import Router

DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
PING: Final = "urn:xmpp:ping"

SERVER_FEATURES: Final = (
    DISCO_INFO,
    DISCO_ITEMS,
    roster.ROSTER,
    messages.CARBONS,
    "urn:xmpp:carbons:rules:0",
    "msgoffline",
    PING,
)


def deliver(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> None:
    """Deliver an iq to a local address: exactly one answer to every request."""
    request = stanza.get("type") in {"get", "set"}
    if to is not None and to.resource:
        account = router.account(to)
        session = account.sessions.get(to.resource) if account is not None else None
        if (session is None or not session.send(stanza)) and request:
            origin.send(error_reply(stanza, "cancel", "service-unavailable"))
        return
    if not request:
        pep_events.on_answer(router, origin, stanza, to)
        return
    if not len(stanza):  # only a component gets that far with it
        handled = False
    elif to is not None and not to.node:
        handled = _for_server(router, origin, stanza)
    else:
        handled = _for_account(router, origin, stanza, to)
    if not handled:
        origin.send(error_reply(stanza, "cancel", "service-unavailable"))


def _for_server(router: Router, origin: Origin, stanza: Element) -> bool:
    if stanza.get("type") != "get":
        return False
    query = stanza[0]
    if query.tag == f"{{{PING}}}ping":
        origin.send(reply(stanza))
        return True
    if query.tag not in {f"{{{DISCO_INFO}}}query", f"{{{DISCO_ITEMS}}}query"}:
        return False
    if query.get("node"):
        origin.send(error_reply(stanza, "cancel", "item-not-found", "Node does not exist"))
        return True
    answer = reply(stanza)
    result = add(answer, query.tag)
    if query.tag == f"{{{DISCO_INFO}}}query":
        add(result, "identity", category="server", type="im", name="GRE loopback router, for tests only")
        for feature in SERVER_FEATURES:
            add(result, "feature", var=feature)
    else:
        for component in router.components:
            if component.endswith(f".{router.domain}"):
                add(result, "item", jid=component)
    origin.send(answer)
    return True


def _for_account(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> bool:
    child = stanza[0]
    kind = stanza.get("type")
    if to is None and isinstance(origin, Session):
        if child.tag == f"{{{roster.ROSTER}}}query":
            roster.answer(router, origin, stanza)
            return True
        if kind == "set" and child.tag in {
            f"{{{messages.CARBONS}}}enable",
            f"{{{messages.CARBONS}}}disable",
        }:
            origin.carbons = child.tag.endswith("enable")
            origin.send(reply(stanza))
            return True
    if kind == "get" and child.tag == f"{{{PING}}}ping":
        origin.send(reply(stanza))
        return True
    if kind == "get" and child.tag in {f"{{{DISCO_INFO}}}query", f"{{{DISCO_ITEMS}}}query"}:
        return _account_disco(router, origin, stanza, to)
    return pep.answer(router, origin, stanza, to)


def _account_disco(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> bool:
    account = origin.account if to is None else router.account(to)
    if account is None or (to is not None and not account.lets_see(jids.bare(stanza.get("from", "")))):
        return False
    query = stanza[0]
    answer = reply(stanza)
    answer.set("from", account.bare)
    node = query.get("node")
    result = add(answer, query.tag, node=node or None)
    info = query.tag == f"{{{DISCO_INFO}}}query"
    if node:
        problem = pep_disco.describe_node(account, stanza, result, node, info=info)
        origin.send(answer if problem is None else problem)
        return True
    if info:
        add(result, "identity", category="account", type="registered")
        pep_disco.describe(result)
    else:
        pep_disco.list_nodes(account, result)
    origin.send(answer)
    return True
