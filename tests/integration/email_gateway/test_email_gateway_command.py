"""The command itself: check, a wrong secret, an end in order, a log without addresses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

DOMAIN = "mail.localhost"
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
    async with asyncio.timeout(20):
        said, log = await process.communicate()
    assert process.returncode == 2
    assert said == b""
    assert f"the XMPP server does not accept {DOMAIN} with this secret" in log.decode()
    assert b"Traceback" not in log


async def test_sigterm_ends_it_in_order_and_the_log_holds_no_address(start, juliet, relay, kit):
    gateway = await start()
    juliet.send(kit.message(kit.openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")
    await gateway.deliver(kit.pgp_mime(kit.openpgp()))
    await juliet.until(f"{GRE}encrypted")
    assert await gateway.stop() == 0
    log = gateway.log.read_text()
    assert "mail-relayed" in log
    assert "bob@" not in log
    assert "juliet@" not in log
    assert "Traceback" not in log
