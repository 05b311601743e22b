"""``check`` before the gateway runs, and its health while it does: what it finds out about real servers, and what it says that an operator can do."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from gre_gateway_email.__main__ import main
from gre_gateway_email.operate.running import read_running

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer

DOMAIN = "mail.localhost"


@pytest.fixture(params=["prosody", "ejabberd"])
def limited(request):
    """``limited(bytes)``: a server that takes stanzas of so many bytes from components."""
    kind = {"prosody": ProsodyServer, "ejabberd": EjabberdServer}[request.param]
    require(kind.installed(), f"{request.param} (apt-get install {request.param})")
    return lambda limit: kind(components={DOMAIN: "s3cret"}, component_limit=limit)


@pytest.fixture
def check(tmp_path, capsys, relay):
    """``await check(server, extra)``: the exit code, and the lines by level."""

    async def run(port, *, secret="s3cret", smtp=None, extra=""):
        config = tmp_path / "gateway.toml"
        config.write_text(
            f'[xmpp]\ndomain = "{DOMAIN}"\nport = {port}\nsecret = "{secret}"\n[smtp]\nport = {smtp or relay.port}\n'
            f'[mail]\ndomains = ["example.org"]\n{extra}\n'
        )
        config.chmod(0o600)
        code = await asyncio.to_thread(main, ["check", "--config", str(config)])
        lines = capsys.readouterr().out.splitlines()
        return code, {
            level: [line[7:] for line in lines if line.startswith(level)] for level in ("ok", "note", "WRONG")
        }

    return run


async def test_the_limit_of_the_server_is_found_out(limited, check):
    async with limited(100_000) as server:
        code, said = await check(
            server.component_port, extra="[listen]\nport = 0\n[limits]\nmax_stanza = 90000"
        )
        assert (code, said["WRONG"]) == (0, [])
        assert "[limits] max_stanza 90000: the XMPP server takes stanzas of that size" in said["ok"]
        code, said = await check(
            server.component_port, extra="[listen]\nport = 0\n[limits]\nmax_stanza = 300000"
        )
        assert code == 1
        (wrong,) = said["WRONG"]
        assert (
            "ends the stream at a stanza of that size, and takes 75000 bytes. Set max_stanza to that" in wrong
        )


async def test_a_wrong_secret_is_told(limited, check):
    async with limited(100_000) as server:
        code, said = await check(server.component_port, secret="other", extra="[listen]\nport = 0")
        assert code == 1
        (wrong,) = said["WRONG"]
        assert wrong.startswith(f"[xmpp] {DOMAIN} at 127.0.0.1:{server.component_port}")
        assert "secret" in wrong


async def test_everything_that_is_away_is_told_at_once(check):
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        nobody, used = free.getsockname()[1], taken.getsockname()[1]
        code, said = await check(nobody, smtp=nobody, extra=f"[listen]\nport = {used}")
    assert code == 1
    xmpp, smtp, listen = said["WRONG"]
    assert "cannot be reached (Connection refused): is the XMPP server running" in xmpp
    assert "is Postfix running there" in smtp
    assert f"127.0.0.1:{used}" in listen
    assert "Another program has it (ss -ltnp), or choose another port" in listen


async def test_ready_means_that_xmpp_and_database_work(kit, tmp_path, relay):
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as database, ProsodyServer(components={DOMAIN: "s3cret"}) as server:
        gateway = kit.GatewayProcess(
            tmp_path,
            f'[xmpp]\ndomain = "{DOMAIN}"\nport = {server.component_port}\nsecret = "s3cret"\n[smtp]\nport = {relay.port}\n'
            f'[mail]\ndomains = ["example.org"]\n[listen]\nport = 0\n[http]\nenabled = true\nport = 0\n'
            f'[database]\nurl = "{database.url}"\n',
        )
        await gateway.start()
        try:
            port = read_running(gateway.state).http_port

            async def until(status, *problems):
                async with asyncio.timeout(120), aiohttp.ClientSession() as session:
                    while True:
                        async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                            said = await answer.json()
                            assert (answer.status == 200) is said["ready"] is (not said["problems"])
                            if answer.status == status and set(problems) == set(said["problems"]):
                                return
                        async with session.get(f"http://127.0.0.1:{port}/health/live") as answer:
                            assert answer.status == 200
                        await asyncio.sleep(0.1)

            await until(200)
            await server.kill()
            await until(503, "xmpp")
            await database.kill()
            await until(503, "xmpp", "database")
            await database.start()
            await until(503, "xmpp")
            await server.start()
            await until(200)
        finally:
            await gateway.stop()
