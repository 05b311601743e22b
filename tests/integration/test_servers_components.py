"""Components (XEP-0114) on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from gre_core.testing.server import TestServerError
from gre_core.testing.slix import make_component, offline, online

CONTACT = r"alice\40example.org@mail.localhost"


async def refused(component):
    """Try to go online; return the condition with which the server closes the stream."""
    conditions = []
    component.add_event_handler("stream_error", lambda error: conditions.append(error["condition"]))
    with pytest.raises(TestServerError):
        await online(component, timeout=30)
    await offline(component)
    return conditions[0]


async def test_a_wrong_secret_is_refused(server):
    component = make_component(server, "mail.localhost")
    component.secret = "wrong"
    assert await refused(component) == "not-authorized"


async def test_an_unknown_domain_is_refused(server):
    component = make_component(server, "mail.localhost")
    component.boundjid.domain = "other.localhost"
    component.stream_header = component.stream_header.replace("mail.localhost", "other.localhost")
    assert await refused(component) == "host-unknown"


async def test_a_second_connection_is_refused_and_the_first_stays(server, attach, connect):
    first = await attach(plugins=("xep_0199",))
    assert await refused(make_component(server, "mail.localhost")) == "conflict"
    assert await first.plugin["xep_0199"].ping("localhost", ifrom="mail.localhost", timeout=30) < 5


async def test_contacts_of_a_component_exchange_messages(attach, connect):
    gateway, juliet = await attach(), await connect("juliet", "a")
    to_gateway: asyncio.Queue[Any] = asyncio.Queue()
    to_juliet: asyncio.Queue[Any] = asyncio.Queue()
    gateway.add_event_handler("message", to_gateway.put_nowait)
    juliet.add_event_handler("message", to_juliet.put_nowait)
    async with asyncio.timeout(30):
        juliet.send_message(CONTACT, "out", mtype="chat")
        got = await to_gateway.get()
        assert (str(got["from"]), str(got["to"]), got["body"]) == ("juliet@localhost/a", CONTACT, "out")
        gateway.send_message("juliet@localhost", "in", mtype="chat", mfrom=CONTACT)
        got = await to_juliet.get()
        assert (str(got["from"]), str(got["to"]), got["body"]) == (CONTACT, "juliet@localhost", "in")


async def test_requests_reach_a_component_and_its_contacts(attach, connect):
    gateway = await attach(plugins=("xep_0030",))
    gateway.plugin["xep_0030"].set_node_handler("get_info", handler=lambda jid, *_: describe(gateway, jid))
    juliet = await connect("juliet", "a", plugins=("xep_0030",))
    for jid in ("mail.localhost", CONTACT):
        info = await juliet.plugin["xep_0030"].get_info(jid, timeout=30)
        assert ("gateway", "smtp", None, str(jid)) in info["disco_info"]["identities"]


def describe(gateway, jid):
    info = gateway.plugin["xep_0030"].stanza.DiscoInfo()
    info.add_identity("gateway", "smtp", name=str(jid))
    return info


async def test_a_component_asks_a_client(attach, connect):
    gateway = await attach(plugins=("xep_0030",))
    await connect("juliet", "a", plugins=("xep_0030",))
    info = await gateway.plugin["xep_0030"].get_info("juliet@localhost/a", ifrom="mail.localhost", timeout=30)
    assert "http://jabber.org/protocol/disco#info" in info["disco_info"]["features"]


async def test_a_component_that_is_away_is_said_to_be(connect):
    juliet = await connect("juliet", "a", plugins=("xep_0030",))
    with pytest.raises(IqError) as error:
        await juliet.plugin["xep_0030"].get_info("someone@away.localhost", timeout=30)
    assert error.value.iq["error"]["type"] == "wait"
    assert error.value.iq["error"]["condition"] == "remote-server-timeout"


async def test_a_request_that_nobody_answers_is_unavailable(connect):
    juliet = await connect("juliet", "a", plugins=("xep_0030",))
    for jid in ("nobody@localhost/x", "romeo@localhost/x", "nobody@localhost"):
        with pytest.raises(IqError) as error:
            await juliet.plugin["xep_0030"].get_info(jid, timeout=30)
        assert error.value.iq["error"]["condition"] == "service-unavailable"


async def test_kick_cuts_a_component_off_and_it_can_come_back(server, attach, connect):
    gateway = await attach()
    juliet = await connect("juliet", "a", plugins=("xep_0030",))
    gone = asyncio.Event()
    gateway.add_event_handler("disconnected", lambda _: gone.set())
    await server.kick("mail.localhost")
    async with asyncio.timeout(30):
        await gone.wait()
    with pytest.raises(IqError, match="remote-server-timeout"):
        await juliet.plugin["xep_0030"].get_info("mail.localhost", timeout=30)
    again = await attach(plugins=("xep_0030",))
    assert again.is_connected()
    assert await juliet.plugin["xep_0030"].get_info("mail.localhost", timeout=30)


async def test_one_stanza_that_is_too_large_takes_the_component_down(attach, connect):
    gateway = await attach()
    juliet = await connect("juliet", "a")
    received: asyncio.Queue[Any] = asyncio.Queue()
    juliet.add_event_handler("message", received.put_nowait)
    gone = asyncio.Event()
    errors = []
    gateway.add_event_handler("stream_error", lambda error: errors.append(error["condition"]))
    gateway.add_event_handler("disconnected", lambda _: gone.set())
    async with asyncio.timeout(30):
        gateway.send_message("juliet@localhost", "x" * 400_000, mtype="chat", mfrom=CONTACT)
        assert len((await received.get())["body"]) == 400_000
        gateway.send_message("juliet@localhost", "x" * 600_000, mtype="chat", mfrom=CONTACT)
        await gone.wait()
    assert errors in ([], ["not-well-formed"])  # a reset connection may swallow the error
    assert received.empty()
