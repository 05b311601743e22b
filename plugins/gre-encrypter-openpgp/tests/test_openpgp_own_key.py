"""Our own key: made once, never twice, published, guarded."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pysequoia
import pytest
from gre_openpgp.armor import PRIVATE_KEY, armor, dearmor
from gre_openpgp.encrypting.keymaking import _pgpy, add_user_id
from gre_openpgp.encrypting.management import OwnKeys
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.own_store import ACTIVE, KEYS
from gre_openpgp.packets import read_certificate
from gre_openpgp.xep0373 import PUBLIC_KEYS, SECRET_KEY, read_list

from gre_core.api import Direction, Signature
from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged, StoreError
from gre_core.ports import Item

ALICE = "alice@xmpp.example"
OURS = "alice@mail.example"


def announced(world: Any) -> list[str]:
    items = world.nodes.nodes.get((ALICE, PUBLIC_KEYS), [])
    return [entry.fingerprint for entry in read_list(items[-1].payload)] if items else []


async def test_the_first_message_makes_publishes_and_keeps_a_key(world: Any) -> None:
    cert = await world.own_cert()
    fingerprint = cert.fingerprint.upper()
    assert [str(user_id) for user_id in cert.user_ids] == [f"<{OURS}>"]
    assert world.nodes.published == [f"{PUBLIC_KEYS}:{fingerprint}", PUBLIC_KEYS]  # the key before the list
    assert set(world.nodes.models.values()) == {"open"}
    assert announced(world) == [fingerprint]
    assert await world.ports.store.get(ACTIVE) == fingerprint.encode()


async def test_the_next_session_uses_the_same_key(world: Any) -> None:
    await world.seal()
    before = announced(world)
    world.encrypter = type(world.encrypter)()
    await world.seal()
    assert announced(world) == before
    assert len(await world.ports.store.keys(KEYS)) == 1
    assert len(world.nodes.published) == 2


async def test_two_messages_at_once_make_one_key(world: Any) -> None:
    real = world.ports.pubsub.items

    async def slow(*arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(0)
        return await real(*arguments, **named)

    world.ports.pubsub.items = slow
    messages = await asyncio.gather(*(world.seal(str(number).encode()) for number in range(5)))
    assert len(await world.ports.store.keys(KEYS)) == 1
    assert len(announced(world)) == 1
    cert = await world.own_cert()
    for message in messages:
        assert pysequoia.decrypt(message, world.bob.decryptor(), lambda ids: [cert]).valid_sigs


async def test_a_key_that_could_not_be_kept_is_not_published(world: Any) -> None:
    real = world.ports.store.put

    async def full(key: str, value: bytes, /) -> None:
        if key.startswith(KEYS):
            raise StoreError("the disk is full")
        await real(key, value)

    world.ports.store.put = full
    for _ in range(2):
        with pytest.raises(StoreError):
            await world.seal()
    assert world.nodes.published == []
    world.ports.store.put = real
    await world.seal()
    assert len(announced(world)) == 1


@pytest.mark.parametrize("node", [PUBLIC_KEYS, SECRET_KEY])
async def test_no_second_key_when_the_account_has_one_elsewhere(world: Any, node: str) -> None:
    payload = Element("{urn:xmpp:openpgp:0}something")
    SubElement(payload, "{urn:xmpp:openpgp:0}x")
    world.nodes.nodes[ALICE, node] = [Item("current", payload)]
    with pytest.raises(NoUsableKey, match="never made by itself"):
        await world.seal()
    assert await world.ports.store.keys(KEYS) == []


@pytest.mark.parametrize("node", [PUBLIC_KEYS, SECRET_KEY])
@pytest.mark.parametrize(
    "error",
    [
        PeerError("no", condition="forbidden"),
        PeerError("no", condition="service-unavailable"),
        PeerTimeout("late"),
    ],
)
async def test_no_key_when_nobody_can_tell(world: Any, node: str, error: Exception) -> None:
    world.nodes.errors[ALICE, node] = error
    with pytest.raises(NoUsableKey, match="Try again later"):
        await world.seal()
    assert await world.ports.store.keys(KEYS) == []


async def test_an_empty_list_is_no_key(world: Any) -> None:
    world.nodes.nodes[ALICE, PUBLIC_KEYS] = [Item("current", Element("{urn:xmpp:openpgp:0}public-keys-list"))]
    await world.seal()
    assert len(announced(world)) == 1


async def test_a_key_that_cannot_be_published_is_kept_and_said(world: Any) -> None:
    world.nodes.errors[ALICE, PUBLIC_KEYS] = PeerError("no such node", condition="item-not-found")
    with pytest.raises(NoUsableKey, match="could not be published"):
        await world.seal()
    world.nodes.errors.clear()
    await world.seal()
    assert len(await world.ports.store.keys(KEYS)) == 1
    assert len(announced(world)) == 1


@pytest.mark.parametrize("name", ["", "a<b>", "a\r\nb@x.example", "x" * 300])
async def test_no_key_for_a_name_that_is_none(world: Any, name: str) -> None:
    with pytest.raises(NoUsableKey):
        await world.seal(sender=name)


async def test_a_name_that_is_no_mail_address_will_do(world: Any) -> None:
    for _ in range(2):
        await world.seal(sender="+15550100")
    assert world.questions == []


# -- names -----------------------------------------------------------------------------------------


async def test_a_name_is_never_added_unasked(world: Any) -> None:
    await world.seal()
    with pytest.raises(PolicyChanged) as caught:
        await world.seal(sender="alice@other.example")
    assert caught.value.question.code == "own-key-user-id"
    assert caught.value.question.after == "alice@other.example"


async def test_a_name_is_added_with_the_users_word_and_published(world: Any) -> None:
    before = await world.own_cert()
    world.answer = True
    await world.seal(sender="alice@other.example")
    node = f"{PUBLIC_KEYS}:{before.fingerprint.upper()}"
    assert world.nodes.published[-2:] == [node, PUBLIC_KEYS]
    after = await world.own_cert()
    assert [str(user_id) for user_id in after.user_ids] == [f"<{OURS}>", "<alice@other.example>"]
    assert after.fingerprint == before.fingerprint
    assert len(world.questions) == 1
    await world.seal(sender="alice@other.example")
    assert len(world.questions) == 1


def test_adding_a_name_keeps_every_byte_that_was_there(make_secret: Any) -> None:
    secret = make_secret(OURS)
    longer = add_user_id(secret, "<second@mail.example>")
    start = next(at for at in range(len(secret)) if secret[at] != longer[at])
    assert longer[start + len(longer) - len(secret) :] == secret[start:]
    tsk = pysequoia.Tsk.from_bytes(longer)
    cert = tsk.extract_certificate()
    message = pysequoia.encrypt(b"x", [cert], tsk.signer(), armor=False)
    assert pysequoia.decrypt(message, tsk.decryptor(), lambda ids: [cert]).bytes == b"x"


# -- import and export -----------------------------------------------------------------------------


async def test_an_imported_key_is_used_and_kept_as_it_is(world: Any, make_secret: Any) -> None:
    secret = make_secret(OURS)
    fingerprint = (
        await OwnKeys(world.engine, ALICE, world.ports).import_key(armor(secret, PRIVATE_KEY))
    ).fingerprint
    assert dearmor(await OwnKeys(world.engine, ALICE, world.ports).export(secret=True), PRIVATE_KEY) == secret
    await world.seal()
    assert announced(world) == [fingerprint]


async def test_an_imported_key_that_is_announced_already_is_not_published_again(
    world: Any, make_secret: Any, public_of: Any
) -> None:
    secret = make_secret(OURS)
    world.nodes.serve(ALICE, public_of(secret))
    await OwnKeys(world.engine, ALICE, world.ports).import_key(secret)
    await world.seal()
    assert world.nodes.published == []


async def test_beside_another_announced_key_the_user_is_asked(
    world: Any, make_secret: Any, make_odd: Any, public_of: Any
) -> None:
    other = public_of(make_odd(OURS))
    world.nodes.serve(ALICE, other)
    await OwnKeys(world.engine, ALICE, world.ports).import_key(make_secret(OURS))
    with pytest.raises(PolicyChanged) as caught:
        await world.seal()
    assert caught.value.question.code == "own-key-second"
    world.answer = True
    await world.seal()
    assert len(announced(world)) == 2
    assert read_certificate(other).fingerprint in announced(world)


async def test_a_locked_key_is_used_with_its_password(world: Any, make_secret: Any) -> None:
    pgpy, c = _pgpy()
    key, _ = pgpy.PGPKey.from_blob(make_secret(OURS))
    key.protect("secret words", c.SymmetricKeyAlgorithm.AES256, c.HashAlgorithm.SHA256)
    locked = bytes(key)
    with pytest.raises(NoUsableKey):
        await OwnKeys(world.engine, ALICE, world.ports).import_key(locked)
    with pytest.raises(NoUsableKey):
        await OwnKeys(world.engine, ALICE, world.ports).import_key(locked, "wrong")
    await OwnKeys(world.engine, ALICE, world.ports).import_key(locked, "secret words")
    message = await world.seal()
    assert (await world.open(message, direction=Direction.SENT)).verdict.signature is Signature.GOOD
    assert "secret words" not in repr(OwnKey.read(world.engine, make_secret(OURS), "secret words"))


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n", bytes(600_000)]
)
async def test_what_is_no_secret_key_is_refused(world: Any, data: bytes) -> None:
    with pytest.raises(NoUsableKey):
        await OwnKeys(world.engine, ALICE, world.ports).import_key(data)


async def test_a_public_key_is_not_taken_for_a_secret_one(
    world: Any, make_secret: Any, public_of: Any
) -> None:
    with pytest.raises(NoUsableKey):
        await OwnKeys(world.engine, ALICE, world.ports).import_key(public_of(make_secret(OURS)))


# -- a session -------------------------------------------------------------------------------------


async def test_without_a_key_there_is_nothing_to_check(world: Any) -> None:
    assert list(await world.encrypter.prepare(ALICE, world.ports)) == []
    assert world.nodes.asked == []


async def test_a_key_that_vanished_is_announced_again_and_said(world: Any) -> None:
    await world.seal()
    before = announced(world)
    del world.nodes.nodes[ALICE, PUBLIC_KEYS]
    notices = list(await world.encrypter.prepare(ALICE, world.ports))
    assert [notice.code for notice in notices] == ["own-key-reannounced"]
    assert announced(world) == before
    assert list(await world.encrypter.notified(ALICE, PUBLIC_KEYS, world.ports)) == []


async def test_a_list_that_cannot_be_read_is_said(world: Any) -> None:
    await world.seal()
    world.nodes.errors[ALICE, PUBLIC_KEYS] = PeerTimeout("late")
    assert [n.code for n in await world.encrypter.prepare(ALICE, world.ports)] == ["own-key-unchecked"]


async def test_a_further_key_of_ours_is_used_only_with_the_users_word(
    world: Any, make_odd: Any, public_of: Any
) -> None:
    cert = await world.own_cert()
    other = make_odd(OURS)
    world.nodes.serve(ALICE, bytes(cert), public_of(other))
    notices = list(await world.encrypter.notified(ALICE, PUBLIC_KEYS, world.ports))
    assert [notice.code for notice in notices] == ["own-key-added"]
    decryptor = pysequoia.Tsk.from_bytes(other).decryptor()
    with pytest.raises(RuntimeError):
        pysequoia.decrypt(await world.seal(), decryptor)
    world.answer = True
    assert list(await world.encrypter.prepare(ALICE, world.ports)) == []
    assert pysequoia.decrypt(await world.seal(), decryptor).bytes == b"hello"
    world.encrypter = type(world.encrypter)()  # and in the next session without asking
    asked = len(world.questions)
    assert pysequoia.decrypt(await world.seal(), decryptor).bytes == b"hello"
    assert len(world.questions) == asked
