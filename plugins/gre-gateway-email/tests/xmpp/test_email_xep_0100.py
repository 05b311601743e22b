"""XEP-0100 from log in to business rules, each rule that is a gateway's, by section.

Registration (4.1 to 4.3) is tested in test_email_registration, start and stop (8) in test_email_relations, the prompt
(6.3) in test_email_prompt_and_cards; what servers make of it in tests/integration/email_gateway.
"""

from __future__ import annotations

import asyncio

import pytest
from slixmpp.plugins.xep_0030 import DiscoInfo

from gre_core.errors import StoreError

BOB = r"bob\40example.net@mail.localhost"
ALICE = r"alice\40example.net@mail.localhost"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'{}/>"
SENDERS = [
    "juliet@localhost/a",
    "juliet@localhost",
    "localhost",
    "eve@elsewhere.example/x",
    "elsewhere.example",
]
CAPS = "{http://jabber.org/protocol/caps}c"


@pytest.fixture
async def home(desk, kit):
    """A desk with juliet, who is registered."""
    await desk.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",)))
    return desk


async def contact(desk, kit, of):
    (found,) = [each for each in await desk.store.contacts.of([kit.JULIET]) if each.contact == of] or [None]
    return None if found is None else (found.sees, found.agreed)


async def kept(desk, kit, of, wanted):
    """Wait until the store has it."""
    async with asyncio.timeout(20):
        while await contact(desk, kit, of) != wanted:
            await asyncio.sleep(0.005)


# -- 4.1: who it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", SENDERS)
@pytest.mark.parametrize("to", ["mail.localhost", BOB, r"nobody\40nowhere.example@mail.localhost"])
async def test_100_4_1_disco_tells_everybody_that_it_is_a_gateway_and_to_what(desk, by, to):
    """RECOMMENDED that gateways support service discovery; contacts, known or not, are no less."""
    query = (await desk.iq(INFO.format(""), by=by, to=to))[0]
    identities = [(e.get("category"), e.get("type")) for e in query if e.tag.endswith("identity")]
    assert identities == [("gateway", "smtp")]
    features = {e.get("var") for e in query if e.tag.endswith("feature")}
    assert "http://jabber.org/protocol/disco#info" in features
    assert ("jabber:iq:register" in features) == ("@" not in to)


async def test_100_8_3_old_discovery_names_the_gateway(desk):
    """SHOULD support the Agent Information protocol."""
    agents = (await desk.iq("<query xmlns='jabber:iq:agents'/>"))[0]
    (agent,) = agents
    assert agent.get("jid") == "mail.localhost"
    assert [each.tag.rpartition("}")[2] for each in agent] == ["name", "service", "transport", "register"]
    assert agent.findtext("{jabber:iq:agents}service") == "smtp"


# -- 4.4: log in -------------------------------------------------------------------------------------


async def test_100_4_4_presence_to_a_contact_logs_in_as_well(home, kit):
    """Upon the first presence to the gateway or a legacy user the gateway expresses its availability."""
    full = f"{kit.JULIET}/a"
    home.feed(f"<presence from='{full}' to='{BOB}'><show>away</show></presence>")
    await home.until(lambda: len(home.presences(full)) == 2)
    assert home.presences(full) == [(kit.DOMAIN, None), (BOB, None)]
    assert home.gateway.presences.is_online(kit.JULIET)


async def test_100_4_4_contacts_have_no_resources(home, kit):
    """SHOULD NOT include a resource identifier, in presence and in messages (5.3)."""
    full = f"{kit.JULIET}/a"
    for to in (kit.DOMAIN, BOB, f"{ALICE}/res"):
        home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{to}'/>")
        home.feed(f"<presence from='{full}' to='{to}'/>")
        home.feed(f"<presence type='probe' from='{full}' to='{to}'/>")
    await home.until(lambda: (ALICE, None) in home.presences(full))
    home.gateway.deliver_plain(kit.JULIET, "bob@example.net", "hello", None, "m1")
    home.gateway.deliver_notice(kit.JULIET, "hello", "m2")
    assert {"/" in stanza.get("from") for stanza in home.sent} == {False}


async def test_100_4_4_who_logs_in_after_a_start_of_the_gateway_sees_the_contacts(home, kit):
    for jid in (BOB, ALICE):
        home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{jid}'/>")
    home.feed(f"<presence type='subscribed' from='{kit.JULIET}' to='{kit.DOMAIN}'/>")
    await kept(home, kit, kit.DOMAIN, (False, True))
    home.sent.clear()
    home.services.relations.greet_all()
    await home.until(lambda: (kit.DOMAIN, "probe") in home.presences(kit.JULIET))
    assert home.presences(kit.JULIET) == [(kit.DOMAIN, None), (kit.DOMAIN, "probe")], "nobody may be there"
    for resource in ("a", "b"):
        home.feed(f"<presence from='{kit.JULIET}/{resource}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: bool(home.presences(f"{kit.JULIET}/b")))
    assert home.presences(kit.JULIET)[2:] == [(ALICE, None), (BOB, None)], "once for all clients"


async def test_100_4_4_after_a_restart_of_the_program_contacts_are_there_again(home, kit, make_desk):
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    await kept(home, kit, BOB, (True, None))
    again = await make_desk(store=home.store)
    again.services.relations.greet_all()
    await again.until(lambda: (kit.DOMAIN, "subscribe") in again.presences(kit.JULIET))
    assert again.presences(kit.JULIET) == [(kit.DOMAIN, None), (BOB, None), (kit.DOMAIN, "subscribe")]
    await again.services.relations.leave_all()
    assert again.presences(kit.JULIET)[3:] == [(kit.DOMAIN, "unavailable"), (BOB, "unavailable")]


async def test_100_4_4_a_user_who_answered_is_not_asked_at_each_start(home, kit):
    home.feed(f"<presence type='unsubscribed' from='{kit.JULIET}' to='{kit.DOMAIN}'/>")
    await kept(home, kit, kit.DOMAIN, (False, False))
    home.services.relations.greet_all()
    await home.until(lambda: bool(home.presences(kit.JULIET)))
    await home.iq("<query xmlns='jabber:iq:version'/>")
    assert home.presences(kit.JULIET) == [(kit.DOMAIN, None)]
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: len(home.presences(kit.JULIET)) == 4)
    assert home.presences(kit.JULIET)[1:] == [
        (kit.DOMAIN, "subscribed"), (kit.DOMAIN, None), (kit.DOMAIN, "subscribe"),
    ], "who comes back is asked"  # fmt: skip


async def test_who_agrees_is_looked_for(home, kit):
    home.feed(f"<presence type='subscribed' from='{kit.JULIET}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: home.presences(kit.JULIET) == [(kit.DOMAIN, "probe")])


# -- 4.5: log out ------------------------------------------------------------------------------------


async def test_100_4_5_who_hides_from_one_contact_is_still_there(home, kit):
    full = f"{kit.JULIET}/a"
    home.feed(f"<presence from='{full}' to='{BOB}'/>")
    home.feed(f"<presence from='{full}' to='{kit.DOMAIN}'/>")
    home.feed(f"<presence type='unavailable' from='{full}' to='{BOB}'/>")
    home.feed(f"<presence type='probe' from='{full}' to='{ALICE}'/>")
    await home.until(lambda: (ALICE, None) in home.presences(full))
    assert home.gateway.presences.is_online(kit.JULIET)
    home.feed(f"<presence type='unavailable' from='{full}' to='{kit.DOMAIN}'/>")
    await home.until(lambda: (kit.DOMAIN, "unavailable") in home.presences(full))
    assert not home.gateway.presences.is_online(kit.JULIET)


async def test_100_4_5_who_is_known_by_a_contact_only_logs_out_there(home, kit):
    """Where the user did not let the gateway see the presence, contacts may."""
    full = f"{kit.JULIET}/a"
    home.feed(f"<presence from='{full}' to='{BOB}'/>")
    home.feed(f"<presence type='unavailable' from='{full}' to='{ALICE}'/>")
    await home.until(lambda: home.gateway.presences.is_online(kit.JULIET))
    home.feed(f"<presence type='unavailable' from='{full}' to='{BOB}'/>")
    await home.until(lambda: not home.gateway.presences.is_online(kit.JULIET))


# -- 4.6: add contact --------------------------------------------------------------------------------


async def test_100_4_6_the_contact_asks_back_and_the_answer_is_kept(home, kit):
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    await home.until(lambda: len(home.presences(kit.JULIET)) == 3)
    assert home.presences(kit.JULIET) == [(BOB, "subscribed"), (BOB, None), (BOB, "subscribe")]
    assert await contact(home, kit, BOB) == (True, None)
    home.feed(f"<presence type='subscribed' from='{kit.JULIET}' to='{BOB}'/>")
    await kept(home, kit, BOB, (True, True))
    assert len(home.sent) == len([e for e in home.sent if e.tag.endswith("}iq")]) + 3, "that is not answered"


async def test_100_4_6_the_user_may_refuse_the_contact(home, kit):
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    home.feed(f"<presence type='unsubscribed' from='{kit.JULIET}' to='{BOB}'/>")
    await kept(home, kit, BOB, (True, False))
    assert await home.gateway.presences.contacts_of(kit.JULIET) == (BOB,)


@pytest.mark.parametrize(
    "wrong", ["alice@mail.localhost", r"a,b\40example.net@mail.localhost", r"\20x\40y.org@mail.localhost"]
)
@pytest.mark.parametrize("kind", ["subscribe", "probe"])
async def test_100_4_6_what_is_no_address_denies(home, kit, wrong, kind):
    home.feed(f"<presence type='{kind}' from='{kit.JULIET}' to='{wrong}'/>")
    await home.until(lambda: home.presences(kit.JULIET) == [(wrong, "unsubscribed")])
    assert list(await home.store.contacts.of([kit.JULIET])) == []


async def test_100_4_6_without_the_store_nothing_is_promised(home, kit, monkeypatch):
    async def broken(_contact):
        raise StoreError("disk full")

    monkeypatch.setattr(home.store.contacts, "put", broken)
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    home.feed(f"<presence type='probe' from='{kit.JULIET}/a' to='{ALICE}'/>")
    await home.until(lambda: home.presences(f"{kit.JULIET}/a") == [(ALICE, None)])
    assert home.presences(kit.JULIET) == [], "the request stays open; a probe is answered all the same"


# -- 4.7: delete contact -----------------------------------------------------------------------------


async def test_100_4_7_what_servers_send_for_a_removed_contact_leaves_nothing(home, kit):
    """Gateway cleans up subscription state."""
    full = f"{kit.JULIET}/a"
    home.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{BOB}'/>")
    home.feed(f"<presence type='subscribed' from='{kit.JULIET}' to='{BOB}'/>")
    await kept(home, kit, BOB, (True, True))
    for kind, sender in (("unsubscribe", kit.JULIET), ("unsubscribed", kit.JULIET), ("unavailable", full)):
        home.feed(f"<presence type='{kind}' from='{sender}' to='{BOB}'/>")
    await kept(home, kit, BOB, None)
    assert home.presences(kit.JULIET)[-2:] == [(BOB, "unsubscribed"), (BOB, "unavailable")]
    assert await home.gateway.presences.contacts_of(kit.JULIET) == ()


# -- 4.8: errors on the right message ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "to", "expected"),
    [
        ("juliet@localhost/a", r"a,b\40example.net@mail.localhost", ("modify", "jid-malformed")),
        ("juliet@localhost/a", "alice@mail.localhost", ("modify", "jid-malformed")),
        ("juliet@localhost/a", "mail.localhost", ("modify", "item-not-found")),
        ("eve@localhost/a", BOB, ("auth", "registration-required")),
    ],
)
async def test_100_4_8_what_cannot_be_sent_is_an_error_with_a_text(home, kit, by, to, expected):
    home.feed(f"<message from='{by}' to='{to}' id='m1' type='chat'><body>hello</body></message>")
    await home.until(lambda: bool(home.sent))
    (answer,) = home.sent
    assert (answer.get("id"), answer.get("from"), answer.get("to")) == ("m1", to, by)
    assert kit.error(answer) == expected
    assert home.relayed == []


# -- 5: what a stranger's mail does ------------------------------------------------------------------


async def test_100_5_1_mail_of_a_stranger_subscribes_to_nothing(home, kit):
    """MUST NOT send presence of type "subscribed"; suggestions go by XEP-0144 (section 7)."""
    await home.client(f"{kit.JULIET}/able", kit.ROSTERX)
    home.services.roster.wrote("bob@example.net", [await home.store.users.get(kit.JULIET)])
    await home.until(lambda: home.suggestions(f"{kit.JULIET}/able") == [("add", BOB)])
    assert home.presences(kit.JULIET) == []


# -- 8: business rules, and what RFC 6120 demands ----------------------------------------------------


@pytest.mark.parametrize("by", SENDERS)
@pytest.mark.parametrize("to", ["mail.localhost", BOB, f"{BOB}/res", "mail.localhost/res"])
@pytest.mark.parametrize("type_", ["get", "set"])
async def test_rfc6120_8_4_what_is_not_understood_is_service_unavailable(desk, kit, by, to, type_):
    answer = await desk.iq("<query xmlns='urn:example:unknown'/>", type_=type_, by=by, to=to)
    assert kit.error(answer) == ("cancel", "service-unavailable")


async def test_who_left_the_operators_file_is_let_go_at_the_next_start(home, kit):
    await home.store.users.sync_config([("boss@example.org", "boss@localhost")])
    home.feed(f"<presence type='subscribe' from='boss@localhost' to='{BOB}'/>")
    await home.until(lambda: len(home.presences("boss@localhost")) == 3)
    await home.store.users.sync_config([])
    home.sent.clear()
    home.services.relations.greet_all()
    await home.until(lambda: (kit.DOMAIN, None) in home.presences(kit.JULIET))
    assert home.presences("boss@localhost") == [
        (jid, kind) for jid in (BOB, kit.DOMAIN) for kind in ("unsubscribe", "unsubscribed", "unavailable")
    ]
    assert list(await home.store.contacts.leftovers()) == []


# -- XEP-0115 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("to", ["mail.localhost", BOB])
async def test_115_5_1_slixmpp_computes_the_same_hash(home, kit, to, strict):
    """From what anybody is answered who asks for the node that stands in presence."""
    await home.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",), encrypted_only=strict))
    full = f"{kit.JULIET}/a"
    home.feed(f"<presence type='probe' from='{full}' to='{to}'/>")
    await home.until(lambda: bool(home.presences(full)))
    caps = home.sent[-1].find(CAPS)
    assert caps.get("hash") == "sha-1"
    node = f"{caps.get('node')}#{caps.get('ver')}"
    answer = await home.iq(INFO.format(f" node='{node}'"), by="localhost", to=to)
    home.component.register_plugin("xep_0115")
    home.component.register_plugin("xep_0128")
    theirs = home.component.plugin["xep_0115"]
    assert theirs.generate_verstring(DiscoInfo(xml=answer[0]), "sha-1") == caps.get("ver")
