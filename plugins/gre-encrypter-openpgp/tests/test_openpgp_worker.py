"""The real worker process with the real library: what it opens, what it survives, what it never blocks."""

from __future__ import annotations

import asyncio
import os
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_encrypter_openpgp import opening_worker
from gre_openpgp.encrypting import in_worker, worker_frames
from gre_openpgp.encrypting.engine import Secret
from gre_openpgp.encrypting.in_worker import LARGE, Material
from gre_openpgp.encrypting.opening_worker import SECRET_SECONDS

from gre_core.api import Body, Signature
from gre_core.errors import DecryptFailed, NotForUs, ParseFailed, WorkerFailed
from gre_core.message_codec import decode_message
from gre_core.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MIB = 1 << 20
GIB = 1 << 30
PARSER = "gre_formatter_mime.worker:parse"
MAIL = b"From: bob@mail.example\r\nSubject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the worker needs pipes that do not wait"),
    pytest.mark.parametrize("world", ["worker"], indirect=True),
]


@pytest.fixture
async def process(world: Any) -> AsyncGenerator[WorkerProcess]:
    """The world with a real process instead of the stand-in."""
    made = WorkerProcess([*world.encrypter.worker_functions, PARSER])
    world.ports = replace(world.ports, worker=made)
    yield made
    await made.close()


async def from_bob(world: Any, payload: bytes = MAIL) -> bytes:
    return pysequoia.encrypt(payload, [await world.own_cert()], world.bob.signer(), armor=False)


async def test_a_message_is_opened_and_read_in_one_go(world: Any, process: WorkerProcess) -> None:
    opened = await world.open(await from_bob(world), parser=PARSER)
    assert opened.verdict.signature is Signature.GOOD
    assert opened.payload == b""
    assert decode_message(opened.parsed).text == "hello"


async def test_without_a_parser_the_payload_comes_back(world: Any, process: WorkerProcess) -> None:
    opened = await world.open(await from_bob(world))
    assert (opened.payload, opened.parsed) == (MAIL, None)


async def test_what_cannot_be_parsed_is_the_error_of_the_parser(world: Any, process: WorkerProcess) -> None:
    many_parts = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n\r\n" * 1100
    with pytest.raises(ParseFailed, match="1000 parts"):
        await world.open(await from_bob(world, many_parts), parser=PARSER)


async def test_a_compressed_message_is_judged_there_too(
    world: Any, process: WorkerProcess, make_compressed: Any, make_secret: Any
) -> None:
    alice = bytes(await world.own_cert())
    message = make_compressed(make_secret("bob@mail.example"), alice, MAIL)
    opened = await world.open(message, parser=PARSER)
    assert opened.verdict.signature is Signature.GOOD
    assert decode_message(opened.parsed).text == "hello"


async def test_sixteen_at_once(world: Any, process: WorkerProcess) -> None:
    messages = [await from_bob(world, MAIL + b"%d" % number) for number in range(16)]
    opened = await asyncio.gather(*(world.open(message) for message in messages))
    assert [one.payload for one in opened] == [MAIL + b"%d" % number for number in range(16)]
    assert {one.verdict.signature for one in opened} == {Signature.GOOD}


async def test_keys_travel_once_and_again_after_a_restart(world: Any, process: WorkerProcess) -> None:
    sizes: list[int] = []

    class Watching:
        async def run(self, function: str, data: bytes, /) -> bytes:
            sizes.append(len(data))
            return await process.run(function, data)

    world.ports = replace(world.ports, worker=Watching())
    message = await from_bob(world)
    await world.open(message)
    assert len(sizes) == 2  # asked for, and sent
    await world.open(message)
    assert len(sizes) == 3
    assert sizes[2] == sizes[0]
    os.kill((await process.info()).pid, 9)
    for _ in range(500):
        if process._pipes is None:
            break
        await asyncio.sleep(0.01)
    assert (await world.open(message)).verdict.signature is Signature.GOOD
    assert len(sizes) == 5


async def test_a_panic_costs_one_message_and_the_process(
    world: Any, process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await from_bob(world)
    await world.open(message)
    before = (await process.info()).pid
    monkeypatch.setattr("gre_openpgp.messages.MIN_SEIPD", 0)  # let it through to the library
    keys = await world.encrypter.open_keys(Body(_b64(message)), world.open_job(), world.ports)
    cut = replace(keys, message=cut_short(message, 38))
    with pytest.raises(DecryptFailed, match="library failed"):
        await world.encrypter._judge(cut, world.ports)
    assert (await world.open(message)).verdict.signature is Signature.GOOD
    assert (await process.info()).pid != before


def _b64(message: bytes) -> str:
    import base64

    return base64.b64encode(message).decode()


def cut_short(message: bytes, size: int) -> bytes:
    """Keep the session key, and a container with a body of so many bytes."""
    from gre_openpgp.messages import check_message

    checked = check_message(message)
    return message[: checked.container] + bytes([0xD2, size]) + checked.body(message)[:size]


async def test_a_decompression_bomb_is_our_error_and_nothing_more(
    world: Any, process: WorkerProcess, forge: Any, make_secret: Any
) -> None:
    block = zlib.compressobj(wbits=-15)
    zeros = block.compress(bytes(4 * MIB)) + block.flush(zlib.Z_FULL_FLUSH)
    head = zlib.compressobj(wbits=-15)
    start = head.compress(b"\xcb\xff" + (GIB + 6).to_bytes(4, "big") + b"b\0\0\0\0\0") + head.flush(
        zlib.Z_FULL_FLUSH
    )
    bomb = forge.packet(8, b"\x01" + start + zeros * (GIB // (4 * MIB)) + zlib.compressobj(wbits=-15).flush())
    assert len(bomb) < 2 * MIB
    await world.seal()
    (secret,) = next(iter(world.encrypter._accounts.values()))[1].secrets()
    pkesk, session = forge.session_of(secret.data, bytes(await world.own_cert()))
    with pytest.raises(DecryptFailed):
        await world.open(pkesk + forge.container(bomb, session), parser=PARSER)
    assert (await world.open(await from_bob(world))).verdict.signature is Signature.GOOD


async def test_large_payloads_are_sealed_there(world: Any, process: WorkerProcess, tmp_path: Path) -> None:
    called: list[str] = []

    class Watching:
        async def run(self, function: str, data: bytes, /) -> bytes:
            called.append(function)
            return await process.run(function, data)

    world.ports = replace(world.ports, worker=Watching())
    await world.seal(b"x" * LARGE)
    assert called == []
    large = os.urandom(LARGE + 1)
    message = await world.seal(large)
    assert called == [f"{world.engine.worker_module}:{in_worker.SEAL}"] * 2  # the second time with the keys
    cert = await world.own_cert()
    opened = pysequoia.decrypt(message, world.bob.decryptor(), lambda _: [cert])
    assert opened.bytes == large
    assert opened.valid_sigs


async def test_files_go_through_the_process(world: Any, process: WorkerProcess, tmp_path: Path) -> None:
    payload, sealed, target = (tmp_path / name for name in ("payload", "sealed", "opened"))
    payload.write_bytes(os.urandom(3 * MIB))
    keys = await world.encrypter.seal_keys(world.job(), world.ports)
    await world.encrypter.encrypt_file(payload, sealed, keys, world.ports)
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert pysequoia.decrypt(sealed.read_bytes(), world.bob.decryptor()).bytes == payload.read_bytes()
    sealed.write_bytes(await from_bob(world, payload.read_bytes()))
    opened = await world.encrypter.decrypt_file(sealed, target, world.open_job(), world.ports)
    assert opened.verdict.signature is Signature.GOOD
    assert target.read_bytes() == payload.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["opened", "payload", "sealed"]


async def test_a_damaged_file_leaves_nothing_behind(
    world: Any, process: WorkerProcess, tmp_path: Path
) -> None:
    sealed = tmp_path / "sealed"
    message = bytearray(await from_bob(world, os.urandom(MIB)))
    message[-30] ^= 1
    sealed.write_bytes(message)
    with pytest.raises(DecryptFailed):
        await world.encrypter.decrypt_file(sealed, tmp_path / "opened", world.open_job(), world.ports)
    assert [path.name for path in tmp_path.iterdir()] == ["sealed"]


async def test_the_loop_turns_while_25_mb_are_opened(world: Any, process: WorkerProcess) -> None:
    message = await from_bob(world, MAIL + os.urandom(25 * MIB))
    keys = await world.encrypter.open_keys(Body(_b64(message)), world.open_job(), world.ports)
    await world.open(await from_bob(world))  # the keys are there
    turns = 0
    opening = asyncio.create_task(world.encrypter._judge(keys, world.ports))
    while not opening.done():
        await asyncio.sleep(0)
        turns += 1
    judged, _ = await opening
    assert len(judged.payload) > 25 * MIB
    assert turns >= 50  # in one process: 2; 25 pieces go there and 25 come back, and a turn lies between two


async def test_a_secret_key_shows_nowhere(world: Any, process: WorkerProcess) -> None:
    message = await from_bob(world)
    await world.open(message)
    if sys.platform == "linux":
        folder = Path(f"/proc/{(await process.info()).pid}")
        shown = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        (secret,) = next(iter(world.encrypter._accounts.values()))[1].secrets()
        assert secret.data not in shown
        assert secret.data.hex().encode() not in shown
        assert worker_frames.secret_name(secret.data).encode() not in shown
    assert "worker" not in repr(Material("module", [Secret(b"secret")], [b"x"]))


# -- a process that was taken over -----------------------------------------------------------------


class Lying:
    """A worker that gives the answer of the test's choice."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def run(self, function: str, data: bytes, /) -> bytes:
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0\0\x02[]",
        b"\0\0\0\x02{}",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\x0f" + b"[" * 15,
        worker_frames.pack({"missing": ["unheard of"]}),
        worker_frames.pack({"missing": 5}),
        worker_frames.pack({"signers": "AB", "asked": []}),
        worker_frames.pack({"signers": [5], "asked": []}),
        worker_frames.pack({"signers": ["<b>"], "asked": []}),
        worker_frames.pack({"signers": ["ab"] * 2000, "asked": []}),
    ],
)
async def test_no_answer_brings_more_than_our_error(world: Any, answer: bytes) -> None:
    message = await from_bob(world)
    world.ports = replace(world.ports, worker=Lying(answer))
    with pytest.raises(DecryptFailed):
        await world.open(message)


@pytest.mark.sequoia
async def test_a_want_of_memory_is_not_taken_for_damage(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def decrypt(*_: Any) -> Any:
        raise MemoryError

    message = await from_bob(world)
    monkeypatch.setattr(pysequoia, "decrypt", decrypt)
    with pytest.raises(MemoryError):  # in the process it ends the call, and the process
        await world.open(message)


async def test_a_worker_that_failed_says_what_to_do(world: Any) -> None:
    class Failing:
        async def run(self, function: str, data: bytes, /) -> bytes:
            raise WorkerFailed("It took longer than the 5 seconds that are allowed")

    message = await from_bob(world)
    world.ports = replace(world.ports, worker=Failing())
    with pytest.raises(DecryptFailed, match=r"longer than the 5 seconds.*Ask the sender"):
        await world.open(message)


# -- what the process keeps ------------------------------------------------------------------------


async def test_a_secret_key_that_is_not_used_is_forgotten(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await from_bob(world)
    await world.open(message)
    assert opening_worker.WORKER._secrets._known
    clock = iter([1e9, *[2e9] * 1000])
    monkeypatch.setattr("gre_openpgp.encrypting.opening_worker.time.monotonic", lambda: next(clock))
    opening_worker.WORKER._secrets.forget(SECRET_SECONDS)
    assert not opening_worker.WORKER._secrets._known
    assert (await world.open(message)).verdict.signature is Signature.GOOD


async def test_no_function_is_run_that_was_not_allowed(world: Any) -> None:
    message = await from_bob(world)
    with pytest.raises(Exception, match="may not call"):
        await world.open(message, parser="os:system")


async def test_who_has_no_key_for_it_gets_the_same_error(world: Any, make_secret: Any) -> None:
    stranger = pysequoia.Tsk.from_bytes(make_secret("eve@mail.example")).extract_certificate()
    await world.seal()
    with pytest.raises(NotForUs):
        await world.open(pysequoia.encrypt(MAIL, [stranger], armor=False))
