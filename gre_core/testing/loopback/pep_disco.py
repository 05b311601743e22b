"""What an account says about its nodes (XEP-0030, XEP-0163 section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback.nodes import write_metadata
from gre_core.testing.loopback.stanza import add, error_reply

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account

_PUBSUB: Final = "http://jabber.org/protocol/pubsub"
_FEATURES: Final = (
    "access-presence",
    "auto-create",
    "auto-subscribe",
    "config-node",
    "config-node-max",
    "create-and-configure",
    "create-nodes",
    "delete-items",
    "delete-nodes",
    "filtered-notifications",
    "instant-nodes",
    "item-ids",
    "last-published",
    "meta-data",
    "multi-items",
    "persistent-items",
    "presence-notifications",
    "presence-subscribe",
    "publish",
    "publish-options",
    "purge-nodes",
    "retract-items",
    "retrieve-items",
    "subscribe",
)


def describe(query: Element) -> None:
    """Add the identity and the features of the publish-subscribe service."""
    add(query, "identity", category="pubsub", type="pep")
    add(query, "feature", var=_PUBSUB)
    for feature in _FEATURES:
        add(query, "feature", var=f"{_PUBSUB}#{feature}")


def list_nodes(account: Account, query: Element) -> None:
    """Add one entry for each node."""
    for node in account.nodes.values():
        title = node.get("title")
        add(query, "item", jid=account.bare, node=node.name, name=str(title) if title is not None else None)


def describe_node(
    account: Account, stanza: Element, query: Element, name: str, *, info: bool
) -> Element | None:
    """Add what is to be known about one node, or return the error."""
    node = account.nodes.get(name)
    if node is None:
        return error_reply(stanza, "cancel", "item-not-found")
    if info:
        add(query, "identity", category="pubsub", type="leaf")
        write_metadata(node, query)
    else:
        for identifier in node.items:
            add(query, "item", jid=account.bare, name=identifier)
    return None
