"""A person with an ordinary XMPP client, profanity, that knows nothing of GRE: what stands on the screen."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy

import pytest
import terminal

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

BOB = "bob\\40example.net@mail.localhost"


@pytest.fixture
def server_class():
    """The real server only: it is about how real programs play together."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


@pytest.fixture
async def profanity(server, tmp_path):
    """``await profanity()``: juliet is logged in."""
    async with terminal.profanity(server, "juliet", tmp_path / "home") as screen:

        async def log_in():
            await terminal.log_in(screen, "juliet")
            return screen

        yield log_in


async def test_a_plain_client_shows_why_its_message_was_refused(start, profanity, relay):
    gateway = await start("[policy]\nencrypted_only = true")
    screen = await profanity()
    await screen.type(f"/msg {BOB}")
    await screen.type("hello in clear")
    await screen.shows("takes only encrypted messages")
    assert await gateway.stop() == 0
    assert relay.count == 0


async def test_a_plain_client_writes_a_plain_mail(start, profanity, relay):
    await start()
    screen = await profanity()
    await screen.type(f"/msg {BOB}")
    await screen.type("hello in clear")
    async with asyncio.timeout(terminal.SECONDS):
        sender, recipients, content = await relay.mails.get()
    assert (sender, recipients) == ("juliet@example.org", ["bob@example.net"])
    mail = message_from_bytes(content, policy=policy.default)
    assert mail.get_body(("plain",)).get_content().strip() == "hello in clear"
    await screen.shows("hello in clear")
    assert relay.count == 1
