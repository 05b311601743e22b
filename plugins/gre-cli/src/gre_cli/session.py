"""A connection of a real account, for as long as a command runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from slixmpp import ClientXMPP

from gre_cli.offering import Offering
from gre_cli.passphrases import Passphrases
from gre_cli.providers import settled
from gre_core.errors import GreError
from gre_core.slixmpp import attach_client
from gre_core.stores import FileStore
from gre_core.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from gre_cli.asking import Asker
    from gre_cli.settings import Settings
    from gre_core.ports import WebAnswer
    from gre_core.slixmpp import Client
    from gre_core.web import HttpsWeb

LOGIN_SECONDS: Final = 30.0
_TRIES: Final = 2
"""How many connections are tried before a command gives up."""
_GOODBYE_SECONDS: Final = 3.0


class LoginFailed(GreError):
    """The account could not be brought online."""

    code = "login"


class _LazyWeb:
    """Loads the HTTPS client (0.2 s) with the first look-up: most commands make none."""

    def __init__(self, proxy: str | None) -> None:
        self._proxy = proxy

    @cached_property
    def _web(self) -> HttpsWeb:
        from gre_core.web import HttpsWeb

        return HttpsWeb(self._proxy)

    async def get(self, url: str, /, *, max_size: int) -> WebAnswer:
        return await self._web.get(url, max_size=max_size)


@asynccontextmanager
async def online(
    settings: Settings,
    asker: Asker,
    *,
    available: bool,
    setup: Callable[[ClientXMPP, Client], None] | None = None,
) -> AsyncGenerator[tuple[ClientXMPP, Client]]:
    """Log in, and log out at the end.

    Arguments:
        settings: which account.
        asker: answers questions.
        available: send presence, so that messages come here, and fetch those that came meanwhile from the account's
            archive. Without it, nothing is taken from other devices.
        setup: called before the connection, to add handlers.

    Raises:
        LoginFailed: it did not work; the text says why.
        ProviderUnclear: several packages provide the same, and nobody said which one to use.
        UsageError: there is no password.
    """
    # Without any handler, logging would print warnings with stanzas to standard error.
    logging.getLogger("slixmpp").addHandler(logging.NullHandler())
    plugins = settled(asker.output, settings)  # before the password: nobody types one for nothing
    xmpp = ClientXMPP(settings.jid, settings.password())
    if settings.insecure_plaintext:
        xmpp.enable_direct_tls = xmpp.enable_starttls = False
        xmpp.enable_plaintext = True
        mechanisms = cast("dict[str, Any]", xmpp.plugin)["feature_mechanisms"]
        mechanisms.unencrypted_plain = mechanisms.unencrypted_scram = True
    worker = WorkerProcess.for_plugins(plugins) if WorkerProcess.supported() else None
    client = attach_client(
        xmpp,
        plugins,
        store=FileStore(settings.directory()),
        policy=settings.policy,
        decide=asker.decide,
        passphrase=Passphrases(asker.output, settings),
        backup=Offering(asker.output),
        web=_LazyWeb(settings.proxy) if settings.wkd else None,
        worker=worker,
        archive=available,
    )
    if setup is not None:
        setup(xmpp, client)
    try:
        await _log_in(xmpp, client, settings)
        if available:
            xmpp.send_presence()
        try:
            yield xmpp, client
        finally:
            await _log_out(xmpp)
    finally:
        if worker is not None:
            await worker.close()


async def _log_in(xmpp: ClientXMPP, client: Client, settings: Settings) -> None:
    failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def fail(why: str) -> None:
        if not failed.done():
            failed.set_result(why)

    xmpp.add_event_handler("failed_all_auth", lambda _: fail("the server refused the password"))
    xmpp.add_event_handler("ssl_invalid_cert", lambda _: fail("the server's certificate is not valid"))
    failures = ["no answer"]

    def refused(why: object) -> None:
        failures.append(str(why)[:200])
        if len(failures) > _TRIES:
            fail(f"its server cannot be reached ({failures[-1]})")

    xmpp.add_event_handler("connection_failed", refused)
    if settings.host is None:
        xmpp.connect()
    else:
        xmpp.connect(settings.host, settings.port)
    ready = asyncio.ensure_future(client.ready.wait())
    try:
        waits: list[asyncio.Future[Any]] = [ready, failed]
        await asyncio.wait(waits, timeout=LOGIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            raise LoginFailed(f"{settings.jid} could not log in: {failed.result()}.")
        if not ready.done():
            where = f"{settings.host}:{settings.port}" if settings.host else "its server"
            raise LoginFailed(
                f"{settings.jid} could not reach {where} within {LOGIN_SECONDS:.0f} seconds ({failures[-1]})."
            )
    except BaseException:
        await _log_out(xmpp)
        raise
    finally:
        ready.cancel()


async def _log_out(xmpp: ClientXMPP) -> None:
    if not xmpp.is_connected():
        xmpp.abort()
        return
    try:
        await asyncio.wait_for(xmpp.disconnect(wait=1.0), _GOODBYE_SECONDS)
    except TimeoutError:
        xmpp.abort()
