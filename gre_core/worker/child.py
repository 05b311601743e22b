"""The worker process itself, started by the path of this file.

It needs nothing but the standard library until its host has told it where everything else is. It reads requests from
its standard input and writes answers, in the same order, to its standard output; both are moved away first, so that no
library writes among them. It ends with its input, and when a call may have left it in disorder.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import sys
from typing import Final

REQUEST: Final = struct.Struct(">IHQ")
"""Number of the call, number of the function, length of the data that follow."""

ANSWER: Final = struct.Struct(">IBQ")
"""Number of the call (0: ready), how it went, length of the data that follow."""

DONE, FAILED, OUT_OF_MEMORY, BROKEN = range(4)
"""How a call went. After the last two the process ends."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


def main() -> None:
    """Answer requests until there are no more."""
    requests, answers = _move_away()
    head = requests.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return
    setup = json.loads(requests.read(REQUEST.unpack(head)[2]))
    protections = _protect(setup["parent"])
    sys.path[:] = setup["path"]
    from gre_core import worker_functions  # noqa: PLC0415 - it could not be found before

    names: list[str] = setup["functions"]
    worker_functions.allow(names)
    for name in names:
        _load(name)
    memory = _limit_memory(setup["memory"])
    _answer(answers, 0, DONE, json.dumps({"memory": memory, "protections": protections}).encode())
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        number, function, length = REQUEST.unpack(head)
        status, result = _call(names[function], requests, length)
        _answer(answers, number, status, result)
        if status in {OUT_OF_MEMORY, BROKEN}:
            return
        del result  # before the next request is read


def _move_away() -> tuple[io.BufferedReader, int]:
    """Take the pipes to ourselves, and let standard input, output and error lead nowhere."""
    requests, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return io.BufferedReader(io.FileIO(requests), 1 << 16), answers


def _load(name: str) -> None:
    """Import a function before memory is limited; one that is not there is told to who calls it."""
    from gre_core import worker_functions  # noqa: PLC0415
    from gre_core.errors import Refused  # noqa: PLC0415

    with contextlib.suppress(Refused):
        worker_functions.get(name)


def _call(name: str, requests: io.BufferedReader, length: int) -> tuple[int, bytes]:
    from gre_core import worker_functions  # noqa: PLC0415
    from gre_core.errors import GreError  # noqa: PLC0415
    from gre_core.failures import tell_failure  # noqa: PLC0415

    try:
        result = worker_functions.get(name)(requests.read(length))
        if type(result) is not bytes:
            raise TypeError
    except MemoryError:
        return OUT_OF_MEMORY, b""
    except GreError as error:
        return FAILED, tell_failure(error)
    except Exception as error:  # noqa: BLE001 - its text may hold plaintext
        return FAILED, tell_failure(GreError(f"{type(error).__name__} in {name}"))
    except BaseException:  # noqa: BLE001 - a panic of a library in Rust is no Exception
        return BROKEN, b""
    return DONE, result


def _answer(answers: int, number: int, status: int, data: bytes) -> None:
    head = ANSWER.pack(number, status, len(data))
    if len(data) <= 1 << 12:
        head, data = head + data, b""
    for piece in (head, data):
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(answers, rest) :]


def _protect(parent: int) -> list[str]:
    """Leave no core dump, let no other process look in, and end with the host."""
    done = []
    try:
        import resource  # noqa: PLC0415 - not everywhere

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        done.append("no core dumps")
    except (ImportError, OSError, ValueError):
        pass
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only here
        import signal  # noqa: PLC0415

        prctl = ctypes.CDLL(None).prctl
        for option, value, what in (
            (_PR_SET_PDEATHSIG, signal.SIGKILL, "ends with its host"),
            (_PR_SET_DUMPABLE, 0, "memory closed to other programs"),
            (_PR_SET_NO_NEW_PRIVS, 1, "no new privileges"),
        ):
            if prctl(option, int(value), 0, 0, 0) == 0:
                done.append(what)
        if os.getppid() != parent:  # it ended before we asked for the signal
            os._exit(0)
    return done


def _limit_memory(limit: int) -> int:
    """Limit the address space; give the limit that holds, 0 for none."""
    try:
        import resource  # noqa: PLC0415 - not everywhere

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, AttributeError, OSError, ValueError):
        return 0
    return limit


if __name__ == "__main__":
    main()
