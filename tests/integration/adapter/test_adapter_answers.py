"""Every request gets exactly one answer, every message with content a receipt or an error, and nothing gets two.

Stanzas are made at random, and written by a client of bytes.
"""

from __future__ import annotations

import asyncio
import random
from xml.etree.ElementTree import tostring
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slixmpp import ComponentXMPP

from gre_core.errors import GreError, Refused
from gre_core.gateway import GatewayEngine
from gre_core.slixmpp import attach_gateway
from gre_core.testing.fakes import toy_encrypter, toy_formatter

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"
PAIR = (toy_formatter().namespace, toy_encrypter().namespace)
F, E = map(str, PAIR)
COMPONENT = "jabber:component:accept"

ENCRYPTED = [
    f"<encrypted xmlns='urn:xmpp:gre:0' formatter='{F}' encrypter='{E}'>QUFB</encrypted>",
    f"<encrypted xmlns='urn:xmpp:gre:0' formatter='{F}' encrypter='{E}'/>",
    f"<encrypted xmlns='urn:xmpp:gre:0' formatter='{F}:00' encrypter='{E}'>QUFB</encrypted>",
    f"<encrypted xmlns='urn:xmpp:gre:0' formatter='{E}' encrypter='{F}'>QUFB</encrypted>",
    "<encrypted xmlns='urn:xmpp:gre:0'>QUFB</encrypted>",
    f"<encrypted xmlns='urn:xmpp:gre:0' formatter='{F}' encrypter='{E}'>{'<a>' * 100}{'</a>' * 100}</encrypted>",
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
    "<openpgp xmlns='urn:xmpp:openpgp:0'>QUFB</openpgp>",
]
PAYLOADS = [
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>",
    f"<data xmlns='urn:xmpp:gre:0' formatter='{F}' encrypter='{E}'/>",
    "<data xmlns='urn:xmpp:gre:0'/>",
    f"<data xmlns='urn:xmpp:gre:0' formatter='{F}' encrypter='urn:xmpp:gre:encrypter:other:0'/>",
    f"<data xmlns='urn:xmpp:gre:0' formatter='{F}:00'/>",
    f"<data xmlns='urn:xmpp:gre:0'>{'<x/>' * 100}</data>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'><item id='1'/></items></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item/></publish></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<query xmlns='jabber:iq:register'/>",
    "<query xmlns='jabber:iq:version'/>",
    "<vCard xmlns='vcard-temp'/>",
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
    "<query xmlns='jabber:iq:roster'/>",
    "<error xmlns='jabber:client'/>",
    "<message xmlns='jabber:client'><body>x</body></message>",
    *ENCRYPTED,
]
ADDRESSES = [
    DOMAIN,
    CONTACT,
    f"{CONTACT}/resource",
    f"{DOMAIN}/resource",
    rf"\20edge@{DOMAIN}",
    rf"a,b\40x@{DOMAIN}",
    f"x@{DOMAIN}",
]

PRESENCE = {
    "subscribe": {1, 2, 3}, "subscribed": {0, 1}, "unsubscribe": {2}, "unsubscribed": {0}, "probe": {1},
    None: {0, 1, 2}, "unavailable": {0, 1},
}  # fmt: skip

addresses = st.sampled_from(ADDRESSES)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
namespaces = st.sampled_from(
    ["urn:x", "urn:xmpp:gre:0", "http://jabber.org/protocol/pubsub", "jabber:x:data", "jabber:client"]
)


@st.composite
def elements(draw, depth=0):
    children = "" if depth > 3 else "".join(draw(st.lists(elements(depth=depth + 1), max_size=3)))
    attributes = "".join(
        f" {name}={quoteattr(draw(texts))}" for name in set(draw(st.lists(names, max_size=3)))
    )
    name = draw(names)
    return f"<{name} xmlns='{draw(namespaces)}'{attributes}>{escape(draw(texts))}{children}</{name}>"


payloads = st.sampled_from(PAYLOADS) | elements()
requests = st.tuples(st.sampled_from(["get", "set"]), addresses, payloads)
parts = st.lists(
    payloads
    | st.sampled_from(
        [
            "<body>hello</body>",
            "<body/>",
            "<subject>s</subject>",
            "<body>a</body><body xml:lang='de'>b</body>",
        ]
    )
    | st.just("<request xmlns='urn:xmpp:receipts'/>")
    | st.just("<received xmlns='urn:xmpp:receipts' id='x'/>")
    | st.just("<composing xmlns='http://jabber.org/protocol/chatstates'/>")
    | st.just("<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
    max_size=4,
)
messages = st.tuples(
    st.sampled_from(["chat", "normal", "headline", "groupchat", "error", "rubbish", None]), addresses, parts
)  # fmt: skip


def has_content(content):
    return any(part.startswith(("<body", "<subject", "<encrypted", "<openpgp")) for part in content)


# -- without a server: hundreds ---------------------------------------------------------------------


class Wire:
    """A component whose bytes go nowhere."""

    def __init__(self, **engine):
        self.component = ComponentXMPP(DOMAIN, "secret", "127.0.0.1", 1)
        self.sent = []
        self.handled = []

        async def sender_id(user):
            return "juliet@example.org" if user == USER else None

        async def relay(message):
            self.handled.append(message)
            if random.random() < 0.2:
                raise random.choice(
                    [
                        Refused("no"),
                        GreError("no"),
                        ZeroDivisionError(),
                        TimeoutError(),
                        asyncio.CancelledError(),
                    ]
                )

        attach_gateway(
            self.component,
            GatewayEngine(DOMAIN, [PAIR], sender_id=sender_id, **engine),
            on_encrypted=relay,
            on_plain=relay,
            on_receipt=lambda *_: relay(None),
            on_error=lambda *_: relay(None),
            reconnect=False,
        )
        self.component.transport = self
        self.component.init_parser()
        self.component.data_received(
            f"<stream:stream xmlns='{COMPONENT}' xmlns:stream='http://etherx.jabber.org/streams' id='1'>".encode()
        )
        self.component.event("session_start")
        self.component.send = lambda stanza, **_: self.sent.append(getattr(stanza, "xml", stanza))
        self.closed = False

    async def feed(self, stanza):
        """Give what is answered to a stanza."""
        self.sent.clear()
        self.component.data_received(stanza.encode())
        for _ in range(30):
            await asyncio.sleep(0)
        return list(self.sent)

    def get_extra_info(self, _name, default=None):
        return default

    def write(self, _data):
        pass

    def close(self):
        self.closed = True

    abort = close


@pytest.fixture(scope="module")
def exchange():
    """Feed a stanza to one gateway and give the answers; making a component takes 50 ms, so all share two."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    wires = {only: Wire(encrypted_only=only) for only in (True, False)}

    def feed(stanza, only=False):
        answers = loop.run_until_complete(wires[only].feed(stanza))
        assert not wires[only].closed
        return answers

    yield feed
    asyncio.set_event_loop(None)
    loop.close()


@settings(max_examples=200, deadline=None)
@given(requests)
def test_every_request_has_exactly_one_answer(exchange, asked):
    kind, address, payload = asked
    answers = exchange(f"<iq type='{kind}' id='q1' from='{USER}/a' to={quoteattr(address)}>{payload}</iq>")
    assert [(a.get("id"), a.get("to"), a.get("from")) for a in answers] == [("q1", f"{USER}/a", address)]
    assert answers[0].get("type") in {"result", "error"}
    if answers[0].get("type") == "error":
        assert "".join(answers[0].itertext()).strip(), "with a text"


@settings(max_examples=200, deadline=None)
@given(messages, st.booleans())
def test_every_message_with_content_is_confirmed_or_refused_once(exchange, message, encrypted_only):
    kind, address, content = message
    attribute = "" if kind is None else f" type='{kind}'"
    body = "".join(content) + "<request xmlns='urn:xmpp:receipts'/>"
    stanza = f"<message id='m1'{attribute} from='{USER}/a' to={quoteattr(address)}>{body}</message>"
    answers = exchange(stanza, encrypted_only)
    assert all(answer.get("to") == f"{USER}/a" for answer in answers)
    assert len(answers) <= 1, [tostring(answer) for answer in answers]
    if kind == "error":
        assert answers == []
    elif has_content(content):
        assert len(answers) == 1


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*PRESENCE, "error", "rubbish"]), addresses, parts)
def test_presence_of_any_kind_is_survived_and_errors_are_not_answered(exchange, kind, address, content):
    attribute = "" if kind is None else f" type='{kind}'"
    answers = exchange(
        f"<presence{attribute} from='{USER}/a' to={quoteattr(address)}>{''.join(content)}</presence>"
    )
    assert len(answers) in PRESENCE.get(kind, {0}), [tostring(answer) for answer in answers]


@pytest.mark.parametrize(
    "stanza",
    [
        "<iq type='get' id='1' from='a@b/c' to='mail.localhost'/>",
        "<iq type='get' id='1' from='a@b/c' to='mail.localhost'><a xmlns='u'/><b xmlns='u'/></iq>",
        "<iq type='get' id='1' from='a@b/c' to='mail.localhost'><ping xmlns='urn:xmpp:ping'/><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "<iq type='set' id='1' from='a@b/c' to='mail.localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
        "<iq type='rubbish' id='1' from='a@b/c' to='mail.localhost'><a xmlns='u'/></iq>",
        "<iq id='1' from='a@b/c' to='mail.localhost'><a xmlns='u'/></iq>",
        "<iq type='get' id='1' from='a@b/c' to='mail.localhost'>text</iq>",
    ],
)
async def test_malformed_requests_that_a_remote_server_lets_pass_have_one_answer(stanza):
    wire = Wire()
    [answer] = await wire.feed(stanza)
    assert (answer.get("type"), answer.get("id")) == ("error", "1")


async def test_who_has_no_address_is_answered_without_an_empty_one():
    wire = Wire()
    [answer] = await wire.feed("<iq type='get' id='1'><x xmlns='urn:x'/></iq>")
    assert not {"to", "from"} & set(answer.attrib)


# -- on the servers: a few hundred -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_on_a_server_every_stanza_is_answered_once(world, seed):
    """Requests to the gateway and its contacts, messages, presence, all at once."""
    relay = await world.gateway()

    async def refuse_some(message):
        if message.body.text != "QUFB" or random.random() < 0.3:
            raise Refused("no")

    relay.relay = refuse_some
    raw, dice = await world.raw(), random.Random(seed)
    asked, said = set(), set()
    for number in range(150):
        to = quoteattr(dice.choice(ADDRESSES[:4]))
        payload = dice.choice(PAYLOADS)
        if number % 2:
            asked.add(f"q{number}")
            raw.write(f"<iq type='{dice.choice(['get', 'set'])}' id='q{number}' to={to}>{payload}</iq>")
        else:
            said.add(f"m{number}")
            asks = "<request xmlns='urn:xmpp:receipts'/>"
            raw.write(f"<message type='chat' id='m{number}' to={to}>{dice.choice(ENCRYPTED)}{asks}</message>")
        if number % 10 == 0:
            kind = dice.choice(["", " type='probe'", " type='unavailable'", " type='subscribe'"])
            raw.write(f"<presence to={to}{kind}/>")
    answers, confirmed = [], []
    async with asyncio.timeout(90):
        while len(answers) + len(confirmed) < len(asked) + len(said):
            stanza = await raw.read()
            receipt = stanza.find("{urn:xmpp:receipts}received")
            if receipt is not None:
                confirmed.append(receipt.get("id"))
            elif stanza.tag.endswith("}iq") or stanza.get("type") == "error":
                answers.append(stanza.get("id"))
        rest = await raw.until_pong()
    assert sorted(answers + confirmed) == sorted(asked | said)
    assert [stanza for stanza in rest if not stanza.tag.endswith("}presence")] == []
    assert relay.gre.stream.up
