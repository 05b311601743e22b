"""The guide to GLib and nbxmpp: its program runs with the system's Python on Prosody, without asyncio and slixmpp."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from embedding_reader import line_with

from gre_core.api import encrypter, formatter
from gre_core.model import Message
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.fakes import say_yes
from gre_core.testing.loopback_gateway import LoopbackGateway
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

SYSTEM = "/usr/bin/python3"
SEQUOIA = Plugins.discover(prefer={encrypter("openpgp"): "gre-encrypter-openpgp"})
ADDRESSES = {"juliet@localhost": "juliet@example.org", "romeo@localhost": "romeo@example.org"}
PAIR = formatter("mime"), encrypter("openpgp")
JULIET, ROMEO = (rf"{name}\40example.org@mail.localhost" for name in ("juliet", "romeo"))

# What the program must do without: importing one of them ends it.
BLOCKED = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"asyncio", "slixmpp", "trio", "anyio"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
sys.path.insert(0, "")
runpy.run_path("mail.py", run_name="__main__")
"""


@pytest.fixture
def environment(install, page):
    code = "import sys, gi, nbxmpp; sys.exit(sys.version_info < (3, 11))"
    there = (
        Path(SYSTEM).exists()
        and subprocess.run([SYSTEM, "-c", code], capture_output=True, check=False).returncode == 0
    )
    require(there, "nbxmpp for the system's Python 3.11 or newer (apt-get install python3-nbxmpp)")
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    guide = page("embedding-glib.md")
    [requirements] = guide.installed()
    return install(requirements, SYSTEM, "--system-site-packages"), guide.folder


async def test_it_writes_and_reads_encrypted_mail_on_prosody(environment):
    made, folder = environment
    assert not made.distributions(folder) & {"slixmpp", "aiohttp", "pytest", "nbxmpp"}
    async with (
        ProsodyServer(accounts={"juliet": "a", "romeo": "b"}, components={"mail.localhost": "c"}) as server,
        LoopbackGateway(server, "mail.localhost", ADDRESSES, [PAIR]) as gateway,
    ):
        xmpp = make_client(server, "romeo")
        romeo = attach_client(xmpp, SEQUOIA, store=MemoryStore(), decide=say_yes)
        came = asyncio.get_running_loop().create_future()
        romeo.on_received(came.set_result)
        await online(xmpp)
        await romeo.ready.wait()
        keys = romeo.engine.plugins.encrypter(PAIR[1]).own_keys("romeo@localhost", romeo.engine.ports)
        await keys.make("romeo@example.org")
        await keys.publish()
        xmpp.send_presence()

        async with made.running(
            "-c", BLOCKED, cwd=folder,
            GRE_JID="juliet@localhost", GRE_PASSWORD="a", GRE_TO=ROMEO, GRE_STATE=str(folder / "state"),
            GRE_TEST_SERVER=f"127.0.0.1:{server.c2s_port}",
        ) as process:  # fmt: skip
            assert "juliet@example.org" in await line_with(process, "[y/N]")
            process.stdin.write(b"y\n")
            async with asyncio.timeout(120):
                received = await came
            assert (received.message.text.strip(), received.message.subject) == ("Hello from GLib", "Hello")
            assert (received.peer, received.verdict.signature) == (JULIET, "good")
            assert "relayed" in await line_with(process, f"to {ROMEO}: ")
            [sent] = await romeo.engine.reply(received, Message("Hello yourself"))
            assert f"{ROMEO} (good): Hello yourself" in await line_with(process, "Hello yourself")
            # Its receipt says that the message is safe with it.
            assert (await romeo.settled(sent)).state is SendState.RELAYED
            async with asyncio.timeout(120):
                assert await process.wait() == 0
        assert len(gateway.relayed) == 2
        assert not any("Hello" in each.body.text for each in gateway.relayed)
        await offline(xmpp)


def run(made, folder, server, **environment):
    return made.running(
        "-c", BLOCKED, cwd=folder,
        **{
            "GRE_JID": "juliet@localhost", "GRE_PASSWORD": "a", "GRE_TO": ROMEO, "GRE_STATE": str(folder / "state"),
            "GRE_TEST_SERVER": f"127.0.0.1:{server.c2s_port}", **environment,
        },
    )  # fmt: skip


async def ends(process, code):
    async with asyncio.timeout(120):
        assert await process.wait() == code


async def test_it_says_what_goes_wrong_and_connects_again(environment):
    made, folder = environment
    users = {"juliet": "a", "romeo": "b"}
    # It keeps what comes while she is away.
    async with ProsodyServer(accounts=users, components={"mail.localhost": "c"}, offline=True) as server:
        async with run(made, folder, server, GRE_PASSWORD="wrong") as process:
            await line_with(process, "The server refused: ")
            await ends(process, 1)
        async with run(made, folder, server) as process:
            await line_with(process, "not sent: ")  # no gateway
            await ends(process, 1)
        async with LoopbackGateway(server, "mail.localhost", ADDRESSES, [PAIR]):
            async with run(made, folder, server) as process:
                await line_with(process, "[y/N]")
                process.stdin.write(b"n\n")
                assert "juliet@example.org" in await line_with(process, "not sent: ")
                await ends(process, 1)
            xmpp = make_client(server, "romeo")
            romeo = attach_client(xmpp, SEQUOIA, store=MemoryStore(), decide=say_yes)
            came = asyncio.Queue()
            romeo.on_received(came.put)
            await online(xmpp)
            await romeo.ready.wait()
            keys = romeo.engine.plugins.encrypter(PAIR[1]).own_keys("romeo@localhost", romeo.engine.ports)
            await keys.make("romeo@example.org")
            await keys.publish()
            xmpp.send_presence()
            async with run(made, folder, server) as process:
                await line_with(process, "[y/N]")
                process.stdin.write(b"y\n")
                async with asyncio.timeout(120):
                    received = await came.get()
                await line_with(process, "relayed")
                await server.kick("juliet@localhost")
                await line_with(process, "no connection: ")
                await romeo.engine.reply(received, Message("Hello yourself"))
                await line_with(process, "Hello yourself")
                await ends(process, 0)
            await offline(xmpp)
