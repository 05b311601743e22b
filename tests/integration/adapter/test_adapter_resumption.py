"""Stream management (XEP-0198), when the host has registered it: a resumed session loses and doubles nothing."""

from __future__ import annotations

import asyncio

import pytest

from gre_core.outbox import SendState
from gre_core.slixmpp import reconnect
from gre_core.testing import prosody, require
from gre_core.testing.prosody import ProsodyServer

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"


@pytest.fixture
async def server(monkeypatch):
    """The loopback router has no stream management."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    monkeypatch.setattr(prosody, "_MODULES", (*prosody._MODULES, "smacks"))
    monkeypatch.setattr(reconnect, "FIRST", 0.2)
    async with ProsodyServer(accounts={"juliet": "pw"}, components={DOMAIN: "secret"}) as running:
        yield running


async def until(condition, timeout=60):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_resumed_session_sends_what_was_written_meanwhile_and_doubles_nothing(world, server):
    relay, user = await world.gateway(), await world.user(plugins=("xep_0198",))
    resumed = []
    user.xmpp.add_event_handler("session_resumed", resumed.append)
    release, begun, arrived = asyncio.Event(), [], []

    def count(stanza):
        if stanza.xml.find("{urn:xmpp:gre:0}encrypted") is not None:
            arrived.append(stanza["id"])
        return stanza

    relay.component.add_filter("in", count)

    async def slow(message):
        begun.append(message.id)
        await release.wait()

    relay.relay = slow
    async with asyncio.timeout(90):
        before = [await user.gre.send(CONTACT, f"before {number}") for number in range(3)]
        await until(lambda: len(begun) == 3)
        await server.kick(f"{USER}/a")
        await until(lambda: not user.gre.ready.is_set())
        during = [await user.gre.send(CONTACT, f"during {number}") for number in range(3)]
        assert [sent.attempts for sent in during] == [0, 0, 0]
        await until(lambda: resumed)
        assert user.gre.ready.is_set()
        release.set()
        settled = [await user.gre.settled(sent, 60) for sent in (*before, *during)]
    assert {sent.state for sent in settled} == {SendState.RELAYED}
    assert begun == arrived == [sent.id for sent in (*before, *during)]


async def test_messages_that_come_while_the_client_is_away_are_opened_after_it_resumed(world, server):
    relay, user = await world.gateway(), await world.user(plugins=("xep_0198",))
    await server.kick(f"{USER}/a")
    relay.deliver("hello", "m1")
    async with asyncio.timeout(90):
        assert (await user.received.get()).message.text == "hello"
        assert await relay.receipts.get() == (USER, "m1")
    assert user.received.empty()
