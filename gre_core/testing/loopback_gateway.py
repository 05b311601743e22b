"""A gateway whose network are its own users: what one sends to another's address, the other gets. It holds no key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import PeerError, Refused
from gre_core.gateway import GatewayEngine
from gre_core.jid_escape import unescape
from gre_core.slixmpp import attach_gateway
from gre_core.testing.slix import make_component, offline, online

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from gre_core.negotiation import Pair
    from gre_core.ports import Item
    from gre_core.slixmpp.gateway import Gateway
    from gre_core.testing.server import XmppServer
    from gre_core.user_messages import Relayed

__all__ = ["LoopbackGateway"]

_NOBODY: Final = "Nobody has that address."


class LoopbackGateway:
    """The other side of a program that is tried out: with it two clients write each other through a real gateway.

    Example::

        addresses = {"juliet@localhost": "juliet@example.org", "romeo@localhost": "romeo@example.org"}
        async with (
            LoopbackServer(
                accounts={"juliet": "a", "romeo": "b"}, components={"mail.localhost": "c"}
            ) as server,
            LoopbackGateway(server, "mail.localhost", addresses, [(formatter("mime"), encrypter("openpgp"))]),
        ):
            ...  # juliet writes to romeo\\40example.org@mail.localhost

    The users' pubsub nodes are also those of their addresses, so that each finds the other's keys.

    Attributes:
        gateway: what ``attach_gateway`` gave.
        relayed: what was relayed, oldest first.

    Args:
        server: a running test server.
        domain: one of the component domains of the server.
        addresses: by bare JID of the user.
        pairs: what it carries.
    """

    def __init__(
        self, server: XmppServer, domain: str, addresses: Mapping[str, str], pairs: Iterable[Pair]
    ) -> None:
        self.relayed: list[Relayed] = []
        self._addresses = dict(addresses)
        self._users = {address: user for user, address in self._addresses.items()}
        self._component = make_component(server, domain)
        engine = GatewayEngine(domain, pairs, sender_id=self._address, encrypted_only=True)
        self.gateway: Gateway = attach_gateway(
            self._component, engine, on_encrypted=self._relay, nodes=self._nodes, reconnect=False
        )

    async def __aenter__(self) -> Self:
        await online(self._component)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await offline(self._component)

    async def _address(self, user: str) -> str | None:
        return self._addresses.get(user)

    async def _nodes(self, contact: str, node: str, ids: Sequence[str]) -> Sequence[Item]:
        user = self._users.get(unescape(contact.rpartition("@")[0]))
        if user is None:
            raise PeerError(_NOBODY, condition="item-not-found")
        items = await self.gateway.ports.pubsub.items(user, node)
        return [item for item in items if not ids or item.id in ids]

    async def _relay(self, message: Relayed) -> None:
        recipients = [*message.recipients, *message.hidden]
        users = [self._users.get(each.legacy_id) for each in recipients]
        if None in users:
            raise Refused(_NOBODY, condition="item-not-found", error_type="cancel")
        self.relayed.append(message)
        pair = message.formatter, message.encrypter
        for user in filter(None, users):
            self.gateway.deliver(user, message.sender_id, pair, message.body, message.id or "")
