"""Keeps what the mail server handed over until the user's client, or at least its server, has it.

Each entry is one file of mode 0600: a line of JSON, then the content. A mail is acknowledged only when
:meth:`Spool.add` has returned: then its file and the folder are on the disk. What cannot be delivered goes to
the folder ``dead`` with the reason in a file beside it; nothing is ever dropped.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from gre_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_HEAD: Final = 64 * 1024
"""Longest first line of a file, in bytes."""

_SUFFIX: Final = ".entry"
_REASON: Final = ".reason"

Kind = Literal["encrypted", "plain"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message for one user; the content stays on the disk.

    Arguments:
        id: the id of the stanza and of the file. The same mail for the same user has the same id.
        user: bare JID.
        sender: mail address that it is from.
        kind: encrypted or plain.
        formatter: of an encrypted message, else ``""``.
        encrypter: of an encrypted message, else ``""``.
        subject: of a plain message.
        received: when it came, in seconds since 1970.
        notes: codes of what stood around an encrypted message.
    """

    id: str
    user: str
    sender: str
    kind: Kind
    formatter: str = ""
    encrypter: str = ""
    subject: str = ""
    received: float = 0.0
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Entry({self.id})"


class Spool:
    """A folder of entries.

    Arguments:
        folder: it and ``dead`` below it are made with mode 0700.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dead = folder / "dead"
        try:
            for one in (folder, self._dead):
                one.mkdir(mode=0o700, parents=True, exist_ok=True)
            for stale in folder.glob("*.new"):
                stale.unlink()
        except OSError as error:
            raise self._failed("used", error) from error

    def entries(self) -> tuple[Entry, ...]:
        """Give all entries, oldest first. What is not readable goes to ``dead``.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = []
        try:
            for path in self._folder.glob(f"*{_SUFFIX}"):
                try:
                    found.append(_read_head(path))
                except (ValueError, TypeError) as error:
                    self._bury(path, f"not readable: {error}")
        except OSError as error:
            raise self._failed("read", error) from error
        return tuple(sorted(found, key=lambda entry: entry.received))

    async def add(self, entry: Entry, content: str) -> Entry:
        """Store an entry. When this returns, it survives the loss of power.

        Result:
            The entry with its time.

        Raises:
            StoreError: it was not stored.
        """
        stored = replace(entry, received=time.time())
        try:
            await asyncio.to_thread(self._write, stored, content)
        except OSError as error:
            raise self._failed("written", error) from error
        return stored

    def content(self, entry: Entry) -> str:
        """Give the content of an entry.

        Raises:
            StoreError: it is not there or not readable.
        """
        try:
            with self._path(entry).open("rb") as stream:
                stream.readline(MAX_HEAD)
                return stream.read().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self._failed("read", error) from error

    def remove(self, entries: Iterable[Entry]) -> None:
        """Forget entries that arrived.

        Raises:
            StoreError: one could not be removed.
        """
        try:
            for entry in entries:
                self._path(entry).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed("cleaned", error) from error

    def bury(self, entry: Entry, reason: str) -> None:
        """Move an entry that cannot be delivered to ``dead``.

        Raises:
            StoreError: it could not be moved.
        """
        try:
            self._bury(self._path(entry), reason)
        except OSError as error:
            raise self._failed("written", error) from error

    def _path(self, entry: Entry) -> Path:
        return self._folder / f"{entry.id}{_SUFFIX}"

    def _write(self, entry: Entry, content: str) -> None:
        fresh = self._folder / f"{entry.id}.{os.urandom(4).hex()}.new"
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(json.dumps(asdict(entry), ensure_ascii=True).encode("ascii") + b"\n")
                stream.write(content.encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._path(entry))
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _bury(self, path: Path, reason: str) -> None:
        note = os.open(self._dead / f"{path.stem}{_REASON}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(note, "w", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {reason}\n")
        path.replace(self._dead / path.name)

    def _failed(self, what: str, error: Exception) -> StoreError:
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return StoreError(
            f"The spool {self._folder} cannot be {what}: {reason}. Check owner, permissions and free space."
        )


def _read_head(path: Path) -> Entry:
    with path.open("rb") as stream:
        head = stream.readline(MAX_HEAD)
    entry = Entry(**json.loads(head))
    if entry.id != path.stem:
        raise ValueError("the name of the file is not the id of the entry")
    return replace(entry, notes=tuple(map(str, entry.notes)))
