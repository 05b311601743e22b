"""Nodes on ejabberd, which knows fewer options in a request than XEP-0060 names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import pytest

from gre_core.errors import PeerError
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.fakes import toy_formatter
from gre_core.testing.slix import make_client, online

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gre_core.testing.server import XmppServer

USER = "juliet@localhost"


@pytest.fixture
async def server() -> AsyncIterator[XmppServer]:
    require(EjabberdServer.installed(), "ejabberd (apt-get install ejabberd)")
    async with EjabberdServer(accounts={"juliet": "1", "romeo": "2"}) as running:
        yield running


def payload(text: str) -> Element:
    element = Element("{urn:test}payload")
    element.text = text
    return element


async def test_nodes_are_as_open_as_they_were_asked_to_be(world: Any) -> None:
    user = (await world.user()).gre.engine.ports.pubsub
    xmpp = make_client(world.server, "romeo", "r")
    world.streams.append(xmpp)
    stranger = attach_client(xmpp, Plugins.of(toy_formatter()), store=MemoryStore()).engine.ports.pubsub
    await online(xmpp)

    async def seen(pubsub: Any, node: str) -> list[str]:
        return [item.payload.text for item in await pubsub.items(USER, node)]

    await user.publish("urn:test:open", "current", payload("one"), access_model="open")
    await user.publish("urn:test:open", "current", payload("two"), access_model="open")
    assert await seen(user, "urn:test:open") == await seen(stranger, "urn:test:open") == ["two"]

    await user.publish("urn:test:mine", "current", payload("secret"), access_model="whitelist")
    assert await seen(user, "urn:test:mine") == ["secret"]
    with pytest.raises(PeerError):
        await stranger.items(USER, "urn:test:mine")

    await user.publish("urn:test:mine", "current", payload("no secret"), access_model="open")
    assert await seen(stranger, "urn:test:mine") == ["no secret"]

    for number in range(3):
        await user.publish(
            "urn:test:many", str(number), payload(str(number)), access_model="open", max_items=3
        )
    assert sorted(await seen(user, "urn:test:many")) == ["0", "1", "2"]
