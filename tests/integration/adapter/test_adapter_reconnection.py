"""Reconnection on both sides, with messages in flight: nothing lost, nothing unanswered, nothing twice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from xml.etree.ElementTree import Element

import pytest

from gre_core.errors import PeerTimeout, Refused
from gre_core.model import Message
from gre_core.outbox import SendState
from gre_core.slixmpp import reconnect
from gre_core.testing.server import TestServerError
from gre_core.testing.slix import offline, online

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"
STATES = {SendState.RELAYED}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(reconnect, "FIRST", 0.1)


async def until(condition, timeout=60):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def back(user):
    """Wait until a session is lost and there again."""
    await until(lambda: not user.gre.ready.is_set())
    async with asyncio.timeout(90):
        await user.gre.ready.wait()


async def test_trap_06_messages_of_a_client_that_was_cut_off_go_out_with_the_same_id(world, server):
    relay, user = await world.gateway(), await world.user()
    async with asyncio.timeout(90):
        first = await user.gre.send(CONTACT, "before")
        await user.gre.settled(first, 60)
        await server.kick(f"{USER}/a")
        await until(lambda: not user.gre.ready.is_set())
        sent = [await user.gre.send(CONTACT, f"while down {number}") for number in range(5)]
        assert [one.state for one in sent] == [SendState.QUEUED] * 5
        settled = [await user.gre.settled(one, 60) for one in sent]
    assert {one.state for one in settled} == STATES
    relayed = [relay.relayed.get_nowait().id for _ in range(relay.relayed.qsize())]
    assert relayed == [first.id, *(one.id for one in sent)], "in their order, each once"
    assert await user.gre.engine.pending() == []


async def test_trap_06_messages_in_flight_when_the_client_is_cut_off_are_relayed_once(world, server):
    """They are sent again while the gateway still works on them: its one answer serves both."""
    relay, user = await world.gateway(), await world.user()
    release, begun = asyncio.Event(), []

    async def slow(message):
        begun.append(message.id)
        await release.wait()

    relay.relay = slow
    async with asyncio.timeout(90):
        sent = [await user.gre.send(CONTACT, f"{number}") for number in range(3)]
        await until(lambda: len(begun) == 3)
        await server.kick(f"{USER}/a")
        await back(user)
        await asyncio.sleep(0.3)
        release.set()
        settled = [await user.gre.settled(one, 60) for one in sent]
    assert {one.state for one in settled} == STATES
    assert sorted(begun) == sorted(one.id for one in sent)


async def test_trap_06_the_gateway_comes_back_and_answers_what_it_had(world, server):
    relay, user = await world.gateway(), await world.user()
    release, begun = asyncio.Event(), []

    async def slow(message):
        begun.append(message.id)
        await release.wait()
        if message.id == "refused":
            raise Refused("No such mailbox.", condition="recipient-unavailable", error_type="cancel")

    relay.relay = slow
    async with asyncio.timeout(90):
        sent = [await user.gre.send(CONTACT, f"{number}") for number in range(3)]
        sent.append(await user.gre.engine.send(CONTACT, Message("no"), "refused"))
        await until(lambda: len(begun) == 4)
        await server.kick(DOMAIN)
        await until(lambda: not relay.gre.stream.up)
        release.set()
        settled = [await user.gre.settled(one, 60) for one in sent]
        assert [one.state for one in settled] == [*[SendState.RELAYED] * 3, SendState.REFUSED]
        after = await user.gre.send(CONTACT, "after")
        assert (await user.gre.settled(after, 60)).state is SendState.RELAYED
    assert len(begun) == 5


async def test_trap_06_what_was_lost_with_the_gateway_is_sent_again_when_it_announces_itself(world):
    """A gateway that died while it worked has told nobody: its next presence makes the client send again."""
    first = await world.gateway()
    user = await world.user()
    lost = asyncio.Event()

    async def die(_message):
        lost.set()
        await asyncio.Event().wait()

    first.relay = die
    first.gre.presences.greet(USER)
    async with asyncio.timeout(90):
        sent = await user.gre.send(CONTACT, "hello")
        await lost.wait()
        first.component.abort()
        first.gre._work._tasks.pop().cancel()
        first.component.disconnect()
        second = await world.gateway()
        second.gre.presences.greet(USER)
        assert (await user.gre.settled(sent, 60)).state is SendState.RELAYED
        assert (await second.relayed.get()).id == sent.id
        # Presence after presence does not make it send again and again.
        arrived = []
        second.component.add_filter("in", lambda stanza: arrived.append(stanza["id"]) or stanza)
        second.relay = die
        third = await user.gre.send(CONTACT, "third")
        for _ in range(5):
            second.gre.presences.greet(USER)
        await asyncio.sleep(0.3)
    assert arrived.count(third.id) == 1


async def test_trap_06_a_message_to_a_gateway_that_is_away_is_refused_with_a_word(world):
    user = await world.user()
    relay = await world.gateway()
    async with asyncio.timeout(90):
        await user.gre.settled(await user.gre.send(CONTACT, "known"), 60)
        await offline(relay.component)
        sent = await user.gre.settled(await user.gre.send(CONTACT, "away"), 60)
    assert (sent.state, sent.condition) == (SendState.REFUSED, "remote-server-timeout")
    assert sent.error


async def test_the_gateway_refuses_to_deliver_while_it_is_down_and_delivers_afterwards(world, server):
    relay, user = await world.gateway(), await world.user()
    await server.kick(DOMAIN)
    await until(lambda: not relay.gre.stream.up)
    with pytest.raises(PeerTimeout):
        relay.deliver("down", "m1")
    await until(lambda: relay.gre.stream.up)
    relay.deliver("up", "m2")
    async with asyncio.timeout(90):
        assert (await user.received.get()).id == "m2"
    assert user.received.empty()


async def test_a_receipt_that_the_client_owes_goes_out_with_its_next_session(world, server):
    relay, user = await world.gateway(), await world.user()
    release = asyncio.Event()
    user.gre.on_received(lambda _: release.wait())
    relay.deliver("hello", "m1")
    async with asyncio.timeout(90):
        await user.received.get()
        await server.kick(f"{USER}/a")
        await until(lambda: not user.gre.ready.is_set())
        release.set()
        assert await relay.receipts.get() == (USER, "m1")
    assert relay.receipts.empty()


async def test_requests_under_way_fail_at_once_when_the_stream_is_lost(world, server):
    await world.gateway(engine=world.engine(sender_id=lambda _: asyncio.Event().wait()))
    user = await world.user()
    request = asyncio.create_task(user.gre._stream.iq(CONTACT, "get", Element("{urn:xmpp:gre:0}data")))
    await asyncio.sleep(0.1)
    await server.kick(f"{USER}/a")
    async with asyncio.timeout(15):
        with pytest.raises(PeerTimeout):
            await request


class Door:
    """A fixed address in front of servers that come and go."""

    def __init__(self):
        self.server = None
        self.pipes = set()

    async def open(self, port):
        self.listener = await asyncio.start_server(self._pass, "127.0.0.1", port)
        return self.listener.sockets[0].getsockname()[1]

    def close(self):
        self.listener.close()
        for pipe in self.pipes:
            pipe.cancel()

    async def _pass(self, reader, writer):
        there = await asyncio.open_connection("127.0.0.1", self.target())
        pipes = [asyncio.create_task(self._pump(*pair)) for pair in ((reader, there[1]), (there[0], writer))]
        self.pipes.update(pipes)

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()


async def test_trap_06_the_server_restarts(server_class, make_world):
    """Refused, then there again: client and gateway come back by themselves, and what was queued goes out."""
    options = {"accounts": {"juliet": "pw"}, "components": {DOMAIN: "secret"}}
    doors = Door(), Door()
    async with server_class(**options) as first:
        doors[0].target, doors[1].target = lambda: first.c2s_port, lambda: first.component_port
        ports = [await door.open(0) for door in doors]
        address = SimpleNamespace(
            host="127.0.0.1", c2s_port=ports[0], component_port=ports[1], domain="localhost", **options
        )
        world = make_world(address)
        relay, user = await world.gateway(), await world.user()
        async with asyncio.timeout(90):
            await user.gre.settled(await user.gre.send(CONTACT, "before"), 60)
        for door in doors:
            door.close()
    await until(lambda: not user.gre.ready.is_set() and not relay.gre.stream.up)
    queued = await user.gre.send(CONTACT, "while the server is away")
    await asyncio.sleep(0.5)
    async with server_class(**options) as second:
        doors[0].target, doors[1].target = lambda: second.c2s_port, lambda: second.component_port
        await doors[1].open(ports[1])
        await until(lambda: relay.gre.stream.up)
        await doors[0].open(ports[0])
        async with asyncio.timeout(90):
            assert (await user.gre.settled(queued, 60)).state is SendState.RELAYED
        assert relay.relayed.qsize() == 2
        await world.close()
        for door in doors:
            door.close()


async def test_trap_06_after_disconnect_by_the_program_nothing_connects_again(world, server):
    relay, user = await world.gateway(), await world.user()
    for xmpp in (user.xmpp, relay.component):
        await offline(xmpp)
    await asyncio.sleep(0.6)
    assert not user.xmpp.is_connected()
    assert not relay.component.is_connected()
    for jid in (USER, DOMAIN):
        with pytest.raises(TestServerError):
            await server.kick(jid)


async def test_trap_06_after_a_refused_login_nothing_connects_again(world):
    user = await world.user(connect=False)
    user.xmpp.password = "wrong"
    attempts = []
    user.xmpp.add_event_handler("connected", attempts.append)
    with pytest.raises(TestServerError):
        await online(user.xmpp)
    await asyncio.sleep(0.6)
    assert len(attempts) == 1
    relay = await world.gateway(connect=False)
    relay.component.secret = "wrong"
    relay.component.add_event_handler("connected", attempts.append)
    with pytest.raises(TestServerError):
        await online(relay.component)
    await asyncio.sleep(0.6)
    assert len(attempts) == 2
