"""Ports for servers that are told theirs before they start."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import tempfile
import threading
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOOPBACK: Final = "127.0.0.1"
"""The only address that test servers listen on."""

PORTS: Final = range(16_384, 32_768)
"""Below those that systems take for outgoing connections: one of these could have the port a moment later."""

_lock = threading.Lock()
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that no other process is given while this one lives.

    Between this moment and the start of the server that gets it may lie a minute: so other test runs on this machine
    keep away from it, too.

    Raises:
        OSError: all are in use.
    """
    with _lock:
        begin = random.choice(PORTS)
        for port in chain(range(begin, PORTS.stop), range(PORTS.start, begin)):
            if port not in _given and _reserve(port) and _is_free(port):
                _given.add(port)
                return port
        if not _given:
            message = "All ports of 127.0.0.1 for test servers are in use."
            raise OSError(message)
        _given.clear()  # most of those that were given are long out of use
    return free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a connection that has just ended does no harm.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Lock the byte of a file that stands for a port; the lock ends with this process, however that ends."""
    if fcntl is None:
        return True
    with contextlib.suppress(OSError):
        fcntl.lockf(_file(os.getpid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    return False


@cache
def _file(_pid: int) -> int:
    """Open the file of this user, once for each process: locks are not inherited."""
    path = Path(tempfile.gettempdir()) / f"gre-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
