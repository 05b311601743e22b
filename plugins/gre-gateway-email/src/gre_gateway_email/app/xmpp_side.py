"""The XMPP side: the component with all that answers users, and its session."""

from __future__ import annotations

import asyncio
from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any, Final

from slixmpp import ComponentXMPP

from gre_core.errors import Refused
from gre_core.gateway import GatewayEngine
from gre_core.log import get_logger
from gre_core.registry import Plugins
from gre_core.slixmpp.gateway import attach_gateway
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.config import ConfigError
from gre_gateway_email.mail.addresses import check_address
from gre_gateway_email.mail.reply_ids import stored_id
from gre_gateway_email.xmpp.answers import XmppAnswers
from gre_gateway_email.xmpp.courier import XmppCourier
from gre_gateway_email.xmpp.data_fields import contributors
from gre_gateway_email.xmpp.subscriptions import StoredSubscriptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gre_core.api import DataContributor, DataField, DataProvider, DataRequest
    from gre_core.errors import PeerError
    from gre_core.gateway import Later, Plain, Relayed
    from gre_core.ports import Ports
    from gre_core.slixmpp.ports import NodesFor
    from gre_gateway_email.config import Config
    from gre_gateway_email.mail.reply_ids import ReplyIds
    from gre_gateway_email.relaying.delivery import Delivery
    from gre_gateway_email.relaying.outbound import Outbound
    from gre_gateway_email.store.store import Store
    from gre_gateway_email.xmpp.services import Services

_FINAL: Final = {"not-authorized": 1, "host-unknown": 5}
"""After so many refusals without a session the configuration is wrong, here or there; trying again does not help.

A server that starts listens before it knows all of its components.
"""

_log = get_logger(__name__)


class XmppSide:
    """The component. Connect it when both directions are bound to it.

    Arguments:
        config: what the gateway is told.
        store: who is registered.
        carriers: what can be carried.
        nodes: serves the pubsub nodes of contacts.
        reply_ids: makes the ids of plain messages.
        connected: told whether there is a session.

    Attributes:
        gateway: attached to the component.
        courier: brings messages to users.
        answers: brings receipts and errors to users.
        session: set when there was a first session.
        rejected: set when the server does not accept the gateway.
    """

    outbound: Outbound
    """Takes what users send; bound before the component connects."""
    delivery: Delivery
    """Told what became of what users got; bound before the component connects."""
    services: Services
    """Answers what users ask of the gateway itself; bound before the component connects."""

    def __init__(
        self,
        config: Config,
        store: Store,
        carriers: Carriers,
        nodes: NodesFor,
        reply_ids: ReplyIds,
        connected: Callable[[bool], None],
    ) -> None:
        self._config = config
        self._store = store
        self._connected = connected
        engine = GatewayEngine(
            config.xmpp.domain,
            carriers.pairs,
            sender_id=self._sender_id,
            check_legacy_id=check_address,
            contributors=self._contributors(),
            encrypted_only=config.encrypted_only,
            encrypted_only_for=self._encrypted_only,
            max_size=config.max_encrypted,
        )
        self._component = ComponentXMPP(
            config.xmpp.domain, config.xmpp.secret, config.xmpp.host, config.xmpp.port
        )
        self.gateway = attach_gateway(
            self._component,
            engine,
            on_encrypted=self._on_encrypted,
            on_plain=None if config.encrypted_only else self._on_plain,
            on_receipt=self._on_receipt,
            on_error=self._on_error,
            nodes_for=nodes,
            subscriptions=StoredSubscriptions(store.contacts),
            identity=("gateway", "smtp", "Email"),
            max_stanza=config.limits.max_stanza,
        )
        self.courier = XmppCourier(self.gateway, reply_ids)
        self.answers = XmppAnswers(self.gateway)
        self.session = asyncio.Event()
        self.rejected = asyncio.Event()
        self._refusals: Counter[str] = Counter()
        self.gateway.presences.on_change(self._on_presence)
        self._component.add_event_handler("session_start", self._on_session)
        self._component.add_event_handler("disconnected", self._on_disconnected)
        self._component.add_event_handler("stream_error", self._on_stream_error)
        self._component.add_event_handler("connection_failed", self._on_connection_failed)

    def connect(self) -> None:
        """Connect, and again after each loss."""
        self._component.connect()

    async def close(self) -> None:
        """Tell the users, and disconnect."""
        if not self._component.is_connected():
            self._component.abort()
            return
        await self.services.relations.leave_all()
        await self._component.disconnect(wait=2.0)

    # -- who the users are ---------------------------------------------------------------------------

    async def _sender_id(self, jid: str) -> str | None:
        user = await self._store.users.get(jid)
        if user is None:
            return None
        if user.blocked:
            raise Refused(
                "The operator of this gateway has blocked you. Ask them why.",
                condition="forbidden",
                error_type="auth",
            )
        return user.addresses[0]

    async def _encrypted_only(self, jid: str) -> bool:
        user = await self._store.users.get(jid)
        return user is not None and user.encrypted_only

    def _contributors(self) -> Iterable[tuple[DataProvider, DataContributor]]:
        plugins = Plugins.discover(allow=self._config.plugins)
        for problem in plugins.problems:
            if problem.stage == "ambiguous":
                continue  # which of several encrypters to use is for clients to say: a gateway uses none
            _log.error("plugin-problem", plugin=problem.plugin, stage=problem.stage)
        found = [
            (provider, _Later(provider, lambda: self.gateway.ports)) for provider in plugins.data_providers
        ]
        return (*contributors(self._store.users, self._config.max_encrypted), *found)

    # -- events --------------------------------------------------------------------------------------

    def _on_session(self, _event: object = None) -> None:
        _log.info("xmpp-connected", peer_domain=self._config.xmpp.domain)
        self._connected(True)  # noqa: FBT003 - a state, and the only argument
        self._refusals.clear()
        self.courier.new_stream()
        self.services.relations.greet_all(self.courier.all_asked)
        self.delivery.connected()
        self.session.set()

    def _on_disconnected(self, _event: object = None) -> None:
        self._connected(False)  # noqa: FBT003 - a state, and the only argument

    def _on_stream_error(self, error: Any) -> None:
        condition = str(error["condition"])
        _log.error("xmpp-refused", condition=condition)
        self._refusals[condition] += 1
        if self._refusals[condition] >= _FINAL.get(condition, inf):
            self.rejected.set()

    def _on_connection_failed(self, _error: object) -> None:
        _log.warning("xmpp-unreachable", peer_domain=self._config.xmpp.host)

    def _on_presence(self, user: str, there: bool) -> None:  # noqa: FBT001 - as the presences call it
        if there:
            self.delivery.user_came(user)
        else:
            self.delivery.user_left(user)

    async def _on_encrypted(self, message: Relayed) -> Later | None:
        return await self.outbound.encrypted(message)

    async def _on_plain(self, message: Plain) -> Later | None:
        return await self.outbound.plain(message)

    async def _on_receipt(self, user: str, stanza_id: str) -> None:
        await self.delivery.receipt(stored_id(stanza_id), user)

    async def _on_error(self, user: str, stanza_id: str, error: PeerError) -> None:
        await self.delivery.refused(stored_id(stanza_id, parts=True), user, error)


class _Later:
    """A contributor that is made at the first request, when the gateway and its ports are there."""

    def __init__(self, provider: DataProvider, ports: Callable[[], Ports]) -> None:
        self._provider = provider
        self._ports = ports
        self._made: DataContributor | None = None

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        if self._made is None:
            self._made = self._provider.make(self._ports())
        return await self._made.fields(request)


def load_carriers() -> Carriers:
    """Load the installed carriers, and log what is wrong with others.

    Raises:
        ConfigError: there is none.
    """
    carriers = Carriers.discover()
    for problem in carriers.problems:
        _log.error("carrier-problem", plugin=problem.name, stage=problem.error)
    if not carriers.pairs:
        raise ConfigError("No carrier can be used, so nothing can be relayed: run `gre-email-gateway check`")
    return carriers
