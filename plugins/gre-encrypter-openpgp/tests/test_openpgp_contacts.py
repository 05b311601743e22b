"""Contacts' keys: announced, fetched, remembered, changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pysequoia
import pytest
from gre_openpgp.encrypting.wanted import MAX_WANTED, want, wanted
from gre_openpgp.packets import read_certificate
from gre_openpgp.xep0373 import PUBLIC_KEYS, data_node, pubkey_element

from gre_core.api import Direction, Signature
from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.ports import Item

ALICE = "alice@xmpp.example"
BOB = "bob\\40mail.example@gateway.example"
ADDRESS = "bob@mail.example"


def fingerprint(cert: bytes) -> str:
    return read_certificate(cert).fingerprint


@pytest.fixture
def bob(make_secret: Any, public_of: Any) -> Any:
    return public_of(make_secret(ADDRESS))


@pytest.fixture
def another(make_odd: Any) -> Any:
    return make_odd(ADDRESS)


# -- P3: the user's word ---------------------------------------------------------------------------


async def test_p3_a_changed_key_waits_for_the_users_word(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    await world.seal()
    new = public_of(another)
    world.nodes.serve(BOB, new)
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    with pytest.raises(PolicyChanged):
        await world.seal()
    with pytest.raises(PolicyChanged) as caught:
        await world.seal()
    question = caught.value.question
    assert (question.code, question.peer) == ("key-changed", BOB)
    assert (question.before, question.after) == (fingerprint(bob), fingerprint(new))
    world.answer = True
    message = await world.seal()
    assert pysequoia.decrypt(message, pysequoia.Tsk.from_bytes(another).decryptor()).bytes == b"hello"
    with pytest.raises(RuntimeError):
        pysequoia.decrypt(message, world.bob.decryptor())


async def test_p3_an_added_key_waits_for_the_users_word(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    await world.seal()
    world.nodes.serve(BOB, bob, public_of(another))
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    with pytest.raises(PolicyChanged) as caught:
        await world.seal()
    assert caught.value.question.code == "key-added"
    world.answer = True
    message = await world.seal()
    for secret in (world.bob, pysequoia.Tsk.from_bytes(another)):
        assert pysequoia.decrypt(message, secret.decryptor()).bytes == b"hello"


async def test_p3_the_memory_outlives_the_session(world: Any, another: bytes, public_of: Any) -> None:
    await world.seal()
    world.nodes.serve(BOB, public_of(another))
    world.encrypter = type(world.encrypter)()
    with pytest.raises(PolicyChanged):
        await world.seal()


async def test_p3_a_message_signed_by_a_changed_key_is_not_good_until_the_user_agrees(
    world: Any, another: bytes, public_of: Any
) -> None:
    alice = await world.own_cert()
    world.nodes.serve(BOB, public_of(another))
    signer = pysequoia.Tsk.from_bytes(another).signer()
    message = pysequoia.encrypt(b"x", [alice], signer, armor=False)
    world.now = datetime.now(UTC) + timedelta(minutes=2)
    opened = await world.open(message)
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-unknown"]
    told = await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    assert [notice.code for notice in told] == ["key-changed"]
    opened = await world.open(message)
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-not-accepted"]
    world.answer = True
    await world.seal()
    assert (await world.open(message)).verdict.signature is Signature.GOOD


async def test_a_removed_key_is_used_no_more_and_asks_when_it_returns(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    world.nodes.serve(BOB, bob, public_of(another))
    await world.seal()
    for served in ((bob,), (bob, public_of(another))):
        world.nodes.serve(BOB, *served)
        await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
        if len(served) == 1:
            message = await world.seal()
            with pytest.raises(RuntimeError):
                pysequoia.decrypt(message, pysequoia.Tsk.from_bytes(another).decryptor())
    with pytest.raises(PolicyChanged):
        await world.seal()


# -- the data form ---------------------------------------------------------------------------------


async def test_an_empty_field_is_no_key_without_a_round_trip(world: Any) -> None:
    await world.seal()
    world.nodes.asked.clear()
    with pytest.raises(NoUsableKey, match="knows no OpenPGP key"):
        await world.seal(form=())
    assert world.nodes.asked == []


async def test_our_key_is_published_even_when_the_contact_has_none_yet(world: Any) -> None:
    with pytest.raises(NoUsableKey, match="knows no OpenPGP key"):
        await world.seal(form=())
    assert len(world.nodes.published) == 2


async def test_without_the_field_the_list_is_read(world: Any) -> None:
    assert await world.seal(form=None)


async def test_a_new_fingerprint_in_the_field_fetches_anew(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    new = public_of(another)
    await world.seal(form=(fingerprint(bob),))
    world.nodes.serve(BOB, bob, new)
    world.answer = True
    message = await world.seal(form=(fingerprint(bob), fingerprint(new)))
    assert pysequoia.decrypt(message, pysequoia.Tsk.from_bytes(another).decryptor()).bytes == b"hello"


async def test_at_first_use_a_served_key_must_be_in_the_field(
    world: Any, another: bytes, public_of: Any
) -> None:
    with pytest.raises(NoUsableKey, match="contradicts"):
        await world.seal(form=(fingerprint(public_of(another)),))


async def test_a_stale_field_is_not_fetched_for_again_and_again(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    form = (fingerprint(bob),)
    await world.seal(form=form)
    world.nodes.serve(BOB, public_of(another))
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    world.answer = True
    await world.seal(form=form)
    assert "data form" in world.questions[-1].text
    world.nodes.asked.clear()
    await world.seal(form=form)
    assert world.nodes.asked == []


# -- what is served --------------------------------------------------------------------------------


async def test_no_key_is_announced(world: Any) -> None:
    world.nodes.nodes.clear()
    with pytest.raises(NoUsableKey, match="none is announced"):
        await world.seal()


async def test_another_key_than_announced_is_not_used(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    world.nodes.nodes[BOB, data_node(fingerprint(bob))] = [Item("x", pubkey_element(public_of(another)))]
    with pytest.raises(NoUsableKey, match="announces the key"):
        await world.seal()


async def test_a_key_by_another_name_is_not_used(world: Any, make_secret: Any, public_of: Any) -> None:
    world.nodes.serve(BOB, public_of(make_secret("notbob@mail.example")))
    with pytest.raises(NoUsableKey, match="does not bear the name"):
        await world.seal()


async def test_a_key_that_is_not_served_does_not_hide_a_good_one(
    world: Any, bob: bytes, another: bytes, public_of: Any
) -> None:
    gone = public_of(another)
    world.nodes.serve(BOB, gone, bob)
    del world.nodes.nodes[BOB, data_node(fingerprint(gone))]
    assert await world.seal()


@pytest.mark.parametrize("error", [PeerError("no", condition="forbidden"), PeerTimeout("late")])
async def test_keys_that_cannot_be_read_are_said(world: Any, error: Exception) -> None:
    world.nodes.errors[BOB, PUBLIC_KEYS] = error
    with pytest.raises((NoUsableKey, PeerTimeout)):
        await world.seal()


async def test_a_key_is_fetched_once_and_kept_for_later_sessions(world: Any) -> None:
    await world.seal()
    world.encrypter = type(world.encrypter)()
    world.nodes.asked.clear()
    await world.seal()
    assert [node for jid, node in world.nodes.asked if jid == BOB] == [PUBLIC_KEYS]


async def test_opening_asks_nobody_when_the_signer_is_known(world: Any) -> None:
    message = pysequoia.encrypt(b"x", [await world.own_cert()], world.bob.signer(), armor=False)
    world.encrypter = type(world.encrypter)()
    world.nodes.asked.clear()
    assert (await world.open(message)).verdict.signature is Signature.GOOD
    assert world.nodes.asked == []


class NoNetwork:
    """A port that nobody may use."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the network was asked: {name}")


async def test_opening_never_asks_anybody(world: Any, make_secret: Any) -> None:
    eve = pysequoia.Tsk.from_bytes(make_secret("eve@mail.example"))
    alice = await world.own_cert()
    world.nodes.asked.clear()
    world.ports = replace(world.ports, pubsub=NoNetwork(), web=NoNetwork())
    world.encrypter = type(world.encrypter)()  # nothing is in memory either
    for signer in (eve.signer(), world.bob.signer(), None):
        message = pysequoia.encrypt(b"x", [alice], signer, armor=False)
        for _ in range(3):
            await world.open(message)
            await world.open(message, direction=Direction.SENT)
            await world.open(message, peer="stranger\\40x.example@gateway.example")
    assert world.nodes.asked == []


async def test_the_keys_of_an_unknown_signer_are_fetched_when_the_next_session_starts(world: Any) -> None:
    message = pysequoia.encrypt(b"x", [await world.own_cert()], world.bob.signer(), armor=False)
    await world.ports.store.delete(f"openpgp/contacts/{BOB}")
    opened = await world.open(message)
    assert opened.payload == b"x"
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-unknown"]
    world.encrypter = type(world.encrypter)()
    world.nodes.errors[BOB, PUBLIC_KEYS] = PeerTimeout("late")
    assert list(await world.encrypter.prepare(ALICE, world.ports)) == []
    assert await wanted(world.ports.store) == [BOB]
    del world.nodes.errors[BOB, PUBLIC_KEYS]
    assert list(await world.encrypter.prepare(ALICE, world.ports)) == []
    assert await wanted(world.ports.store) == []
    assert (await world.open(message)).verdict.signature is Signature.GOOD
    assert world.questions == []


async def test_the_list_of_wanted_keys_is_bounded(world: Any) -> None:
    for number in range(MAX_WANTED + 5):
        await want(f"n{number}@gateway.example", world.ports.store)
    present = await wanted(world.ports.store)
    assert (len(present), present[-1]) == (MAX_WANTED, f"n{MAX_WANTED + 4}@gateway.example")
    await world.ports.store.put("openpgp/wanted", b"{nonsense")
    assert await wanted(world.ports.store) == []


async def test_no_key_or_plaintext_shows_in_a_repr(world: Any) -> None:
    keys = await world.encrypter.seal_keys(world.job(), world.ports)
    assert "PGP" not in repr(keys)
    assert "BEGIN" not in repr(next(iter(world.encrypter._accounts.values()))[1].own)


async def test_notifications_of_other_nodes_and_accounts_are_ignored(world: Any) -> None:
    assert list(await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)) == []
    assert list(world.encrypter.nodes) == [PUBLIC_KEYS]
    await world.seal()
    assert list(await world.encrypter.notified("stranger@x.example", PUBLIC_KEYS, world.ports)) == []
    assert list(await world.encrypter.notified(BOB, "urn:other", world.ports)) == []
