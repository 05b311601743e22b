"""What the gateway says about the origin of a key: shown wherever a person decides, and never a reason to trust."""

from __future__ import annotations

from typing import Any

import pysequoia
import pytest
from gre_openpgp.contact_record import By, KeyState
from gre_openpgp.encrypting.contact_keys import ContactKeys
from gre_openpgp.key_origin import Origin
from gre_openpgp.packets import read_certificate
from gre_openpgp.xep0373 import PUBLIC_KEYS, Announced, data_node, list_element, pubkey_element

from gre_core.errors import NoUsableKey, PeerError, PolicyChanged
from gre_core.ports import Item

ALICE = "alice@xmpp.example"
BOB = "bob\\40mail.example@gateway.example"
ADDRESS = "bob@mail.example"

MAIL = Origin("autocrypt", authenticated=False, seen="2026-11-20T09:00:00Z")
SIGNED = Origin("autocrypt", authenticated=True, seen="2026-11-20T09:00:00Z")


def fingerprint(cert: bytes) -> str:
    return read_certificate(cert).fingerprint


@pytest.fixture
def bob(make_secret: Any, public_of: Any) -> Any:
    return public_of(make_secret(ADDRESS))


@pytest.fixture
def another(make_odd: Any, public_of: Any) -> Any:
    return public_of(make_odd(ADDRESS))


def serve(world: Any, *keys: tuple[bytes, Origin | None], date: str = "2026-01-01T00:00:00Z") -> None:
    announced = [Announced(fingerprint(data), date, origin) for data, origin in keys]
    world.nodes.nodes[BOB, PUBLIC_KEYS] = [Item("current", list_element(announced))]
    for data, _ in keys:
        world.nodes.nodes[BOB, data_node(fingerprint(data))] = [Item(date, pubkey_element(data))]


async def changed(world: Any) -> None:
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)


async def known(world: Any) -> Any:
    (info,) = await ContactKeys(world.engine, ALICE, world.ports).list(BOB)
    return info


async def test_it_is_kept_with_the_key_and_changes_nothing_about_trust(world: Any, bob: bytes) -> None:
    serve(world, (bob, SIGNED))
    await world.seal()
    info = await known(world)
    assert (info.origin, info.state, info.by) == (SIGNED, KeyState.ACCEPTED, By.FIRST_USE)
    serve(world, (bob, MAIL))
    await changed(world)
    await world.seal()
    info = await known(world)
    assert (info.origin, info.state, info.by) == (MAIL, KeyState.ACCEPTED, By.FIRST_USE)
    serve(world, (bob, None))
    await changed(world)
    await world.seal()
    assert (await known(world)).origin is None


async def test_a_key_that_the_gateway_vouches_for_is_asked_about_all_the_same(
    world: Any, bob: bytes, another: bytes
) -> None:
    serve(world, (bob, MAIL))
    await world.seal()
    for origin in (SIGNED, Origin("directory"), Origin("wkd")):
        serve(world, (another, origin))
        await changed(world)
        with pytest.raises(PolicyChanged) as caught:
            await world.seal()
        assert caught.value.question.code == "key-changed"
        assert f"About {fingerprint(another)}: {origin.describe()}." in caught.value.text


async def test_the_question_about_a_further_key_says_that_anybody_can_have_sent_it(
    world: Any, bob: bytes, another: bytes
) -> None:
    serve(world, (bob, Origin("directory")))
    await world.seal()
    serve(world, (bob, Origin("directory")), (another, MAIL))
    (notice,) = await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    assert "anybody can have sent it" in notice.text
    with pytest.raises(PolicyChanged, match="anybody can have sent it") as caught:
        await world.seal()
    assert caught.value.question.code == "key-added"
    assert fingerprint(bob) not in caught.value.text.partition("About")[2]


async def test_it_is_said_once_when_a_signature_is_good(world: Any, bob: bytes) -> None:
    serve(world, (bob, MAIL))
    alice = await world.own_cert()
    opened = await world.open(pysequoia.encrypt(b"x", [alice], world.bob.signer(), armor=False))
    (notice,) = opened.warnings
    assert notice.code == "key-from-gateway-only"
    assert "came with a mail to you (Autocrypt), last on 2026-11-20" in notice.text


async def test_explaining_names_it(world: Any, bob: bytes) -> None:
    serve(world, (bob, MAIL))
    notices = await world.encrypter.explain(world.job(), world.ports)
    (notice,) = [each for each in notices if each.code == "openpgp-key"]
    assert MAIL.describe() in notice.text


async def test_fetching_names_it(world: Any, bob: bytes) -> None:
    serve(world, (bob, MAIL))
    listed, *_ = await ContactKeys(world.engine, ALICE, world.ports).fetch(BOB)
    assert MAIL.describe() in listed.detail


@pytest.mark.parametrize("form", [(), None])
async def test_what_the_gateway_says_about_a_missing_key_is_shown(world: Any, form: Any) -> None:
    world.nodes.nodes.clear()
    world.nodes.errors[BOB, PUBLIC_KEYS] = PeerError(
        "x", condition="item-not-found", peer_text="Looked for it in: the mails that you received."
    )
    with pytest.raises(NoUsableKey, match=r"Looked for it in: the mails that you received\.") as caught:
        await world.seal(form=form)
    assert "gre keys pin" in caught.value.text
    with pytest.raises(NoUsableKey, match="Looked for it in"):
        await world.encrypter.explain(world.job(form=form), world.ports)
    listed, *_ = await ContactKeys(world.engine, ALICE, world.ports).fetch(BOB)
    assert "Looked for it in" in listed.detail
