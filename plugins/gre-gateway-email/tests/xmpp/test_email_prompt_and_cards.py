"""The prompt of XEP-0100, section 6.3, vCards (XEP-0054), version (XEP-0092)."""

from __future__ import annotations

import pytest

from gre_core.jid_escape import contact

EMPTY = "<query xmlns='jabber:iq:gateway'/>"
G = "{jabber:iq:gateway}"


def prompt(text):
    return f"<query xmlns='jabber:iq:gateway'><prompt>{text}</prompt></query>"


async def test_100_6_3_the_prompt_and_its_description(desk):
    answer = await desk.iq(EMPTY, by="stranger@elsewhere.example/a")
    assert answer[0].findtext(f"{G}prompt") == "Mail address"
    assert "mail address" in answer[0].findtext(f"{G}desc")


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("alice@example.org", r"alice\40example.org"),
        (" Alice@Example.ORG\n", r"alice\40example.org"),
        ("mailto:alice@example.org", r"alice\40example.org"),
        ("&lt;alice@example.org&gt;", r"alice\40example.org"),
        ("o'hara@example.org", r"o\27hara\40example.org"),
        ("a/b&amp;c@example.org", r"a\2fb\26c\40example.org"),
    ],
)
async def test_100_6_3_an_address_becomes_a_well_formed_jid(desk, kit, text, local):
    """MUST return a properly-formed JID, in <jid/> and nowhere else (section 12)."""
    answer = await desk.iq(prompt(text), type_="set")
    jid = f"{local}@{kit.DOMAIN}"
    assert [(each.tag, each.text) for each in answer[0]] == [(f"{G}jid", jid)]
    assert "@" in contact(jid)[1], "and it leads back to the address"


@pytest.mark.parametrize(
    "text",
    ["", " ", "alice", "a@b@example.org", "a b@example.org", "@example.org", "alice@", "alice@[127.0.0.1]",
     "x" * 5000 + "@example.org", "a&#x202e;b@example.org", "a,b@example.org", "alice@example.org&#13;x"],
)  # fmt: skip
async def test_100_6_3_what_is_no_address_is_refused_with_a_text(desk, kit, text):
    assert kit.error(await desk.iq(prompt(text), type_="set")) == ("modify", "not-acceptable")


async def test_a_request_without_prompt_and_one_to_a_contact_are_refused(desk, kit):
    assert kit.error(await desk.iq(EMPTY, type_="set")) == ("modify", "bad-request")
    bob = rf"bob\40example.net@{kit.DOMAIN}"
    assert kit.error(await desk.iq(EMPTY, to=bob)) == ("cancel", "service-unavailable")


async def test_the_card_of_a_contact_has_the_address_and_nothing_else(desk, kit):
    v = "{vcard-temp}"
    bob = rf"bob\40example.net@{kit.DOMAIN}"
    card = (await desk.iq("<vCard xmlns='vcard-temp'/>", to=bob))[0]
    assert card.findtext(f"{v}EMAIL/{v}USERID") == card.findtext(f"{v}FN") == "bob@example.net"
    assert card.findtext(f"{v}JABBERID") == bob
    assert len(card) == 3
    assert (await desk.iq("<vCard xmlns='vcard-temp'/>"))[0].findtext(f"{v}FN") == "Email"
    answer = await desk.iq("<vCard xmlns='vcard-temp'/>", to=bob, type_="set")
    assert kit.error(answer) == ("cancel", "not-allowed")
    info = await desk.iq("<query xmlns='http://jabber.org/protocol/disco#info'/>", to=bob)
    assert "vcard-temp" in {each.get("var") for each in info[0]}


async def test_292_the_newer_card_says_the_same(desk, kit):
    v = "{urn:ietf:params:xml:ns:vcard-4.0}"
    bob = rf"bob\40example.net@{kit.DOMAIN}"
    card = (await desk.iq("<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>", to=bob))[0]
    assert card.findtext(f"{v}fn/{v}text") == card.findtext(f"{v}email/{v}text") == "bob@example.net"
    assert card.findtext(f"{v}impp/{v}uri") == f"xmpp:bob%5C40example.net@{kit.DOMAIN}"
    own = (await desk.iq("<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>"))[0]
    assert own.findtext(f"{v}fn/{v}text") == "Email"


async def test_the_version_names_the_program_and_not_the_machine(desk):
    query = (await desk.iq("<query xmlns='jabber:iq:version'/>"))[0]
    assert [each.tag.rpartition("}")[2] for each in query] == ["name", "version"]
