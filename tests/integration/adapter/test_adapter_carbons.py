"""Several devices of one user: carbon copies (XEP-0280) are opened, forged ones are not."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import fromstring, tostring

import pytest

from gre_core.errors import PeerError
from gre_core.model import Direction, Signature

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"
CARBONS, FORWARD = "urn:xmpp:carbons:2", "urn:xmpp:forward:0"


async def quiet(*queues):
    await asyncio.sleep(0.3)
    return all(queue.empty() for queue in queues)


async def test_what_one_device_sends_the_other_reads(world):
    relay, first, second = await world.gateway(), await world.user("a"), await world.user("b")
    async with asyncio.timeout(90):
        sent = await first.gre.send(CONTACT, "to Bob")
        copy = await second.received.get()
        assert (copy.message.text, copy.direction, copy.peer) == ("to Bob", Direction.SENT, CONTACT)
        assert copy.id == sent.id
        assert copy.verdict.signature is Signature.GOOD
        await first.gre.settled(sent, 60)
    assert await quiet(first.received, second.received, relay.receipts)


async def test_what_comes_for_a_user_every_device_reads_and_only_one_confirms(world):
    relay, first, second = await world.gateway(), await world.user("a"), await world.user("b")
    # To a full JID it goes to one device, and as a carbon to the other.
    stanza = relay.gre.engine.emit("bob@example.net", f"{USER}/a", world.pair, world.body("to Juliet"), "m1")
    relay.gre.stream.put(stanza)
    async with asyncio.timeout(90):
        for user in (first, second):
            got = await user.received.get()
            assert (got.message.text, got.direction, got.peer) == ("to Juliet", Direction.RECEIVED, CONTACT)
        assert await relay.receipts.get() == (USER, "m1")
    assert await quiet(first.received, second.received, relay.receipts)


async def test_a_message_to_several_devices_is_read_once_on_each(world):
    """The gateway writes to the bare JID: servers deliver to all, and send carbons only to those that got none."""
    relay = await world.gateway()
    users = [await world.user(name) for name in "abc"]
    relay.deliver("to all", "m1")
    async with asyncio.timeout(90):
        for user in users:
            got = await user.received.get()
            assert (got.message.text, got.repeated) == ("to all", False)
    assert await quiet(*(user.received for user in users))


def wrapped(inner, kind="received"):
    return f"<{kind} xmlns='{CARBONS}'><forwarded xmlns='{FORWARD}'>{inner}</forwarded></{kind}>"


@pytest.fixture
async def genuine(world):
    """A message that would open."""
    relay = await world.gateway()
    stanza = relay.gre.engine.emit("bob@example.net", USER, world.pair, world.body("forged"), "f1")
    return relay, tostring(stanza, encoding="unicode")


@pytest.mark.parametrize("kind", ["received", "sent"])
@pytest.mark.parametrize("who", ["stranger", "own full JID"])
async def test_forged_carbons_are_ignored(world, genuine, kind, who):
    relay, inner = genuine
    user = await world.user("a")
    raw = await world.raw("romeo" if who == "stranger" else "juliet", "raw")
    if kind == "sent":
        inner = inner.replace(f'from="{CONTACT}"', f'from="{USER}/b"').replace(
            f'to="{USER}"', f'to="{CONTACT}"'
        )
    raw.write(f"<message to='{USER}/a' type='chat'>{wrapped(inner, kind)}</message>")
    # A genuine one behind it arrives, so the forged one was seen and passed over.
    async with asyncio.timeout(90):
        await raw.until_pong()
        relay.deliver("genuine", "g1")
        assert (await user.received.get()).message.text == "genuine"
        await relay.receipts.get()
    assert await quiet(user.received, user.unopened, relay.receipts)


async def test_a_carbon_within_a_carbon_is_not_opened(world, genuine):
    """Another device of ours, or our server, passes on what a stranger wrapped."""
    relay, inner = genuine
    user = await world.user("a")
    twice = f"<message xmlns='jabber:client' from='{USER}/b' to='{CONTACT}' type='chat'>{wrapped(inner)}</message>"
    outer = f"<message xmlns='jabber:client' from='{USER}' to='{USER}/a'>{wrapped(twice)}</message>"
    user.xmpp._spawn_event(fromstring(outer))
    relay.deliver("genuine", "g1")
    async with asyncio.timeout(90):
        assert (await user.received.get()).message.text == "genuine"
    assert await quiet(user.received, user.unopened)
    # The same without the second wrapping opens: the test would see it.
    single = f"<message xmlns='jabber:client' from='{USER}' to='{USER}/a'>{wrapped(inner)}</message>"
    user.xmpp._spawn_event(fromstring(single))
    async with asyncio.timeout(90):
        assert (await user.received.get()).message.text == "forged"


async def test_a_server_without_carbons_is_told_to_the_user(world):
    await world.gateway()
    user = await world.user("a", connect=False)

    async def refuse(*_args, **_kwargs):
        raise PeerError("Not here.", condition="feature-not-implemented")

    user.gre._stream.iq = refuse
    await user.gre._start_session()
    notices = [user.notices.get_nowait().code for _ in range(user.notices.qsize())]
    assert notices[0] == "no-carbons"
