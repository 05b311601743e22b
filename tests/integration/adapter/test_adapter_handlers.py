"""Handlers of the host that hang, wait for each other, or are too slow."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from xml.etree.ElementTree import Element

import pytest

from gre_core.errors import PeerError
from gre_core.outbox import SendState
from gre_core.slixmpp import client as client_module
from gre_core.slixmpp import gateway as gateway_module
from gre_core.slixmpp import requests as requests_module
from gre_core.slixmpp import work

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(work, "PAUSE", 0.05)


async def until(condition, timeout=60):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def hang(_event):
    await asyncio.Event().wait()


# -- client ------------------------------------------------------------------------------------------


async def test_a_handler_may_send_and_wait_for_the_receipt(world):
    """An echo: what becomes of sent messages is told apart from what is received."""
    relay, user = await world.gateway(), await world.user()
    settled = asyncio.Queue()

    async def echo(received):
        sent = await user.gre.send(received.peer, f"echo {received.message.text}")
        settled.put_nowait(await user.gre.settled(sent, 60))

    user.gre.on_received(echo)
    relay.deliver("hello", "m1")
    async with asyncio.timeout(90):
        assert (await settled.get()).state is SendState.RELAYED
        assert await relay.receipts.get() == (USER, "m1")


async def test_a_handler_that_hangs_stops_no_receipts_and_ends_in_time(world, monkeypatch):
    monkeypatch.setattr(client_module, "PATIENCE", 5.0)
    relay, user = await world.gateway(), await world.user()
    hung = []

    async def hang_once(received):
        if not hung:
            hung.append(received)
            await hang(received)

    user.gre.on_received(hang_once)
    relay.deliver("first", "m1")
    await until(lambda: hung)
    async with asyncio.timeout(4.5):
        sent = await user.gre.send(CONTACT, "meanwhile")
        assert (await user.gre.settled(sent, 60)).state is SendState.RELAYED
    relay.deliver("second", "m2")
    async with asyncio.timeout(90):
        assert await relay.receipts.get() == (USER, "m2"), "the first was not taken, so it is not confirmed"


async def test_a_flood_is_bounded_and_what_is_dropped_is_not_confirmed(world, monkeypatch, caplog):
    relay, user = await world.gateway(), await world.user()
    release = asyncio.Event()
    user.gre._messages._max_bytes = 100_000
    user.gre.on_received(lambda _: release.wait())
    for number in range(100):
        relay.deliver("x" * 1000, f"m{number}")
    await until(lambda: "message-dropped" in caplog.text)
    async with asyncio.timeout(90):
        assert (await user.notices.get()).code == "messages-dropped"
    assert user.notices.empty(), "said once, not for each"
    assert user.gre._messages._bytes <= 100_000
    release.set()
    quiet = 0
    while quiet < 20:
        before = relay.receipts.qsize(), user.gre._messages._bytes
        await asyncio.sleep(0.1)
        quiet = quiet + 1 if before == (relay.receipts.qsize(), 0) else 0
    confirmed = [relay.receipts.get_nowait()[1] for _ in range(relay.receipts.qsize())]
    assert len(confirmed) == user.received.qsize()
    assert 0 < len(confirmed) < 100
    # The gateway repeats what was not confirmed, and then it arrives.
    missing = next(f"m{number}" for number in range(100) if f"m{number}" not in confirmed)
    relay.deliver("again", missing)
    async with asyncio.timeout(90):
        assert await relay.receipts.get() == (USER, missing)


# -- gateway -----------------------------------------------------------------------------------------


async def test_a_relay_that_hangs_ends_in_an_error_and_delays_nobody(world, monkeypatch):
    monkeypatch.setattr(gateway_module, "PATIENCE", 5.0)
    relay, user = await world.gateway(), await world.user()

    async def hang_on_first(message):
        if message.id == first.id:
            await hang(message)

    async with asyncio.timeout(90):
        first = await user.gre.send(CONTACT, "warm up")
        await user.gre.settled(first, 60)
        relay.relay = hang
        first = await user.gre.send(CONTACT, "hangs")
        await until(lambda: relay.gre._under_way)
        relay.relay = hang_on_first
        second = await user.gre.send(CONTACT, "goes on")
        assert (await user.gre.settled(second, 4.5)).state is SendState.RELAYED
        failed = await user.gre.settled(first, 60)
    assert (failed.state, failed.condition) == (SendState.REFUSED, "remote-server-timeout")
    assert "may have taken" in failed.error


async def test_more_messages_than_can_be_relayed_at_once_wait(world):
    relay, user = await world.gateway(), await world.user()
    relay.gre._work._workers = 2
    running, most = [], []

    async def slow(message):
        running.append(message)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(message)

    relay.relay = slow
    async with asyncio.timeout(90):
        sent = [await user.gre.send(CONTACT, str(number)) for number in range(10)]
        states = {(await user.gre.settled(one, 60)).state for one in sent}
    assert (states, max(most)) == ({SendState.RELAYED}, 2)


async def test_a_flood_is_refused_with_a_word(world):
    relay, user = await world.gateway(), await world.user()
    release = asyncio.Event()
    relay.gre._work._workers, relay.gre._work._max_bytes = 1, 50_000

    async def wait(_message):
        await release.wait()

    relay.relay = wait
    async with asyncio.timeout(60):
        sent = [await user.gre.send(CONTACT, "x" * 1000) for _ in range(30)]
        await until(lambda: not user.states.empty())
        release.set()
        settled = [await user.gre.settled(one, 30) for one in sent]
    refused = [one for one in settled if one.state is SendState.REFUSED]
    assert 0 < len(refused) < 30
    assert {one.condition for one in refused} == {"resource-constraint"}
    assert all(one.error for one in refused)
    assert relay.relayed.qsize() == 30 - len(refused)


async def test_handlers_may_ask_over_the_same_stream_however_many_there_are(world):
    """Reading is slowed down, never stopped: else all would wait for answers that are not read."""
    relay, user = await world.gateway(), await world.user()
    relay.gre._work._max_bytes = 150_000
    asked = []

    async def ask(message):
        await relay.gre.stream.iq("localhost", "get", Element("{urn:xmpp:ping}ping"))
        asked.append(message.id)

    relay.relay = ask
    async with asyncio.timeout(60):
        sent = [await user.gre.send(CONTACT, "x" * 1000) for _ in range(12)]
        states = {(await user.gre.settled(one, 40)).state for one in sent}
    assert states == {SendState.RELAYED}
    assert len(asked) == 12


async def test_a_look_up_that_hangs_is_answered_in_time(world, monkeypatch):
    monkeypatch.setattr(requests_module, "ANSWER_TIMEOUT", 0.2)
    await world.gateway(nodes=lambda *_: asyncio.Event().wait())
    user = await world.user()
    async with asyncio.timeout(90):
        with pytest.raises(PeerError) as caught:
            await user.gre.engine.ports.pubsub.items(CONTACT, "node")
    assert (caught.value.condition, caught.value.error_type) == ("remote-server-timeout", "wait")


@pytest.mark.parametrize("answer", [None, 7, [None], "text"])
async def test_nodes_that_give_rubbish_are_answered(world, answer):
    async def nodes(*_):
        return answer

    await world.gateway(nodes=nodes)
    user = await world.user()
    async with asyncio.timeout(90):
        with pytest.raises(PeerError) as caught:
            await user.gre.engine.ports.pubsub.items(CONTACT, "node")
    assert caught.value.condition == "internal-server-error"


# -- the end of a program ----------------------------------------------------------------------------

PROGRAM = """
    import asyncio, logging, sys
    from gre_core.gateway import GatewayEngine
    from gre_core.registry import Plugins
    from gre_core.slixmpp import attach_client, attach_gateway
    from gre_core.stores import MemoryStore
    from gre_core.testing.fakes import say_yes, toy_encrypter, toy_formatter
    from gre_core.testing.loopback import LoopbackServer
    from gre_core.testing.slix import make_client, make_component, online

    logging.basicConfig(level=logging.WARNING)
    pair = (toy_formatter().namespace, toy_encrypter().namespace)

    async def sender_id(user):
        return "juliet@example.org"

    async def hang(_):
        await asyncio.Event().wait()

    async def main():
        async with LoopbackServer(accounts={"juliet": "pw"}, components={"mail.localhost": "s"}) as server:
            component = make_component(server, "mail.localhost")
            engine = GatewayEngine("mail.localhost", [pair], sender_id=sender_id)
            gateway = attach_gateway(component, engine, on_encrypted=hang)
            await online(component)
            xmpp = make_client(server, "juliet", "a")
            client = attach_client(xmpp, Plugins.of(toy_formatter(), toy_encrypter()), store=MemoryStore(), decide=say_yes)
            client.on_notice(hang)
            client.on_received(hang)
            await online(xmpp)
            xmpp.send_presence()
            await client.ready.wait()
            await client.send("bob\\\\40x.org@mail.localhost", "hello")
            await asyncio.sleep(0.2)
            if "kick" in sys.argv:
                await server.kick("juliet@localhost")
                await asyncio.sleep(0.1)
            if "disconnect" in sys.argv:
                await xmpp.disconnect()
                await component.disconnect()
        print("done")

    asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["", "disconnect", "kick", "kick disconnect"])
async def test_a_program_ends_without_noise(how):
    """With hanging handlers, a message under way, a stream that is lost: no word about tasks on stderr."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-c", textwrap.dedent(PROGRAM), *how.split(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, errors = await program.communicate()
    assert out.decode().strip() == "done"
    for word in ("Task was destroyed", "never retrieved", "never awaited", "Traceback", "Unclosed"):
        assert word not in errors.decode(), errors.decode()
