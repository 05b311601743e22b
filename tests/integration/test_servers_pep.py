"""Personal eventing on both servers: who may read what, options, notifications."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0004 import Form
from slixmpp.xmlstream import ET

NODE = "urn:xmpp:openpgp:0:public-keys"
PLUGINS = ("xep_0060", "xep_0163", "xep_0115", "xep_0199")


def payload(text="1"):
    element = ET.Element("{urn:test}data")
    element.text = text
    return element


def options(**fields):
    form = Form()
    form["type"] = "submit"
    form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    for name, value in fields.items():
        form.add_field(var=f"pubsub#{name}", value=value)
    return form


async def publish(client, node=NODE, text="1", *, item="current", **fields):
    form = options(**fields) if fields else None
    pubsub = client.plugin["xep_0060"]
    await pubsub.publish(None, node, id=item, payload=payload(text), options=form, timeout=30)


async def texts(client, node=NODE, **how):
    answer = await client.plugin["xep_0060"].get_items("juliet@localhost", node, timeout=30, **how)
    return [item["payload"].text for item in answer["pubsub"]["items"]]


def refused(error):
    return error.value.iq["error"]["type"], error.value.iq["error"]["condition"]


async def test_an_open_node_is_read_by_everybody(connect, attach):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    romeo = await connect("romeo", "b", plugins=PLUGINS)
    await publish(juliet, access_model="open")
    assert await texts(romeo) == ["1"]

    gateway = await attach(plugins=("xep_0060",))
    answer = await gateway.plugin["xep_0060"].get_items(
        "juliet@localhost", NODE, ifrom=r"alice\40example.org@mail.localhost", timeout=30
    )
    assert answer["pubsub"]["items"]["item"]["payload"].text == "1"


async def test_without_options_a_stranger_is_forbidden_until_subscribed(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    romeo = await connect("romeo", "b", plugins=PLUGINS)
    juliet.auto_authorize = romeo.auto_authorize = True
    juliet.auto_subscribe = romeo.auto_subscribe = False
    await publish(juliet)
    for node in (NODE, "urn:no-such-node"):
        with pytest.raises(IqError) as error:
            await texts(romeo, node)
        assert refused(error) == ("auth", "forbidden")
    approved = asyncio.Event()
    await romeo.get_roster(timeout=30)  # answers to requests reach only those who asked for the roster
    romeo.add_event_handler("presence_subscribed", lambda _: approved.set())
    romeo.send_presence_subscription("juliet@localhost", ptype="subscribe")
    async with asyncio.timeout(30):
        await approved.wait()
    assert await texts(romeo) == ["1"]
    with pytest.raises(IqError) as error:
        await texts(romeo, "urn:no-such-node")
    assert refused(error) == ("cancel", "item-not-found")


async def test_a_whitelist_node_is_for_its_owner(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    romeo = await connect("romeo", "b", plugins=PLUGINS)
    await publish(juliet, access_model="whitelist")
    assert await texts(juliet) == ["1"]
    with pytest.raises(IqError) as error:
        await texts(romeo)
    assert refused(error) == ("auth", "forbidden")


async def test_publish_options_that_do_not_fit_are_refused(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    await publish(juliet)
    with pytest.raises(IqError) as error:
        await publish(juliet, text="2", access_model="open")
    assert refused(error) == ("cancel", "conflict")
    extra = "{http://jabber.org/protocol/pubsub#errors}precondition-not-met"
    assert error.value.iq["error"].xml.find(extra) is not None
    assert await texts(juliet) == ["1"]


async def test_a_node_can_be_made_open_afterwards(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    romeo = await connect("romeo", "b", plugins=PLUGINS)
    await publish(juliet)
    pubsub = juliet.plugin["xep_0060"]
    config = await pubsub.get_node_config(None, NODE, timeout=30)
    form = config["pubsub_owner"]["configure"]["form"]
    assert form.get_fields()["pubsub#access_model"]["value"] == "presence"
    await pubsub.set_node_config(None, NODE, options(access_model="open"), timeout=30)
    assert await texts(romeo) == ["1"]


async def test_items_are_replaced_kept_and_limited(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    await publish(juliet, "one", "old", item="x")
    await publish(juliet, "one", "new", item="y")
    assert await texts(juliet, "one") == ["new"]
    for number in ("1", "2", "3", "4"):
        await publish(juliet, "three", number, item=number, max_items="3")
    assert await texts(juliet, "three") == ["2", "3", "4"]
    assert await texts(juliet, "three", max_items=2) == ["3", "4"]
    assert await texts(juliet, "three", item_ids=["3"]) == ["3"]


async def test_items_and_nodes_are_removed(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    await publish(juliet)
    pubsub = juliet.plugin["xep_0060"]
    await pubsub.retract(None, NODE, "current", timeout=30)
    assert await texts(juliet) == []
    with pytest.raises(IqError) as error:
        await pubsub.retract(None, NODE, "current", timeout=30)
    assert refused(error) == ("cancel", "item-not-found")
    await pubsub.delete_node(None, NODE, timeout=30)
    with pytest.raises(IqError) as error:
        await texts(juliet)
    assert refused(error) == ("cancel", "item-not-found")


async def test_a_stranger_changes_nothing(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    romeo = await connect("romeo", "b", plugins=PLUGINS)
    await publish(juliet, access_model="open")
    pubsub = romeo.plugin["xep_0060"]
    for attempt in (
        pubsub.publish("juliet@localhost", NODE, id="current", payload=payload("evil"), timeout=30),
        pubsub.retract("juliet@localhost", NODE, "current", timeout=30),
        pubsub.delete_node("juliet@localhost", NODE, timeout=30),
        pubsub.create_node("juliet@localhost", "urn:other", timeout=30),
    ):
        with pytest.raises(IqError) as error:
            await attempt
        assert refused(error) == ("auth", "forbidden")
    assert await texts(juliet) == ["1"]


async def test_those_who_announced_their_interest_are_notified(connect):
    juliet = await connect("juliet", "a", plugins=PLUGINS)
    other = await connect("juliet", "b", plugins=PLUGINS, priority=None)
    events: asyncio.Queue[Any] = asyncio.Queue()
    other.add_event_handler("pubsub_publish", events.put_nowait)
    await publish(juliet, text="before")
    other.plugin["xep_0163"].add_interest(NODE)
    await other.plugin["xep_0115"].update_caps()
    other.send_presence()
    async with asyncio.timeout(30):
        first = await events.get()  # the last item, because presence came
        await publish(juliet, text="after")
        second = await events.get()
    assert [e["pubsub_event"]["items"]["item"]["payload"].text for e in (first, second)] == [
        "before",
        "after",
    ]
    assert {str(e["from"]) for e in (first, second)} == {"juliet@localhost"}
    await publish(juliet, "urn:uninteresting", text="other")
    await other.plugin["xep_0199"].ping("localhost", timeout=30)
    assert events.empty()
