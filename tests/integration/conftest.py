"""The same test bodies on the loopback router and on Prosody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gre_core.testing import require
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, make_component, offline, online

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from slixmpp import ClientXMPP, ComponentXMPP

    from gre_core.testing.server import XmppServer

    Connect = Callable[..., Awaitable[ClientXMPP]]
    Attach = Callable[..., Awaitable[ComponentXMPP]]

ACCOUNTS = {"juliet": 'secret "1"\\', "romeo": "secret2"}
COMPONENTS = {"mail.localhost": "secret3", "away.localhost": "secret4"}


@pytest.fixture
def openpgp_package() -> str:
    """The package for OpenPGP that the command ``gre`` uses: here both are installed."""
    return "gre-encrypter-openpgp"


@pytest.fixture(autouse=True)
def _gre_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openpgp_package: str) -> None:
    folder = tmp_path / "gre-config"
    folder.mkdir()
    prefer = f'"urn:xmpp:gre:encrypter:openpgp:0" = "{openpgp_package}"'
    (folder / "config.toml").write_text(f"[plugins]\nprefer = {{ {prefer} }}\n")
    monkeypatch.setenv("GRE_CONFIG", str(folder / "config.toml"))


@pytest.fixture(params=["loopback", "prosody"])
def server_class(request: pytest.FixtureRequest) -> type[LoopbackServer | ProsodyServer]:
    """The two servers, for tests that start one with options of their own."""
    if request.param == "loopback":
        return LoopbackServer
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


@pytest.fixture
async def server(server_class: type[LoopbackServer | ProsodyServer]) -> AsyncIterator[XmppServer]:
    """A running server: juliet and romeo, mail.localhost and away.localhost."""
    async with server_class(accounts=ACCOUNTS, components=COMPONENTS) as running:
        yield running


@pytest.fixture
async def connect(server: XmppServer) -> AsyncIterator[Connect]:
    """``await connect(user, resource, plugins=(), priority=0)``: a client that is online."""
    clients: list[ClientXMPP] = []

    async def connect_client(
        user: str, resource: str | None = None, *, plugins: tuple[str, ...] = (), priority: int | None = 0
    ) -> ClientXMPP:
        client = make_client(server, user, resource, plugins)
        clients.append(client)
        await online(client)
        if priority is not None:
            shown = asyncio.Event()
            client.add_event_handler("presence_available", lambda _: shown.set(), disposable=True)
            client.send_presence(ppriority=priority)
            async with asyncio.timeout(30):
                await shown.wait()
        return client

    yield connect_client
    for client in clients:
        await offline(client)


@pytest.fixture
async def attach(server: XmppServer) -> AsyncIterator[Attach]:
    """``await attach(domain, plugins=())``: a component that is connected, closed at the end."""
    components: list[ComponentXMPP] = []

    async def attach_component(
        domain: str = "mail.localhost", *, plugins: tuple[str, ...] = ()
    ) -> ComponentXMPP:
        component = make_component(server, domain, plugins)
        components.append(component)
        await online(component)
        return component

    yield attach_component
    for component in components:
        await offline(component)
