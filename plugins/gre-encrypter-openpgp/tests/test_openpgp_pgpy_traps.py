"""What the traps of pysequoia become with PGPy, where no other test asks both: see traps.toml beside that package's tests."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_encrypter_openpgp_pgpy import numbers
from gre_openpgp.encrypting import opening, sessionkeys
from gre_openpgp.encrypting import unwrap as unwrapping
from gre_openpgp.encrypting.keymaking import make_key
from gre_openpgp.encrypting.secretkeys import public_part
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import walk
from gre_openpgp.xep0373 import PublicKey

from gre_core.api import Body, Signature
from gre_core.errors import DecryptFailed, EncryptFailed, NoUsableKey
from gre_core.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.parametrize("world", ["pgpy-worker"], indirect=True)

MIB = 1 << 20
STRANGE = [
    ValueError,
    KeyError,
    AttributeError,
    NotImplementedError,
    IndexError,
    RecursionError,
    OverflowError,
]


async def from_bob(world: Any, payload: bytes = b"answer") -> bytes:
    return pysequoia.encrypt(payload, [await world.own_cert()], world.bob.signer(), armor=False)


@pytest.fixture
async def process(world: Any) -> AsyncGenerator[WorkerProcess]:
    """The world with a real process instead of the stand-in."""
    if sys.platform == "win32":
        pytest.skip("the worker needs pipes that do not wait")
    made = WorkerProcess(list(world.encrypter.worker_functions))
    world.ports = replace(world.ports, worker=made)
    yield made
    await made.close()


def raising(kind: type[Exception]) -> Any:
    def broken(*_: object, **__: object) -> None:
        raise kind("something of PGPy")

    return broken


async def test_3_what_cannot_be_read_leaves_nothing_behind(world: Any) -> None:
    """Keys without a name, cut ones and strange ones: the next good one is read as if they had not been."""
    good = make_key("<bob@mail.example>")
    cert = public_part(good)
    before = world.engine.read(PublicKey.read(cert))
    nameless = world.engine.read(PublicKey.read(cert[: cert.index(b"<bob@") - 2]))
    assert nameless.problem
    ends = {each.end for each in walk(cert)}
    for size in {*range(10, len(cert), 23)} - ends:
        with pytest.raises(BadOpenPGP):
            world.engine.read(PublicKey(before.key.fingerprint, cert[:size]))
    after = world.engine.read(PublicKey.read(cert))
    assert (after.user_ids, after.problem, after.ids) == (before.user_ids, before.problem, before.ids)


async def test_6_only_session_keys_that_may_be_ours_are_tried(
    world: Any, make_secret: Any, public_of: Any, monkeypatch: Any
) -> None:
    alice = await world.own_cert()
    other = pysequoia.Cert.from_bytes(public_of(make_secret("eve@mail.example")))
    message = pysequoia.encrypt(b"x", [other, alice, other], world.bob.signer(), armor=False)
    tried: list[bytes] = []
    real = sessionkeys.open_session_key

    def spy(body: bytes, subkey: Any) -> Any:
        tried.append(body)
        return real(body, subkey)

    monkeypatch.setattr(opening, "open_session_key", spy)
    assert (await world.open(message)).payload == b"x"
    assert len(tried) == 1


async def test_7_a_bomb_costs_one_message_in_the_process(
    world: Any, process: WorkerProcess, forge: Any
) -> None:
    public = bytes(await world.own_cert())
    (secret,) = next(iter(world.encrypter._accounts.values()))[1].secrets()
    bomb = forge.zipped(forge.literal(bytes(unwrapping.FREE_CONTENT + 1)))
    assert len(bomb) < 100_000
    head, session = forge.session_of(secret.data, public)
    with pytest.raises(DecryptFailed, match="far larger"):
        await world.open(head + forge.container(bomb, session))
    assert (await world.open(await from_bob(world))).verdict.signature is Signature.GOOD


async def test_15_the_loop_turns_while_much_is_opened(world: Any, process: WorkerProcess) -> None:
    message = await from_bob(world, os.urandom(8 * MIB))
    await world.open(await from_bob(world))  # the keys are there
    keys = await world.encrypter.open_keys(
        Body(base64.b64encode(message).decode()), world.open_job(), world.ports
    )
    turns = 0
    judging = asyncio.create_task(world.encrypter._judge(keys, world.ports))
    while not judging.done():
        await asyncio.sleep(0)
        turns += 1
    judged, _ = await judging
    assert len(judged.payload) == 8 * MIB
    assert turns >= 16  # in one process: 2; 8 pieces go there and 8 come back, and a turn lies between two


@pytest.mark.parametrize("kind", STRANGE)
async def test_17_whatever_pgpy_raises_is_our_error(
    world: Any, monkeypatch: Any, kind: type[Exception]
) -> None:
    bob = world.engine.read(PublicKey.read(bytes(world.bob.extract_certificate())))
    secret = make_key("<alice@mail.example>")
    signer = world.engine.signer(secret)
    library = numbers._library()
    with monkeypatch.context() as patch:
        patch.setattr(library.packets.packets.PKESessionKeyV3, "encrypt_sk", raising(kind))
        with pytest.raises(EncryptFailed) as sealing:
            world.engine.encrypt(b"x", [bob.cert], signer, None)
    with monkeypatch.context() as patch:
        patch.setattr(library.packets.packets.PrivKeyV4, "sign", raising(kind))
        with pytest.raises(NoUsableKey) as signing:
            world.engine.encrypt(b"x", [bob.cert], signer, None)
    with monkeypatch.context() as patch:
        patch.setattr(library.packets, "Packet", raising(kind))
        with pytest.raises(BadOpenPGP) as reading:
            world.engine.read(PublicKey.read(public_part(secret)))
    message = await from_bob(world)
    material = type(bob.cert.primary.numbers.packet.keymaterial)
    with monkeypatch.context() as patch:
        patch.setattr(material, "verify", raising(kind))
        assert (await world.open(message)).verdict.signature is Signature.BAD
    assert (await world.open(message)).verdict.signature is Signature.GOOD
    for told in (sealing, signing, reading):
        assert "something of PGPy" not in str(told.value)
