"""The HTTP server for machines that watch: ``/metrics``, ``/health/live`` and ``/health/ready``, on loopback.

::

    $ curl http://127.0.0.1:8095/health/ready
    {"ready": false, "problems": {"xmpp": "not connected to the XMPP server; it tries again"}}
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gre_gateway_email.config import Http

PATIENCE: Final = 5.0
"""How long one check may take, in seconds."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """Answers whether the gateway lives, is ready, and what it counted.

    Arguments:
        settings: where it listens.
        metrics: gives the text for ``/metrics``.
        checks: by name what has to be right; each gives ``""``, or what is wrong in words without any address.
    """

    def __init__(
        self,
        settings: Http,
        metrics: Callable[[], Awaitable[bytes]],
        checks: Mapping[str, Callable[[], Awaitable[str]]],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._checks = checks
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Begin to listen, and give the port.

        Raises:
            OSError: the address cannot be used.
        """
        app = web.Application(client_max_size=1024)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop to listen."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(PATIENCE):
                body = await self._metrics()
        except (GreError, TimeoutError):
            return web.Response(status=503, text="The database does not answer.\n")
        return web.Response(body=body, headers={"Content-Type": _METRICS_TYPE})

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        answers = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        problems = {name: answer for name, answer in zip(self._checks, answers, strict=True) if answer}
        return web.json_response(
            {"ready": not problems, "problems": problems}, status=503 if problems else 200
        )


async def _ask(check: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return f"gives no answer within {PATIENCE:.0f} seconds"
    except GreError as error:
        return type(error).__name__
