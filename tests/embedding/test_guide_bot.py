"""The guide to a bot: what it shows is what one gets, with exactly what it says to install."""

from __future__ import annotations

import asyncio
import re
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
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the bot is ended by a signal of POSIX")

# The answer fails once, as if the gateway went away meanwhile, and the message comes thrice.
THRICE = """
import asyncio
from bot import have_key, make_bot
from gre_core import MemoryStore, Message
from gre_core.api import encrypter, formatter
from gre_core.errors import PeerTimeout
from gre_core.slixmpp import attach_client
from gre_core.testing.fakes import say_yes
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.loopback_gateway import LoopbackGateway
from gre_core.testing.slix import make_client, offline, online

PAIR = formatter("mime"), encrypter("openpgp")
ADDRESSES = {"juliet@localhost": "juliet@example.org", "bot@localhost": "bot@example.org"}

async def main():
    async with (
        LoopbackServer(accounts={"juliet": "a", "bot": "b"}, components={"mail.localhost": "c"}) as server,
        LoopbackGateway(server, "mail.localhost", ADDRESSES, [PAIR]) as gateway,
    ):
        xmpp, juliet = make_client(server, "bot"), make_client(server, "juliet")
        bot, writes = make_bot(xmpp, "bot@example.org", store=MemoryStore()), attach_client(juliet, store=MemoryStore(), decide=say_yes)
        reply, tried, answers = bot.engine.reply, asyncio.Queue(), asyncio.Queue()
        async def fails_once(*given):
            tried.put_nowait(None)
            if tried.qsize() == 1:
                raise PeerTimeout("The gateway is away.")
            await reply(*given)
        bot.engine.reply = fails_once
        writes.on_received(answers.put)
        for each in (xmpp, juliet):
            await online(each)
        juliet.send_presence()
        await bot.ready.wait()
        await have_key(bot, "bot@example.org")
        await writes.send(r"bot\\40example.org@mail.localhost", Message("How many words are these?"))
        while not tried.qsize():
            await asyncio.sleep(0.05)
        [came] = gateway.relayed
        for _ in range(2):
            gateway.gateway.deliver("bot@localhost", came.sender_id, PAIR, came.body, came.id)
        print((await answers.get()).message.text)
        await writes.send(r"bot\\40example.org@mail.localhost", Message("And these?"))
        print((await answers.get()).message.text, "tried:", tried.qsize())
        for each in (juliet, xmpp):
            await offline(each)

asyncio.run(main())
"""


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


def test_it_answers_later_what_it_could_not_answer_at_once_and_once_only(guide):
    page, environment = guide
    told = environment.run("-c", THRICE, cwd=page.folder)
    assert re.findall(r"^You wrote .*", told, re.MULTILINE) == [
        "You wrote 5 words.",
        "You wrote 2 words. tried: 3",
    ]


@ON_POSIX
@pytest.mark.parametrize("password", ["wrong", "b"])
async def test_it_ends_when_it_is_not_let_in_and_when_it_is_told_to(guide, password):
    page, environment = guide
    async with (
        LoopbackServer(accounts={"bot": "b"}) as server,
        environment.running(
            "-c", PLAIN_LOGIN, "bot.py", cwd=page.folder,
            GRE_JID="bot@localhost", GRE_PASSWORD=password, GRE_ADDRESS="bot@example.org",
            TEST_HOST=server.host, TEST_PORT=str(server.c2s_port),
        ) as process,
    ):  # fmt: skip
        if password == "wrong":
            await line_with(process, "refused the name or the password")
        else:
            await line_with(process, "ready")
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(120):
            assert await process.wait() == (password == "wrong")


@ON_POSIX
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
