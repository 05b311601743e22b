"""Keys of users go into Autocrypt headers: the right one for each address, and none delays a mail for long."""

from __future__ import annotations

import asyncio
import base64

import pytest
from gre_gateway_email.keys import user_keys as module
from gre_gateway_email.keys.user_keys import UserKeys
from gre_openpgp.packets import read_certificate

from gre_core.errors import PeerError, PeerTimeout

JULIET, ADDRESS = "juliet@localhost", "juliet@example.org"


class Scene:
    def __init__(self, fakes):
        self.pep = fakes.Pep()
        self.clock = fakes.Clock()
        self.keys = UserKeys(self.pep, self.clock)
        self.pep.keys[JULIET] = [fakes.public_key(ADDRESS)]

    async def header(self, address=ADDRESS, user=JULIET):
        return await self.keys.autocrypt(user, address)

    async def read(self):
        for task in [cached.reading for cached in self.keys._cache.values() if cached.reading]:
            await task


@pytest.fixture
def scene(fakes):
    return Scene(fakes)


def key_in(header):
    return read_certificate(base64.b64decode(header.partition("keydata=")[2]))


async def test_a_users_key_becomes_a_header(scene):
    header = await scene.header()
    assert header.startswith(f"addr={ADDRESS}; prefer-encrypt=mutual; keydata=\r\n ")
    assert max(map(len, header.split("\r\n"))) <= 78


async def test_each_address_has_the_key_that_names_it_and_no_other_name(scene, fakes):
    both = fakes.public_key(f"Juliet <{ADDRESS}>", "Jule <jule@example.org>", "xmpp:juliet@localhost")
    scene.pep.keys[JULIET] = [both]
    assert key_in(await scene.header()).user_ids == (f"Juliet <{ADDRESS}>",)
    assert key_in(await scene.header("Jule@example.org")).user_ids == ("Jule <jule@example.org>",)
    assert await scene.header("other@example.org") is None
    assert len(scene.pep.asked) == 2, "the list and the key, once"


@pytest.mark.parametrize("bad", [{"revoked": True}, {"days": 10, "age": 20}], ids=["revoked", "expired"])
async def test_a_key_that_is_over_is_not_sent(scene, fakes, bad):
    over = fakes.public_key(ADDRESS, **bad)
    scene.pep.keys[JULIET] = [over]
    assert await scene.header() is None
    good = fakes.public_key(ADDRESS, seed=9)
    scene.pep.keys[JULIET] = [over, good]
    scene.clock.now = module.FRESH_SECONDS + 1
    await scene.header()
    await scene.read()
    assert key_in(await scene.header()).fingerprint == read_certificate(good).fingerprint


async def test_a_key_ends_while_it_is_kept(scene, fakes):
    from datetime import UTC, datetime

    now = datetime.now(UTC).timestamp()
    scene.keys = UserKeys(scene.pep, scene.clock, fakes.Clock(now))
    scene.pep.keys[JULIET] = [fakes.public_key(ADDRESS, days=10)]
    assert await scene.header()
    scene.keys._now.now = now + 11 * 86_400
    assert await scene.header() is None


async def test_mails_that_come_together_all_bear_the_key(scene):
    scene.pep.gate.clear()
    both = [asyncio.create_task(scene.header()) for _ in range(2)]
    await asyncio.sleep(0)
    scene.pep.gate.set()
    assert all(await asyncio.gather(*both))
    assert len(scene.pep.asked) == 2


async def test_the_key_is_read_once_and_again_after_a_while(scene):
    for _ in range(5):
        await scene.header()
    assert len(scene.pep.asked) == 2
    scene.clock.now = module.FRESH_SECONDS + 1
    assert await scene.header(), "the old one serves meanwhile"
    await scene.read()
    assert len(scene.pep.asked) > 2


async def test_a_server_that_does_not_answer_delays_one_mail_a_little(scene, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    scene.pep.gate.clear()
    async with asyncio.timeout(20):
        for _ in range(100):
            assert await scene.header() is None
    assert len(scene.pep.asked) == 1
    scene.pep.gate.set()
    await scene.read()
    assert await scene.header()


@pytest.mark.parametrize(
    "error", [PeerError("no", condition="forbidden"), PeerTimeout("no")], ids=["refused", "silent"]
)
async def test_after_a_failure_mails_go_without_and_it_is_tried_again_later(scene, error):
    scene.pep.error = error
    assert await scene.header() is None
    asked = len(scene.pep.asked)
    assert await scene.header() is None
    assert len(scene.pep.asked) == asked
    scene.pep.error = None
    scene.clock.now = module.RETRY_SECONDS + 1
    await scene.header()
    await scene.read()
    assert await scene.header()


async def test_a_user_without_key_has_no_header_and_is_not_asked_for_each_mail(scene):
    for _ in range(3):
        assert await scene.header("romeo@example.org", "romeo@localhost") is None
    assert len(scene.pep.asked) == 1


async def test_memory_is_bounded(scene, fakes, monkeypatch):
    monkeypatch.setattr(module, "MAX_USERS", 5)
    size = len(fakes.public_key(ADDRESS))
    monkeypatch.setattr(module, "MAX_BYTES", 3 * size)
    for number in range(20):
        user = f"user{number}@localhost"
        scene.pep.keys[user] = scene.pep.keys[JULIET]
        assert await scene.header(user=user)
    assert len(scene.keys._cache) <= 5
    assert scene.keys._size == sum(cached.size for cached in scene.keys._cache.values()) <= 3 * size
    scene.keys.forget("user19@localhost")
    assert "user19@localhost" not in scene.keys._cache


async def test_stopping_ends_what_is_under_way(scene):
    scene.pep.gate.clear()
    task = asyncio.create_task(scene.header())
    await asyncio.sleep(0)
    await scene.keys.stop()
    assert await task is None
