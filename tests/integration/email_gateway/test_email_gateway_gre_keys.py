"""``gre keys`` shows of each contact's key where the gateway has it from, over real servers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pysequoia
import pytest
from gre_openpgp.autocrypt import header_value
from gre_openpgp.encrypting import keymaking

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

GATEWAY = "mail.localhost"
USERS = '"juliet@example.org" = "juliet@localhost"\n"romeo@example.org" = "romeo@localhost"'
SERVER = "mx.example.org"


@pytest.fixture
def server_class():
    """A real server."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


@pytest.fixture
def gre(server, tmp_path):
    """``await gre(user, words, text=False)``: the command of a user; its answer for scripts, or what a person sees."""

    async def run(user, *words, text=False):
        command = [
            sys.executable, "-P", "-m", "gre_cli", *words, *([] if text else ["--json"]), "--account", f"{user}@localhost",
            "--host", "127.0.0.1", "--port", str(server.c2s_port), "--insecure-plaintext", "--state", str(tmp_path / user),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "GRE_PASSWORD": server.accounts[user],
            "GRE_PASSPHRASE": "a secret",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "COLUMNS": "200",
        }
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout if text else json.loads(done.stdout.splitlines()[-1])

    return run


def public_key(address):
    secret = pysequoia.Tsk.from_bytes(keymaking.make_key(f"<{address}>", datetime.now(UTC)))
    return bytes(secret.extract_certificate())


def mail(address, *fields):
    header = f"Autocrypt: {header_value(address, public_key(address), mutual=True)}"
    lines = [
        *fields,
        f"From: {address}",
        "To: juliet@example.org",
        f"Message-ID: <1-{address}>",
        header,
        "",
        "hello",
        "",
    ]
    return "\r\n".join(lines).encode()


async def test_list_and_show_name_the_source_of_each_key(start, gre, juliet, kit, connect, tmp_path):
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "eve.gpg").write_bytes(public_key("eve@example.net"))
    gateway = await start(f'[mail]\nauthserv_id = "{SERVER}"\n[keys]\ndirectory = "{directory}"', users=USERS)
    passed = f"Authentication-Results: {SERVER}; dkim=pass header.d=example.net"
    await gateway.deliver(mail("bob@example.net", passed), sender="bob@example.net")
    await gateway.deliver(mail("mallory@example.net"), sender="mallory@example.net")
    await gre("romeo", "keys", "make", "romeo@example.org")
    romeo = kit.Juliet(await connect("romeo", "garden"))
    await _publish(romeo)

    expected = {
        "bob@example.net": ("autocrypt", True),
        "mallory@example.net": ("autocrypt", False),
        "eve@example.net": ("directory", None),
        "romeo@example.org": ("wkd", None),
    }
    for address in expected:
        await gre("juliet", "keys", "fetch", address, "--gateway", GATEWAY)
    listed = (await gre("juliet", "keys", "list", "--contacts"))["contacts"]
    said = {
        key["address"]: (key["gateway_says"]["source"], key["gateway_says"]["authenticated"])
        for key in listed
    }
    assert said == expected
    screen = await gre("juliet", "keys", "list", "--contacts", text=True)
    lines = " ".join(screen.split())
    assert lines.count("nobody vouches") == 1
    assert "(directory)" in lines
    assert "(wkd)" in lines
    shown = await gre("juliet", "keys", "show", "mallory@example.net", "--gateway", GATEWAY, text=True)
    assert "anybody can have sent it" in " ".join(shown.split())
    shown = await gre("juliet", "keys", "show", "bob@example.net", "--gateway", GATEWAY, text=True)
    assert "signed it (DKIM)" in " ".join(shown.split())


async def _publish(user):
    """Agree, by the registration form."""
    node = "http://jabber.org/protocol/commands"
    started = await user.iq(GATEWAY, f"<command xmlns='{node}' node='policy'/>", "set")
    session, form = started[0].get("sessionid"), started[0].find("{jabber:x:data}x")
    names = [field.get("var") for field in form if field.get("var")]
    fields = "".join(
        f"<field var='{name}'><value>{'true' if 'publish' in name else 'false'}</value></field>"
        for name in names
        if name != "FORM_TYPE"
    )
    done = await user.iq(
        GATEWAY,
        f"<command xmlns='{node}' node='policy' sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></command>",
        "set",
    )
    assert done[0].get("status") == "completed"
