"""A person with an ordinary XMPP client, profanity, that knows nothing of GRE: what stands on the screen."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy

import pytest
import terminal

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

BOB = "bob\\40example.net@mail.localhost"
OPEN = """
[mail]
domains = ["example.org"]
[registration]
servers = ["localhost"]
address = "choose"
"""


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


async def until(happened):
    async with asyncio.timeout(terminal.SECONDS):
        while not happened():
            await asyncio.sleep(0.1)


async def first_command(screen, line, text):
    """Type a line again until profanity, which asks for features after its login, knows that there are commands."""
    unknown = "does not support ad hoc commands"
    async with asyncio.timeout(terminal.SECONDS):
        while True:
            before = (await screen.seen()).count(unknown)
            await screen.type(line)
            while text not in (seen := await screen.seen()):
                await asyncio.sleep(0.1)
                if seen.count(unknown) > before:
                    break
            else:
                return


async def test_the_whole_tour_of_a_person_with_a_plain_client(start, profanity, relay):
    gateway = await start(OPEN, users="")
    screen = await profanity()

    # Registers by the command, since profanity shows no forms of XEP-0077.
    await first_command(screen, "/cmd exec register mail.localhost", "[field1]")
    await screen.type("/field1 capulet")
    await screen.type("/form submit")
    await until(lambda: gateway.query("SELECT written FROM addresses") == "capulet@example.org")
    await screen.type("/sub allow mail.localhost")
    await screen.type("/msg mail.localhost")
    await screen.shows("capulet@example.org")  # the gateway greets

    # Adds a contact, and sees it.
    await screen.type("/win 1")
    await screen.type(f"/roster add {BOB}")
    await screen.type(f"/sub request {BOB}")
    await screen.shows(f"++ {BOB} is online")
    await screen.type(f"/sub allow {BOB}")

    # A plain mail, and the answer.
    await screen.type(f"/msg {BOB}")
    await screen.type("hello in clear")
    async with asyncio.timeout(terminal.SECONDS):
        sender, recipients, content = await relay.mails.get()
    assert (sender, recipients) == ("capulet@example.org", ["bob@example.net"])
    mail = message_from_bytes(content, policy=policy.default)
    assert mail.get_body(("plain",)).get_content().strip() == "hello in clear"
    answer = (
        "From: bob@example.net\r\nTo: capulet@example.org\r\nSubject: Hi\r\nMessage-ID: <m1@example.net>\r\n"
        f"In-Reply-To: {mail['Message-ID']}\r\n\r\nSoft! what light\r\n"
    ).encode()
    [taken] = await gateway.deliver(answer, to=["capulet@example.org"])
    assert taken.startswith("250")
    await screen.shows("Soft! what light")

    # From now on encrypted messages only: both sides are told.
    await screen.type("/cmd exec policy mail.localhost")
    await screen.shows("Form title: ")
    await screen.type("/field1 on")
    await screen.type("/form submit")
    await until(lambda: gateway.query("SELECT encrypted_only FROM users") == 1)
    await screen.type(f"/msg {BOB}")
    await screen.type("once more in clear")
    await screen.shows("takes only encrypted messages")
    refused = await gateway.deliver(answer.replace(b"<m1@", b"<m2@"), to=["capulet@example.org"])
    assert refused[-1].startswith("523 5.7.10")

    # Leaves, and nothing of her is left.
    await screen.type("/cmd exec unregister mail.localhost")
    await screen.shows("Form title: Unregister")
    await screen.type("/field1 on")
    await screen.type("/form submit")
    await until(lambda: gateway.query("SELECT count(*) FROM users") == 0)
    await screen.type(f"/msg {BOB}")
    await screen.type("am I still here")
    await screen.shows("not registered")
    assert relay.count == 1
    assert await gateway.stop() == 0
