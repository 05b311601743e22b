"""Runs a plugin on hostile input in a process of its own, with limits of processor time and memory.

Processor time, not that of the wall: a busy machine changes nothing.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pytest

from gre_core.testing.conformance.bombs import bombs
from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Outcome = Literal["done", "time", "growth", "memory"]

_PATIENCE: Final = 40.0
_LEAST: Final = 300.0
"""How many seconds of the wall may pass for one of processor time, and at least, before a sleeper is ended."""
_SUSPICIOUS: Final = 2.0
"""Seconds of processor time after which it is looked at how the time grows."""
_ROUNDS: Final = 3
"""How often the whole and its half are measured before time is said to grow too fast."""
_GROWTH: Final = 3.2
"""How many times the time for one half the whole may take: 2 when time grows with the length, 4 with its square."""


def hostile(valid: bytes, size: int = 1 << 19) -> list[tuple[str, bytes]]:
    """Give hostile inputs of a size in bytes, named: depth, repetition, delimiters, endless lines.

    Bombs are among them, which are larger.

    Arguments:
        valid: what a well-behaved peer sends; parts of it are repeated.
        size: of each.
    """
    pieces = [bytes([code]) for code in b"[{(<\"'\\=-&;:,\r\n \0\xff%A"]
    pieces += [
        b'{"a":',
        b"[[{",
        b"<a>",
        b"<!--",
        b"--\r\n",
        b"a: b\r\n",
        b"=?utf-8?q?a?=",
        b"\r\n ",
        b"; a=b",
    ]
    cut = len(valid) // 3
    pieces += [piece for piece in (valid, valid[:cut], valid[cut : 2 * cut], valid[-cut:]) if piece]
    made = bombs()
    # Something else at the end lets regular expressions try every other way to match what came before.
    made += [
        (f"{piece[:12]!r} repeated", (piece * (size // len(piece) + 1))[: size - 1] + b"!")
        for piece in pieces
    ]
    return [*made, ("the beginning, then one endless line", valid[: 2 * cut] + b"a" * size)]


def bounded(
    inputs: Iterable[tuple[str, bytes]],
    work: Callable[[bytes], object],
    seconds: float,
    memory: int,
    half: Callable[[bytes], bytes] = lambda data: data[: len(data) // 2],
) -> None:
    """Demand that each input is dealt with within the limits; what ``work`` raises does not matter here.

    Arguments:
        inputs: named.
        work: what is called with each.
        seconds: of processor time for each.
        memory: how many bytes more than now the process may take.
        half: gives one half of an input. An input that takes long must not take much more than twice as long.
    """
    __tracebackhide__ = True
    if not hasattr(os, "fork"):
        pytest.skip("limits of time and memory need a system with fork()")
    rest = list(inputs)
    while rest:
        outcome, at = _in_child(rest, work, seconds, memory, half)
        if outcome == "done":
            return
        name = rest[at][0]
        demand(outcome != "time", "bounded-time", f"{name}: more than {seconds:g} s of processor time")
        square = f"{name}: {_SUSPICIOUS:g} s of processor time and more, and half of it not a third of that"
        demand(outcome != "growth", "bounded-time", f"{square}: time grows with the square of the length")
        demand(
            outcome != "memory", "bounded-memory", f"{name}: more than {memory >> 20} MiB more than before"
        )


def _in_child(
    inputs: list[tuple[str, bytes]],
    work: Callable[[bytes], object],
    seconds: float,
    memory: int,
    half: Callable[[bytes], bytes],
) -> tuple[Outcome, int]:
    """Give how it went, and the number of the input that was worked on last."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that others left running; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(inputs, work, seconds, memory, half, writing)
    os.close(writing)
    told = b""
    while select.select([reading], [], [], max(_PATIENCE * seconds, _LEAST))[0]:
        piece = os.read(reading, 65536)
        if not piece:
            break
        told += piece
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    at = max(told.count(b"."), 1) - 1
    if told.endswith((b"m", b"g")):
        return ("memory" if told.endswith(b"m") else "growth"), at
    ended = os.waitstatus_to_exitcode(status)
    if ended == 0:
        return "done", at
    # Ended by a signal: of the limit of time, else by a library that did not get its memory.
    return ("time" if -ended in {signal.SIGXCPU, signal.SIGKILL} else "memory"), at


def _child(
    inputs: list[tuple[str, bytes]],
    work: Callable[[bytes], object],
    seconds: float,
    memory: int,
    half: Callable[[bytes], bytes],
    writing: int,
) -> None:
    """Work through the inputs; never returns. A dot is told before each.

    At the end ``m`` is told when memory ran out, and ``g`` when time grows too fast.
    """
    import resource  # noqa: PLC0415 - only where there is fork()

    try:
        _quiet()
        used = _address_space()
        if used:
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for _, data in inputs:
            begun = time.process_time()
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(begun + seconds), resource.RLIM_INFINITY))
            os.write(writing, b".")
            _one(work, data)
            taken = time.process_time() - begun
            if taken > _SUSPICIOUS:
                rounds = 2 * _ROUNDS * seconds
                resource.setrlimit(
                    resource.RLIMIT_CPU, (math.ceil(begun + seconds + rounds), resource.RLIM_INFINITY)
                )
                if _grows(work, data, half(data), taken):
                    os.write(writing, b"g")
                    break
    except MemoryError:
        os.write(writing, b"m")
    finally:
        os._exit(0)


def _grows(work: Callable[[bytes], object], whole: bytes, half: bytes, taken: float) -> bool:
    """Tell whether the whole takes much more than twice as long as its half.

    A processor that is shared is now quick and now slow. So each is measured several times, and the best one counts.
    """
    halves = [_seconds(work, half)]
    wholes = [taken]
    while min(wholes) > _GROWTH * min(halves):
        if len(wholes) == _ROUNDS:
            return True
        wholes.append(_seconds(work, whole))
        halves.append(_seconds(work, half))
    return False


def _seconds(work: Callable[[bytes], object], data: bytes) -> float:
    """Give the processor time that it takes."""
    begun = time.process_time()
    _one(work, data)
    return time.process_time() - begun


def _one(work: Callable[[bytes], object], data: bytes) -> None:
    try:
        work(data)
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - other rules judge what is raised
        # A plugin may have turned the lack of memory into an error of its own.
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def _address_space() -> int:
    """Give how many bytes of address space this process takes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
