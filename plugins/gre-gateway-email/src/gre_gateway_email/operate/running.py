"""Whether a gateway runs on a state directory: a locked file there that also says what it is doing.

The lock goes with the process, however it ends, and keeps a second gateway from the same state.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from gre_core.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "running.json"
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Running:
    """What a running gateway says about itself.

    Arguments:
        pid: its process id.
        version: of the gateway.
        since: when it was started, in seconds since 1970.
        domain: of the component.
        connected_at: when the XMPP server accepted it, in seconds since 1970; None while it does not.
        listen_port: where it takes mail, or None.
        http_port: of metrics and health, or None.
    """

    pid: int
    version: str
    since: float
    domain: str
    connected_at: float | None = None
    listen_port: int | None = None
    http_port: int | None = None


class RunningFile:
    """The file of this process.

    Arguments:
        folder: the state directory; it has to be there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._descriptor: int | None = None

    def take(self, running: Running) -> Self:
        """Lock the file and write it.

        Raises:
            StoreError: another gateway runs with this state, or the directory cannot be written.
        """
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = read_running(self._path.parent)
            who = f"process {other.pid}" if other else "another process"
            self.release()
            raise StoreError(f"{self._path.parent} is in use: {who} is a gateway with this state") from None
        except OSError as error:
            self.release()
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error
        self.write(running)
        return self

    def write(self, running: Running) -> None:
        """Say something new. A full disk does not matter here."""
        if self._descriptor is None:
            return
        data = json.dumps(asdict(running)).encode() + b"\n"
        with suppress(OSError):
            os.pwrite(self._descriptor, data, 0)
            os.ftruncate(self._descriptor, len(data))

    def release(self) -> None:
        """Let another process have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read_running(folder: Path) -> Running | None:
    """Give what the gateway says that runs on a state directory; None when none does.

    Raises:
        PermissionError: this user may not look.
    """
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it
        values = json.loads(os.pread(descriptor, _LONGEST, 0))
        return Running(**values)
    except (ValueError, TypeError):
        return None
    finally:
        os.close(descriptor)
