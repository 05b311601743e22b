"""Login, resources, and what a server says about itself."""

from __future__ import annotations

import asyncio

import pytest

from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.server import TestServerError
from gre_core.testing.slix import make_client, offline, online


async def test_login_binds_the_resource_that_was_asked_for(connect):
    client = await connect("juliet", "balcony")
    assert client.boundjid.full == "juliet@localhost/balcony"


async def test_login_without_a_resource_gets_one(connect):
    client = await connect("juliet")
    assert client.boundjid.bare == "juliet@localhost"
    assert client.boundjid.resource


async def test_a_wrong_password_is_refused(server):
    client = make_client(server, "juliet", password="wrong")
    with pytest.raises(TestServerError, match="login was refused"):
        await online(client, timeout=30)
    await offline(client)


async def test_an_unknown_user_is_refused(server):
    client = make_client(server, "nobody", password="secret")
    with pytest.raises(TestServerError, match="login was refused"):
        await online(client, timeout=30)
    await offline(client)


async def test_the_same_resource_again_replaces_the_older_connection(connect):
    first = await connect("juliet", "balcony")
    gone = asyncio.Event()
    errors = []
    first.add_event_handler("stream_error", lambda error: errors.append(error["condition"]))
    first.add_event_handler("disconnected", lambda _: gone.set())
    second = await connect("juliet", "balcony")
    async with asyncio.timeout(30):
        await gone.wait()
    assert errors == ["conflict"]
    assert second.is_connected()


async def test_the_server_answers_a_ping(connect):
    client = await connect("juliet", plugins=("xep_0199",))
    assert await client.plugin["xep_0199"].ping("localhost", timeout=30) < 5
    assert await client.plugin["xep_0199"].ping("romeo@localhost", timeout=30) < 5


async def test_the_server_describes_itself(connect):
    client = await connect("juliet", plugins=("xep_0030",))
    info = await client.plugin["xep_0030"].get_info("localhost", timeout=30)
    identities = {(category, kind) for category, kind, _, _ in info["disco_info"]["identities"]}
    assert ("server", "im") in identities
    assert {"urn:xmpp:carbons:2", "urn:xmpp:ping", "msgoffline"} <= set(info["disco_info"]["features"])
    items = await client.plugin["xep_0030"].get_items("localhost", timeout=30)
    assert {jid for jid, _, _ in items["disco_items"]["items"]} == {"mail.localhost", "away.localhost"}


async def test_an_account_describes_itself_to_its_owner_only(connect):
    juliet = await connect("juliet", plugins=("xep_0030",))
    romeo = await connect("romeo", plugins=("xep_0030",))
    info = await juliet.plugin["xep_0030"].get_info("juliet@localhost", timeout=30)
    identities = {(category, kind) for category, kind, _, _ in info["disco_info"]["identities"]}
    assert ("pubsub", "pep") in identities
    features = set(info["disco_info"]["features"])
    assert {
        f"http://jabber.org/protocol/pubsub#{f}" for f in ("publish-options", "persistent-items")
    } <= features
    with pytest.raises(Exception, match="service-unavailable"):
        await romeo.plugin["xep_0030"].get_info("juliet@localhost", timeout=30)


async def test_kick_cuts_a_client_off_and_it_can_come_back(server, connect):
    client = await connect("juliet", "balcony")
    gone = asyncio.Event()
    client.add_event_handler("disconnected", lambda _: gone.set())
    await server.kick("juliet@localhost")
    async with asyncio.timeout(30):
        await gone.wait()
    with pytest.raises(TestServerError, match="not connected"):
        await server.kick("juliet@localhost")
    again = await connect("juliet", "balcony")
    assert again.boundjid.resource == "balcony"


async def test_servers_listen_on_the_loopback_address_only(server):
    assert server.host == "127.0.0.1"
    _, writer = await asyncio.open_connection("127.0.0.1", server.c2s_port)
    writer.close()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.2", server.c2s_port)


async def test_a_missing_prosody_is_explained(monkeypatch):
    monkeypatch.setattr("gre_core.testing.server.find_program", lambda _name: None)
    with pytest.raises(TestServerError, match="apt-get install prosody"):
        async with ProsodyServer():
            pass


def test_a_user_name_that_is_no_localpart_is_refused():
    with pytest.raises(ValueError, match="cannot be a user name"):
        LoopbackServer(accounts={"a b": "x"})
