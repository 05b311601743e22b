"""Remembers which messages the relay took, so that a resent stanza is answered but not mailed twice.

What is written is a hash of the user and the origin-id with a time, nothing else. An entry is with the
operating system before the user gets the receipt. When the machine loses power right then, or the process
ends between the relay's answer and the entry, a resent message is mailed again, with the same Message-ID,
which mail programs show once.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT_DAYS: Final = 7
MAX_ENTRIES: Final = 500_000
"""Most entries that are kept: the oldest go first. One takes about 200 bytes of memory and 44 on disk."""

_KEPT_SECONDS: Final = KEPT_DAYS * 86_400
_LINE = re.compile(rb"([0-9a-f]{32}) ([0-9]{1,12})")
_SLACK: Final = 20_000
"""So many outdated lines may stand in the file before it is written anew."""


class Journal:
    """An append-only file of what was relayed, read once at the start.

    Arguments:
        path: of the file; it is made with mode 0600.
        now: gives the time in seconds since 1970.

    Raises:
        StoreError: the file cannot be read or written.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        try:
            self._read()
            self._file = self._rewrite()
        except OSError as error:
            raise self._failed(error) from error

    def __len__(self) -> int:
        return len(self._seen)

    def seen(self, user: str, message_id: str) -> bool:
        """Tell whether the relay took this message of this bare JID before."""
        return _key(user, message_id) in self._seen

    def remember(self, user: str, message_id: str) -> None:
        """Note that the relay took this message of this bare JID.

        Raises:
            StoreError: it could not be written. It is remembered until the process ends.
        """
        key, when = _key(user, message_id), int(self._now())
        self._seen[key] = when
        self._seen.move_to_end(key)
        self._prune()
        try:
            os.write(self._file, _line(key, when))
            self._lines += 1
            if self._lines > len(self._seen) + _SLACK:
                os.close(self._file)
                self._file = self._rewrite()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Bring everything to the disk and close the file."""
        os.fsync(self._file)
        os.close(self._file)

    def _read(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            for line in stream:
                # A line that was cut off when the disk was full or the power went is passed over.
                found = _LINE.fullmatch(line.rstrip(b"\n"))
                if found is not None:
                    self._seen[bytes.fromhex(found[1].decode())] = int(found[2])
        self._prune()

    def _rewrite(self) -> int:
        fresh = self._path.with_suffix(".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(file, b"".join(_line(key, when) for key, when in self._seen.items()))
        os.fsync(file)
        fresh.replace(self._path)
        self._lines = len(self._seen)
        return file

    def _prune(self) -> None:
        oldest = self._now() - _KEPT_SECONDS
        while self._seen:
            key, when = self._seen.popitem(last=False)
            if when >= oldest and len(self._seen) < MAX_ENTRIES:
                self._seen[key] = when
                self._seen.move_to_end(key, last=False)
                return

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: the journal cannot be used: {error.strerror or error}")


def _key(user: str, message_id: str) -> bytes:
    return hashlib.sha256(f"{user}\0{message_id}".encode("utf-8", "surrogatepass")).digest()[:16]


def _line(key: bytes, when: int) -> bytes:
    return f"{key.hex()} {when}\n".encode("ascii")
