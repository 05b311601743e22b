"""A device that was away catches up from the archive (XEP-0313): in order, each message once, on real servers."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gre_core.handled import KEY, MAX_FAILURES
from gre_core.model import Direction, Signature
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import archive as module
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.fakes import toy_encrypter, toy_formatter
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gre_core.testing.server import XmppServer

PROSODY_ALONE = pytest.mark.parametrize("server", ["prosody"], indirect=True)
"""For what does not depend on how a server keeps its archive."""

ACCOUNTS = {"juliet": "secret1", "romeo": "secret2"}
COMPONENTS = {"mail.localhost": "secret3"}
CONTACT = r"bob\40example.net@mail.localhost"


@pytest.fixture(params=["prosody", "ejabberd"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[XmppServer]:
    """The two real servers, with archives."""
    if request.param == "prosody":
        require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
        async with ProsodyServer(accounts=ACCOUNTS, components=COMPONENTS, archive=True) as prosody:
            yield prosody
    else:
        require(EjabberdServer.installed(), "ejabberd (apt-get install ejabberd)")
        async with EjabberdServer(accounts=ACCOUNTS, components=COMPONENTS, archive=True) as ejabberd:
            yield ejabberd


async def caught_up(user: Any) -> None:
    async with asyncio.timeout(90):
        await user.gre.caught_up.wait()


def texts(user: Any) -> list[str]:
    """What the handlers got so far; sent ones are marked."""
    found = []
    while not user.received.empty():
        received = user.received.get_nowait()
        assert received.verdict.signature is Signature.GOOD
        found.append(("> " if received.direction is Direction.SENT else "") + received.message.text)
    return found


async def next_text(user: Any) -> str:
    async with asyncio.timeout(90):
        received = await user.received.get()
    text: str = received.message.text
    return ("> " if received.direction is Direction.SENT else "") + text


async def leave(user: Any) -> None:
    await offline(user.xmpp)


async def test_a_second_device_sees_what_was_sent_and_received_while_it_was_away(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()
    first = await world.user("first")
    gateway.deliver("one", "id-1")
    assert await next_text(first) == "one"
    sent = await first.gre.send(CONTACT, "two")
    assert (await first.gre.settled(sent, 60)).state is SendState.RELAYED
    gateway.deliver("three", "id-3")
    assert await next_text(first) == "three"

    second = await world.user("second", store=store)
    await caught_up(second)
    assert texts(second) == ["one", "> two", "three"]

    gateway.deliver("four", "id-4")  # live
    assert await next_text(second) == "four"
    await first.gre.settled(await first.gre.send(CONTACT, "five"), 60)  # a carbon
    assert await next_text(second) == "> five"
    await leave(second)
    assert await next_text(first) == "four"
    gateway.deliver("six", "id-6")
    assert await next_text(first) == "six"
    await first.gre.settled(await first.gre.send(CONTACT, "seven"), 60)

    second = await world.user("second", store=store)
    await caught_up(second)
    assert texts(second) == ["six", "> seven"], "nothing twice"
    await leave(second)
    second = await world.user("second", store=store)
    await caught_up(second)
    assert texts(second) == []
    assert second.notices.empty()


async def test_what_this_device_sent_itself_is_not_shown_to_it(world: Any) -> None:
    await world.gateway()
    store = MemoryStore()
    user = await world.user(store=store)
    await caught_up(user)
    for number in range(3):
        await user.gre.settled(await user.gre.send(CONTACT, str(number)), 60)
    await leave(user)
    user = await world.user(store=store)
    await caught_up(user)
    assert texts(user) == []


@PROSODY_ALONE
async def test_a_message_that_waits_for_its_receipt_is_known_to_be_our_own(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()

    async def hang(_: Any) -> None:
        await asyncio.sleep(60)

    gateway.relay = hang
    user = await world.user(store=store)
    await user.gre.send(CONTACT, "on its way")
    await user.xmpp.plugin["xep_0030"].get_info(jid="localhost", timeout=30)
    await leave(user)
    user = await world.user(store=store)
    await caught_up(user)
    assert texts(user) == []


async def test_what_came_while_no_device_was_there_is_confirmed_once_it_is_safe(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()
    user = await world.user(store=store)
    await caught_up(user)
    await leave(user)
    gateway.deliver("while you were away", "id-away")
    await asyncio.sleep(0.3)
    user = await world.user(store=store)
    await caught_up(user)
    await asyncio.sleep(0.3)  # ejabberd delivers it from its offline storage as well
    assert texts(user) == ["while you were away"]
    async with asyncio.timeout(90):
        assert await gateway.receipts.get() == ("juliet@localhost", "id-away")


async def test_many_pages_come_in_their_order(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    gateway = await world.gateway()
    first = await world.user("first")
    for number in range(10):
        gateway.deliver(str(number), f"id-{number}")
    for number in range(10):
        assert await next_text(first) == str(number)
    second = await world.user("second")
    gateway.deliver("live", "id-live")
    await caught_up(second)
    assert await next_text(first) == "live"
    found = texts(second)
    if len(found) == 10:
        found.append(await next_text(second))
    assert found == [*map(str, range(10)), "live"]


@PROSODY_ALONE
async def test_a_session_reads_no_more_than_its_share(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    monkeypatch.setattr(module, "MAX_MESSAGES", 4)
    gateway, store = await world.gateway(), MemoryStore()
    first = await world.user("first")
    for number in range(6):
        gateway.deliver(str(number), f"id-{number}")
        await next_text(first)
    found = []
    for _ in range(3):  # receipts are archived as well, so that it takes more sessions than two
        second = await world.user("second", store=store)
        await caught_up(second)
        found += texts(second)
        await leave(second)
    assert found == list(map(str, range(6)))


async def test_when_the_archive_forgot_where_we_were_the_time_counts(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()
    first = await world.user("first")
    second = await world.user("second", store=store)
    await caught_up(second)
    gateway.deliver("one", "id-1")
    assert await next_text(second) == "one"
    await leave(second)
    gateway.deliver("two", "id-2")
    await next_text(first)
    state = json.loads(await store.get(KEY) or b"")
    assert state["after"]
    await store.put(KEY, json.dumps(state | {"after": "00000000-no-such-id"}).encode())
    second = await world.user("second", store=store)
    await caught_up(second)
    assert texts(second) == ["two"]
    assert second.notices.empty()


@PROSODY_ALONE
async def test_what_the_host_could_not_take_is_given_again_and_only_that(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()
    first = await world.user("first")
    for text in ("one", "poison", "three"):
        gateway.deliver(text, f"id-{text}")
        await next_text(first)

    async def session() -> list[str]:
        user = await world.user("second", store=store, connect=False)
        seen = []

        def refuse(received: Any) -> None:
            seen.append(received.message.text)
            if received.message.text == "poison":
                raise OSError("disk full")

        user.gre.on_received(refuse)
        await online(user.xmpp)
        await caught_up(user)
        await leave(user)
        return seen

    assert await session() == ["one", "poison", "three"]
    for _ in range(MAX_FAILURES - 1):
        assert await session() == ["poison"]
    assert await session() == [], "not for ever"


@PROSODY_ALONE
async def test_a_device_may_begin_with_nothing_or_leave_the_archive_alone(world: Any) -> None:
    gateway = await world.gateway()
    first = await world.user("first")
    gateway.deliver("one", "id-1")
    assert await next_text(first) == "one"
    await asyncio.sleep(1.1)  # the archive counts in seconds
    for option in (timedelta(0), False):
        second = await world.user("second", archive=option)
        await caught_up(second)
        assert texts(second) == []
        await leave(second)


@PROSODY_ALONE
async def test_a_host_that_has_enough_gets_the_rest_another_time(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()
    first = await world.user("first")
    for number in range(4):
        gateway.deliver(str(number), f"id-{number}")
        assert await next_text(first) == str(number)
    found = []
    for _ in range(5):
        user = await world.user("second", store=store, connect=False)
        user.gre.on_received(lambda _, gre=user.gre: gre.hold())
        await online(user.xmpp)
        await caught_up(user)
        await leave(user)
        found.append(texts(user))
    assert found == [["0"], ["1"], ["2"], ["3"], []]


@PROSODY_ALONE
async def test_without_a_handler_for_messages_the_archive_is_left_alone(world: Any) -> None:
    gateway, store = await world.gateway(), MemoryStore()
    first = await world.user("first")
    gateway.deliver("one", "id-1")
    assert await next_text(first) == "one"
    xmpp = make_client(world.server, "juliet", "second")
    gre = attach_client(xmpp, Plugins.of(toy_formatter(), toy_encrypter()), store=store)
    await online(xmpp)
    async with asyncio.timeout(90):
        await gre.caught_up.wait()
    await offline(xmpp)
    second = await world.user("second", store=store)
    await caught_up(second)
    assert texts(second) == ["one"]
