"""Clients that send what no honest one sends: each request has one answer, nothing raises, nothing grows."""

from __future__ import annotations

import asyncio
import random
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import quoteattr

import pytest
from gre_gateway_email.mail.addresses import check_address
from gre_gateway_email.xmpp import adhoc, forms
from gre_gateway_email.xmpp.prompt import jid_of
from hypothesis import example, given
from hypothesis import strategies as st
from slixmpp import JID

from gre_core.api import encrypter, formatter
from gre_core.errors import InvalidAddress, Refused
from gre_core.gateway import GatewayEngine
from gre_core.jid_escape import canonical

BOB = r"bob\40example.net@mail.localhost"
X = "{jabber:x:data}"
NODES = [
    "status", "addresses", "policy", "test", "add-contact", "users", "add-user", "block", "forget", "queue",
    "dead-letters", "", "nothing", "http://jabber.org/protocol/commands",
]  # fmt: skip
ACTIONS = ["execute", "next", "complete", "prev", "cancel", "explode", None, None]
NAMES = [
    "jid",
    "address",
    "name",
    "domain",
    "action",
    "encrypted_only",
    "sure",
    "letter",
    "blocked",
    "FORM_TYPE",
    "",
]
ODD = [
    "true", "add", "remove", "first", "replay", "drop", "juliet@localhost", "admin@localhost", "", " ", "\u202e", "\t\n",
    "a@b@c", "x" * 5000, "bob@example.net", "example.org", "jabber:iq:register", "../../etc", "%s{0}", "juliet@",
]  # fmt: skip


@pytest.fixture
async def home(desk, kit):
    """A desk with juliet, who is registered."""
    await desk.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",)))
    return desk


def refused(function, *arguments, **named):
    """Give what a function gives, or None when it refuses with a text."""
    try:
        return function(*arguments, **named)
    except Refused as error:
        problem = error
    assert problem.text
    assert problem.condition == "not-acceptable"
    return None


# -- forms -------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(ODD)
tags = st.sampled_from([f"{X}field", f"{X}value", f"{X}item", f"{X}x", "{urn:x}field", "field"])


@st.composite
def nodes(draw, depth=0):
    node = Element(
        draw(tags), {name: draw(texts) for name in draw(st.sets(st.sampled_from(["var", "type", "x"])))}
    )
    node.text = draw(st.none() | texts)
    if depth < 3:
        node.extend(draw(st.lists(nodes(depth=depth + 1), max_size=4)))
    return node


@given(st.sampled_from(["submit", "cancel", "form", "result", "", None]), st.lists(nodes(), max_size=6))
def test_any_form_is_read_or_refused_with_a_text(kind, children):
    x = Element(f"{X}x", {} if kind is None else {"type": kind})
    x.extend(children)
    values = refused(forms.read_form, x)
    if values is None:
        return
    assert len(values) <= forms.MAX_FIELDS
    assert all(len(each) <= forms.MAX_VALUES for each in values.values())
    for var in values:
        refused(forms.text_of, values, var)
        refused(forms.flag_of, values, var, default=False)


@given(st.lists(texts, max_size=3), texts, texts)
def test_what_people_write_comes_back_in_forms_that_xml_can_carry(values, label, title):
    field = forms.Field("f", label, "text-multi", tuple(values), ((label, title),))
    element = forms.Form(title, label, (field,), columns=(("c", "C"),), rows=((title,),)).element()
    for node in element.iter():
        for text in (node.text, *node.attrib.values()):
            assert not text or not {"\0", "\x1b", "\ufffe"} & set(text)


def test_ten_thousand_fields_are_refused_without_being_read():
    x = Element(f"{X}x", {"type": "submit"})
    for number in range(10_000):
        SubElement(SubElement(x, f"{X}field", {"var": f"f{number}"}), f"{X}value").text = "v"
    with pytest.raises(forms.BadForm, match="64 fields"):
        forms.read_form(x)


# -- addresses and JIDs ------------------------------------------------------------------------------


async def _nobody(_jid):
    return None


ENGINE = GatewayEngine(
    "mail.localhost",
    [(formatter("mime"), encrypter("openpgp"))],
    sender_id=_nobody,
    check_legacy_id=check_address,
)
atoms = st.text(
    st.sampled_from("abcxyzABCXYZ0189!#$%&'*+-/=?^_`{|}~")
    | st.characters(categories=("Ll", "Lu", "Lo"), max_codepoint=0x2FFF),
    min_size=1,
    max_size=12,
)
labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True)
addresses = st.builds(
    lambda local, domain: f"{'.'.join(local)}@{'.'.join(domain)}.example",
    st.lists(atoms, min_size=1, max_size=4),
    st.lists(labels, min_size=1, max_size=3),
)


@given(addresses)
@example("o'hara/&x@example.org")
@example("a%2f@example.org")
@example("{|}~`!#$^*=?@example.org")
def test_every_legal_mail_address_becomes_a_jid_that_leads_back_to_it(address):
    """XEP-0106: well-formed for servers, the same for each way to write it, and without loss but that of case."""
    try:
        check_address(address)
    except InvalidAddress:
        return
    jid = jid_of(ENGINE, address)
    assert JID(jid).bare.casefold() == jid.casefold(), "a server keeps it as it is"
    assert JID(jid).domain == "mail.localhost"
    assert not JID(jid).resource
    folded = address.lower()
    assert ENGINE.check_contact(jid).legacy_id.lower() == folded
    assert canonical(ENGINE.jid_of(ENGINE.check_contact(jid).legacy_id)) == canonical(jid)
    assert canonical(jid_of(ENGINE, f" <{folded}> ")) == canonical(jid)


@given(st.text(max_size=60) | addresses.map(lambda text: text + "\\40") | addresses.map("mailto:".__add__))
def test_what_people_type_becomes_a_jid_or_a_text(typed):
    jid = refused(jid_of, ENGINE, typed)
    if jid is not None:
        check_address(ENGINE.check_contact(jid).legacy_id)


async def test_a_prompt_of_100_kb_is_refused(desk, kit):
    for text in ("x" * 100_000, "a@" * 50_000, "&#x1F600;" * 20_000):
        payload = f"<query xmlns='jabber:iq:gateway'><prompt>{text}</prompt></query>"
        answer = await desk.iq(payload, type_="set")
        assert kit.error(answer) == ("modify", "not-acceptable")
        assert len(kit.text(answer)) < 400


# -- requests ----------------------------------------------------------------------------------------


def strange_form(chance):
    names = chance.sample(NAMES, chance.randrange(len(NAMES)))
    fields = "".join(
        f"<field var={quoteattr(name)}>"
        + "".join(f"<value>{chance.choice(ODD)}</value>" for _ in range(chance.choice((0, 1, 1, 1, 2))))
        + "</field>"
        for name in names
    )
    kind = chance.choice(("submit", "submit", "submit", "cancel", "form", "result", ""))
    return chance.choice((f"<x xmlns='jabber:x:data' type='{kind}'>{fields}</x>", "", "<x xmlns='urn:x'/>"))


def strange_request(chance, sessions):
    form, by = strange_form(chance), chance.choice(("juliet@localhost", "admin@localhost", "eve@localhost"))
    payload = chance.choice(
        (
            "<command xmlns='http://jabber.org/protocol/commands' node='{node}'{action}{session}>{form}</command>",
            "<command xmlns='http://jabber.org/protocol/commands' node='{node}'{action}{session}>{form}</command>",
            "<command xmlns='http://jabber.org/protocol/commands' node='{node}'{action}{session}>{form}</command>",
            "<query xmlns='jabber:iq:register'>{form}</query>",
            "<query xmlns='jabber:iq:register'><username>a</username>{form}</query>",
            "<query xmlns='jabber:iq:gateway'><prompt>{odd}</prompt></query>",
            "<x xmlns='http://jabber.org/protocol/rosterx'><item jid='{odd}'/></x>",
            "<query xmlns='http://jabber.org/protocol/disco#info' node='{odd}'/>",
            "<query xmlns='http://jabber.org/protocol/disco#items' node='{node}'/>",
        )
    ).format(
        node=chance.choice(NODES),
        odd=chance.choice(ODD),
        form=form,
        action="" if (action := chance.choice(ACTIONS)) is None else f" action='{action}'",
        session=""
        if not sessions or chance.random() < 0.3
        else f" sessionid={quoteattr(chance.choice(sessions))}",
    )
    return f"{by}/{chance.choice('ab')}", chance.choice(("get", "set", "set", "set")), payload


@pytest.mark.parametrize("seed", range(2))
async def test_strange_requests_have_one_answer_each_and_none_fails(home, kit, seed):
    chance, sessions = random.Random(seed), ["none"]
    for number in range(400):
        by, kind, payload = strange_request(chance, sessions)
        to = chance.choice((kit.DOMAIN, kit.DOMAIN, kit.DOMAIN, BOB, f"{kit.DOMAIN}/x", "x@mail.localhost"))
        home.feed(f"<iq type='{kind}' id='s{number}' from='{by}' to='{to}'>{payload}</iq>")
        if number % 8 == 0:
            await asyncio.sleep(0.002)
            sessions += [s for e in home.sent for c in e if (s := c.get("sessionid"))][-20:]

    def given():
        return [
            e for e in home.sent if e.get("id", "").startswith("s") and e.get("type") in {"result", "error"}
        ]

    await home.until(lambda: len(given()) >= 400)
    answers = given()
    assert sorted(e.get("id") for e in answers) == sorted(f"s{n}" for n in range(400))
    for answer in answers:
        if answer.get("type") == "error":
            assert not {"internal-server-error", "undefined-condition"} & set(kit.error(answer)), kit.text(
                answer
            )


async def test_thousands_of_sessions_are_bounded(home, monkeypatch):
    handler = next(each for each in home.gateway.answers._disco if isinstance(each, adhoc.AdHoc))
    for number in range(1500):
        home.feed(
            f"<iq type='set' id='f{number}' from='juliet@localhost/{number}' to='mail.localhost'>"
            "<command xmlns='http://jabber.org/protocol/commands' node='policy'/></iq>"
        )
        if number % 100 == 0:
            await asyncio.sleep(0)
    await home.until(lambda: len(home.sent) >= 1500)
    busy = [e for e in home.sent if e.get("type") == "error"]
    assert len(handler._sessions) <= adhoc.MOST
    assert len(busy) < 1500, "honest requests among them are answered"
    assert (await home.command("status"))[0].get("status") == "completed"


async def test_a_flood_of_registrations_is_answered_and_registers_each_once(make_desk, kit):
    desk = await make_desk()
    for number in range(300):
        who = f"flood{number % 100}@localhost/a"
        desk.feed(
            f"<iq type='set' id='r{number}' from='{who}' to='{kit.DOMAIN}'><query xmlns='jabber:iq:register'>"
            f"{kit.form({'username': f'name{number % 50}'}, form_type='jabber:iq:register')}</query></iq>"
        )
    await desk.until(lambda: len([e for e in desk.sent if e.get("id", "").startswith("r")]) >= 300)
    assert await desk.store.users.count() == 50, "an address has one owner"


# -- suggestions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ("", False),
        ("<x xmlns='urn:rubbish'/>", False),
        ("<error type='cancel'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", False),
        (
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            True,
        ),
        (
            "<error type='cancel'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            True,
        ),
        ("<error/>", False),
    ],
)
async def test_144_5_who_refuses_requests_gets_a_message_and_nothing_else_happens(home, kit, taken, message):
    able, home.taken = f"{kit.JULIET}/able", taken
    await home.client(able, kit.ROSTERX)
    home.services.roster.wrote("bob@example.net", [await home.store.users.get(kit.JULIET)])
    await home.until(lambda: home.suggestions(able) == [("add", BOB)])
    await home.until(lambda: not home.services.roster._tasks)
    sent = home.messages(able)
    assert len(sent) == message
    for each in sent:
        assert [child.tag for child in each] == [f"{{{kit.ROSTERX}}}x"], (
            "SHOULD NOT have others (section 3.1)"
        )
        assert each.get("type") == "headline", "not kept for later, nor given to other clients"


async def test_suggestions_from_users_are_refused_or_ignored(home, kit):
    x = f"<x xmlns='{kit.ROSTERX}'><item action='delete' jid='boss@localhost'/></x>"
    assert kit.error(await home.iq(x, type_="set")) == ("cancel", "service-unavailable")
    home.feed(f"<message from='{kit.JULIET}/a' to='{kit.DOMAIN}'>{x}</message>")
    assert kit.error(await home.iq(x, type_="set", to=BOB)) == ("cancel", "service-unavailable")
    assert home.relayed == []
