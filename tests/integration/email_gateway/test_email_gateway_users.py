"""The life of a user on real servers, by raw XML: registers, writes, chooses a policy, sees the gateway go, leaves."""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree as ET

import pytest

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.prosody import ProsodyServer

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
JULIET = "juliet@localhost"
COMMANDS = "http://jabber.org/protocol/commands"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
REMOVE = "<query xmlns='jabber:iq:register'><remove/></query>"
OPEN = """
[mail]
domains = ["example.org"]
[registration]
servers = ["localhost"]
address = "choose"
[admin]
jids = ["romeo@localhost"]
"""


@pytest.fixture(params=["loopback", "prosody", "ejabberd"])
def server_class(request):
    """All three."""
    if request.param == "prosody":
        require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
        return ProsodyServer
    if request.param == "ejabberd":
        require(EjabberdServer.installed(), "ejabberd (apt-get install ejabberd)")
        return EjabberdServer
    return LoopbackServer


def form(**values):
    fields = "".join(
        f"<field var='{var}'><value>{value}</value></field>"
        for var, value in {"FORM_TYPE": "jabber:iq:register", **values}.items()
    )
    return f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"


def register(**values):
    return f"<query xmlns='jabber:iq:register'>{form(**values)}</query>"


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_life_of_a_user(start, juliet, relay, kit):
    gateway = await start(OPEN, users="")
    assert await gateway.deliver(b"Subject: x\r\n\r\nx\r\n", to=["capulet@example.org"]) != []
    await juliet.client.get_roster(timeout=30)  # who has not asked for it is told of no subscription
    seen = juliet.watch(DOMAIN)
    juliet.client.auto_authorize, juliet.client.auto_subscribe = True, False

    # Discovery and registration (XEP-0100, 4.1).
    info = await juliet.iq(DOMAIN, INFO)
    assert {"jabber:iq:register", COMMANDS} <= {each.get("var") for each in info[0]}
    assert kit.error_of(await juliet.iq(BOB, "<data xmlns='urn:xmpp:gre:0'/>"))[1] == "registration-required"
    asked = await juliet.iq(DOMAIN, "<query xmlns='jabber:iq:register'/>")
    assert asked[0].find("{jabber:x:data}x") is not None
    answer = await juliet.iq(DOMAIN, register(username="capulet"), "set")
    assert answer.get("type") == "result", ET.tostring(answer)
    welcome = await juliet.next()
    assert "capulet@example.org" in "".join(welcome.itertext())
    await until(lambda: {(DOMAIN, None), (DOMAIN, "subscribe")} <= set(seen))

    # Subscriptions, and an ordinary mail both ways.
    for jid in (DOMAIN, BOB):
        juliet.send(f"<presence type='subscribe' to='{jid}'/>")
        await until(lambda jid=jid: {(jid, "subscribed"), (jid, None)} <= set(seen))
    juliet.send(f"<message to='{BOB}' type='chat' id='m1'><body>hello</body></message>")
    sender, recipients, mail = await relay.next()
    assert (sender, recipients) == ("capulet@example.org", ["bob@example.net"])
    assert b"hello" in mail
    assert (await gateway.deliver(b"From: bob@example.net\r\n\r\nback\r\n", to=["capulet@example.org"]))[
        0
    ].startswith("250")
    got = await juliet.until("{jabber:client}body")
    assert "back" in got.findtext("{jabber:client}body")

    # Prompt, card, and a command.
    answer = await juliet.iq(
        DOMAIN, "<query xmlns='jabber:iq:gateway'><prompt>bob@example.net</prompt></query>", "set"
    )
    assert answer[0].findtext("{jabber:iq:gateway}jid") == BOB
    card = await juliet.iq(BOB, "<vCard xmlns='vcard-temp'/>")
    assert card[0].findtext("{vcard-temp}EMAIL/{vcard-temp}USERID") == "bob@example.net"
    tested = await juliet.iq(DOMAIN, f"<command xmlns='{COMMANDS}' node='test'/>", "set")
    assert "took the test mail" in "".join(tested.itertext())
    assert (await relay.next())[:2] == ("capulet@example.org", ["capulet@example.org"])
    denied = await juliet.iq(DOMAIN, f"<command xmlns='{COMMANDS}' node='users'/>", "set")
    assert kit.error_of(denied)[1] == "forbidden"

    # The policy of the user, in both directions.
    seen.clear()
    await juliet.choose(encrypted_only="true")
    await until(lambda: {(DOMAIN, None), (BOB, None)} <= set(seen))
    info = await juliet.iq(BOB, INFO)
    assert "urn:xmpp:gre:encrypted_only:0" in {each.get("var") for each in info[0]}
    juliet.send(f"<message to='{BOB}' type='chat' id='m2'><body>hello</body></message>")
    while (refused := await juliet.next()).get("id") != "m2":
        pass
    assert kit.error_of(refused)[:2] == ("modify", "policy-violation")
    (reply,) = await gateway.deliver(b"From: bob@example.net\r\n\r\nplain\r\n", to=["capulet@example.org"])
    assert reply.startswith("523 5.7.10")

    # The gateway goes and comes back (XEP-0100, 8).
    seen.clear()
    await gateway.stop()
    await until(lambda: {(DOMAIN, "unavailable"), (BOB, "unavailable")} <= set(seen))
    seen.clear()
    await gateway.start()
    await until(lambda: (DOMAIN, None) in seen)

    # Unregistering (XEP-0100, 4.3).
    seen.clear()
    assert (await juliet.iq(DOMAIN, REMOVE, "set")).get("type") == "result"
    await until(lambda: (DOMAIN, "unavailable") in seen)
    roster = await juliet.client.get_roster(timeout=30)
    found = roster["roster"]["items"].get(DOMAIN)
    assert found is None or found["subscription"] == "none"
    (reply,) = await gateway.deliver(b"Subject: x\r\n\r\nx\r\n", to=["capulet@example.org"])
    assert reply.startswith("550 5.1.1")
    assert kit.error_of(await juliet.iq(DOMAIN, REMOVE, "set"))[1] == "registration-required"
