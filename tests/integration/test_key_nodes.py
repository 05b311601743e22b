"""Our key nodes on real servers (XEP-0373, sections 4.1, 4.2 and 5): who may read them, and who may take us out of the list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin
import pytest
from gre_encrypter_openpgp.management import OwnKeys
from gre_openpgp.xep0373 import (
    PUBLIC_KEYS,
    SECRET_KEY,
    PublicKey,
    data_node,
    list_element,
    read_announced,
    read_pubkey,
)

from gre_core.errors import PeerError
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import FileStore
from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.fakes import say_yes
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

JULIET = "juliet@localhost"
SECONDS = 60


@pytest.fixture(params=["prosody", "ejabberd"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made = ProsodyServer if request.param == "prosody" else EjabberdServer
    require(made.installed(), f"{request.param} (apt-get install {request.param})")
    async with made(accounts={"juliet": "1", "romeo": "2"}) as running:
        yield running


@pytest.fixture
async def connect(server: Any, tmp_path: Path) -> AsyncIterator[Callable[[str, str], Awaitable[Any]]]:
    streams = []

    async def client(user: str, device: str) -> Any:
        xmpp = make_client(server, user, device)
        streams.append(xmpp)
        plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
        made = attach_client(xmpp, plugins, store=FileStore(tmp_path / user / device), decide=say_yes)
        await online(xmpp)
        xmpp.send_presence()
        async with asyncio.timeout(SECONDS):
            await made.ready.wait()
        return made

    yield client
    for xmpp in streams:
        await offline(xmpp)


async def test_the_public_key_is_for_everybody_and_the_backup_for_nobody_else(connect: Any) -> None:
    juliet, romeo = await connect("juliet", "a"), await connect("romeo", "b")
    keys = OwnKeys(JULIET, juliet.engine.ports)
    made = await keys.make("juliet@example.org")
    await keys.publish()
    await keys.backup()
    stranger = romeo.engine.ports.pubsub
    (entry,) = await read_announced(JULIET, stranger)
    assert entry.fingerprint == made.fingerprint
    (item,) = await stranger.items(JULIET, data_node(made.fingerprint))
    assert PublicKey.read(read_pubkey(item.payload)).fingerprint == made.fingerprint
    (backup,) = await juliet.engine.ports.pubsub.items(JULIET, SECRET_KEY)
    assert backup.payload is not None
    with pytest.raises(PeerError) as caught:
        await stranger.items(JULIET, SECRET_KEY)
    assert caught.value.condition in {"forbidden", "not-allowed", "not-authorized", "item-not-found"}


async def test_who_is_taken_out_of_the_list_announces_itself_again_at_once(connect: Any) -> None:
    first = await connect("juliet", "a")
    keys = OwnKeys(JULIET, first.engine.ports)
    made = await keys.make("juliet@example.org")
    await keys.publish()
    other, romeo = await connect("juliet", "other"), await connect("romeo", "b")
    await other.engine.ports.pubsub.publish(PUBLIC_KEYS, "current", list_element([]), access_model="open")
    async with asyncio.timeout(SECONDS):
        while not await read_announced(JULIET, romeo.engine.ports.pubsub):
            await asyncio.sleep(0.1)
    (entry,) = await read_announced(JULIET, romeo.engine.ports.pubsub)
    assert entry.fingerprint == made.fingerprint
