"""slixmpp clients and components for the test servers: plain login on 127.0.0.1, nothing verified."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from slixmpp import BaseXMPP, ClientXMPP, ComponentXMPP

from gre_core.testing.server import TestServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_core.testing.server import XmppServer


_ADDRESSES: WeakKeyDictionary[BaseXMPP, tuple[str, int]] = WeakKeyDictionary()


@cache
def _ssl_context() -> ssl.SSLContext:
    # Made once: each default context costs slixmpp 50 to 70 ms, and none is used here.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def make_client(
    server: XmppServer,
    user: str,
    resource: str | None = None,
    plugins: Sequence[str] = (),
    *,
    password: str | None = None,
) -> ClientXMPP:
    """Return a client for an account of ``server``; not connected yet, see :func:`online`.

    Args:
        server: a running test server.
        user: the local part of the JID.
        resource: asked for; the server chooses one when it is None.
        plugins: slixmpp plugins to register, such as ``xep_0030``.
        password: when it is not the right one from ``server.accounts``.
    """
    jid = f"{user}@{server.domain}" + (f"/{resource}" if resource else "")
    secret = server.accounts[user] if password is None else password
    client = ClientXMPP(jid, secret, ssl_context=_ssl_context())
    client.enable_direct_tls = False
    client.enable_starttls = False
    client.enable_plaintext = True
    mechanisms = cast("dict[str, Any]", client.plugin)["feature_mechanisms"]
    mechanisms.unencrypted_plain = True
    mechanisms.unencrypted_scram = True
    for plugin in plugins:
        client.register_plugin(plugin)
    _ADDRESSES[client] = (server.host, server.c2s_port)
    return client


def make_component(
    server: XmppServer, domain: str, plugins: Sequence[str] = (), *, fix_error_ns: bool = False
) -> ComponentXMPP:
    """Return a component for a domain of ``server.components``; not connected yet, see :func:`online`.

    Args:
        server: a running test server.
        domain: the component's domain.
        plugins: slixmpp plugins to register.
        fix_error_ns: read received errors rightly. It changes slixmpp's error class for the whole process,
            so that clients in the same process no longer read theirs.
    """
    component = ComponentXMPP(
        domain, server.components[domain], server.host, server.component_port, fix_error_ns=fix_error_ns
    )
    for plugin in plugins:
        component.register_plugin(plugin)
    _ADDRESSES[component] = (server.host, server.component_port)
    return component


async def online(xmpp: ClientXMPP | ComponentXMPP, timeout: float = 60) -> None:  # noqa: ASYNC109
    """Connect, and return when the session has started.

    Args:
        xmpp: from :func:`make_client` or :func:`make_component`.
        timeout: seconds.

    Raises:
        TestServerError: the login was refused, or there was no session in time.
    """
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def success(_event: object) -> None:
        if not started.done():
            started.set_result(None)

    def failure(event: object) -> None:
        if not started.done():
            message = f"{xmpp.boundjid}: the login was refused. {event or ''}".rstrip()
            started.set_exception(TestServerError(message))

    handlers = (("session_start", success), ("failed_all_auth", failure), ("stream_error", failure))
    for name, handler in handlers:
        xmpp.add_event_handler(name, handler)
    try:
        xmpp.connect(*_ADDRESSES[xmpp])
        async with asyncio.timeout(timeout):
            await started
    except TimeoutError:
        message = f"{xmpp.boundjid} had no session within {timeout:g} s."
        raise TestServerError(message) from None
    finally:
        for name, handler in handlers:
            xmpp.del_event_handler(name, handler)


async def offline(xmpp: ClientXMPP | ComponentXMPP, timeout: float = 5) -> None:  # noqa: ASYNC109
    """Disconnect, and return when the connection is closed.

    Args:
        xmpp: connected or not.
        timeout: seconds after which the connection is cut.
    """
    if not xmpp.is_connected():
        return
    done = xmpp.disconnect(wait=0.5)
    try:
        async with asyncio.timeout(timeout):
            await done
    except TimeoutError:
        xmpp.abort()
