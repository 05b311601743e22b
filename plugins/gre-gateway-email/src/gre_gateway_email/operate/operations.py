"""All that is shown to the operator while the gateway runs, behind one object.

::

    operations = Operations(config)
    await operations.start(store)
    operations.listening(port)
    operations.connected(yes=True)
    await operations.stop()
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from os import getpid
from typing import TYPE_CHECKING, Protocol

from gre_gateway_email.operate.health import HealthServer
from gre_gateway_email.operate.metrics import Counted, Metrics
from gre_gateway_email.operate.running import Running, RunningFile
from gre_gateway_email.operate.systemd import notify, watchdog_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.config import Config


class _Users(Protocol):
    async def count(self) -> int: ...


class Stored(Counted, Protocol):
    """What is asked of the store."""

    @property
    def users(self) -> _Users:
        """Who is registered."""
        ...


class Operations:
    """Metrics, health, the file that says that a gateway runs, and the service manager.

    Arguments:
        config: what the gateway is told.
        now: seconds since 1970.
    """

    def __init__(self, config: Config, now: Callable[[], float] = time.time) -> None:
        self._config = config
        self._now = now
        self._running = Running(getpid(), version("gre-gateway-email"), now(), config.xmpp.domain)
        self._file = RunningFile(config.state)
        self._store: Stored | None = None
        self._health: HealthServer | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._ready = False
        self.metrics = Metrics(self._running.version, now)
        """Counts what the relaying tells."""

    def take(self) -> None:
        """Take the state directory for this process, before anything there is opened.

        Raises:
            StoreError: another gateway runs with it.
        """
        self._config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.take(self._running)

    async def start(self, store: Stored) -> None:
        """Begin to answer whoever watches.

        Raises:
            OSError: the address for metrics and health cannot be used.
        """
        self._store = store
        if self._config.http.enabled:
            checks = {
                "xmpp": self._check_xmpp,
                "listener": self._check_listener,
                "database": self._check_store,
            }
            self._health = HealthServer(self._config.http, self._metrics, checks)
            port = await self._health.start()
            self._say(replace(self._running, http_port=port))
        if (seconds := watchdog_seconds()) is not None:
            self._watchdog = asyncio.create_task(_watch(seconds))

    def listening(self, port: int | None) -> None:
        """Note where mail is taken; None when no longer."""
        self.metrics.listening(yes=port is not None)
        self._say(replace(self._running, listen_port=port))
        self._tell()

    def connected(self, *, yes: bool) -> None:
        """Note whether the XMPP server accepts the gateway."""
        self.metrics.connected(yes=yes)
        self._say(replace(self._running, connected_at=self._now() if yes else None))
        self._tell()

    async def stop(self) -> None:
        """Say good-bye and let the state directory go."""
        notify("STOPPING=1")
        if self._watchdog is not None:
            self._watchdog.cancel()
            with suppress(asyncio.CancelledError):
                await self._watchdog
        if self._health is not None:
            await self._health.stop()
        self._file.release()

    def _say(self, running: Running) -> None:
        self._running = running
        self._file.write(running)

    def _tell(self) -> None:
        """Tell the service manager; it hears READY once, as soon as mail and XMPP both work."""
        xmpp = self._running.connected_at is not None
        works = xmpp and self._running.listen_port is not None
        words = f"STATUS={'works' if works else 'waits for the XMPP server'}"
        if works and not self._ready:
            self._ready = True
            words = f"READY=1\n{words}"
        notify(words)

    async def _metrics(self) -> bytes:
        assert self._store is not None
        return await self.metrics.text(self._store, await self._store.users.count())

    async def _check_xmpp(self) -> str:
        if self._running.connected_at is None:
            return "not connected to the XMPP server; it tries again"
        return ""

    async def _check_listener(self) -> str:
        return "" if self._running.listen_port is not None else "no mail is taken"

    async def _check_store(self) -> str:
        assert self._store is not None
        await self._store.counts()
        return ""


async def _watch(seconds: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
