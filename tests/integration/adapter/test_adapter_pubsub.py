"""Nodes of our own account and of others (XEP-0060, XEP-0163), as plugins use them, and the news of their changes."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element

import pytest

from gre_core.api import EncrypterProvider
from gre_core.errors import PeerError
from gre_core.model import Notice
from gre_core.namespaces import encrypter
from gre_core.ports import Item
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import InsecureToyEncrypter, toy_formatter
from gre_core.testing.slix import make_client, online

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"
NODE = "urn:test:node"


def payload(text):
    element = Element("{urn:test}payload")
    element.text = text
    return element


async def contents(pubsub, jid=USER, node=NODE, **options):
    return [(item.id, item.payload.text) for item in await pubsub.items(jid, node, **options)]


async def romeo(world):
    """Another account, no friend of Juliet's."""
    xmpp = make_client(world.server, "romeo", "r")
    world.streams.append(xmpp)
    client = attach_client(xmpp, Plugins.of(toy_formatter()), store=MemoryStore())
    await online(xmpp)
    return client.engine.ports.pubsub


async def test_what_is_published_open_everybody_reads(world):
    user, stranger = await world.user(), await romeo(world)
    pubsub = user.gre.engine.ports.pubsub
    await pubsub.publish(NODE, "current", payload("one"), access_model="open")
    await pubsub.publish(NODE, "current", payload("two"), access_model="open")
    assert await contents(pubsub) == [("current", "two")]
    assert await contents(stranger) == [("current", "two")]
    assert await contents(stranger, item_id="current") == [("current", "two")]


async def test_what_is_published_for_ourselves_nobody_else_reads(world):
    user, stranger = await world.user(), await romeo(world)
    pubsub = user.gre.engine.ports.pubsub
    await pubsub.publish(NODE, "1", payload("secret"), access_model="whitelist")
    assert await contents(pubsub) == [("1", "secret")]
    with pytest.raises(PeerError) as caught:
        await stranger.items(USER, NODE)
    assert caught.value.condition in {"forbidden", "not-allowed", "item-not-found"}


async def test_a_node_with_other_options_is_configured_anew(world):
    """Another program made it so that only friends may read; nobody would find our key."""
    user, stranger = await world.user(), await romeo(world)
    pubsub = user.gre.engine.ports.pubsub
    await pubsub.publish(NODE, "current", payload("old"), access_model="whitelist")
    await pubsub.publish(NODE, "current", payload("new"), access_model="open")
    assert await contents(stranger) == [("current", "new")]


async def test_several_items_are_kept_when_they_are_asked_for(world):
    user = await world.user()
    pubsub = user.gre.engine.ports.pubsub
    for number in range(3):
        await pubsub.publish(NODE, str(number), payload(str(number)), access_model="open", max_items=3)
    assert sorted(await contents(pubsub)) == [("0", "0"), ("1", "1"), ("2", "2")]
    assert await contents(pubsub, max_items=1) == [("2", "2")]
    await pubsub.retract(NODE, "1")
    assert sorted(await contents(pubsub)) == [("0", "0"), ("2", "2")]


async def test_a_node_that_is_not_there_is_said_so(world):
    user = await world.user()
    with pytest.raises(PeerError) as caught:
        await user.gre.engine.ports.pubsub.items(USER, "urn:test:none")
    assert caught.value.condition == "item-not-found"


async def test_the_nodes_of_contacts_are_served_and_the_gateway_reads_them_without_a_stanza(world):
    asked = []

    async def nodes(jid, node, ids):
        asked.append((jid, node, tuple(ids)))
        return [Item("1", payload("key"))]

    relay, user = await world.gateway(nodes=nodes), await world.user()
    assert await contents(user.gre.engine.ports.pubsub, CONTACT) == [("1", "key")]
    assert await contents(user.gre.engine.ports.pubsub, CONTACT, item_id="1") == [("1", "key")]
    relay.gre.stream.iq = None
    assert await contents(relay.gre.ports.pubsub, CONTACT) == [("1", "key")]
    assert asked == [(CONTACT, NODE, ()), (CONTACT, NODE, ("1",)), (CONTACT, NODE, ())]


async def test_nodes_may_depend_on_who_asks(world):
    async def nodes(jid, node, ids, reader):
        return [Item("1", payload(f"for {reader or 'the gateway'}"))]

    relay, user = await world.gateway(nodes_for=nodes), await world.user()
    assert await contents(user.gre.engine.ports.pubsub, CONTACT) == [("1", f"for {USER}")]
    assert await contents(relay.gre.ports.pubsub, CONTACT) == [("1", "for the gateway")]
    assert await contents(relay.gre.ports.pubsub.seen_by(USER), CONTACT) == [("1", f"for {USER}")]


async def test_a_gateway_tells_of_a_changed_node(world):
    relay, user = await world.gateway(), await world.user()
    events = asyncio.Queue()

    async def notified(jid, node):
        events.put_nowait((jid, node))
        return ()

    user.gre.engine.notified = notified
    relay.gre.node_changed(USER, "bob@example.net", NODE)
    async with asyncio.timeout(90):
        assert await events.get() == (CONTACT, NODE)


async def test_the_gateway_reads_the_nodes_of_its_users(world):
    relay, user = await world.gateway(), await world.user()
    await user.gre.engine.ports.pubsub.publish(NODE, "1", payload("key"), access_model="open")
    assert await contents(relay.gre.ports.pubsub) == [("1", "key")]


class Watching(InsecureToyEncrypter):
    """Wants to know of changes."""

    nodes = (NODE,)

    async def notified(self, jid, node, ports):
        found = await ports.pubsub.items(jid, node)
        return (Notice("changed", f"{jid} {node} {found[-1].payload.text}"),)


async def test_plugins_hear_of_changed_nodes(world):
    """By the +notify in our capabilities; the payload is fetched, since the event may come without."""
    watching = make_client(world.server, "juliet", "watching")
    world.streams.append(watching)
    plugins = Plugins.of(toy_formatter(), EncrypterProvider(encrypter("test"), Watching))
    client = attach_client(watching, plugins, store=MemoryStore())
    notices = asyncio.Queue()
    client.on_notice(notices.put)
    await online(watching)
    watching.send_presence()
    other = await world.user("b")
    async with asyncio.timeout(90):
        await client.ready.wait()
        await other.gre.engine.ports.pubsub.publish(NODE, "1", payload("first"), access_model="open")
        while (notice := await notices.get()).code != "changed":
            pass
    assert notice.text == f"{USER} {NODE} first"
