"""The command itself: check, a wrong secret, an end in order, a log without addresses."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
GRE = "{urn:xmpp:gre:0}"


def test_the_check_command_says_what_is_wrong(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[xmpp]\ndomain = "{DOMAIN}"\nport = 1\nsecret = "x"\n[smtp]\nport = 1\n[listen]\nport = 0\n'
        '[keys]\ndirectory = "none"\n[users]\n"juliet@example.org" = "juliet@localhost"\n'
    )
    command = [sys.executable, "-m", "gre_gateway_email", "check", "--config", file]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert [next(t for t in ("[keys]", "[xmpp]", "[smtp]") if t in line) for line in wrong] == [
        "[keys]",
        "[xmpp]",
        "[smtp]",
    ]
    assert "ok     carries urn:xmpp:gre:formatter:mime:0 with urn:xmpp:gre:encrypter:openpgp:0" in done.stdout
    assert "Traceback" not in done.stderr


async def test_a_wrong_secret_ends_the_gateway_with_a_text(server, relay, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[xmpp]\ndomain = "{DOMAIN}"\nport = {server.component_port}\nsecret = "wrong"\n[listen]\nport = 0\n'
        '[users]\n"juliet@example.org" = "juliet@localhost"\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gre_gateway_email", "run", "--config", file,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        said, log = await process.communicate()
    assert process.returncode == 2
    assert said == b""
    assert f"the XMPP server does not accept {DOMAIN} with this secret" in log.decode()
    assert b"Traceback" not in log


async def test_a_server_that_does_not_know_the_component_yet_is_asked_again(tmp_path):
    """It may be starting. When it stays so, the configuration is wrong."""
    asked = 0

    async def refuse(reader, writer):
        nonlocal asked
        asked += 1
        await reader.readuntil(b">")
        writer.write(
            b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
            b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        file = tmp_path / "gateway.toml"
        file.write_text(
            f'[xmpp]\ndomain = "{DOMAIN}"\nport = {port}\nsecret = "s"\n[listen]\nport = 0\n'
            '[users]\n"juliet@example.org" = "juliet@localhost"\n'
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gre_gateway_email", "run", "--config", file,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(120):
            _, log = await process.communicate()
    assert process.returncode == 2
    assert asked == 5
    assert log.count(b"xmpp-refused") == 5
    assert b"Traceback" not in log


@pytest.mark.parametrize("shown", [False, True], ids=["without", "with"])
async def test_sigterm_ends_it_in_order_and_the_log_holds_addresses_only_when_asked(
    start, juliet, relay, kit, tmp_path, shown
):
    gateway = await start(f'[log]\nlevel = "debug"\nformat = "json"\naddresses = {str(shown).lower()}\n')
    juliet.send(kit.message(kit.openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")
    juliet.send(
        f"<message to='{BOB}' type='chat' id='p1'><subject>Rendezvous</subject><body>At nine</body></message>"
    )
    for _ in range(2):
        _, _, mail = await relay.next()
    assert b"At nine" in mail
    await gateway.deliver(kit.pgp_mime(kit.openpgp()))
    await juliet.until(f"{GRE}encrypted")
    await gateway.deliver(
        b"From: Bob <bob@example.net>\r\nSubject: Balcony\r\nTo: juliet@example.org\r\n\r\nAt ten\r\n"
    )
    await juliet.until("{jabber:client}body")
    await gateway.deliver(b"From: bob@example.net\r\n\r\nhi\r\n", to=["nobody@example.org"])
    relay.answer = "550 5.1.1 bob@example.net is not here"
    juliet.send(kit.message(kit.openpgp(seed=5), id_="r1"))
    async with asyncio.timeout(60):
        while (await juliet.next()).get("type") != "error":
            pass
    assert await gateway.stop() == 0
    log = gateway.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    events = {line["event"] for line in lines}
    assert {"mail-relayed", "mail-taken", "mail-not-relayed"} <= events
    for never in (
        "At nine",
        "At ten",
        "Rendezvous",
        "Balcony",
        "PGP MESSAGE",
        "Traceback",
        "library-message",
    ):
        assert never not in log
    if shown:
        relayed = next(line for line in lines if line["event"] == "mail-relayed")
        assert (relayed["user"], relayed["address"]) == ("juliet@localhost", "bob@example.net")
        taken = next(line for line in lines if line["event"] == "mail-taken")
        assert (taken["user"], taken["address"]) == ("juliet@localhost", "bob@example.net")
    else:
        assert "@" not in log
        assert "juliet" not in log.replace(str(tmp_path), "")
        assert "bob" not in log
