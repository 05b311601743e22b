"""Backup and restore of our keys under a backup code, and a second device."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import pysequoia
import pytest
from gre_openpgp.backup import SECRET_KEY, new_code, read_secretkey, secretkey_element
from gre_openpgp.encrypting import vault
from gre_openpgp.encrypting.backups import DECLINED
from gre_openpgp.encrypting.keymaking import locked, make_key
from gre_openpgp.encrypting.management import OwnKeys, RevocationReason
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.own_store import BACKUP, KEYS
from gre_openpgp.encrypting.transferable import MAX_KEYS, split_secret_keys
from gre_openpgp.xep0373 import PUBLIC_KEYS, read_list

from gre_core.api import Direction, Signature
from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.ports import Item
from gre_core.stores import MemoryStore
from gre_core.testing import require

if TYPE_CHECKING:
    from gre_core.ports import BackupOffer

ALICE = "alice@xmpp.example"
OURS = "alice@mail.example"
CODE = "TWNK-KD5Y-MT3T-E1GS-DRDB-KVTW"


class Device:
    """Another device of Alice: the same nodes, a store of its own."""

    def __init__(self, world: Any) -> None:
        self.ports = replace(world.ports, store=MemoryStore())
        self.encrypter = type(world.encrypter)()
        self.keys = self.encrypter.own_keys(ALICE, self.ports)
        self._world = world

    async def seal(self) -> bytes:
        sealed: bytes = await type(self._world).seal(self)
        return sealed

    def job(self, **changes: Any) -> Any:
        return self._world.job(**changes)

    def open_job(self, **changes: Any) -> Any:
        return self._world.open_job(**changes)

    async def open(self, message: bytes, **job: Any) -> Any:
        return await type(self._world).open(self, message, **job)


class Offers:
    """A user who is offered backups."""

    def __init__(self, *answers: bool | None) -> None:
        self.answers = list(answers)
        self.offers: list[BackupOffer] = []

    async def __call__(self, offer: BackupOffer) -> bool | None:
        self.offers.append(offer)
        return self.answers.pop(0)


@pytest.fixture
def keys(world: Any) -> OwnKeys:
    own: OwnKeys = world.encrypter.own_keys(ALICE, world.ports)
    return own


def message_of(world: Any) -> bytes:
    return read_secretkey(world.nodes.nodes[ALICE, SECRET_KEY][-1].payload)


def hold(world: Any, message: bytes) -> None:
    world.nodes.nodes[ALICE, SECRET_KEY] = [Item("current", secretkey_element(message))]


# -- making ----------------------------------------------------------------------------------------


async def test_a_backup_is_private_and_opens_with_its_code_only(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    code = await keys.backup()
    assert world.nodes.models[ALICE, SECRET_KEY] == "whitelist"
    assert vault.unlock(world.engine, message_of(world), new_code()) is None
    secret = vault.unlock(world.engine, message_of(world), code)
    assert secret is not None
    assert len(split_secret_keys(secret)) == 1
    for value in [await world.ports.store.get(name) or b"" for name in await world.ports.store.keys("")]:
        assert code.encode() not in value


async def test_gnupg_reads_it_with_the_code_and_imports_all_keys(keys: OwnKeys, world: Any) -> None:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    made = [await keys.make(OURS), await keys.make(OURS, force=True)]
    code = await keys.backup()
    home = tempfile.mkdtemp(prefix="gre")
    gpg = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback"]
    try:
        clear = subprocess.run(
            [*gpg, "--passphrase", code, "-d"],
            input=message_of(world),
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        shape = subprocess.run([*gpg, "--list-packets"], input=clear, capture_output=True, check=True).stdout
        assert shape.count(b"secret key packet") == 2
        assert b"protect" not in shape  # string-to-key usage octet 0
        subprocess.run([*gpg, "--import"], input=clear, capture_output=True, check=True, timeout=60)
        listed = subprocess.run(
            [*gpg, "-K", "--with-colons"], capture_output=True, check=True
        ).stdout.decode()
        assert all(key.fingerprint in listed for key in made)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


async def test_a_given_code_is_used_as_the_specification_writes_it(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    assert await keys.backup(CODE.lower().replace("-", " ")) == CODE
    assert vault.unlock(world.engine, message_of(world), CODE) is not None
    with pytest.raises(NoUsableKey, match="backup code has"):
        await keys.backup("too short")


async def test_without_a_key_there_is_nothing_to_back_up(keys: OwnKeys, world: Any) -> None:
    with pytest.raises(NoUsableKey, match="no key"):
        await keys.backup()
    assert world.nodes.asked == []


async def test_a_strange_backup_is_replaced_only_with_the_users_word(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    hold(world, world.engine.lock(make_key("<x@y.example>"), CODE))
    before = message_of(world)
    with pytest.raises(PolicyChanged) as caught:
        await keys.backup()
    assert caught.value.question.code == "own-key-backup-replace"
    assert message_of(world) == before
    world.answer = True
    await keys.backup()
    world.answer = False
    await keys.backup()  # ours is replaced without a question
    assert len(world.questions) == 2


# -- restoring -------------------------------------------------------------------------------------


async def test_a_second_device_restores_and_makes_no_second_key(keys: OwnKeys, world: Any) -> None:
    await world.seal()
    code = await keys.backup()
    sent = await world.seal()
    device = Device(world)
    with pytest.raises(NoUsableKey, match="gre keys restore"):
        await device.seal()
    assert await device.ports.store.keys(KEYS) == []
    world.nodes.published.clear()
    (info,) = await device.keys.restore(code.lower())
    assert info.active
    assert info == replace(await keys.show(), announced="")
    assert (await device.open(sent, direction=Direction.SENT)).verdict.signature is Signature.GOOD
    message = await device.seal()
    assert world.nodes.published == []
    assert (await world.open(message, direction=Direction.SENT)).verdict.signature is Signature.GOOD
    cert = pysequoia.Cert.from_bytes(await keys.export())
    assert pysequoia.decrypt(message, world.bob.decryptor(), lambda ids: [cert]).valid_sigs


async def test_all_keys_are_restored_and_the_announced_one_signs(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    announced = await keys.make(OURS, force=True)
    await keys.publish()
    other = await keys.make(OURS, force=True)
    code = await keys.backup()
    device = Device(world)
    restored = await device.keys.restore(code)
    assert len(restored) == 3
    assert [key.fingerprint for key in restored if key.active] == [announced.fingerprint]
    assert other.fingerprint in {key.fingerprint for key in restored}


async def test_a_revoked_key_does_not_sign_after_a_restore(keys: OwnKeys, world: Any) -> None:
    gone = await keys.make(OURS)
    await keys.publish()
    await keys.revoke(RevocationReason.RETIRED)
    new = await keys.make(OURS, force=True)
    code = await keys.backup()
    restored = {key.fingerprint: key.active for key in await Device(world).keys.restore(code)}
    assert restored == {gone.fingerprint: False, new.fingerprint: True}


async def test_a_restore_brings_what_another_device_changed_and_loses_nothing(
    keys: OwnKeys, world: Any
) -> None:
    await world.seal()
    code = await keys.backup()
    device = Device(world)
    await device.keys.restore(code)
    here = await keys.rotate()
    there = await device.keys.rotate()
    await keys.backup(code)
    (both,) = await device.keys.restore(code)
    ids = {part.id for part in both.subkeys}
    assert {part.id for part in here.subkeys} | {part.id for part in there.subkeys} == ids
    await keys.publish()
    cert = await world.own_cert()
    old = pysequoia.encrypt(b"x", [cert], world.bob.signer(), armor=False)
    assert (await device.open(old)).payload == b"x"


async def test_a_restored_key_is_protected_here(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    code = await keys.backup()
    device = Device(world)

    async def words(request: Any) -> str:
        assert request.new
        return "for this device"

    device.ports = replace(device.ports, passphrase=words)
    device.keys = device.encrypter.own_keys(ALICE, device.ports)
    (info,) = await device.keys.restore(code)
    assert info.locked


@pytest.mark.parametrize(
    "code", ["", "short", new_code()[:-1] + "O", new_code() + "A"], ids=["empty", "short", "letter", "long"]
)
async def test_what_is_no_code_is_said_before_anything_is_asked(keys: OwnKeys, world: Any, code: str) -> None:
    with pytest.raises(NoUsableKey, match="backup code"):
        await keys.restore(code)
    assert world.nodes.asked == []


async def test_another_code_is_said(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    await keys.backup()
    with pytest.raises(NoUsableKey, match="another backup code") as caught:
        await Device(world).keys.restore(CODE)
    assert CODE not in str(caught.value)


async def test_no_backup_is_said(world: Any) -> None:
    with pytest.raises(NoUsableKey, match="gre keys backup"):
        await Device(world).keys.restore(CODE)
    world.nodes.nodes[ALICE, SECRET_KEY] = []
    with pytest.raises(NoUsableKey, match="gre keys backup"):
        await Device(world).keys.restore(CODE)
    world.nodes.errors[ALICE, SECRET_KEY] = PeerError("no", condition="forbidden")
    with pytest.raises(PeerError):
        await Device(world).keys.restore(CODE)


def odd_backups() -> dict[str, bytes]:
    secret = make_key(f"<{OURS}>")
    return {
        "nothing": b"",
        "garbage": b"garbage",
        "public": bytes(pysequoia.Tsk.from_bytes(secret).extract_certificate()),
        "locked": locked(secret, "x"),
        "many": secret * (MAX_KEYS + 1),
        "large": secret + bytes([0xC2, 0xFF]) + (600_000).to_bytes(4, "big") + bytes(600_000),
        "cut": secret[:-5],
    }


@pytest.mark.parametrize("kind", list(odd_backups()))
async def test_an_odd_backup_is_our_error_and_changes_nothing(world: Any, kind: str) -> None:
    hold(world, world.engine.lock(odd_backups()[kind], CODE))
    device = Device(world)
    with pytest.raises(NoUsableKey, match=r"backup was unlocked|cannot be read"):
        await device.keys.restore(CODE)
    assert await device.ports.store.keys("openpgp/own/") == []


@pytest.mark.parametrize(
    "payload", [None, Element("{urn:xmpp:openpgp:0}secretkey"), Element("{urn:xmpp:openpgp:0}x")]
)
async def test_an_odd_item_is_our_error(world: Any, payload: Element | None) -> None:
    world.nodes.nodes[ALICE, SECRET_KEY] = [Item("current", payload)]
    with pytest.raises(NoUsableKey, match="backup cannot be read"):
        await Device(world).keys.restore(CODE)


async def test_a_changed_backup_is_our_error(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    code = await keys.backup()
    message = message_of(world)
    device = Device(world)
    for at in range(0, len(message), 37):
        hold(world, message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :])
        with pytest.raises(NoUsableKey):
            await device.keys.restore(code)
    assert await device.ports.store.keys("openpgp/own/") == []


# -- the offer at the first send -------------------------------------------------------------------


def with_offers(world: Any, *answers: bool | None) -> Offers:
    offers = Offers(*answers)
    world.ports = replace(world.ports, backup=offers)
    return offers


async def test_the_first_send_offers_a_backup_and_makes_it(world: Any) -> None:
    offers = with_offers(world, True)
    await world.seal()
    (offer,) = offers.offers
    assert offer.account == ALICE
    assert vault.unlock(world.engine, message_of(world), offer.code) is not None
    assert offer.code not in repr(offer)
    world.encrypter = type(world.encrypter)()
    await world.seal()
    assert len(offers.offers) == 1
    assert [key.fingerprint for key in await Device(world).keys.restore(offer.code)] == [offer.key]


async def test_an_explicit_no_is_remembered(world: Any) -> None:
    offers = with_offers(world, False)
    await world.seal()
    world.encrypter = type(world.encrypter)()
    await world.seal()
    assert len(offers.offers) == 1
    assert await world.ports.store.get(BACKUP) == DECLINED
    assert (ALICE, SECRET_KEY) not in world.nodes.nodes


async def test_later_means_in_the_next_session(world: Any) -> None:
    offers = with_offers(world, None, False)
    for _ in range(3):
        await world.seal()
    assert len(offers.offers) == 1
    world.encrypter = type(world.encrypter)()
    await world.seal()
    assert len(offers.offers) == 2
    assert offers.offers[0].code != offers.offers[1].code


async def test_a_backup_that_lacks_a_new_subkey_is_offered_anew(world: Any) -> None:
    offers = with_offers(world, True, True)
    await world.seal()
    await world.encrypter.own_keys(ALICE, world.ports).rotate()
    await world.seal()
    assert len(offers.offers) == 2
    assert vault.unlock(world.engine, message_of(world), offers.offers[1].code) is not None
    assert world.questions == []


async def test_a_wanted_backup_that_fails_stops_the_message(world: Any) -> None:
    offers = with_offers(world, True, False)
    real = world.ports.pubsub.publish

    async def publish(node: str, *arguments: Any, **named: Any) -> None:
        if node == SECRET_KEY:
            raise PeerTimeout("late")
        await real(node, *arguments, **named)

    world.ports.pubsub.publish = publish
    with pytest.raises(NoUsableKey, match="worth nothing"):
        await world.seal()
    await world.seal()
    assert len(offers.offers) == 2


async def test_a_host_without_a_user_is_not_asked(world: Any) -> None:
    await world.seal()
    assert await world.ports.store.get(BACKUP) is None
    assert (ALICE, SECRET_KEY) not in world.nodes.nodes


async def test_after_a_restore_nothing_is_offered(world: Any) -> None:
    offers = with_offers(world, True)
    await world.seal()
    device = Device(world)
    await device.keys.restore(offers.offers[0].code)
    await device.seal()
    assert len(offers.offers) == 1


# -- what is served of ours ------------------------------------------------------------------------


def codes(notices: Any) -> list[str]:
    return [notice.code for notice in notices]


def serve(world: Any, public: bytes) -> None:
    world.nodes.serve(ALICE, public)


async def test_our_key_as_we_published_it_is_no_news(keys: OwnKeys, world: Any) -> None:
    await world.seal()
    for _ in range(2):
        assert codes(await world.encrypter.prepare(ALICE, world.ports)) == []
    assert len(world.nodes.published) == 2


async def test_an_incomplete_form_is_replaced_and_said(keys: OwnKeys, world: Any) -> None:
    await world.seal()
    old = base64.b64decode("".join(world.nodes.nodes[ALICE, world.nodes.published[0]][-1].payload.itertext()))
    await keys.rotate()
    await world.seal()
    serve(world, old)  # the server forgets the rotation
    assert codes(await world.encrypter.prepare(ALICE, world.ports)) == ["own-key-republished"]
    assert codes(await world.encrypter.prepare(ALICE, world.ports)) == []


async def test_a_form_that_another_device_made_is_said_and_left(keys: OwnKeys, world: Any) -> None:
    await world.seal()
    code = await keys.backup()
    device = Device(world)
    await device.keys.restore(code)
    await device.keys.rotate()
    await device.seal()
    (notice,) = await world.encrypter.prepare(ALICE, world.ports)
    assert notice.code == "own-key-differs"
    assert "gre keys restore" in notice.text
    served = dict(world.nodes.nodes)
    await world.encrypter.prepare(ALICE, world.ports)
    assert world.nodes.nodes == served
    code = await device.keys.backup()
    await keys.restore(code)
    assert codes(await world.encrypter.prepare(ALICE, world.ports)) == []


@pytest.mark.parametrize("kind", ["other", "garbage", "none"])
async def test_something_else_in_the_place_of_our_key_is_replaced_and_said(
    keys: OwnKeys, world: Any, make_secret: Any, public_of: Any, kind: str
) -> None:
    await world.seal()
    info = await keys.show()
    node = f"{PUBLIC_KEYS}:{info.fingerprint}"
    other = secretkey_element(b"x")
    from gre_openpgp.xep0373 import pubkey_element

    world.nodes.nodes[ALICE, node] = {
        "other": [Item("x", pubkey_element(public_of(make_secret("eve@mail.example"))))],
        "garbage": [Item("x", other)],
        "none": [],
    }[kind]
    assert codes(await world.encrypter.prepare(ALICE, world.ports)) == ["own-key-republished"]
    assert codes(await world.encrypter.prepare(ALICE, world.ports)) == []


async def test_a_grafted_subkey_in_our_key_is_said(
    keys: OwnKeys, world: Any, make_secret: Any, public_of: Any
) -> None:
    await world.seal()
    (own,) = [key.parsed.key.data for key in keys._ring.keys]
    other = public_of(make_secret("eve@mail.example"))
    from gre_openpgp.packets import walk

    subkey = next(packet for packet in walk(other) if packet.tag == 14)
    serve(world, own + other[subkey.start :])
    assert codes(await world.encrypter.prepare(ALICE, world.ports)) == ["own-key-differs"]


async def test_a_changed_key_is_announced_with_a_new_date(keys: OwnKeys, world: Any) -> None:
    await world.seal()
    items = world.nodes.nodes[ALICE, PUBLIC_KEYS]
    first = read_list(items[-1].payload)[0].date
    from datetime import UTC, datetime, timedelta

    await keys.rotate()
    world.now = datetime.now(UTC) + timedelta(seconds=2)
    await keys.publish()
    assert read_list(world.nodes.nodes[ALICE, PUBLIC_KEYS][-1].payload)[0].date > first
    assert keys._ring.active is not None
    assert OwnKey.read(world.engine, keys._ring.active.secret).fingerprint == (await keys.show()).fingerprint
