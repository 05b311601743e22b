"""The HTTP server of the Web Key Directory, on loopback behind the operator's web server, which does TLS.

========================================================  =========================
path                                                      answer
========================================================  =========================
``/.well-known/openpgpkey/DOMAIN/hu/HASH`` (advanced)     the keys
``/.well-known/openpgpkey/hu/HASH`` (direct)              the same; DOMAIN is the Host
``.../policy``                                            empty
========================================================  =========================
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gre_core.errors import StoreError
from gre_core.log import get_logger
from gre_gateway_email.keys.publishing import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.config import Http
    from gre_gateway_email.keys.publishing import Publishing

MAX_AGE: Final = 15
"""Seconds for which others may remember an answer."""

BURST: Final = 60
"""Requests that one client may make at once; then one a second."""

MAX_CLIENTS: Final = 10_000
"""How many clients are counted apart."""

ROOT: Final = "/.well-known/openpgpkey"
_HASH: Final = re.compile(r"[ybndrfg8ejkmcpqxot1uwisza345h769]{32}")
_HOST: Final = re.compile(r"([A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?")
_HEADERS: Final = {
    "Cache-Control": f"public, max-age={MAX_AGE}, no-transform",
    "Access-Control-Allow-Origin": "*",
    "X-Content-Type-Options": "nosniff",
}
_LOOPBACK: Final = ("127.", "::1")

_log = get_logger(__name__)


class WkdServer:
    """Answers over HTTP.

    Arguments:
        settings: where it listens.
        publishing: gives the keys.
        clock: in seconds, that never goes back.
    """

    def __init__(
        self, settings: Http, publishing: Publishing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._publishing = publishing
        self._limit = _RateLimit(clock)
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port, once started."""
        return int(self._runner.addresses[0][1]) if self._runner is not None else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be used.
        """
        app = web.Application(client_max_size=1024)
        app.router.add_get(f"{ROOT}/hu/{{hash}}", self._key)
        app.router.add_get(f"{ROOT}/policy", self._policy)
        app.router.add_get(f"{ROOT}/{{domain}}/hu/{{hash}}", self._key)
        app.router.add_get(f"{ROOT}/{{domain}}/policy", self._policy)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=15)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.host, self._settings.port, backlog=64).start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _policy(self, request: web.Request) -> web.Response:
        if self._domain(request) is None:
            return _not_found()
        return web.Response(text="", content_type="text/plain", headers=_HEADERS)

    async def _key(self, request: web.Request) -> web.Response:
        if not self._limit.allows(_client(request)):
            return _error(429, "Too many requests")
        domain, digest = self._domain(request), request.match_info["hash"].lower()
        if domain is None or _HASH.fullmatch(digest) is None:
            return _not_found()
        try:
            keys = await self._publishing.by_hash(domain, digest)
        except Unavailable:
            return _error(503, "The key cannot be read now")
        except StoreError as error:
            _log.error("wkd-store-failed", code=error.code)
            return _error(503, "The key cannot be read now")
        if keys is None:
            return _not_found()
        return web.Response(body=keys, content_type="application/octet-stream", headers=_HEADERS)

    def _domain(self, request: web.Request) -> str | None:
        name = request.match_info.get("domain")
        if name is None:
            host = _HOST.fullmatch(request.host or "")
            name = host[1] if host else ""
        name = name.lower()
        return name if name in self._publishing.domains else None


class _RateLimit:
    """A bucket of tokens for each client."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        now = self._clock()
        left, at = self._clients.pop(client, (float(BURST), now))
        left = min(left + now - at, BURST)
        allowed = left >= 1
        self._clients[client] = (left - 1 if allowed else left), now
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return allowed


def _client(request: web.Request) -> str:
    """Name who asks: what the operator's own web server adds last to X-Forwarded-For, if the request comes from it."""
    peer = request.remote or ""
    if peer.startswith(_LOOPBACK):
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if forwarded:
            return forwarded[-1].rpartition(",")[2].strip()[:64]
    return peer


def _not_found() -> web.Response:
    return web.Response(status=404, text="There is no such key\n", headers=_HEADERS)


def _error(status: int, text: str) -> web.Response:
    headers = {"Cache-Control": "no-store", "Retry-After": "60"}
    return web.Response(status=status, text=f"{text}. Try again in a minute\n", headers=headers)
