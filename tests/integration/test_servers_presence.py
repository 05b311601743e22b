"""Rosters, presence and subscriptions on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

CONTACT = r"alice\40example.org@mail.localhost"


class Presences:
    """What a client or component hears of others: (type, from) in order."""

    def __init__(self, xmpp):
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        xmpp.auto_authorize = None
        xmpp.auto_subscribe = False
        xmpp.add_filter("in", self._keep)
        self.xmpp = xmpp

    def _keep(self, stanza):
        if stanza.name == "presence":
            own = stanza["from"] == self.xmpp.boundjid
            if not own:
                self.queue.put_nowait((stanza.xml.get("type", "available"), stanza.xml.get("from")))
        return stanza

    async def until(self, kind, sender):
        seen = []
        async with asyncio.timeout(30):
            while (kind, sender) not in seen:
                seen.append(await self.queue.get())
        return seen


async def test_the_roster_is_kept_and_pushed(connect):
    first = await connect("juliet", "first")
    second = await connect("juliet", "second")
    await first.get_roster(timeout=30)
    await second.get_roster(timeout=30)
    pushes: asyncio.Queue[Any] = asyncio.Queue()
    second.add_event_handler("roster_update", pushes.put_nowait)
    async with asyncio.timeout(30):
        await first.update_roster(CONTACT, name="Alice", groups=["Mail"])
        item = (await pushes.get())["roster"]["items"][CONTACT]
        assert (item["name"], item["groups"], item["subscription"]) == ("Alice", ["Mail"], "none")
        third = await connect("juliet", "third")
        roster = await third.get_roster(timeout=30)
        assert roster["roster"]["items"][CONTACT]["groups"] == ["Mail"]
        await first.del_roster_item(CONTACT)
        item = (await pushes.get())["roster"]["items"][CONTACT]
        assert item["subscription"] == "remove"


async def test_own_resources_see_each_other(connect):
    first = await connect("juliet", "first")
    seen = Presences(first)
    second = await connect("juliet", "second")
    await seen.until("available", "juliet@localhost/second")
    second.send_presence(ptype="unavailable")
    await seen.until("unavailable", "juliet@localhost/second")


async def test_strangers_see_nothing(connect):
    juliet = await connect("juliet", "a", plugins=("xep_0199",))
    seen = Presences(juliet)
    romeo = await connect("romeo", "b", plugins=("xep_0199",))
    romeo.send_presence(pto="juliet@localhost", ptype="probe")
    await romeo.plugin["xep_0199"].ping("localhost", timeout=30)
    await juliet.plugin["xep_0199"].ping("localhost", timeout=30)
    assert seen.queue.empty()


async def test_subscription_between_accounts(connect):
    juliet, romeo = await connect("juliet", "a"), await connect("romeo", "b")
    to_juliet, to_romeo = Presences(juliet), Presences(romeo)
    await juliet.get_roster(timeout=30)
    await romeo.get_roster(timeout=30)
    juliet.send_presence_subscription("romeo@localhost", ptype="subscribe")
    await to_romeo.until("subscribe", "juliet@localhost")
    romeo.send_presence_subscription("juliet@localhost", ptype="subscribed")
    await to_juliet.until("subscribed", "romeo@localhost")
    await to_juliet.until("available", "romeo@localhost/b")
    assert juliet.client_roster["romeo@localhost"]["subscription"] == "to"  # by a roster push
    romeo.disconnect()
    await to_juliet.until("unavailable", "romeo@localhost/b")


async def test_a_request_waits_for_an_account_that_is_away(connect):
    juliet = await connect("juliet", "a")
    juliet.send_presence_subscription("romeo@localhost", ptype="subscribe")
    romeo = await connect("romeo", "b", priority=None)
    to_romeo = Presences(romeo)
    romeo.send_presence()
    await to_romeo.until("subscribe", "juliet@localhost")


async def test_subscription_between_a_component_and_an_account(connect, attach):
    juliet, gateway = await connect("juliet", "a"), await attach()
    to_juliet, to_gateway = Presences(juliet), Presences(gateway)
    await juliet.get_roster(timeout=30)  # answers to requests reach only those who asked for the roster
    gateway.send_presence(pfrom=CONTACT, pto="juliet@localhost", ptype="subscribe")
    await to_juliet.until("subscribe", CONTACT)
    juliet.send_presence_subscription(CONTACT, ptype="subscribed")
    await to_gateway.until("available", "juliet@localhost/a")
    juliet.send_presence_subscription(CONTACT, ptype="subscribe")
    await to_gateway.until("subscribe", "juliet@localhost")
    gateway.send_presence(pfrom=CONTACT, pto="juliet@localhost", ptype="subscribed")
    await to_juliet.until("subscribed", CONTACT)
    gateway.send_presence(pfrom=CONTACT, pto="juliet@localhost")
    await to_juliet.until("available", CONTACT)
    juliet.disconnect()
    await to_gateway.until("unavailable", "juliet@localhost/a")


async def test_a_component_that_probes_learns_who_is_online(connect, attach):
    juliet, gateway = await connect("juliet", "a"), await attach()
    to_juliet, to_gateway = Presences(juliet), Presences(gateway)
    gateway.send_presence(pfrom="mail.localhost", pto="juliet@localhost", ptype="subscribe")
    await to_juliet.until("subscribe", "mail.localhost")
    juliet.send_presence_subscription("mail.localhost", ptype="subscribed")
    await to_gateway.until("available", "juliet@localhost/a")
    gateway.send_presence(pfrom="mail.localhost", pto="juliet@localhost", ptype="probe")
    await to_gateway.until("available", "juliet@localhost/a")


async def test_directed_presence_ends_with_the_session(connect, attach):
    juliet, gateway = await connect("juliet", "a"), await attach()
    to_gateway = Presences(gateway)
    juliet.send_presence(pto="mail.localhost")
    await to_gateway.until("available", "juliet@localhost/a")
    juliet.abort()
    await to_gateway.until("unavailable", "juliet@localhost/a")
