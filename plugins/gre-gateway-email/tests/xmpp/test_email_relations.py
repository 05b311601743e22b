"""Presence (XEP-0100, sections 4.4 to 4.7 and 8) and suggestions for the roster (XEP-0144)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from gre_gateway_email.mail.reply_ids import ReplyIds
from gre_gateway_email.xmpp import courier as courier_module
from gre_gateway_email.xmpp.courier import XmppCourier

ROSTERX = "http://jabber.org/protocol/rosterx"
R = f"{{{ROSTERX}}}"
CAPS = "{http://jabber.org/protocol/caps}c"
BOB = r"bob\40example.net@mail.localhost"


@pytest.fixture
async def home(desk, kit):
    """A desk with juliet, who is registered."""
    await desk.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",)))
    return desk


async def user(home, kit):
    return await home.store.users.get(kit.JULIET)


async def quiet(home):
    """Wait until what was begun is done: the answer to a request comes after it."""
    for _ in range(3):
        await home.iq("<query xmlns='jabber:iq:version'/>")
        await asyncio.sleep(0.02)


# -- start and stop ----------------------------------------------------------------------------------


async def test_100_8_on_startup_all_users_get_presence_and_on_shutdown_too(home, kit):
    for number in range(25):
        await home.store.users.put(kit.User(f"u{number:02}@localhost", (f"u{number:02}@example.org",)))
    await home.store.users.put(kit.User("bad@localhost", ("bad@example.org",), blocked=True))
    home.services.relations.greet_all()
    await home.until(lambda: (kit.DOMAIN, "subscribe") in home.presences("u24@localhost"))
    for jid in (kit.JULIET, *(f"u{number:02}@localhost" for number in range(25))):
        assert home.presences(jid) == [(kit.DOMAIN, None), (kit.DOMAIN, "subscribe")]
    assert home.presences("bad@localhost") == []
    home.sent.clear()
    await home.services.relations.leave_all()
    assert home.presences(kit.JULIET) == home.presences("u24@localhost") == [(kit.DOMAIN, "unavailable")]


async def test_who_has_receipts_is_known_only_after_all_users_were_asked(home, kit, monkeypatch):
    courier = XmppCourier(home.gateway, ReplyIds(bytes(16)))
    monkeypatch.setattr(courier_module, "PRESENCE_SOON", 0.0)
    courier.new_stream()
    assert await courier.gives_receipts(kit.JULIET) is None
    home.services.relations.greet_all(courier.all_asked)
    await home.until(lambda: (kit.DOMAIN, "subscribe") in home.presences(kit.JULIET))
    await home.until(lambda: courier._asked_at < float("inf"))
    assert await courier.gives_receipts(kit.JULIET) is False
    monkeypatch.setattr(courier_module, "PRESENCE_SOON", 3600.0)
    assert await courier.gives_receipts(kit.JULIET) is None, "its presence is on its way, perhaps"


async def test_contacts_that_a_user_watches_come_and_go_with_the_gateway(home, kit):
    home.feed(f"<presence type='probe' from='{kit.JULIET}' to='{BOB}'/>")
    await home.until(lambda: (BOB, None) in home.presences(kit.JULIET))
    home.sent.clear()
    await home.services.relations.leave_all()
    assert home.presences(kit.JULIET) == [(kit.DOMAIN, "unavailable"), (BOB, "unavailable")]
    home.sent.clear()
    home.services.relations.greet_all()
    await home.until(lambda: (kit.DOMAIN, "subscribe") in home.presences(kit.JULIET))
    assert home.presences(kit.JULIET)[:2] == [(kit.DOMAIN, None), (BOB, None)]


async def test_a_store_that_fails_stops_neither_start_nor_end(home, monkeypatch):
    from gre_core.errors import StoreError

    async def broken():
        raise StoreError("gone")
        yield

    monkeypatch.setattr(home.store.users, "all", broken)
    home.services.relations.greet_all()
    await home.services.relations.leave_all()


# -- log in and log out ------------------------------------------------------------------------------


async def test_100_4_4_and_4_5_who_comes_sees_the_gateway_and_who_goes_is_let_go(home, kit):
    full = f"{kit.JULIET}/a"
    home.feed(f"<presence from='{full}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: home.presences(full) == [(kit.DOMAIN, None)])
    home.feed(f"<presence from='{full}' to='{kit.DOMAIN}'><show>away</show></presence>")
    home.feed(f"<presence type='unavailable' from='{full}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: len(home.presences(full)) > 1)
    assert home.presences(full) == [(kit.DOMAIN, None), (kit.DOMAIN, "unavailable")]
    assert not home.gateway.presences.is_online(kit.JULIET)


async def test_who_comes_and_goes_is_told_to_the_program(home, kit):
    seen = []
    home.gateway.presences.on_change(lambda jid, there: seen.append((jid, there)))
    for resource in ("a", "b"):
        home.feed(f"<presence from='{kit.JULIET}/{resource}' to='{kit.DOMAIN}'/>")
    for resource in ("a", "b"):
        home.feed(f"<presence type='unavailable' from='{kit.JULIET}/{resource}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: len(seen) == 3)
    assert seen == [(kit.JULIET, True), (kit.JULIET, True), (kit.JULIET, False)]


async def test_100_4_4_who_is_not_registered_cannot_log_in_and_is_not_kept(home, kit):
    for jid in ("eve@localhost/a", "eve@elsewhere.example/a"):
        for to in (kit.DOMAIN, BOB):
            home.feed(f"<presence from='{jid}' to='{to}'/>")
    await home.until(lambda: len(home.sent) == 4)
    for stanza in home.sent:
        assert kit.error(stanza) == ("auth", "registration-required")
    assert {stanza.get("from") for stanza in home.sent} == {kit.DOMAIN, BOB}
    assert not home.gateway.presences.is_online("eve@localhost")


async def test_100_4_4_who_is_blocked_is_told_so(home, kit):
    await home.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",), blocked=True))
    home.feed(f"<presence from='{kit.JULIET}/a' to='{kit.DOMAIN}'/>")
    await home.until(lambda: bool(home.sent))
    assert kit.error(home.sent[0]) == ("auth", "forbidden")


# -- contacts ----------------------------------------------------------------------------------------


async def test_100_4_6_a_contact_agrees_and_is_there(home, kit):
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    await home.until(lambda: len(home.presences(kit.JULIET)) == 3)
    assert home.presences(kit.JULIET) == [(BOB, "subscribed"), (BOB, None), (BOB, "subscribe")]
    presence = home.sent[-2]
    version = home.gateway.announced.version(contact=True, encrypted_only=False)
    assert presence.find(CAPS).get("ver") == version
    node = f"{presence.find(CAPS).get('node')}#{version}"
    answer = await home.iq(f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>", to=BOB)
    assert answer[0].get("node") == node
    assert "vcard-temp" in {each.get("var") for each in answer[0]}


async def test_115_6_2_the_capabilities_are_the_users_and_the_node_is_answered_to_servers(home, kit):
    await home.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",), encrypted_only=True))
    home.feed(f"<presence type='probe' from='{kit.JULIET}/a' to='{kit.DOMAIN}'/>")
    await home.until(lambda: bool(home.presences(f"{kit.JULIET}/a")))
    caps = home.sent[-1].find(CAPS)
    assert caps.get("ver") == home.gateway.announced.version(contact=False, encrypted_only=True)
    node = f"{caps.get('node')}#{caps.get('ver')}"
    answer = await home.iq(
        f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>", by="localhost"
    )
    assert "urn:xmpp:gre:encrypted_only:0" in {each.get("var") for each in answer[0]}


async def test_100_4_7_a_contact_that_is_removed_is_not_shown_any_more(home, kit):
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    await home.until(lambda: (BOB, None) in home.presences(kit.JULIET))
    home.feed(f"<presence type='unsubscribe' from='{kit.JULIET}' to='{BOB}'/>")
    await home.until(lambda: (BOB, "unavailable") in home.presences(kit.JULIET))
    home.sent.clear()
    await home.services.relations.leave_all()
    assert home.presences(kit.JULIET) == [(kit.DOMAIN, "unavailable")]


@pytest.mark.parametrize("kind", ["subscribe", "probe"])
async def test_who_is_not_registered_is_unsubscribed(home, kind):
    home.feed(f"<presence type='{kind}' from='eve@localhost' to='{BOB}'/>")
    await home.until(lambda: home.presences("eve@localhost") == [(BOB, "unsubscribed")])


async def test_a_probe_is_not_answered_wrongly_while_users_cannot_be_looked_up(home, kit, monkeypatch):
    async def broken(_jid):
        raise OSError("disk")

    monkeypatch.setattr(home.store.users, "get", broken)
    home.feed(f"<presence type='probe' from='{kit.JULIET}' to='{BOB}'/>")
    await asyncio.sleep(0.1)
    assert home.presences(kit.JULIET) == [], "a subscription must not end because of a failure"


# -- XEP-0144 ----------------------------------------------------------------------------------------


async def test_144_3_a_contact_who_wrote_is_suggested_once_to_programs_that_can_take_it(home, kit):
    await home.client(f"{kit.JULIET}/able", ROSTERX)
    await home.client(f"{kit.JULIET}/plain", "urn:xmpp:ping")
    juliet = await user(home, kit)
    home.services.roster.wrote("bob@example.net", [juliet])
    able = f"{kit.JULIET}/able"
    await home.until(lambda: bool(home.suggestions(able)))
    home.services.roster.wrote("bob@example.net", [juliet])
    await quiet(home)
    assert home.suggestions(able) == [("add", BOB)]
    assert home.suggestions(f"{kit.JULIET}/plain") == []
    assert [each for each in home.sent if each.tag.endswith("}message")] == [], (
        "a request is better (section 5)"
    )


async def test_144_4_without_a_program_that_announces_it_nothing_is_sent(home, kit):
    await home.client(f"{kit.JULIET}/plain", "urn:xmpp:ping")
    home.services.roster.wrote("bob@example.net", [await user(home, kit)])
    await quiet(home)
    assert [each for each in home.sent if each.tag.endswith("}message")] == []


async def test_a_contact_that_is_in_the_roster_is_not_suggested(home, kit):
    await home.client(f"{kit.JULIET}/able", ROSTERX)
    home.feed(f"<presence type='probe' from='{kit.JULIET}' to='{BOB}'/>")
    await home.until(lambda: (BOB, None) in home.presences(kit.JULIET))
    home.services.roster.wrote("bob@example.net", [await user(home, kit)])
    await quiet(home)
    assert home.suggestions(f"{kit.JULIET}/able") == []


async def test_many_senders_do_not_fill_the_screen_and_strange_ones_do_no_harm(home, kit):
    await home.client(f"{kit.JULIET}/able", ROSTERX)
    juliet = await user(home, kit)
    for address in ("", "\0@x.org", " @x.org", "x" * 3000, *(f"s{n}@example.net" for n in range(60))):
        home.services.roster.wrote(address, [juliet, SimpleNamespace(jid="nobody@localhost")])
    await home.until(lambda: len(home.suggestions(f"{kit.JULIET}/able")) == 20)
    await quiet(home)
    assert len(home.suggestions(f"{kit.JULIET}/able")) == 20


async def test_the_command_add_contact_suggests_it(home, kit):
    await home.client(f"{kit.JULIET}/able", ROSTERX)
    done = await home.run("add-contact", {"address": "bob@example.net"}, by=f"{kit.JULIET}/able")
    assert home.suggestions(f"{kit.JULIET}/able") == [("add", BOB)]
    assert "asked to add" in kit.text(done)


async def test_144_6_after_unregistering_deletions_are_suggested_in_stanzas_of_their_own(home, kit):
    """MUST NOT mix additions and deletions; no more than 150 items."""
    await home.client(f"{kit.JULIET}/able", ROSTERX)
    jids = [rf"c{number}\40example.net@{kit.DOMAIN}" for number in range(120)]
    for jid in jids:
        home.feed(f"<presence type='probe' from='{kit.JULIET}' to='{jid}'/>")
    await home.until(lambda: (jids[-1], None) in home.presences(kit.JULIET))
    await home.iq("<query xmlns='jabber:iq:register'><remove/></query>", type_="set", by=f"{kit.JULIET}/able")
    await home.until(lambda: len(home.suggestions(f"{kit.JULIET}/able")) == 121)
    assert {action for action, _ in home.suggestions(f"{kit.JULIET}/able")} == {"delete"}
    assert {jid for _, jid in home.suggestions(f"{kit.JULIET}/able")} == {*jids, kit.DOMAIN}
    requests = [each for each in home.sent if each.tag.endswith("}iq") and each.get("type") == "set"]
    assert len(requests) == 2


async def test_144_5_3_the_gateway_announces_that_it_suggests(home):
    info = await home.iq("<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert ROSTERX in {each.get("var") for each in info[0]}


# -- many users --------------------------------------------------------------------------------------


async def test_presence_that_was_sent_is_not_kept(home, kit):
    """slixmpp's roster keeps the last presence to everybody: with 10,000 users and their contacts 50 MB."""
    for number in range(30):
        await home.store.users.put(kit.User(f"u{number:02}@localhost", (f"u{number:02}@example.org",)))
        home.feed(f"<presence type='subscribe' from='u{number:02}@localhost' to='{BOB}'/>")
    home.services.relations.greet_all()
    await home.until(lambda: (kit.DOMAIN, "subscribe") in home.presences("u29@localhost"))
    filters = home.component._XMLStream__filters["out"]
    assert not [each for each in filters if "roster" in each.__module__], "asked for each stanza"
    assert len(home.component.roster._rosters) <= 1


async def test_a_server_that_reads_slowly_gets_no_more_than_it_takes(home, kit, monkeypatch):
    """Neither start nor stop fills the memory with presence that nobody reads."""
    for number in range(50):
        await home.store.users.put(kit.User(f"u{number:02}@localhost", (f"u{number:02}@example.org",)))
    full = True
    monkeypatch.setattr(home, "get_write_buffer_size", lambda: 10**7 if full else 0)
    home.services.relations.greet_all()
    await home.until(lambda: bool(home.sent))
    await asyncio.sleep(0.5)
    assert 0 < len(home.sent) <= 20, "one portion"
    full = False
    await home.until(lambda: (kit.DOMAIN, "subscribe") in home.presences("u49@localhost"))
    full = True
    monkeypatch.setattr("gre_gateway_email.xmpp.relations.FAREWELL", 0.3)
    home.sent.clear()
    async with asyncio.timeout(20):
        await home.services.relations.leave_all()
    assert 0 < len(home.sent) < 110
