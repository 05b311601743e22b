"""Programs that want a terminal: they get one, and nobody looks at it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LINES, COLUMNS = 50, 200


def run_in_terminal(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float
) -> None:
    """Run a program that ends by itself.

    Raises:
        AssertionError: it did not end in time, or failed; with what it wrote last.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = bytearray()

    def read() -> None:
        try:
            while piece := os.read(ours, 65536):
                screen.extend(piece)
        except OSError:
            pass  # the program closed its side

    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    os.close(theirs)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        code: int | str = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = "killed: it waits for a key"
    reader.join(5)
    os.close(ours)
    assert code == 0, f"{command[0]}: {code}: {bytes(screen[-2000:])!r}"
