"""Presence and capabilities on both sides: what a user's roster sees of the gateway, and the gateway of the user."""

from __future__ import annotations

import asyncio

import pytest

from gre_core.api import EncrypterProvider
from gre_core.gateway import GatewayEngine
from gre_core.namespaces import GRE, encrypter
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import InsecureToyEncrypter, toy_encrypter, toy_formatter
from gre_core.testing.slix import make_client, online

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"
CAPS = "{http://jabber.org/protocol/caps}c"


async def until(condition, timeout=30):
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


def presences(xmpp):
    """Collect presence from the gateway and its contacts, as (from, type)."""
    seen = []

    def see(stanza):
        if str(stanza["from"]).endswith(DOMAIN):
            seen.append((str(stanza["from"]), stanza["type"]))

    xmpp.add_event_handler("presence", see)
    return seen


# -- what the user sees ------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted_only", [False, True])
async def test_slixmpp_accepts_the_capabilities_of_the_gateway(world, encrypted_only):
    """Its own implementation of XEP-0115 verifies our hash, with and without a form."""
    plain = await world.plain("juliet", "plain", "xep_0115", "xep_0128")
    relay = await world.gateway(engine=world.engine(encrypted_only=encrypted_only))
    relay.gre.presences.greet(USER)
    caps = plain.plugin["xep_0115"]
    version = relay.gre.announced.version(contact=False, encrypted_only=encrypted_only)
    async with asyncio.timeout(30):
        while await caps.get_verstring(DOMAIN) != version:
            await asyncio.sleep(0.01)
        info = await caps.get_caps(DOMAIN)
    assert {GRE, *map(str, world.pair)} <= info["features"]


@pytest.mark.parametrize("jid", [DOMAIN, CONTACT])
async def test_a_registered_user_may_subscribe_and_sees_presence_at_each_login(world, jid):
    await world.gateway()
    plain = await world.plain()
    seen = presences(plain)
    plain.send_presence_subscription(jid)
    await until(lambda: (jid, "available") in seen)
    assert (jid, "subscribed") in seen
    # The next client of the user is told by the answer to the server's probe, and nothing ends the subscription.
    other = make_client(world.server, "juliet", "other")
    world.streams.append(other)
    seen_there = presences(other)
    await online(other)
    other.send_presence()
    await until(lambda: (jid, "available") in seen_there)
    await asyncio.sleep(0.3)
    assert (jid, "unsubscribed") not in seen + seen_there
    roster = await other.get_roster(timeout=30)
    # A contact asked back (XEP-0100, section 4.6), and slixmpp agrees to whom it asked itself.
    wanted = "to" if jid == DOMAIN else "both"
    assert roster["roster"]["items"][jid]["subscription"] == wanted


async def test_who_is_not_registered_may_not_subscribe(world):
    await world.gateway()
    romeo = await world.plain("romeo")
    seen = presences(romeo)
    for jid in (DOMAIN, CONTACT):
        romeo.send_presence_subscription(jid)
    await until(lambda: {(DOMAIN, "unsubscribed"), (CONTACT, "unsubscribed")} <= set(seen))
    assert not {kind for _, kind in seen} & {"available", "subscribed"}


async def test_nobody_may_subscribe_to_what_is_no_address(world):
    await world.gateway()
    plain = await world.plain()
    seen = presences(plain)
    wrong = rf"\20edge@{DOMAIN}"
    plain.send_presence_subscription(wrong)
    await until(lambda: (wrong, "unsubscribed") in seen)


async def test_a_user_who_unsubscribes_is_let_go(world):
    await world.gateway()
    plain = await world.plain()
    seen = presences(plain)
    plain.send_presence_subscription(CONTACT)
    await until(lambda: (CONTACT, "available") in seen)
    plain.send_presence_subscription(CONTACT, ptype="unsubscribe")
    await until(lambda: (CONTACT, "unavailable") in seen)


async def test_the_look_up_of_users_may_fail(world):
    async def broken(_user):
        raise ZeroDivisionError

    relay = await world.gateway(engine=world.engine(sender_id=broken))
    plain = await world.plain()
    seen = presences(plain)
    plain.send_presence_subscription(CONTACT)
    await until(lambda: (CONTACT, "unsubscribed") in seen)
    assert relay.gre.stream.up


# -- what the gateway sees ---------------------------------------------------------------------------


async def befriend(relay, user):
    """The user's side of a subscription: what a person clicks."""
    user.xmpp.auto_authorize, user.xmpp.auto_subscribe = True, False
    agreed = []
    relay.component.add_event_handler("presence_subscribed", agreed.append)
    relay.gre.presences.greet(USER, subscribe=True)
    await until(lambda: agreed and relay.gre.presences.is_online(USER))


async def test_the_gateway_knows_what_the_clients_of_a_user_announce(world):
    relay, user = await world.gateway(), await world.user("a")
    assert await relay.gre.features_of(USER) == frozenset()
    await befriend(relay, user)
    features = await relay.gre.features_of(USER)
    assert {GRE, *map(str, world.pair), "urn:xmpp:eme:0", "urn:xmpp:receipts"} <= features
    assert relay.gre.engine.choose(features).pair == world.pair
    assert await relay.gre.features_of("Juliet@LocalHost") == features


async def test_only_what_all_gre_clients_of_a_user_have_counts(world):
    relay, user = await world.gateway(), await world.user("a")
    await befriend(relay, user)
    # A plain client beside it takes nothing away: it cannot open anything anyway.
    await world.plain("juliet", "plain", "xep_0030")
    await until(lambda: len(relay.gre.presences.clients._online[USER]) == 2)
    assert set(map(str, world.pair)) <= await relay.gre.features_of(USER)
    # One with another encrypter beside the common one takes away what it lacks, and adds nothing.
    third = make_client(world.server, "juliet", "third")
    world.streams.append(third)
    more = EncrypterProvider(encrypter("more"), InsecureToyEncrypter)
    attach_client(third, Plugins.of(toy_formatter(), toy_encrypter(), more), store=MemoryStore())
    await online(third)
    third.send_presence()
    await until(lambda: len(relay.gre.presences.clients._online[USER]) == 3)
    features = await relay.gre.features_of(USER)
    assert set(map(str, world.pair)) <= features
    assert str(more.namespace) not in features


async def test_a_client_that_leaves_is_forgotten(world):
    relay, user = await world.gateway(), await world.user("a")
    await befriend(relay, user)
    user.xmpp.send_presence(ptype="unavailable")
    await until(lambda: not relay.gre.presences.is_online(USER))
    assert await relay.gre.features_of(USER) == frozenset()


async def test_a_client_is_asked_once_until_its_capabilities_change(world):
    relay, user = await world.gateway(), await world.user("a")
    asked = []
    iq = relay.gre.stream.iq

    async def counted(jid, *args, **kwargs):
        asked.append(jid)
        return await iq(jid, *args, **kwargs)

    relay.gre.stream.iq = counted
    await befriend(relay, user)
    first, again = await asyncio.gather(relay.gre.features_of(USER), relay.gre.features_of(USER))
    assert first == again
    user.xmpp.send_presence(pstatus="still the same")
    await asyncio.sleep(0.2)
    await relay.gre.features_of(USER)
    assert asked == [f"{USER}/a"]
    disco, caps = (user.xmpp.plugin[name] for name in ("xep_0030", "xep_0115"))
    await disco.add_feature("urn:test:new")
    await caps.update_caps()
    await until(lambda: relay.gre.presences.clients._online[USER][f"{USER}/a"].features is None)
    assert "urn:test:new" in await relay.gre.features_of(USER)
    assert len(asked) == 2


async def test_the_presence_of_strangers_is_not_kept(world):
    relay = await world.gateway()
    romeo = await world.plain("romeo")
    for number in range(50):
        romeo.send_presence(pto=rf"c{number}\40x.org@{DOMAIN}")
    await asyncio.sleep(0.3)
    assert relay.gre.presences.clients._online == {}
    assert len(relay.component.roster._rosters) <= 1, "slixmpp would keep one for each sender"


async def test_the_hosts_presence_events_still_fire(world):
    relay = await world.gateway()
    seen = []
    relay.component.add_event_handler("presence_available", lambda stanza: seen.append(str(stanza["from"])))
    plain = await world.plain()
    plain.send_presence(pto=DOMAIN)
    await until(lambda: seen)
    assert seen == [f"{USER}/plain"]


# -- what a client announces -------------------------------------------------------------------------


@pytest.mark.parametrize("resource", ["a", None])
async def test_the_first_presence_of_a_client_has_capabilities_that_verify(world, resource):
    """Also when the server chooses the resource, under which slixmpp has announced nothing yet."""
    watcher = await world.plain("juliet", "watcher", "xep_0115", "xep_0128")
    user = await world.user(resource, connect=False)
    full = []
    watcher.add_event_handler(
        "presence_available",
        lambda stanza: full.append(stanza) if "watcher" not in str(stanza["from"]) else None,
    )
    user.xmpp.add_event_handler("session_start", lambda _: user.xmpp.send_presence())
    await online(user.xmpp)
    await until(lambda: full)
    caps = full[0].xml.find(CAPS)
    assert caps is not None, "the very first one"
    async with asyncio.timeout(30):
        while await watcher.plugin["xep_0115"].get_verstring(user.xmpp.boundjid.full) != caps.get("ver"):
            await asyncio.sleep(0.01)
        info = await watcher.plugin["xep_0115"].get_caps(user.xmpp.boundjid.full)
    assert {GRE, *map(str, world.pair)} <= info["features"]


async def test_after_a_reconnect_a_client_announces_the_same(world, server, monkeypatch):
    from gre_core.slixmpp import reconnect

    monkeypatch.setattr(reconnect, "FIRST", 0.1)
    user = await world.user(None)
    plain = await world.plain("juliet", "plain", "xep_0030")
    await server.kick(user.xmpp.boundjid.full)
    await until(lambda: not user.gre.ready.is_set())
    await until(user.gre.ready.is_set)
    info = await plain.plugin["xep_0030"].get_info(user.xmpp.boundjid.full, timeout=30, cached=False)
    assert {GRE, *map(str, world.pair)} <= info["disco_info"]["features"]


def test_two_engines_with_other_features_have_other_versions():
    from gre_core.slixmpp.caps import caps_version, disco_info

    async def nobody(_user):
        return None

    pair = (toy_formatter().namespace, toy_encrypter().namespace)
    versions = {
        caps_version(
            disco_info(GatewayEngine(DOMAIN, [pair], sender_id=nobody, encrypted_only=only), identity)
        )
        for only in (True, False)
        for identity in (("gateway", "smtp", "Mail"), ("gateway", "sms", "Mail"))
    }
    assert len(versions) == 4
