"""Keys of contacts: in which order they are found, who gets which, and what is said when there is none."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from gre_gateway_email.keys import domain_directories
from gre_gateway_email.keys.contact_nodes import ContactNodes
from gre_gateway_email.keys.domain_directories import DomainDirectories
from gre_gateway_email.keys.lookup import KeyFinder
from gre_gateway_email.store.records import HarvestedKey, User
from gre_openpgp.contributor import FingerprintContributor
from gre_openpgp.key_origin import Origin
from gre_openpgp.keydirectory import KeyDirectory
from gre_openpgp.packets import read_certificate
from gre_openpgp.wkd import locate
from gre_openpgp.xep0373 import PUBLIC_KEYS, data_node, read_list, read_pubkey

from gre_core.errors import NoSuchHost, PeerError, PeerTimeout, Refused
from gre_core.ports import WebAnswer

JULIET, ROMEO, EVE = "juliet@localhost", "romeo@localhost", "eve@localhost"
BOB = "bob@mail.bob.example"
BOB_JID = BOB.replace("@", "\\40") + "@mail.localhost"
NOW = 1_800_000_000.0


class Web:
    """Answers by URL; what is not there does not resolve."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()

    def serve(self, address, answer, *, direct=False):
        place = locate(address)
        self.answers[place.direct if direct else place.advanced] = answer

    async def get(self, url, /, *, max_size):
        self.asked.append(url)
        await self.gate.wait()
        answer = self.answers.get(url, NoSuchHost("none"))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, WebAnswer) else WebAnswer(200, answer)


class Scene:
    def __init__(self, fakes, folder):
        self.folder = folder
        self.web = Web()
        self.clock = fakes.Clock(1000.0)
        self.keys = fakes.ContactKeys()
        self.users = fakes.Users(
            User(JULIET, ("juliet@example.org",)),
            User(ROMEO, ("romeo@example.org",)),
            User(EVE, ("eve@example.org",), blocked=True),
        )
        self.domains = DomainDirectories(self.web, {"our.example"}, self.clock)
        self.own = {}
        self.finder = KeyFinder(KeyDirectory(folder), self.domains, self.keys, self._own, lambda: NOW)
        self.nodes = ContactNodes(self.users, self.finder).nodes

    async def _own(self, address):
        return self.own.get(address)

    async def harvested(self, key, user=JULIET, *, authenticated=False, address=BOB):
        await self.keys.put(HarvestedKey(user, address, key, "autocrypt", authenticated, NOW))

    async def listed(self, reader=JULIET, contact=BOB_JID):
        (item,) = await self.nodes(contact, PUBLIC_KEYS, [], reader)
        return read_list(item.payload)

    async def origins(self, reader=JULIET):
        return [(entry.fingerprint[:4], entry.origin) for entry in await self.listed(reader)]


@pytest.fixture
def scene(fakes, tmp_path):
    return Scene(fakes, tmp_path)


@pytest.fixture
def keys(fakes):
    return [fakes.public_key(f"Bob <{BOB}>", seed=seed) for seed in range(3)]


def fingerprint(key):
    return read_certificate(key).fingerprint


async def none_of(scene, reader=JULIET, contact=BOB_JID, node=PUBLIC_KEYS):
    with pytest.raises(PeerError) as caught:
        await scene.nodes(contact, node, [], reader)
    return caught.value


# -- the sources --------------------------------------------------------------------------------------


async def test_a_better_source_keeps_the_others_away(scene, keys):
    await scene.harvested(keys[0])
    assert await scene.origins() == [
        (fingerprint(keys[0])[:4], Origin("autocrypt", authenticated=False, seen="2027-01-15T08:00:00Z"))
    ]
    scene.web.serve(BOB, keys[1])
    scene.clock.now += 3601
    assert await scene.origins() == [(fingerprint(keys[1])[:4], Origin("wkd"))]
    (scene.folder / "bob.gpg").write_bytes(keys[2])
    assert await scene.origins() == [(fingerprint(keys[2])[:4], Origin("directory"))]


async def test_the_key_itself_is_served_by_whatever_source_has_it(scene, keys):
    await scene.harvested(keys[0])
    (announced,) = await scene.listed()
    (scene.folder / "bob.gpg").write_bytes(keys[2])
    (item,) = await scene.nodes(BOB_JID, data_node(announced.fingerprint), [], JULIET)
    assert read_pubkey(item.payload) == keys[0]
    assert (await scene.nodes(BOB_JID, data_node(announced.fingerprint), ["other"], JULIET)) == []


async def test_a_key_that_is_over_lets_the_next_source_speak_too(scene, keys, fakes):
    ended = fakes.public_key(BOB, days=10, age=100)
    (scene.folder / "bob.gpg").write_bytes(ended)
    await scene.harvested(keys[0], authenticated=True)
    assert [name for name, _ in await scene.origins()] == [fingerprint(ended)[:4], fingerprint(keys[0])[:4]]
    revoked = fakes.public_key(BOB, revoked=True)
    (scene.folder / "bob.gpg").write_bytes(revoked)
    assert [name for name, _ in await scene.origins()] == [fingerprint(revoked)[:4], fingerprint(keys[0])[:4]]


async def test_a_harvested_key_is_served_to_its_user_only(scene, keys):
    await scene.harvested(keys[0])
    assert await scene.listed(JULIET)
    assert (await none_of(scene, ROMEO)).condition == "item-not-found"
    assert (await none_of(scene, ROMEO, node=data_node(fingerprint(keys[0])))).condition == "item-not-found"
    with pytest.raises(PeerError):
        await scene.listed("")


async def test_the_data_form_names_what_the_nodes_serve(scene, keys):
    class PubSub:
        def __init__(self, reader=""):
            self.reader = reader

        def seen_by(self, reader, /):
            return PubSub(reader)

        async def items(self, jid, node, /, *, item_id=None, max_items=None):
            return await scene.nodes(jid, node, (), self.reader)

    class Ports:
        pubsub = PubSub()

    class Request:
        encrypter = None
        recipient = BOB_JID

        def __init__(self, requester):
            self.requester = requester

    await scene.harvested(keys[0])
    contributor = FingerprintContributor(Ports())
    (field,) = await contributor.fields(Request(JULIET))
    assert field.values == (fingerprint(keys[0]),)
    (field,) = await contributor.fields(Request(ROMEO))
    assert field.values == ()


async def test_nothing_is_invented_and_it_is_said_where_it_was_looked_for(scene):
    error = await none_of(scene)
    assert error.condition == "item-not-found"
    for where in (
        "directory",
        "Web Key Directory of mail.bob.example (it has no directory)",
        "mails that you received",
    ):
        assert where in error.text
    for answer, words in (
        (PeerTimeout("slow"), "it did not answer"),
        (WebAnswer(404, b""), "it has no key"),
        (Refused("private"), "its answer was not accepted"),
        (b"rubbish", "its answer was not accepted"),
    ):
        scene.web.serve(BOB, answer)
        scene.clock.now += 100_000
        assert words in (await none_of(scene)).text


async def test_what_is_switched_off_is_not_named(scene, fakes):
    finder = KeyFinder(None, None, None, scene._own, lambda: NOW)
    assert "the operator switched it off" in (await finder.find(JULIET, BOB)).why_none()
    assert (await KeyFinder(None, None, scene.keys, scene._own, lambda: NOW).find(JULIET, BOB)).asked == (
        "the mails that you received (Autocrypt)",
    )


async def test_strangers_get_one_answer_before_anything_is_looked_up(scene, keys):
    (scene.folder / "bob.gpg").write_bytes(keys[0])
    answers = set()
    for reader in ("stranger@elsewhere.example", EVE, ""):
        for contact in (BOB_JID, "nobody\\40mail.bob.example@mail.localhost"):
            for node in (PUBLIC_KEYS, data_node(fingerprint(keys[0])), data_node("0" * 40), "urn:x"):
                error = await none_of(scene, reader, contact, node)
                answers.add((error.condition, error.error_type, error.text))
    assert len(answers) == 1
    assert answers.pop()[:2] == ("registration-required", "auth")
    assert scene.web.asked == []


@pytest.mark.parametrize("node", ["urn:xmpp:openpgp:0:secret-key", "", "urn:x", f"{PUBLIC_KEYS}:rubbish"])
async def test_other_nodes_are_not_there(scene, node):
    assert (await none_of(scene, node=node)).condition == "item-not-found"


async def test_a_damaged_key_in_the_store_is_left_out(scene):
    await scene.harvested(b"rubbish")
    assert (await none_of(scene)).condition == "item-not-found"


async def test_our_own_users_are_found_without_asking_a_domain(scene, keys, fakes):
    from gre_openpgp.xep0373 import PublicKey

    scene.own["romeo@our.example"] = [PublicKey.read(fakes.public_key("romeo@our.example"))]
    (entry,) = await scene.listed(contact="romeo\\40our.example@mail.localhost")
    assert entry.origin == Origin("wkd")
    scene.own["romeo@our.example"] = ()
    await none_of(scene, contact="romeo\\40our.example@mail.localhost")
    assert scene.web.asked == []


# -- asking domains -----------------------------------------------------------------------------------


async def test_the_direct_address_is_asked_only_when_the_other_host_is_not_there(scene, keys):
    scene.web.serve(BOB, keys[0], direct=True)
    assert await scene.listed()
    assert scene.web.asked == [locate(BOB).advanced, locate(BOB).direct]
    scene.web.serve(BOB, WebAnswer(404, b""))
    scene.web.asked.clear()
    scene.clock.now += 100_000
    await none_of(scene)
    assert scene.web.asked == [locate(BOB).advanced]


async def test_other_names_and_what_others_signed_stay_out(scene, fakes):
    scene.web.serve(BOB, fakes.public_key(f"Bob <{BOB}>", "Eve <eve@example.com>"))
    (announced,) = await scene.listed()
    (item,) = await scene.nodes(BOB_JID, data_node(announced.fingerprint), [], JULIET)
    assert read_certificate(read_pubkey(item.payload)).user_ids == (f"Bob <{BOB}>",)
    scene.web.serve(BOB, fakes.public_key("Eve <eve@example.com>"))
    scene.clock.now += 100_000
    assert "not accepted" in (await none_of(scene)).text


async def test_an_address_is_asked_about_once_at_a_time_and_then_remembered(scene, keys):
    scene.web.serve(BOB, keys[0])
    scene.web.gate.clear()
    asking = [asyncio.create_task(scene.listed(reader)) for reader in (JULIET, ROMEO, JULIET)]
    for _ in range(5):
        await asyncio.sleep(0)
    asking.pop().cancel()
    scene.web.gate.set()
    assert all(await asyncio.gather(*asking))
    assert await scene.listed()
    assert len(scene.web.asked) == 1
    scene.clock.now += 4 * 3600 + 1
    await scene.listed()
    assert len(scene.web.asked) == 2


async def test_what_was_not_found_is_remembered_for_a_shorter_time(scene):
    await none_of(scene)
    asked = len(scene.web.asked)
    scene.clock.now += 3000
    await none_of(scene)
    assert len(scene.web.asked) == asked
    scene.clock.now += 601
    await none_of(scene)
    assert len(scene.web.asked) > asked


async def test_a_domain_that_never_answers_takes_little_time(scene, monkeypatch):
    monkeypatch.setattr(domain_directories, "SECONDS", 0.05)
    scene.web.gate.clear()
    async with asyncio.timeout(20):
        assert "it did not answer" in (await none_of(scene)).text


@pytest.mark.parametrize("address", ["x@our.example", "x@example.net", "x@sub.example.org", "x@example.com"])
async def test_such_domains_are_never_asked(scene, address):
    await scene.finder.find(JULIET, address)
    assert scene.web.asked == []


async def test_memory_is_bounded(scene, monkeypatch, fakes):
    monkeypatch.setattr(domain_directories, "MAX_ENTRIES", 10)
    for number in range(30):
        await scene.domains.look_up(f"x{number}@foreign.example", f"user{number}@localhost")
    assert len(scene.domains._entries) == 10
    monkeypatch.setattr(domain_directories, "MAX_BYTES", 1500)
    for number in range(5):
        address = f"bob{number}@foreign.example"
        scene.web.serve(address, fakes.public_key(address))
        await scene.domains.look_up(address, JULIET)
    assert scene.domains._size == sum(entry.size for entry in scene.domains._entries.values()) <= 1500


async def test_a_user_cannot_have_the_gateway_ask_without_end(scene, monkeypatch):
    monkeypatch.setattr(domain_directories, "PER_HOUR", 5)
    for number in range(10):
        await scene.domains.look_up(f"x{number}@foreign.example", JULIET)
    assert len({url.partition("?")[2] for url in scene.web.asked}) == 5
    await scene.domains.look_up("x9@foreign.example", ROMEO)
    assert scene.web.asked[-1].endswith("?l=x9")
    scene.clock.now += 3601
    await scene.domains.look_up("x8@foreign.example", JULIET)
    assert scene.web.asked[-1].endswith("?l=x8")


async def test_stopping_ends_what_is_under_way(scene):
    scene.web.gate.clear()
    task = asyncio.create_task(scene.domains.look_up(BOB, JULIET))
    await asyncio.sleep(0)
    await scene.domains.stop()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_an_origin_says_what_it_is_worth():
    assert "anybody can have sent it" in Origin("autocrypt", authenticated=False).describe()
    assert "DKIM" in replace(Origin("autocrypt"), authenticated=True).describe()
