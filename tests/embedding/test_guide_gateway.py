"""The guide to a gateway for a network of one's own: on the loopback router as it shows, and on Prosody."""

from __future__ import annotations

import asyncio

import pytest
from embedding_reader import require_shown

from gre_core.errors import PeerError
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.fakes import say_yes, toy_encrypter, toy_formatter
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

ON_PROSODY = """
import asyncio
from gre_core.testing.prosody import ProsodyServer
from try_chat import converse

async def main():
    async with ProsodyServer(accounts={"juliet": "a"}, components={"chat.localhost": "b"}) as server:
        await converse(server)

asyncio.run(main())
"""


@pytest.fixture
def guide(page):
    return page("embedding-gateway.md")


@pytest.mark.parametrize("server", ["loopback", "prosody"])
def test_who_tries_it_sees_what_the_page_shows(guide, install, server):
    require(server == "loopback" or ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    environment = install(guide.installed()[2])
    program = ("try_chat.py",) if server == "loopback" else ("-c", ON_PROSODY)
    require_shown(guide.shown("python try_chat.py"), environment.run(*program, cwd=guide.folder))


async def test_the_gateway_needs_the_core_alone(guide, install):
    environment = install(guide.installed()[0])
    there = environment.distributions(guide.folder)
    assert {name for name in there if name.startswith("gre-")} == {"gre-core"}
    assert not there & {"pysequoia", "pgpy", "cryptography", "pytest"}
    # Toys under the names that the gateway carries: it does not know, and need not.
    plugins = Plugins.of(toy_formatter(name="example"), toy_encrypter(name="openpgp"))
    async with LoopbackServer(accounts={"juliet": "a"}, components={"chat.localhost": "b"}) as server:
        xmpp = make_client(server, "juliet")
        client = attach_client(xmpp, plugins, store=MemoryStore(), decide=say_yes)
        await online(xmpp)
        async with (
            environment.running(
                "chat_gateway.py", cwd=guide.folder, GRE_DOMAIN="chat.localhost", GRE_SECRET="b",
                GRE_HOST=server.host, GRE_PORT=str(server.component_port),
                GRE_USER="juliet@localhost", GRE_HANDLE="juliet",
            ),
            asyncio.timeout(120),
        ):  # fmt: skip
            await client.ready.wait()
            sent = None
            while sent is None:  # the gateway may still be starting
                try:
                    sent = await client.send("nobody@chat.localhost", "Hello")
                except PeerError:
                    await asyncio.sleep(0.1)
            settled = await client.settled(sent, timeout=100)
            assert settled.state is SendState.REFUSED
            assert "Nobody on Chatter is called nobody" in (settled.error or "")
            with pytest.raises(PeerError, match="A handle on Chatter"):
                await client.send("No.Handle@chat.localhost", "Hello")
        await offline(xmpp)


def test_an_author_of_a_member_needs_no_slixmpp(guide, install):
    environment = install(guide.installed()[1])
    assert "slixmpp" not in environment.distributions(guide.folder)
    environment.run("-c", "import chatter_member", cwd=guide.folder)
