"""Stanza sizes: refused locally before the server closes the stream, at its exact limits (Prosody as it is shipped)."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element, SubElement

import pytest
from slixmpp.features.feature_limits.limits import Limits

from gre_core.errors import PeerError, TooLarge
from gre_core.model import Body, Message
from gre_core.ports import Item
from gre_core.slixmpp.attach import DEFAULT_MAX_STANZA as CLIENT_LIMIT
from gre_core.slixmpp.gateway import DEFAULT_MAX_STANZA as COMPONENT_LIMIT
from gre_core.testing.server import C2S_LIMIT
from gre_core.testing.server import COMPONENT_LIMIT as SERVER_COMPONENT_LIMIT
from gre_core.xml_text import serialised_size

DOMAIN, USER, LEGACY = "mail.localhost", "juliet@localhost", "bob@example.net"
CONTACT = rf"bob\40example.net@{DOMAIN}"


def watch(xmpp):
    """Collect what ends a stream."""
    ends = []
    for event in ("disconnected", "stream_error"):
        xmpp.add_event_handler(event, lambda _, event=event: ends.append(event))
    return ends


def filled(make, size):
    """Make a stanza of exactly that size, as we count it."""
    empty = serialised_size(make(""))
    stanza = make("A" * (size - empty))
    assert serialised_size(stanza) == size
    return stanza


def test_our_defaults_are_the_limits_of_the_servers():
    assert (CLIENT_LIMIT, COMPONENT_LIMIT) == (C2S_LIMIT, SERVER_COMPONENT_LIMIT)


async def test_a_gateway_delivers_up_to_the_limit_and_refuses_beyond(world):
    relay, user = await world.gateway(), await world.user()
    ends = watch(relay.component)

    def make(text):
        return relay.gre.engine.emit(LEGACY, USER, world.pair, Body(text or "A"), "m1")

    seen = []
    user.gre.on_unopened(seen.append)
    relay.gre.stream.put(filled(lambda text: make("A" + text), COMPONENT_LIMIT))
    async with asyncio.timeout(90):
        assert (await user.unopened.get()).id == "m1"
    with pytest.raises(TooLarge) as caught:
        relay.gre.stream.put(filled(lambda text: make("A" + text), COMPONENT_LIMIT + 1))
    assert caught.value.params == {"size": COMPONENT_LIMIT + 1, "limit": COMPONENT_LIMIT}
    with pytest.raises(TooLarge):
        relay.gre.deliver(USER, LEGACY, world.pair, Body("A" * COMPONENT_LIMIT), "m2")
    with pytest.raises(TooLarge):
        relay.gre.deliver_plain(USER, LEGACY, "A" * COMPONENT_LIMIT, None, "m3")
    relay.deliver("small", "m4")
    async with asyncio.timeout(90):
        assert (await user.received.get()).id == "m4"
    assert ends == []
    assert seen


async def test_a_client_sends_up_to_the_limit_and_refuses_beyond(world):
    relay, user = await world.gateway(), await world.user()
    ends = watch(user.xmpp)

    def make(text):
        message = Element("{jabber:client}message", {"to": CONTACT, "type": "chat", "id": "m1"})
        SubElement(message, "{jabber:client}body").text = text
        return message

    network = user.gre.engine.network
    plain = asyncio.Queue()
    relay.gre._on_plain = plain.put
    await network.send_message(filled(make, CLIENT_LIMIT))
    async with asyncio.timeout(90):
        assert (await plain.get()).id == "m1"
    with pytest.raises(TooLarge) as caught:
        await network.send_message(filled(make, CLIENT_LIMIT + 1))
    assert caught.value.params == {"size": CLIENT_LIMIT + 1, "limit": CLIENT_LIMIT}
    with pytest.raises(TooLarge) as caught:
        await user.gre.send(CONTACT, Message("x" * CLIENT_LIMIT))
    assert "Leave out or shrink attachments" in caught.value.text
    assert ends == []


async def test_the_servers_do_close_the_stream_beyond_the_limit(world):
    """Why all of this is done."""
    await world.gateway()
    plain = await world.plain()
    ends = watch(plain)
    plain.send_message(CONTACT, "A" * (2 * CLIENT_LIMIT), mtype="chat")
    async with asyncio.timeout(90):
        while "disconnected" not in ends:
            await asyncio.sleep(0.01)


async def test_an_answer_that_is_too_large_becomes_an_error_with_a_text(world):
    """One large key must not take the whole gateway down."""

    async def nodes(_jid, _node, _ids):
        payload = Element("{urn:test}large")
        payload.text = "A" * COMPONENT_LIMIT
        return [Item("1", payload)]

    relay, user = await world.gateway(nodes=nodes), await world.user()
    ends = watch(relay.component)
    async with asyncio.timeout(90):
        with pytest.raises(PeerError) as caught:
            await user.gre.engine.ports.pubsub.items(CONTACT, "node")
    assert "bytes" in caught.value.text
    assert ends == []


async def test_an_answer_with_a_character_that_xml_forbids_becomes_an_error(world):
    async def nodes(_jid, _node, _ids):
        payload = Element("{urn:test}x")
        payload.text = "\x00"
        return [Item("\x1b", payload)]

    relay, user = await world.gateway(nodes=nodes), await world.user()
    ends = watch(relay.component)
    async with asyncio.timeout(90):
        with pytest.raises(PeerError) as caught:
            await user.gre.engine.ports.pubsub.items(CONTACT, "node")
    assert caught.value.condition == "internal-server-error"
    assert ends == []


async def test_a_request_of_ours_that_is_too_large_is_refused_before_it_is_sent(world):
    user = await world.user()
    ends = watch(user.xmpp)
    payload = Element("{urn:test}large")
    payload.text = "A" * CLIENT_LIMIT
    with pytest.raises(TooLarge):
        await user.gre.engine.ports.pubsub.publish("node", "1", payload, access_model="open")
    assert ends == []


async def test_a_limit_that_the_server_announces_counts(world):
    """XEP-0478: slixmpp reads it from the stream features."""
    user = await world.user()
    assert user.gre.engine.network.max_stanza in {CLIENT_LIMIT, getattr(user.xmpp.limits, "max_bytes", None)}
    for announced, counts in (
        (1_000_000, 1_000_000),
        (20_000, 20_000),
        (0, 10_000),
        (-5, 10_000),
        (None, CLIENT_LIMIT),
    ):
        user.xmpp.limits = Limits(max_bytes=announced)
        assert user.gre.engine.network.max_stanza == counts
    user.xmpp.limits = Limits(max_bytes=20_000)
    await world.gateway()
    with pytest.raises(TooLarge):
        await user.gre.send(CONTACT, "x" * 20_000)


async def test_without_a_limit_nothing_is_refused_locally(world):
    user = await world.user(max_stanza=None)
    assert user.gre.engine.network.max_stanza is None
