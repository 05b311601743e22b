"""Two programs on one store: what the user decides in one of them, the other never takes back."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_openpgp.encrypting.contact_keys import ContactKeys, KeyState
from gre_openpgp.packets import read_certificate

from gre_core.api import Body, Question
from gre_core.errors import NoUsableKey, PolicyChanged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ALICE = "alice@xmpp.example"
BOB = "bob\\40mail.example@gateway.example"
ADDRESS = "bob@mail.example"


def name(cert: bytes) -> str:
    return read_certificate(cert).fingerprint


async def states(world: Any) -> dict[str, KeyState]:
    return {
        info.fingerprint: info.state for info in await ContactKeys(world.engine, ALICE, world.ports).list(BOB)
    }


class Meanwhile:
    """A pubsub port on which something happens while it is asked."""

    def __init__(self, inner: Any, work: Callable[[], Awaitable[object]]) -> None:
        self._inner, self._work = inner, work

    async def items(self, *words: Any, **options: Any) -> Any:
        found = await self._inner.items(*words, **options)
        await self._work()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def bob(world: Any) -> bytes:
    return bytes(world.bob.extract_certificate())


@pytest.fixture
def other(make_secret: Any, public_of: Any) -> bytes:
    return bytes(public_of(make_secret(ADDRESS, 1)))


async def test_a_block_during_a_look_up_stops_the_message(world: Any, bob: bytes) -> None:
    await world.seal()
    world.encrypter = type(world.encrypter)()  # a new session, which asks the gateway again
    store = world.ports

    async def block() -> None:
        await ContactKeys(world.engine, ALICE, store).trust(BOB, name(bob), yes=False)

    world.ports = replace(store, pubsub=Meanwhile(store.pubsub, block))
    with pytest.raises(NoUsableKey):
        await world.seal()
    assert await states(world) == {name(bob): KeyState.BLOCKED}


async def test_a_block_during_a_question_outlives_the_answer(
    world: Any, bob: bytes, other: bytes, make_secret: Any
) -> None:
    message = pysequoia.encrypt(b"x", [await world.own_cert()], world.bob.signer(), armor=False)
    world.nodes.serve(BOB, bob, other)
    before = world.ports
    asked: list[Question] = []

    async def decide(question: Question) -> bool:
        asked.append(question)
        if len(asked) == 1:
            await ContactKeys(world.engine, ALICE, before).fetch(BOB)
            await ContactKeys(world.engine, ALICE, before).trust(BOB, name(other), yes=False)
            # An incoming message makes the session read the record anew meanwhile.
            await world.encrypter.open_keys(body, world.open_job(), before)
        return True

    body = Body(base64.b64encode(message).decode())
    world.encrypter = type(world.encrypter)()
    world.ports = replace(before, decide=decide)
    sealed = await world.seal()
    assert (await states(world))[name(other)] is KeyState.BLOCKED
    with pytest.raises(RuntimeError):
        pysequoia.decrypt(sealed, pysequoia.Tsk.from_bytes(make_secret(ADDRESS, 1)).decryptor())


async def test_a_pin_during_a_refused_question_stays(world: Any, bob: bytes, other: bytes) -> None:
    await world.seal()
    world.nodes.serve(BOB, other)
    world.encrypter = type(world.encrypter)()
    before = world.ports

    async def decide(question: Question) -> bool:
        await ContactKeys(world.engine, ALICE, before).pin(BOB, bob)
        return False

    world.ports = replace(before, decide=decide)
    with pytest.raises(PolicyChanged):
        await world.seal()
    assert (await states(world))[name(bob)] is KeyState.PINNED


async def test_a_block_while_a_message_is_decrypted_stays(world: Any, bob: bytes) -> None:
    message = pysequoia.encrypt(b"x", [await world.own_cert()], world.bob.signer(), armor=False)
    body = Body(base64.b64encode(message).decode())
    keys = await world.encrypter.open_keys(body, world.open_job(), world.ports)
    await ContactKeys(world.engine, ALICE, world.ports).trust(BOB, name(bob), yes=False)
    await world.encrypter.decrypt(body, keys, world.ports)
    assert await states(world) == {name(bob): KeyState.BLOCKED}


async def test_a_block_during_a_fetch_stays(world: Any, bob: bytes) -> None:
    await world.seal()
    before = world.ports

    async def block() -> None:
        await ContactKeys(world.engine, ALICE, before).trust(BOB, name(bob), yes=False)

    world.nodes.serve(BOB, bob, date="2026-02-02T00:00:00Z")
    await ContactKeys(world.engine, ALICE, replace(before, pubsub=Meanwhile(before.pubsub, block))).fetch(BOB)
    assert await states(world) == {name(bob): KeyState.BLOCKED}


async def test_a_block_during_an_event_stays(world: Any, bob: bytes, other: bytes) -> None:
    await world.seal()
    before = world.ports

    async def block() -> None:
        await ContactKeys(world.engine, ALICE, before).trust(BOB, name(bob), yes=False)

    world.nodes.serve(BOB, bob, other)
    world.ports = replace(before, pubsub=Meanwhile(before.pubsub, block))
    await world.encrypter.notified(BOB, "urn:xmpp:openpgp:0:public-keys", world.ports)
    assert (await states(world))[name(bob)] is KeyState.BLOCKED
