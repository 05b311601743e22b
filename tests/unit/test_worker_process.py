"""The worker process: whatever a call does, it costs that call alone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import struct
import sys
import zlib
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gre_core.errors import BadEncrypted, DecryptFailed, GreError, NotForUs, Refused, WorkerFailed
from gre_core.ports import Worker
from gre_core.testing import worker_calls
from gre_core.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the worker needs pipes that do not wait")

MODULE = worker_calls.__name__
ALL = [
    f"{MODULE}:{name}" for name, value in vars(worker_calls).items() if isfunction(value) and name[0] != "_"
]
MIB = 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def called(name: str) -> str:
    return f"{MODULE}:{name}"


@pytest.fixture
async def worker() -> AsyncGenerator[WorkerProcess]:
    made = WorkerProcess(ALL, memory=400 * MIB)
    yield made
    await made.close()


async def state_of(pid: int) -> str:
    """The state of a process in /proc, "" when it is gone; waits for what is on its way."""
    state = "?"
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""
        await asyncio.sleep(0.01)
    return state


# -- what goes well --------------------------------------------------------------------------------


async def test_a_function_is_called_with_bytes_and_gives_bytes(worker: WorkerProcess) -> None:
    assert isinstance(worker, Worker)
    assert await worker.run(called("echo"), b"") == b""
    assert await worker.run(called("echo"), b"\x00hello") == b"\x00hello"


@pytest.mark.parametrize("size", [1, 4095, 4096, 65536, MIB - 15, MIB, 3 * MIB + 1])
async def test_every_size_comes_back_whole(worker: WorkerProcess, size: int) -> None:
    data = os.urandom(size)
    assert await worker.run(called("echo"), data) == data


async def test_many_calls_are_under_way_at_once_and_each_gets_its_answer(worker: WorkerProcess) -> None:
    data = [bytes([number]) * (number * 10_007) for number in range(64)]
    answers = await asyncio.gather(*(worker.run(called("echo"), one) for one in data))
    assert answers == data


async def test_it_is_started_with_the_first_call_and_stays(worker: WorkerProcess) -> None:
    assert worker._process is None
    first = await worker.run(called("pid"), b"")
    assert await worker.run(called("pid"), b"") == first
    assert int(first) == (await worker.info()).pid != os.getpid()


async def test_what_libraries_print_does_not_come_between_the_answers(
    worker: WorkerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await worker.run(called("print_much"), b"data") == b"data"
    assert capfd.readouterr() == ("", "")


async def test_a_caller_that_does_not_wait_disturbs_nobody(worker: WorkerProcess) -> None:
    impatient = asyncio.create_task(worker.run(called("nap"), b"1"))
    patient = asyncio.create_task(worker.run(called("echo"), b"2"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == b"2"


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NotForUs, DecryptFailed, BadEncrypted])
async def test_our_errors_come_back_as_what_they_are(worker: WorkerProcess, kind: type[GreError]) -> None:
    with pytest.raises(kind) as caught:
        await worker.run(called("fail"), kind.__name__.encode())
    assert type(caught.value) is kind
    assert caught.value.text == "It failed.\ufffd\ufffd"
    assert dict(caught.value.params) == {"reason": "so it is", "number": 5}


async def test_an_error_of_a_plugin_comes_back_as_the_nearest_that_is_known(worker: WorkerProcess) -> None:
    with pytest.raises(DecryptFailed, match="Only this plugin knows"):
        await worker.run(called("fail_own"), b"")


@pytest.mark.parametrize(("name", "kind"), [("secret", "ValueError"), ("other", "KeyError")])
async def test_of_other_errors_only_the_kind_is_told(worker: WorkerProcess, name: str, kind: str) -> None:
    with pytest.raises(GreError, match=kind) as caught:
        await worker.run(called("fail"), name.encode())
    assert "secret" not in str(caught.value)
    assert await worker.run(called("echo"), b"on") == b"on"


async def test_what_is_no_bytes_is_an_error(worker: WorkerProcess) -> None:
    with pytest.raises(GreError, match="TypeError"):
        await worker.run(called("text"), b"")


async def test_no_function_is_called_that_was_not_allowed(worker: WorkerProcess) -> None:
    for name in ("os:system", "builtins:exec", "", "gre_core.testing.worker_calls", called("_private")):
        with pytest.raises(Refused, match="may not call"):
            await worker.run(name, b"true")


async def test_an_allowed_function_that_is_not_there_says_so() -> None:
    worker = WorkerProcess(lambda: ["gre_core:nothing", "no_such_module:x", called("echo")])
    try:
        for name in ("gre_core:nothing", "no_such_module:x"):
            with pytest.raises(GreError, match="cannot be loaded"):
                await worker.run(name, b"")
        assert await worker.run(called("echo"), b"on") == b"on"
    finally:
        await worker.close()


async def test_a_request_or_an_answer_that_is_too_long_is_refused() -> None:
    worker = WorkerProcess(ALL, max_data=1000)
    try:
        with pytest.raises(Refused, match="1001 bytes"):
            await worker.run(called("echo"), bytes(1001))
        with pytest.raises(WorkerFailed):
            await worker.run(called("large"), b"1001")
        assert await worker.run(called("large"), b"1000") == bytes(1000)
    finally:
        await worker.close()


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["crash", "leave", "panic", "swell", "babble"])
async def test_who_ends_the_process_fails_alone(worker: WorkerProcess, what: str) -> None:
    before = int(await worker.run(called("pid"), b""))
    results = await asyncio.gather(
        worker.run(called("echo"), b"before"),
        worker.run(called(what), b""),
        *(worker.run(called("echo"), b"%d" % number) for number in range(16)),
        worker.run(called("pid"), b""),
        return_exceptions=True,
    )
    assert results[0] == b"before"
    assert isinstance(results[1], WorkerFailed), results[1]
    assert results[2:-1] == [b"%d" % number for number in range(16)]
    assert int(results[-1]) != before  # type: ignore[arg-type]
    if sys.platform == "linux":
        assert await state_of(before) == ""  # and no zombie


async def test_who_takes_too_long_fails_alone() -> None:
    worker = WorkerProcess(ALL, timeout=1.0)
    try:
        hanging = asyncio.create_task(worker.run(called("hang"), b""))
        behind = asyncio.create_task(worker.run(called("echo"), b"behind"))
        with pytest.raises(WorkerFailed, match="1 seconds"):
            await hanging
        assert await behind == b"behind"
    finally:
        await worker.close()


async def test_the_time_counts_from_when_a_call_begins() -> None:
    worker = WorkerProcess(ALL, timeout=1.0)
    try:
        await worker.info()
        answers = await asyncio.gather(*(worker.run(called("nap"), b"%d" % number) for number in range(15)))
        assert answers == [b"%d" % number for number in range(15)]
    finally:
        await worker.close()


async def test_a_decompression_bomb_ends_at_the_limit_of_memory(worker: WorkerProcess) -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(4 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = block * 256 + zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    assert len(bomb) < 2 * MIB  # 1 GiB in it
    with pytest.raises(WorkerFailed, match="400 MiB"):
        await worker.run(called("bomb"), bomb)
    assert await worker.run(called("echo"), b"on") == b"on"


@linux
async def test_a_child_that_is_killed_costs_the_call_that_ran(worker: WorkerProcess) -> None:
    info = await worker.info()
    running = asyncio.create_task(worker.run(called("hang"), b""))
    behind = asyncio.create_task(worker.run(called("echo"), b"behind"))
    await asyncio.sleep(0)
    os.kill(info.pid, signal.SIGKILL)
    with pytest.raises(WorkerFailed, match="ended"):
        await running
    assert await behind == b"behind"


@linux
async def test_a_child_that_is_killed_while_idle_costs_nothing(worker: WorkerProcess) -> None:
    info = await worker.info()
    os.kill(info.pid, signal.SIGKILL)
    assert await state_of(info.pid) == ""
    assert await worker.run(called("echo"), b"on") == b"on"


@linux
@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">IBQ", 0, 0, 2) + b"{}",  # ready, a second time
        struct.pack(">IBQ", 99, 0, 0),  # another number
        struct.pack(">IBQ", 2, 0, 1 << 60),  # the answer of the other call; endless
        struct.pack(">IBQ", 1, 0, 1 << 60),
        struct.pack(">IBQ", 1, 200, 0),  # no such outcome
        struct.pack(">IBQ", 1, 1, 5) + b"[1,2]",  # no error
        struct.pack(">IBQ", 1, 1, 100_002) + b"[" * 100_002,
    ],
)
async def test_a_forged_frame_costs_no_more_than_the_call(worker: WorkerProcess, frame: bytes) -> None:
    forging = asyncio.create_task(worker.run(called("forge"), frame))
    behind = asyncio.create_task(worker.run(called("echo"), b"behind"))
    with pytest.raises(WorkerFailed):
        await forging
    if frame[4] == 1:  # it was taken for an answer; the child itself still sleeps
        behind.cancel()
    else:
        assert await behind == b"behind"


async def test_a_process_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    for python in (tmp_path / "nothing", Path("/bin/false")):
        worker = WorkerProcess(ALL, python=str(python))
        calls = [worker.run(called("echo"), b""), worker.run(called("echo"), b"")]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [WorkerFailed, WorkerFailed]
        with pytest.raises(WorkerFailed):
            await worker.info()
        await worker.close()


async def test_calls_that_wait_fail_when_it_is_closed(worker: WorkerProcess) -> None:
    waiting = asyncio.create_task(worker.run(called("hang"), b""))
    pid = (await worker.info()).pid
    await worker.close()
    with pytest.raises(WorkerFailed):
        await waiting
    with pytest.raises(WorkerFailed):
        await worker.run(called("echo"), b"")
    if sys.platform == "linux":
        assert not Path(f"/proc/{pid}").exists()
    await worker.close()


# -- isolation -------------------------------------------------------------------------------------


@linux
async def test_it_knows_nothing_of_its_host(worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "password")
    handle = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        facts = json.loads(await worker.run(called("about"), b"payload"))
    finally:
        os.close(handle)
    assert set(facts["environment"]) <= {"LC_CTYPE"}  # Python sets it itself (PEP 538)
    assert len(facts["arguments"]) == 1
    assert "asyncio" not in facts["modules"]
    pid = (await worker.info()).pid
    targets = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    open_ones = [target for target in targets if ".so" not in target]  # some builds of libffi open themselves
    assert open_ones.count("/dev/null") == 3
    assert len([target for target in open_ones if target.startswith("pipe:")]) == len(open_ones) - 3 == 2
    assert b"payload" not in Path(f"/proc/{pid}/cmdline").read_bytes()


@linux
async def test_limits_hold(worker: WorkerProcess) -> None:
    info = await worker.info()
    assert info.memory == 400 * MIB
    assert "no core dumps" in info.protections
    assert "ends with its host" in info.protections
    limits = Path(f"/proc/{info.pid}/limits").read_text().splitlines()
    assert any(line.startswith("Max address space") and str(400 * MIB) in line for line in limits)
    assert any(line.split()[:5] == ["Max", "core", "file", "size", "0"] for line in limits)


@linux
async def test_it_ends_with_its_host(tmp_path: Path) -> None:
    program = f"""
import asyncio, os
from gre_core.worker import WorkerProcess
async def main():
    worker = WorkerProcess(["{called("hang")}", "{called("echo")}"])
    await worker.run("{called("echo")}", b"")
    asyncio.create_task(worker.run("{called("hang")}", b""))
    await asyncio.sleep(0.05)
    print((await worker.info()).pid, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await host.communicate()
    assert await state_of(int(out)) == ""


async def test_nothing_of_a_payload_is_shown(worker: WorkerProcess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(WorkerFailed) as caught:
        await worker.run(called("crash"), b"the secret")
    shown = f"{worker!r} {worker.__dict__!r} {caught.value!r} {caplog.text}"
    assert "secret" not in shown
    assert "worker-restarted" in caplog.text


async def test_the_loop_turns_while_much_data_goes_both_ways(worker: WorkerProcess) -> None:
    turns = 0
    done = False

    async def count() -> None:
        nonlocal turns
        while not done:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    data = bytes(25 * MIB)
    assert await worker.run(called("echo"), data) == data
    done = True
    await counting
    assert turns >= 50  # 25 pieces there and 25 back at the least, and a turn between two of them
