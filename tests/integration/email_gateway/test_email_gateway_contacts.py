"""Contacts in the roster of a user on real servers (XEP-0100, sections 4.4 to 4.7): added, seen again, removed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.prosody import ProsodyServer

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
ALICE = "alice\\40example.net@mail.localhost"
JULIET = "juliet@localhost"
REMOVE = "<query xmlns='jabber:iq:register'><remove/></query>"
REGISTER = (
    "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>jabber:iq:register</value></field>"
    "<field var='username'><value>capulet</value></field></x></query>"
)
OPEN = """
[mail]
domains = ["example.org"]
[registration]
servers = ["localhost"]
address = "choose"
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


async def until(condition):
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.01)


async def subscription(juliet, jid):
    answer = await juliet.iq(JULIET, "<query xmlns='jabber:iq:roster'/>")
    items = {item.get("jid"): item.get("subscription") for item in answer[0]}
    return items.get(jid)


def rows(gateway):
    with contextlib.closing(sqlite3.connect(gateway.state / "gateway.db")) as database:
        return {
            (contact, bool(sees), agreed)
            for contact, sees, agreed in database.execute("SELECT contact, sees, agreed FROM contacts")
        }


async def test_contacts_are_added_seen_after_a_kill_and_let_go(start, juliet, relay, kit):
    gateway = await start(OPEN, users="")
    await juliet.client.get_roster(timeout=30)
    juliet.client.auto_authorize, juliet.client.auto_subscribe = True, False
    seen = juliet.watch(DOMAIN)
    assert (await juliet.iq(DOMAIN, REGISTER, "set")).get("type") == "result"
    await until(lambda: (DOMAIN, 1, 1) in {(c, 1, a) for c, _, a in rows(gateway)})

    # 4.6: both sides of the subscription; the contact is there.
    for jid in (BOB, ALICE):
        juliet.send(f"<presence type='subscribe' to='{jid}'/>")
    await until(lambda: {(BOB, None), (ALICE, None), (BOB, "subscribed")} <= set(seen))
    await until(lambda: {(BOB, True, 1), (ALICE, True, 1)} <= rows(gateway))
    assert await subscription(juliet, BOB) == await subscription(juliet, ALICE) == "both"

    # Killed: nobody could say goodbye. Who is there sees the contacts again, without asking.
    seen.clear()
    await gateway.stop(kill=True)
    await gateway.start()
    await until(lambda: {(DOMAIN, None), (BOB, None), (ALICE, None)} <= set(seen))
    assert {kind for _, kind in seen} <= {None, "unavailable"}, "and is not asked for anything"

    # 4.7: one is removed from the roster: the server tells the gateway.
    juliet.send(
        f"<iq type='set' id='gone'><query xmlns='jabber:iq:roster'><item jid='{ALICE}' subscription='remove'/></query></iq>"
    )
    await until(lambda: not any(contact == ALICE for contact, _, _ in rows(gateway)))
    seen.clear()
    await gateway.stop()
    await until(lambda: {(DOMAIN, "unavailable"), (BOB, "unavailable")} <= set(seen))
    seen.clear()
    await gateway.start()
    await until(lambda: {(DOMAIN, None), (BOB, None)} <= set(seen))
    assert (ALICE, None) not in seen

    # A later login: the server probes, and each contact answers.
    juliet.client.send_presence(ptype="unavailable")
    await asyncio.sleep(0.2)
    seen.clear()
    juliet.client.send_presence()
    await until(lambda: {(DOMAIN, None), (BOB, None)} <= set(seen))

    # 4.3: all subscriptions end, those of contacts too.
    seen.clear()
    assert (await juliet.iq(DOMAIN, REMOVE, "set")).get("type") == "result"
    await until(lambda: {(DOMAIN, "unavailable"), (BOB, "unavailable")} <= set(seen))
    assert rows(gateway) == set()
    for jid in (BOB, DOMAIN):
        assert await subscription(juliet, jid) in {None, "none"}
    # Presence for who is not registered any more: an error that says so (4.4), and no contact.
    seen.clear()
    juliet.send(f"<presence to='{BOB}'/>")
    await until(lambda: (BOB, "error") in seen)


async def test_what_nobody_handles_is_answered_to_users_and_servers(start, juliet, kit):
    await start()
    for to in (DOMAIN, BOB, f"{BOB}/x", f"{DOMAIN}/x"):
        for kind in ("get", "set"):
            answer = await juliet.iq(to, "<query xmlns='urn:example:unknown'/>", kind)
            assert kit.error_of(answer)[:2] == ("cancel", "service-unavailable"), to
            assert kit.error_of(answer)[2], "with a text"
