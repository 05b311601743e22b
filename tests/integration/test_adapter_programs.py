"""The programs of the README, run as they stand there, each against a peer of this test on the loopback router."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pysequoia
import pytest
from gre_openpgp.encrypting.keymaking import make_key
from gre_openpgp.xep0373 import PUBLIC_KEYS, PublicKey, fetch_keys, key_item, metadata_items

from gre_core.api import encrypter, formatter
from gre_core.errors import PeerError
from gre_core.gateway import GatewayEngine
from gre_core.model import Body
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client, attach_gateway
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import say_yes, toy_encrypter, toy_formatter
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.slix import make_client, make_component, offline, online

README = Path(__file__).parents[2] / "README.md"
DOMAIN, USER, LEGACY = "mail.localhost", "juliet@localhost", "bob@example.net"
CONTACT = rf"bob\40example.net@{DOMAIN}"
PAIR = (formatter("mime"), encrypter("openpgp"))

# The router has no TLS and no SRV records; nothing else is changed.
PRELUDE = """
import os
import slixmpp

class PlainLogin(slixmpp.ClientXMPP):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.enable_plaintext, self.enable_starttls, self.enable_direct_tls = True, False, False
        self.plugin["feature_mechanisms"].unencrypted_plain = True

    def connect(self, host=None, port=None):
        return super().connect(os.environ["GRE_HOST"], int(os.environ["GRE_PORT"]))

slixmpp.ClientXMPP = PlainLogin

# A checkout has two packages for OpenPGP.
from functools import partial
from gre_core.registry import Plugins
prefer = {"urn:xmpp:gre:encrypter:openpgp:0": "gre-encrypter-openpgp"}
Plugins.discover = partial(Plugins.discover, prefer=prefer)
"""


def program(name):
    """Give the block of the README that begins with ``# name``."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if block.startswith(f"# {name}\n")]
    return found


@asynccontextmanager
async def running(name, folder, **environment):
    """Run a program; it is ended by its own process id."""
    path = folder / name
    path.write_text(program(name))
    code = f"{PRELUDE}\nexec(compile(open({str(path)!r}).read(), {name!r}, 'exec'))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", code,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "XDG_DATA_HOME": str(folder), "HOME": str(folder), **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_with(process, word):
    """Read what the program prints, up to a line with a word."""
    said = []
    async with asyncio.timeout(90):
        while line := (await process.stdout.readline()).decode():
            said.append(line)
            if word in line:
                return line
    pytest.fail(f"{word!r} was not printed, but:\n{''.join(said)}")


def readable(lines):
    return [line for line in lines.splitlines() if line.strip()]


def test_they_are_about_15_lines_long():
    """Without imports, blank lines, and what starts the loop."""
    for name in ("client.py", "gateway.py"):
        lines = [
            line
            for line in readable(program(name))
            if not line.startswith(("import", "from", "#", "asyncio.run", "async def main"))
        ]
        assert len(lines) <= 18, name


@pytest.fixture
async def server():
    async with LoopbackServer(accounts={"juliet": "pw"}, components={DOMAIN: "secret"}) as running_server:
        yield running_server


async def test_the_client_sends_an_encrypted_mail_and_prints_the_answer(server, tmp_path):
    secret = make_key(f"<{LEGACY}>")
    bob = pysequoia.Tsk.from_bytes(secret)
    key = PublicKey.read(bytes(bob.extract_certificate()), "2026-01-01T00:00:00Z")

    async def nodes(_contact, node, _ids):
        item = None if node == PUBLIC_KEYS else key_item([key], node.removeprefix(f"{PUBLIC_KEYS}:"))
        if node == PUBLIC_KEYS:
            return metadata_items([key])
        if item is None:
            raise PeerError("There is no such node.", condition="item-not-found")
        return [item]

    async def sender_id(_user):
        return "juliet@example.org"

    component = make_component(server, DOMAIN)
    engine = GatewayEngine(DOMAIN, [PAIR], sender_id=sender_id)
    relayed = asyncio.Queue()
    gateway = attach_gateway(component, engine, on_encrypted=relayed.put, nodes=nodes)
    await online(component)
    environment = {
        "GRE_JID": USER, "GRE_PASSWORD": "pw", "GRE_TO": CONTACT,
        "GRE_HOST": server.host, "GRE_PORT": str(server.c2s_port),
    }  # fmt: skip
    async with running("client.py", tmp_path, **environment) as process:
        process.stdin.write(b"y\n" * 10)
        async with asyncio.timeout(90):
            message = await relayed.get()
        plain = pysequoia.decrypt(base64.b64decode(message.body.text), bob.decryptor()).bytes
        assert b"Hello from XMPP" in plain
        assert "relayed" in await line_with(process, "Sent(")
        [juliet] = (await fetch_keys(USER, gateway.ports.pubsub)).keys
        answer = pysequoia.encrypt(
            b"From: bob@example.net\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello yourself\r\n",
            [pysequoia.Cert.from_bytes(juliet.data)],
            bob.signer(),
            armor=False,
        )
        gateway.deliver(USER, LEGACY, PAIR, Body(base64.b64encode(answer).decode()), "m1")
        line = await line_with(process, "Hello yourself")
    assert line.startswith(f"{CONTACT} (good): Hello yourself")
    await offline(component)


async def test_the_gateway_relays_what_it_cannot_read(server, tmp_path):
    environment = {
        "GRE_DOMAIN": DOMAIN, "GRE_SECRET": "secret",
        "GRE_HOST": server.host, "GRE_PORT": str(server.component_port),
    }  # fmt: skip
    # Toys under the names that the gateway carries: it does not know, and need not.
    plugins = Plugins.of(toy_formatter(name="mime"), toy_encrypter(name="openpgp"))
    async with running("gateway.py", tmp_path, **environment) as process:
        xmpp = make_client(server, "juliet", "a")
        client = attach_client(xmpp, plugins, store=MemoryStore(), decide=say_yes)
        await online(xmpp)
        sent = None
        async with asyncio.timeout(90):
            await client.ready.wait()
            while sent is None:  # the gateway may still be starting
                try:
                    sent = await client.send(CONTACT, "a secret")
                except PeerError:
                    await asyncio.sleep(0.1)
            assert (await client.settled(sent)).state is SendState.RELAYED
        line = await line_with(process, LEGACY)
        assert line.startswith("juliet@example.org -> bob@example.net")
        assert "cannot read" in line
        await offline(xmpp)
