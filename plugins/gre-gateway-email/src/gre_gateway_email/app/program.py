"""Starts and stops everything in its order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError
from gre_core.log import get_logger
from gre_gateway_email.app.file_side import FileSide
from gre_gateway_email.app.incoming import Incoming
from gre_gateway_email.app.key_side import KeySide
from gre_gateway_email.app.outgoing import Outgoing
from gre_gateway_email.app.requests import OperatorRequests
from gre_gateway_email.app.xmpp_side import XmppSide, load_carriers
from gre_gateway_email.config import ConfigError
from gre_gateway_email.mail.reply_ids import ReplyIds
from gre_gateway_email.operate.control import ControlSocket
from gre_gateway_email.operate.operations import Operations
from gre_gateway_email.relaying.clock import SteadyClock
from gre_gateway_email.relaying.housekeeping import keep_house
from gre_gateway_email.relaying.quotas import Quotas
from gre_gateway_email.store import default_url, open_store
from gre_gateway_email.xmpp.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gre_gateway_email.config import Config
    from gre_gateway_email.store import Store
    from gre_gateway_email.store.records import User

ENVELOPE_IDS: Final = "envelope-ids"
"""Name of the secret that ids are made with which come back in reports and answers."""

_log = get_logger(__name__)


class App:
    """One gateway.

    Arguments:
        config: what it is told.

    Raises:
        ConfigError: nothing can be carried.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._carriers = load_carriers()
        self._now = SteadyClock()
        self._operations = Operations(config, self._now)

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """Work until ``stop`` is set.

        Arguments:
            stop: ends the work in order.
            ready: called once with a line, when mail and XMPP both work.

        Raises:
            ConfigError: the XMPP server does not accept the gateway.
            OSError: an address to listen on cannot be used.
            StoreError: the database cannot be used, or another gateway uses it.
        """
        config, operations = self._config, self._operations
        operations.take()
        # What is pushed last is stopped first.
        async with AsyncExitStack() as stack:
            stack.push_async_callback(operations.stop)
            taken = asyncio.Event()
            store = await open_store(config.database or default_url(config.state), self._now, claim=taken.set)
            stack.push_async_callback(store.close)
            await store.users.sync_config(config.users)
            await store.wake(self._now())
            await operations.start(store)
            xmpp = await self._start_rooms(store, stack)
            xmpp.connect()
            first = await _first(xmpp.session, xmpp.rejected, taken, stop)
            if first is xmpp.session:
                ready(await self._ready_line(store))
                await _first(xmpp.rejected, taken, stop)
            if taken.is_set():
                raise StoreError("Another gateway has taken the database of this one.")
            if xmpp.rejected.is_set():
                raise ConfigError(
                    f"{config.path}: the XMPP server does not accept {config.xmpp.domain} with this secret"
                )

    async def _start_rooms(self, store: Store, stack: AsyncExitStack) -> XmppSide:
        config, now, events = self._config, self._now, self._operations.metrics
        keys = KeySide(config, store, now)
        secret = await store.secret(ENVELOPE_IDS)
        reply_ids = ReplyIds(secret)
        xmpp = XmppSide(config, store, self._carriers, keys.nodes, reply_ids, self._on_connected)
        keys.attach(xmpp.gateway)
        files = FileSide(config.files, xmpp.gateway.stream, reply_ids)
        quotas = Quotas(store, config.limits)
        outgoing = Outgoing(
            config,
            store,
            self._carriers,
            xmpp.answers,
            quotas,
            keys.autocrypt,
            secret,
            now=now,
            events=events,
            write=files.write,
        )

        def replayed() -> None:
            outgoing.sending.wake()
            incoming.delivery.wake()

        xmpp.services = services = Services(
            xmpp.gateway,
            config,
            store,
            own_key_seen=keys.sees_key_of,
            send_test=outgoing.send_test,
            replayed=replayed,
        )

        async def taken(users: Sequence[User], sender: str, content: bytes) -> None:
            services.roster.wrote(sender, users)
            await keys.taken(users, sender, content)

        incoming = Incoming(
            config,
            store,
            self._carriers,
            xmpp.courier,
            quotas,
            secret,
            reported=outgoing.sending.wake,
            taken=taken,
            now=now,
            events=events,
            read=files.read,
        )
        xmpp.outbound, xmpp.delivery = outgoing.outbound, incoming.delivery
        store.on_forget(outgoing.sending.forget)
        store.on_forget(incoming.delivery.forget)
        house = asyncio.get_running_loop().create_task(keep_house(store, config.retention))
        stack.callback(house.cancel)
        stack.push_async_callback(keys.stop)
        await keys.start()
        stack.push_async_callback(xmpp.close)
        stack.push_async_callback(outgoing.stop)
        outgoing.start()
        stack.push_async_callback(incoming.stop)
        await incoming.start()
        stack.callback(self._operations.listening, None)
        self._operations.listening(incoming.listener.port)
        self._port = incoming.listener.port
        requests = OperatorRequests(store, services.relations, replayed)
        control = ControlSocket(config.state, requests.all())
        stack.push_async_callback(control.stop)
        await control.start()
        return xmpp

    async def _ready_line(self, store: Store) -> str:
        config = self._config
        pairs = ", ".join(f"{formatter} with {encrypter}" for formatter, encrypter in self._carriers.pairs)
        listen = f"{config.listen.protocol.upper()} on {config.listen.host}:{self._port}"
        return f"ready: {config.xmpp.domain}, {listen}, {await store.users.count()} user(s), carries {pairs}"

    def _on_connected(self, yes: bool) -> None:  # noqa: FBT001 - a state, and the only argument
        self._operations.connected(yes=yes)


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """Wait until one of the events is set; give the first of them that is."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return next(event for event in events if event.is_set())
