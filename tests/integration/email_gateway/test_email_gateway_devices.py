"""Two devices of one user with the real plugins, behind the email gateway, on real servers with archives.

The second device gets the key from the backup on the server, opens carbons of what was sent and received, and catches up
from the archive after it was away (XEP-0313): in order, each message once, each with a good signature.
"""

from __future__ import annotations

import asyncio

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin
import pysequoia
import pytest
from gre_encrypter_openpgp.management import OwnKeys

from gre_core.model import Direction, Signature
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import FileStore
from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.fakes import say_yes
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

ACCOUNTS = {"juliet": "secret1"}
COMPONENTS = {"mail.localhost": "secret3"}
ADDRESS = "juliet@example.org"
BOB = r"bob\40example.net@mail.localhost"
SECONDS = 60


@pytest.fixture(params=["prosody", "ejabberd"])
async def server(request):
    """The two real servers, with archives."""
    made = ProsodyServer if request.param == "prosody" else EjabberdServer
    require(made.installed(), f"{request.param} (apt-get install {request.param})")
    async with made(accounts=ACCOUNTS, components=COMPONENTS, archive=True) as running:
        yield running


class Device:
    """A device of Juliet's: its state stays on its disk while it is off."""

    def __init__(self, server, folder, name):
        self._server, self._name = server, name
        self.store = FileStore(folder / name)

    async def on(self, *, archive=True):
        self.got = asyncio.Queue()
        self.unopened = asyncio.Queue()
        self.xmpp = make_client(self._server, "juliet", self._name)
        plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
        self.gre = attach_client(self.xmpp, plugins, store=self.store, decide=say_yes, archive=archive)
        self.gre.on_received(self.got.put_nowait)
        self.gre.on_unopened(self.unopened.put_nowait)
        self.keys = OwnKeys("juliet@localhost", self.gre.engine.ports)
        await online(self.xmpp)
        self.xmpp.send_presence()
        async with asyncio.timeout(SECONDS):
            await self.gre.ready.wait()
            await self.gre.caught_up.wait()
        return self

    async def off(self):
        await offline(self.xmpp)

    async def send(self, text):
        sent = await self.gre.send(BOB, text)
        assert (await self.gre.settled(sent, SECONDS)).state is SendState.RELAYED

    def so_far(self):
        """What came, in its order; what was sent is marked with >."""
        found = []
        while not self.got.empty():
            found.append(self._line(self.got.get_nowait()))
        return found

    async def next(self):
        async with asyncio.timeout(SECONDS):
            return self._line(await self.got.get())

    def _line(self, received):
        assert received.verdict.signature is Signature.GOOD, received.verdict
        assert {notice.code for notice in received.notices} <= {"key-from-gateway-only"}, received.notices
        assert not received.repeated
        assert self.unopened.empty()
        mark = "> " if received.direction is Direction.SENT else ""
        return ("[archive] " if received.archived else "") + mark + received.message.text.strip()


class Bob:
    """A mail user with a key, whose program is pysequoia."""

    def __init__(self, folder):
        self.tsk = pysequoia.Tsk.generate("Bob <bob@example.net>")
        self.cert = self.tsk.extract_certificate()
        folder.mkdir()
        (folder / "bob.pgp").write_bytes(bytes(self.cert))
        self.juliet = None

    def seal(self, text):
        payload = (
            f"From: bob@example.net\r\nTo: {ADDRESS}\r\nSubject: s\r\nMessage-ID: <{text.replace(' ', '-')}@example.net>\r\n"
            f'Content-Type: text/plain; charset="utf-8"\r\n\r\n{text}\r\n'
        ).encode()
        return pysequoia.encrypt(payload, [self.juliet], self.tsk.signer(), armor=False)


@pytest.fixture
def bob(tmp_path):
    return Bob(tmp_path / "keys")


@pytest.fixture
async def devices(server, tmp_path):
    made = []

    def device(name):
        made.append(Device(server, tmp_path, name))
        return made[-1]

    yield device
    for each in made:
        if hasattr(each, "xmpp"):
            await each.off()


async def test_a_second_device_restored_from_the_backup_shares_the_history(
    start, relay, devices, bob, tmp_path, kit
):
    gateway = await start(f'[keys]\ndirectory = "{tmp_path / "keys"}"')

    async def bob_says(text):
        assert await gateway.deliver(kit.pgp_mime(bob.seal(text))) == ["250 2.1.5 Stored"]

    # The first device makes the key, backs it up, and talks.
    first = await devices("first").on()
    await first.keys.make(ADDRESS)
    await first.off()
    await first.on()
    await first.keys.publish()
    bob.juliet = pysequoia.Cert.from_bytes(await first.keys.export())
    code = await first.keys.backup()
    await first.send("one")
    await relay.next()
    await bob_says("two")
    assert await first.next() == "two"

    # The second one has nothing but the code.
    second = devices("second")
    await second.on(archive=False)
    (restored,) = await second.keys.restore(code)
    assert restored.fingerprint == (await first.keys.show()).fingerprint
    # Nothing is looked up because a message was opened: contacts are looked up when a session starts.
    await second.off()
    await second.on()
    assert second.so_far() == ["[archive] > one", "[archive] two"]

    # Both are there: carbons of what is sent and received.
    await first.send("three")
    assert await second.next() == "> three"
    await bob_says("four")
    assert {await first.next(), await second.next()} == {"four"}
    await second.send("five")
    assert await first.next() == "> five"

    # One is away, and catches up: what it knows it is not shown again.
    await second.off()
    await first.send("six")
    await bob_says("seven")
    assert await first.next() == "seven"
    await first.send("eight")
    await second.on()
    assert second.so_far() == ["[archive] > six", "[archive] seven", "[archive] > eight"]
    await second.off()
    await second.on()
    assert second.so_far() == []

    # Both are away.
    await first.off()
    await second.off()
    await bob_says("nine")
    await asyncio.sleep(0.5)
    await first.on()
    assert await first.next() in {"nine", "[archive] nine"}
    await second.on()
    assert await second.next() == "[archive] nine"
    await asyncio.sleep(0.5)
    assert first.so_far() == second.so_far() == []


async def test_what_came_before_the_key_opens_after_it(start, devices, bob, tmp_path, kit):
    gateway = await start(f'[keys]\ndirectory = "{tmp_path / "keys"}"')
    first = await devices("first").on()
    await first.keys.make(ADDRESS)
    await first.off()
    await first.on()
    await first.keys.publish()
    bob.juliet = pysequoia.Cert.from_bytes(await first.keys.export())
    code = await first.keys.backup()
    await first.send("so that the key of Bob is known")
    await gateway.deliver(kit.pgp_mime(bob.seal("before")))
    assert await first.next() == "before"

    second = await devices("second").on()
    assert second.got.empty()
    assert second.unopened.get_nowait().archived
    assert second.unopened.get_nowait().archived
    await second.keys.restore(code)
    await second.off()
    await second.on()
    await second.gre.reopen()
    assert await second.next() == "> so that the key of Bob is known"
    assert await second.next() == "before"
    assert second.unopened.empty(), "they are not fetched again"
