"""The pubsub port over slixmpp: for gateways, the nodes of their own contacts without a stanza."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from gre_core import wire
from gre_core.ports import Item
from gre_core.stanza_ports import StanzaPubSub

if TYPE_CHECKING:
    from gre_core.slixmpp.stream import Stream

Nodes = Callable[[str, str, Sequence[str]], Awaitable[Sequence[Item]]]
"""Gives the items of a node of a contact, all or those with the ids; raises ``PeerError``."""

NodesFor = Callable[[str, str, Sequence[str], str], Awaitable[Sequence[Item]]]
"""The same for who asks, whose bare JID comes last; it is ``""`` when the gateway itself wants to know."""


class SlixmppPubSub(StanzaPubSub):
    """The port :class:`gre_core.ports.PubSub`.

    Arguments:
        stream: the stream.
        local: for gateways: the nodes of its own contacts.
        local_domain: the domain of those contacts.
        reader: bare JID of the user for whom they are read, or ``""``.
    """

    def __init__(
        self,
        stream: Stream,
        local: NodesFor | None = None,
        local_domain: str | None = None,
        reader: str = "",
    ) -> None:
        super().__init__(stream)
        self._stream = stream
        self._local = local
        self._local_domain = local_domain
        self._reader = reader

    def seen_by(self, reader: str, /) -> SlixmppPubSub:
        """Give the same port as it is for a user: what a gateway serves can differ from one to another."""
        return SlixmppPubSub(self._stream, self._local, self._local_domain, reader)

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        """Give items of a node (XEP-0060, section 6.5)."""
        if self._local is not None and wire.domain(jid) == self._local_domain:
            return await self._local(jid, node, () if item_id is None else (item_id,), self._reader)
        return await super().items(jid, node, item_id=item_id, max_items=max_items)


def new_id() -> str:
    """Make a random stanza id."""
    return secrets.token_hex(12)
