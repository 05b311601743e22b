"""The program: one component, one way out to a relay, one door for mail, tied together.

::

    await App(config.load(Path("gateway.toml"))).run(stop, ready=print)
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from gre_openpgp.keydirectory import KeyDirectory
from slixmpp import ComponentXMPP

from gre_core.gateway import GatewayEngine
from gre_core.log import get_logger
from gre_core.registry import Plugins
from gre_core.slixmpp.gateway import attach_gateway
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.config import ConfigError
from gre_gateway_email.keys.xep0373_nodes import ContactKeys, UserKeys
from gre_gateway_email.mail.addresses import check_address
from gre_gateway_email.mail.listener import Listener
from gre_gateway_email.mail.relay import Relay
from gre_gateway_email.relaying.delivery import Delivery
from gre_gateway_email.relaying.inbound import Inbound
from gre_gateway_email.relaying.journal import Journal
from gre_gateway_email.relaying.outbound import Outbound
from gre_gateway_email.relaying.spool import Spool
from gre_gateway_email.relaying.users import Users
from gre_gateway_email.xmpp.courier import XmppCourier
from gre_gateway_email.xmpp.data_fields import contributors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gre_core.api import DataContributor, DataField, DataProvider, DataRequest
    from gre_core.errors import PeerError
    from gre_core.gateway import Plain, Relayed
    from gre_core.ports import Ports
    from gre_gateway_email.config import Config

DRAIN_SECONDS: Final = 10.0
"""How long a stop waits for mails that are under way."""

_FINAL: Final = frozenset({"not-authorized", "host-unknown"})
"""Trying again does not help: the configuration, here or there, is wrong."""

_QUIET: Final = ("slixmpp", "mail.log", "aiosmtplib", "asyncio")

_log = get_logger(__name__)


class App:
    """One running gateway.

    Arguments:
        config: what it is told.

    Raises:
        ConfigError: nothing can be carried.
        StoreError: the state directory cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._users = Users(config.users)
        self._carriers = load_carriers()
        state = config.state
        courier = XmppCourier()
        self._spool = Spool(state / "spool")
        self._journal = Journal(state / "relayed.journal")
        self._delivery = Delivery(self._spool, courier)
        self._relay = Relay(config.smtp)
        engine = GatewayEngine(
            config.xmpp.domain,
            self._carriers.pairs,
            sender_id=self._users.sender_id,
            check_legacy_id=check_address,
            contributors=self._contributors(),
            encrypted_only=config.encrypted_only,
            max_size=config.max_encrypted,
        )
        self._component = ComponentXMPP(
            config.xmpp.domain, config.xmpp.secret, config.xmpp.host, config.xmpp.port
        )
        directory = None if config.keys.directory is None else KeyDirectory(config.keys.directory)
        self._gateway = attach_gateway(
            self._component,
            engine,
            on_encrypted=self._on_encrypted,
            on_plain=None if config.encrypted_only else self._on_plain,
            on_receipt=self._on_receipt,
            on_error=self._on_error,
            nodes=ContactKeys(directory).nodes,
            identity=("gateway", "smtp", "Email"),
            max_stanza=config.limits.max_stanza,
        )
        courier.attach(self._gateway)
        loop = asyncio.get_running_loop()
        self._user_keys = UserKeys(self._gateway.ports.pubsub, self._users.address_of, loop.time)
        self._outbound = Outbound(self._carriers, self._relay, self._journal, self._user_keys.autocrypt)
        inbound = Inbound(
            self._users,
            self._carriers,
            self._spool,
            self._delivery,
            encrypted_only=config.encrypted_only,
            max_encrypted=config.max_encrypted,
        )
        self._listener = Listener(config.listen, inbound)
        self._session = asyncio.Event()
        self._rejected = asyncio.Event()
        self._component.add_event_handler("session_start", self._on_session)
        self._component.add_event_handler("stream_error", self._on_stream_error)
        self._component.add_event_handler("connection_failed", self._on_connection_failed)

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """Work until ``stop`` is set.

        Arguments:
            stop: ends the work in order.
            ready: called once with a line, when mail and XMPP both work.

        Raises:
            ConfigError: the XMPP server does not accept the gateway.
            OSError: the listener's address cannot be used.
            StoreError: the spool cannot be read.
        """
        await self._listener.start()
        try:
            self._delivery.start()
            self._component.connect()
            if await _first(self._session, self._rejected, stop) is self._session:
                ready(self._ready_line())
                await _first(self._rejected, stop)
            if self._rejected.is_set():
                raise ConfigError(
                    f"{self._config.path}: the XMPP server does not accept {self._config.xmpp.domain} with this secret"
                )
        finally:
            await self._close()

    def _ready_line(self) -> str:
        config = self._config
        pairs = ", ".join(f"{formatter} with {encrypter}" for formatter, encrypter in self._carriers.pairs)
        listen = f"{config.listen.protocol.upper()} on {config.listen.host}:{self._listener.port}"
        return f"ready: {config.xmpp.domain}, {listen}, {len(self._users)} user(s), carries {pairs}"

    async def _close(self) -> None:
        await self._listener.stop()
        await self._outbound.drain(DRAIN_SECONDS)
        for user in self._users.jids:
            self._gateway.presences.send(user, "unavailable")
        await self._user_keys.stop()
        await self._delivery.stop()
        if self._component.is_connected():
            await self._component.disconnect(wait=2.0)
        else:
            self._component.abort()
        await self._relay.close()
        self._journal.close()

    def _contributors(self) -> Iterable[tuple[DataProvider, DataContributor]]:
        plugins = Plugins.discover(allow=self._config.plugins)
        for problem in plugins.problems:
            _log.error("plugin-problem", plugin=problem.plugin, stage=problem.stage)
        found = [
            (provider, _Later(provider, lambda: self._gateway.ports)) for provider in plugins.data_providers
        ]
        return (*contributors(self._users, self._config.max_encrypted), *found)

    # -- events --------------------------------------------------------------------------------------

    def _on_session(self, _event: object = None) -> None:
        _log.info("xmpp-connected", peer_domain=self._config.xmpp.domain)
        for user in self._users.jids:
            # Some clients let only subscribers read their keys: ask. Who agreed before is not asked again.
            self._gateway.presences.greet(user, subscribe=True)
        self._delivery.connected()
        self._session.set()

    def _on_stream_error(self, error: Any) -> None:
        condition = str(error["condition"])
        _log.error("xmpp-refused", condition=condition)
        if condition in _FINAL:
            self._rejected.set()

    def _on_connection_failed(self, _error: object) -> None:
        _log.warning("xmpp-unreachable", peer_domain=self._config.xmpp.host)

    async def _on_encrypted(self, message: Relayed) -> None:
        await self._outbound.encrypted(message)

    async def _on_plain(self, message: Plain) -> None:
        await self._outbound.plain(message)

    async def _on_receipt(self, user: str, stanza_id: str) -> None:
        self._delivery.receipt(stanza_id, user)

    async def _on_error(self, user: str, stanza_id: str, error: PeerError) -> None:
        self._delivery.refused(stanza_id, user, error)


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


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """Wait until one of the events is set; give the first of them that is."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return next(event for event in events if event.is_set())


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


def set_up_logging(level: str) -> None:
    """Write the log to standard error. Libraries that would log stanzas or addresses stay quiet."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
