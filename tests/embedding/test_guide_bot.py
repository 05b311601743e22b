"""The guide to a bot: what it shows is what one gets, with exactly what it says to install."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest
from embedding_reader import PLAIN_LOGIN, line_with, require_shown

from gre_core.api import encrypter, formatter
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import say_yes
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.loopback_gateway import LoopbackGateway
from gre_core.testing.slix import make_client, offline, online

SEQUOIA = Plugins.discover(prefer={encrypter("openpgp"): "gre-encrypter-openpgp"})
ADDRESSES = {"juliet@localhost": "juliet@example.org", "bot@localhost": "bot@example.org"}
PAIR = formatter("mime"), encrypter("openpgp")
BOT = r"bot\40example.org@mail.localhost"


@pytest.fixture
def guide(install, page):
    made = page("embedding-bot.md")
    [requirements] = made.installed()
    return made, install(requirements)


def test_who_tries_it_sees_what_the_page_shows(guide):
    page, environment = guide
    assert not environment.distributions(page.folder) & {
        "pytest",
        "hypothesis",
        "gre-gateway-email",
        "gre-cli",
    }
    require_shown(page.shown("python try_bot.py"), environment.run("try_bot.py", cwd=page.folder))


@pytest.mark.skipif(sys.platform == "win32", reason="the bot is ended by a signal of POSIX")
async def test_the_program_answers_what_is_proven_and_nothing_else(guide):
    page, environment = guide
    async with (
        LoopbackServer(accounts={"juliet": "a", "bot": "b"}, components={"mail.localhost": "c"}) as server,
        LoopbackGateway(server, "mail.localhost", ADDRESSES, [PAIR]) as gateway,
    ):
        xmpp = make_client(server, "juliet")
        juliet = attach_client(xmpp, SEQUOIA, store=MemoryStore(), decide=say_yes)
        answers = asyncio.Queue()
        juliet.on_received(answers.put)
        await online(xmpp)
        await juliet.ready.wait()
        xmpp.send_presence()
        async with environment.running(
            "-c", PLAIN_LOGIN, "bot.py", cwd=page.folder,
            GRE_JID="bot@localhost", GRE_PASSWORD="b", GRE_ADDRESS="bot@example.org",
            TEST_HOST=server.host, TEST_PORT=str(server.c2s_port),
        ) as process:  # fmt: skip
            await line_with(process, "ready")
            await juliet.send(BOT, "How many words are these?")
            async with asyncio.timeout(120):
                answer = await answers.get()
            assert (answer.message.text.strip(), answer.verdict.signature) == ("You wrote 5 words.", "good")
            assert answer.reply_to is not None
            # The same message once more, as it stands on the network but from another sender: not answered.
            mallory, body = gateway.relayed[0], gateway.relayed[0].body
            gateway.gateway.deliver(
                "bot@localhost", "mallory@example.org", (mallory.formatter, mallory.encrypter), body, "again"
            )
            line = await line_with(process, "from mallory")
            assert "(good)" not in line
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(120):
                assert await process.wait() == 0
        assert len(gateway.relayed) == 2
        await offline(xmpp)
