"""Messages on both servers: routing, errors, carbons, offline storage."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree as ET

import pytest

CARBONS = "{urn:xmpp:carbons:2}"
ENCRYPTED = "<encrypted xmlns='urn:xmpp:gre:0' formatter='f' encrypter='e'>QUJD</encrypted>"
STORE = "<store xmlns='urn:xmpp:hints'/>"


class Inbox:
    """Every message that a client receives, as XML, in order."""

    def __init__(self, client):
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        client.add_filter("in", self._keep)
        self.client = client

    def _keep(self, stanza):
        if stanza.name == "message":
            self.queue.put_nowait(stanza.xml)
        return stanza

    async def next(self):
        async with asyncio.timeout(30):
            return await self.queue.get()

    async def all_so_far(self):
        """What came until the server answered a ping: nothing can still be on the way."""
        await self.client.plugin["xep_0199"].ping("localhost", timeout=30)
        return [self.queue.get_nowait() for _ in range(self.queue.qsize())]


async def online_with_inbox(connect, user, resource, **options):
    client = await connect(user, resource, plugins=("xep_0199", "xep_0280"), **options)
    return client, Inbox(client)


def local(tag):
    return tag.rpartition("}")[2]


def error_of(xml):
    error = next(child for child in xml if local(child.tag) == "error")
    return error.get("type"), local(error[0].tag)


async def test_messages_go_both_ways(connect):
    juliet, to_juliet = await online_with_inbox(connect, "juliet", "a")
    romeo, to_romeo = await online_with_inbox(connect, "romeo", "b")
    juliet.send_message("romeo@localhost", "O Romeo & <co>", mtype="chat")
    got = await to_romeo.next()
    assert got.get("from") == "juliet@localhost/a"
    assert got.findtext("{jabber:client}body") == "O Romeo & <co>"
    romeo.send_message("juliet@localhost/a", "Call me but love", mtype="chat")
    assert (await to_juliet.next()).get("to") == "juliet@localhost/a"


async def test_foreign_content_arrives_unchanged(connect):
    juliet, _ = await online_with_inbox(connect, "juliet", "a")
    _, to_romeo = await online_with_inbox(connect, "romeo", "b")
    sent = (
        "<x xmlns='urn:one' xmlns:p='urn:two' p:a='1&lt;&quot;2' b='&apos;'>\n t<p:y>&amp;&gt;\u20ac"
        "<body xmlns='jabber:client' xml:lang='de'>in</body></p:y> tail<z/>\u00e9</x>"
    )
    juliet.send_raw(f"<message to='romeo@localhost' type='chat'>{sent}<body>plain</body></message>")
    got = await to_romeo.next()
    assert ET.canonicalize(ET.tostring(got.find("{urn:one}x"))) == ET.canonicalize(
        ET.tostring(ET.fromstring(sent))
    )
    assert got.findtext("{jabber:client}body") == "plain"


async def test_escaped_white_space_is_not_kept(connect):
    juliet, _ = await online_with_inbox(connect, "juliet", "a")
    _, to_romeo = await online_with_inbox(connect, "romeo", "b")
    juliet.send_raw(
        "<message to='romeo@localhost' type='chat'><x xmlns='u' a='1&#10;2'>3&#13;&#10;4</x></message>"
    )
    got = (await to_romeo.next()).find("{u}x")
    assert (got.get("a"), got.text) == ("1 2", "3\n4")


async def test_a_bare_jid_reaches_the_highest_priority(connect):
    romeo, _ = await online_with_inbox(connect, "romeo", "b")
    _, low = await online_with_inbox(connect, "juliet", "low", priority=1)
    _, high = await online_with_inbox(connect, "juliet", "high", priority=5)
    _, never = await online_with_inbox(connect, "juliet", "never", priority=-1)
    romeo.send_message("juliet@localhost", "to the bare JID", mtype="chat")
    romeo.send_message("juliet@localhost/low", "to the full JID", mtype="chat")
    romeo.send_message("juliet@localhost/nowhere", "to nobody there", mtype="chat")
    await low.next()
    bodies = [(await high.next()).findtext("{jabber:client}body") for _ in range(2)]
    assert bodies == ["to the bare JID", "to nobody there"]
    assert await low.all_so_far() == []
    assert await never.all_so_far() == []


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("nobody@localhost", ("cancel", "service-unavailable")),
        ("localhost", ("cancel", "service-unavailable")),
        ("someone@elsewhere.example", ("cancel", "not-allowed")),
        ("away.localhost", ("wait", "remote-server-timeout")),
        ("someone@away.localhost", ("wait", "remote-server-timeout")),
        ("a b@localhost", ("modify", "jid-malformed")),
    ],
)
async def test_what_cannot_be_delivered_comes_back_as_an_error(connect, to, expected):
    juliet, inbox = await online_with_inbox(connect, "juliet", "a")
    juliet.send_raw(f"<message to='{to}' type='chat' id='m1'><body>x</body></message>")
    got = await inbox.next()
    assert (got.get("type"), got.get("id"), got.get("from")) == ("error", "m1", to)
    assert error_of(got) == expected


async def test_errors_are_never_answered(connect):
    juliet, inbox = await online_with_inbox(connect, "juliet", "a")
    for to in ("nobody@localhost", "away.localhost", "someone@elsewhere.example"):
        juliet.send_raw(f"<message to='{to}' type='error' id='m1'><body>x</body></message>")
    assert await inbox.all_so_far() == []


async def enable_carbons(*clients):
    for client in clients:
        await client.plugin["xep_0280"].enable()


def carbon_of(xml):
    assert xml.tag == "{jabber:client}message"
    return local(xml[0].tag), xml[0][0][0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"type='chat'>{ENCRYPTED}{STORE}", id="chat without body"),
        pytest.param(">" + "<body>x</body>", id="normal with body"),
    ],
)
async def test_carbons_of_eligible_messages(connect, content):
    romeo, to_romeo = await online_with_inbox(connect, "romeo", "b")
    juliet, to_first = await online_with_inbox(connect, "juliet", "first", priority=5)
    second, to_second = await online_with_inbox(connect, "juliet", "second", priority=1)
    await enable_carbons(juliet, second)

    juliet.send_raw(f"<message to='romeo@localhost' id='out' {content}</message>")
    await to_romeo.next()
    kind, copy = carbon_of(await to_second.next())
    assert (kind, copy.get("id"), copy.get("to")) == ("sent", "out", "romeo@localhost")

    for to in ("juliet@localhost", "juliet@localhost/first"):
        romeo.send_raw(f"<message to='{to}' id='in' {content}</message>")
        assert (await to_first.next()).get("id") == "in"
        carbon = await to_second.next()
        kind, copy = carbon_of(carbon)
        assert (kind, copy.get("id"), copy.get("from")) == ("received", "in", "romeo@localhost/b")
        assert carbon.get("from") == "juliet@localhost"
    assert await to_first.all_so_far() == []
    assert await to_second.all_so_far() == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f">{ENCRYPTED}", id="no type, no body"),
        pytest.param(f">{ENCRYPTED}{STORE}", id="no type, no body, store"),
        pytest.param(f"type='headline'>{ENCRYPTED}<body>x</body>", id="headline"),
        pytest.param("type='chat'><body>x</body><private xmlns='urn:xmpp:carbons:2'/>", id="private"),
        pytest.param("type='chat'><body>x</body><no-copy xmlns='urn:xmpp:hints'/>", id="no-copy"),
    ],
)
async def test_no_carbons_of_other_messages(connect, content):
    romeo, _ = await online_with_inbox(connect, "romeo", "b")
    juliet, to_first = await online_with_inbox(connect, "juliet", "first", priority=5)
    second, to_second = await online_with_inbox(connect, "juliet", "second", priority=1)
    await enable_carbons(juliet, second)
    juliet.send_raw(f"<message to='romeo@localhost' {content}</message>")
    romeo.send_raw(f"<message to='juliet@localhost/first' id='in' {content}</message>")
    assert (await to_first.next()).get("id") == "in"
    await juliet.plugin["xep_0199"].ping("localhost", timeout=30)
    assert await to_second.all_so_far() == []


async def test_no_carbons_unless_they_were_asked_for(connect):
    romeo, _ = await online_with_inbox(connect, "romeo", "b")
    _, to_first = await online_with_inbox(connect, "juliet", "first", priority=5)
    _, to_second = await online_with_inbox(connect, "juliet", "second", priority=1)
    romeo.send_message("juliet@localhost/first", "x", mtype="chat")
    await to_first.next()
    assert await to_second.all_so_far() == []


async def test_messages_wait_for_an_account_that_is_away(connect):
    romeo, inbox = await online_with_inbox(connect, "romeo", "b")
    romeo.send_raw(f"<message to='juliet@localhost' type='chat' id='kept'>{ENCRYPTED}{STORE}</message>")
    romeo.send_raw("<message to='juliet@localhost' type='headline' id='lost'><body>x</body></message>")
    assert await inbox.all_so_far() == []
    juliet, to_juliet = await online_with_inbox(connect, "juliet", "a", priority=None)
    assert await to_juliet.all_so_far() == []
    juliet.send_presence()
    got = await to_juliet.next()
    assert got.get("id") == "kept"
    assert got.findtext("{urn:xmpp:gre:0}encrypted") == "QUJD"
    assert got.find("{urn:xmpp:delay}delay").get("from") == "localhost"
    assert await to_juliet.all_so_far() == []
