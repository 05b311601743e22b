"""Tells systemd that the service is ready, stops, and is alive (``sd_notify(3)``); elsewhere nothing."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send lines such as ``READY=1`` to the service manager.

    Arguments:
        state: lines of ``NAME=value``.
        environ: where ``NOTIFY_SOCKET`` is named.

    Result:
        Whether there was somebody to tell.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(0)
        try:
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.send(state.encode())
        except OSError:
            return False  # a service that cannot tell works all the same
    return True


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Give how often the service manager wants to hear ``WATCHDOG=1``, or None."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
