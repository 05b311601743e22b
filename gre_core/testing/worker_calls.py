"""Functions for tests of the worker process: each does one thing that a hostile message could make a library do."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import zlib
from pathlib import Path

from gre_core import errors


def echo(data: bytes) -> bytes:
    """Give the data back."""
    return data


def nap(data: bytes) -> bytes:
    """Give the data back after a tenth of a second."""
    time.sleep(0.1)
    return data


def pid(_data: bytes) -> bytes:
    """Give the number of the process."""
    return str(os.getpid()).encode()


def about(_data: bytes) -> bytes:
    """Tell what the process sees of its surroundings."""
    facts = {
        "environment": sorted(os.environ),
        "arguments": sys.argv,
        "path": sys.path,
        "modules": sorted(sys.modules),
    }
    return json.dumps(facts).encode()


def _open() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def crash(_data: bytes) -> bytes:
    """End the process as a fault in a library does."""
    os.abort()


def leave(_data: bytes) -> bytes:
    """End the process without a word."""
    os._exit(0)


class Panic(BaseException):
    """Stands for the panic of a library in Rust."""


def panic(_data: bytes) -> bytes:
    """Raise what is no ``Exception``."""
    raise Panic


def hang(_data: bytes) -> bytes:
    """Never come back."""
    while True:
        time.sleep(60)


def swell(_data: bytes) -> bytes:
    """Take ever more memory."""
    held = []
    while True:
        held.append(bytearray(16 << 20))


def bomb(data: bytes) -> bytes:
    """Decompress without any bound."""
    return zlib.decompress(data, -zlib.MAX_WBITS)


def large(data: bytes) -> bytes:
    """Give so many bytes."""
    return bytes(int(data))


def babble(_data: bytes) -> bytes:
    """Write rubbish to whatever is open, without end."""
    while True:
        for number in _open():
            with contextlib.suppress(OSError):
                os.write(number, b"\xff" * 4096)


def forge(data: bytes) -> bytes:
    """Write a frame of the caller's choice among the answers."""
    for number in _open():
        with contextlib.suppress(OSError):
            if "pipe:" in str(Path(f"/proc/self/fd/{number}").readlink()):
                os.write(number, data)
    time.sleep(60)
    return b""


def print_much(data: bytes) -> bytes:
    """Write to standard output and error, as libraries do, and give the data back."""
    for _ in range(100):
        print("noise" * 100, flush=True)  # noqa: T201
        print("noise" * 100, file=sys.stderr, flush=True)  # noqa: T201
        os.write(1, b"noise")
    return data


def fail(data: bytes) -> bytes:
    """Raise the error of that name with a text and parameters."""
    if data in {b"secret", b"other"}:
        raise (ValueError if data == b"secret" else KeyError)("the secret text")
    kind: type[errors.GreError] = getattr(errors, data.decode())
    raise kind("It failed.\x00\u202e", reason="so it is", number=5)


class OwnError(errors.DecryptFailed):
    """An error that only a plugin knows."""

    code = "own-error"


def fail_own(_data: bytes) -> bytes:
    """Raise an error that is not in the core."""
    raise OwnError("Only this plugin knows.")


def text(_data: bytes) -> bytes:
    """Give something that is not bytes."""
    return "text"  # type: ignore[return-value]
