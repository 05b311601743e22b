"""The commands of an operator while the gateway runs: it takes the change up at once, and its users hear of it."""

from __future__ import annotations

import asyncio

import pytest
from gre_gateway_email.__main__ import main

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
OPEN = '[mail]\ndomains = ["example.org"]\n'


@pytest.fixture
def command(capsys):
    """``await command(gateway, "users", "list")``: what it says. In this process, so that nothing is imported anew."""

    async def run(gateway, *words):
        capsys.readouterr()
        async with asyncio.timeout(60):
            code = await asyncio.to_thread(main, [*words, "--config", str(gateway.config)])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    return run


@pytest.fixture
async def seen(juliet):
    await juliet.client.get_roster(timeout=30)
    found = []

    def keep(stanza):
        if stanza.name == "presence" and stanza.xml.get("from", "").endswith(DOMAIN):
            found.append((stanza.xml.get("from"), stanza.xml.get("type")))
        return stanza

    juliet.client.add_filter("in", keep)
    juliet.client.auto_authorize, juliet.client.auto_subscribe = True, False
    return found


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def subscribe(juliet, seen):
    for jid in (DOMAIN, BOB):
        juliet.send(f"<presence type='subscribe' to='{jid}'/>")
        await until(lambda jid=jid: (jid, "subscribed") in seen)


@pytest.mark.parametrize("words", [("users", "remove"), ("forget", "--yes")], ids=["remove", "forget"])
async def test_a_user_who_is_removed_gets_a_goodbye(start, juliet, seen, command, kit, words):
    gateway = await start(OPEN, users="")
    said = await command(gateway, "users", "add", "juliet@localhost", "capulet@example.org")
    assert "juliet@localhost has capulet@example.org." in said
    assert "capulet@example.org" in "".join((await juliet.next()).itertext())
    replies = await gateway.deliver(b"From: bob@example.net\r\n\r\nhi\r\n", to=["capulet@example.org"])
    assert replies[0].startswith("250")
    await juliet.until("{jabber:client}body")
    await subscribe(juliet, seen)

    said = await command(gateway, *words, "juliet@localhost")
    assert "No gateway runs" not in said
    goodbye = {
        (jid, type_) for jid in (DOMAIN, BOB) for type_ in ("unsubscribe", "unsubscribed", "unavailable")
    }
    await until(lambda: goodbye <= set(seen))
    replies = await gateway.deliver(b"From: bob@example.net\r\n\r\nhi\r\n", to=["capulet@example.org"])
    assert replies[0].startswith("550 5.1.1")
    juliet.send(kit.message(kit.openpgp()))
    async with asyncio.timeout(60):
        while (answer := await juliet.next()).get("type") != "error":
            pass
    assert kit.error_of(answer)[1] == "registration-required"


async def test_a_blocked_user_is_blocked_at_once(start, juliet, command, kit):
    gateway = await start(OPEN, users="")
    await command(gateway, "users", "add", "juliet@localhost", "capulet@example.org")
    await juliet.next()
    await command(gateway, "users", "block", "juliet@localhost")
    juliet.send(kit.message(kit.openpgp()))
    assert kit.error_of(await juliet.next())[1] == "forbidden"


async def test_a_dead_letter_that_is_replayed_goes_out_at_once(start, juliet, relay, command, kit):
    gateway = await start()
    relay.answer = "451 4.3.0 not now"
    juliet.send(kit.message(kit.openpgp()))
    await until(lambda: gateway.waiting("outbox") == 1)
    await until(lambda: "not now" in gateway.query("SELECT reason FROM outbox"))
    letter = gateway.query("SELECT id FROM outbox")
    gateway.query("UPDATE outbox SET state = 'dead'")
    relay.answer = None
    assert f"{letter} is tried again" in await command(gateway, "queue", "replay", letter)
    _, recipients, _ = await relay.next()
    assert recipients == ["bob@example.net"]
    await juliet.until("{urn:xmpp:receipts}received")


async def test_what_waits_in_memory_of_a_forgotten_user_is_not_sent(start, juliet, relay, command, kit):
    gateway = await start(OPEN, users="")
    await command(gateway, "users", "add", "juliet@localhost", "capulet@example.org")
    await juliet.next()
    relay.answer = "421 4.3.2 away"
    juliet.send(kit.message(kit.openpgp()))
    await until(lambda: gateway.waiting("outbox") == 1)
    said = await command(gateway, "forget", "juliet@localhost", "--yes")
    assert "Erased all of juliet@localhost" in said
    relay.answer = None
    await command(gateway, "users", "add", "romeo@localhost", "romeo@example.org")
    await command(gateway, "users", "add", "juliet@localhost", "capulet@example.org")
    juliet.send(kit.message(kit.openpgp(seed=2), id_="m2"))
    _, _, mail = await relay.next()
    assert kit.binary_of(mail) == kit.openpgp(seed=2)
    assert relay.count == 1
