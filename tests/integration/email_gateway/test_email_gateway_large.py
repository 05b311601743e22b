"""Mails that are too large for a stanza, on the servers that would end the stream at one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sqlite3
from email import message_from_bytes, policy

import pytest

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.prosody import ProsodyServer

DOMAIN = "mail.localhost"
BODY, ENCRYPTED = "{jabber:client}body", "{urn:xmpp:gre:0}encrypted"
LIMIT = 512 * 1024
MAIL = b"From: bob@example.net\r\nTo: juliet@example.org\r\nSubject: Long\r\nMessage-ID: <long@example.net>\r\n\r\n"


@pytest.fixture(params=["prosody", "ejabberd"])
async def server(request):
    """A real server that takes 512 KB from a component."""
    made = EjabberdServer if request.param == "ejabberd" else ProsodyServer
    require(made.installed(), f"{request.param} (apt-get install {request.param})")
    accounts, components = {"juliet": "secret1"}, {DOMAIN: "secret3"}
    async with made(accounts=accounts, components=components, component_limit=LIMIT) as running:
        yield running


@pytest.fixture
async def devices(connect, kit):
    plugins = ("xep_0030", "xep_0199", "xep_0280")
    made = [await connect("juliet", name, plugins=plugins) for name in ("phone", "desk")]
    for each in made:
        await each.plugin["xep_0280"].enable()
    return [kit.Juliet(each) for each in made]


def rows(gateway, what, *values):
    with contextlib.closing(sqlite3.connect(gateway.state / "gateway.db")) as database, database:
        return database.execute(what, values).fetchall()


def text_of(message):
    """The body, of a carbon copy too."""
    found = next(message.iter(BODY), None)
    return "" if found is None else found.text or ""


async def told(device, words):
    while words not in (text := text_of(await device.next())):
        pass
    return text


async def test_a_held_mail_is_told_on_each_device_and_ends_for_both_after_a_kill(start, devices, relay, kit):
    gateway = await start()
    large = kit.pgp_mime(kit.openpgp(450_000))
    assert await gateway.deliver(large) == ["250 2.1.5 Stored"]
    for device in devices:
        text = await told(device, "has come for you")
        assert "586 KB from bob@example.net" in text
    await gateway.stop(kill=True)
    await gateway.start()
    assert rows(gateway, "SELECT state, length(content) > 600000 FROM inbox WHERE kind = 'encrypted'") == [
        ("held", 1)
    ], "the ciphertext is still there"
    assert await gateway.deliver(large) == ["250 2.1.5 Stored"], "known, and not announced again"
    await gateway.stop()
    rows(gateway, "UPDATE inbox SET expires_at = 1 WHERE state = 'held'")
    await gateway.start()
    for device in devices:
        assert "has come for you" not in (text := await told(device, "not kept any longer"))
        assert "586 KB from bob@example.net" in text
        assert "Its sender is told so." in text
    sender, recipients, report = await relay.next()
    assert (sender.strip("<>"), recipients) == ("", ["bob@example.net"])
    assert "failed" in message_from_bytes(report, policy=policy.default).as_string()
    await gateway.stop()
    await gateway.start()
    small = kit.openpgp(seed=9)
    assert await gateway.deliver(kit.pgp_mime(small)) == ["250 2.1.5 Stored"]
    for device in devices:
        while (found := next((await device.next()).iter(ENCRYPTED), None)) is None:
            pass
        assert base64.b64decode(found.text) == small
    assert relay.count == 1, "one report"


async def test_the_largest_that_goes_goes_and_one_byte_more_is_held(start, devices, kit):
    gateway = await start()
    largest = (LIMIT - 12 * 1024) // 4 * 3
    for size, state in ((largest - 7, []), (largest - 6, [("held",)])):
        assert await gateway.deliver(kit.pgp_mime(kit.openpgp(size, seed=size))) == ["250 2.1.5 Stored"]
        if not state:
            while (found := next((await devices[0].next()).iter(ENCRYPTED), None)) is None:
                pass
            assert len(base64.b64decode(found.text)) == largest
        assert rows(gateway, "SELECT state FROM inbox WHERE state = 'held'") == state


async def test_a_plain_text_too_long_is_refused_and_the_stream_lives(start, devices):
    gateway = await start()
    # What XML escapes grows five times.
    for text in (b"x" * LIMIT, b"&" * (LIMIT // 4), "ä".encode() * (LIMIT // 2)):
        lines = b"\r\n".join(text[at : at + 900] for at in range(0, len(text), 900))
        (reply,) = await gateway.deliver(MAIL + lines)
        assert reply == "552 5.3.4 The text of the mail is too long to go over XMPP"
    most = b"\r\n".join([b"y" * 900] * 540)
    assert await gateway.deliver(MAIL + most) == ["250 2.1.5 Stored"]
    async with asyncio.timeout(60):
        assert len(await told(devices[0], "yyy")) == len(most.replace(b"\r", b""))


async def test_the_operators_limit_refuses_within_the_dialogue(start, devices, kit):
    gateway = await start()
    await gateway.stop()
    gateway.config.write_text(
        gateway.config.read_text().replace("[listen]\n", "[listen]\nmax_size = 100_000\n")
    )
    await gateway.start()
    for large in (kit.pgp_mime(kit.openpgp(100_000)), MAIL + b"x" * 100_000):
        (reply,) = await gateway.deliver(large)
        assert reply.startswith("552 5.3.4")
    assert await gateway.deliver(MAIL + b"small") == ["250 2.1.5 Stored"]
    await told(devices[0], "small")
    assert rows(gateway, "SELECT count(*) FROM inbox WHERE state = 'held'") == [(0,)]
