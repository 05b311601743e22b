"""The two stores that are shipped: one in memory, one in a directory that only its owner can read.

::

    store = FileStore(default_directory("juliet@example.org"))
    await store.put("trust/romeo@example.net", b"...")
    await store.keys("trust/")
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["FileStore", "MemoryStore", "default_directory"]

MAX_KEY: Final = 512
"""Longest key, in characters."""

_LONGEST_NAME: Final = 240  # file systems take 255 bytes; some encrypting ones a little less
_HEAD: Final = 160  # how much of the encoding of a long key stays readable in its file name
_STALE: Final = 3600.0  # seconds after which a temporary file was left by a process that died
_TEMPORARY: Final = ".new-"


class MemoryStore:
    """A store that ends with the process: for tests, and for hosts that keep nothing."""

    def __init__(self) -> None:
        """Make an empty store."""
        self._values: dict[str, bytes] = {}

    async def get(self, key: str, /) -> bytes | None:
        """Give the value, or None when there is none."""
        return self._values.get(_checked(key))

    async def put(self, key: str, value: bytes, /) -> None:
        """Keep the value until the process ends."""
        self._values[_checked(key)] = bytes(value)

    async def create(self, key: str, value: bytes, /) -> bool:
        """Keep the value if there is none yet; tell whether it was kept."""
        if _checked(key) in self._values:
            return False
        self._values[key] = bytes(value)
        return True

    async def delete(self, key: str, /) -> None:
        """Forget the value; nothing happens when there is none."""
        self._values.pop(_checked(key), None)

    async def keys(self, prefix: str, /) -> Sequence[str]:
        """List all keys that start with the prefix, sorted."""
        return sorted(key for key in self._values if key.startswith(prefix))


class FileStore:
    """A durable store: one file of mode 0600 per key, in one directory of mode 0700.

    A value is written beside its place, synced and moved there, so that a crash leaves the old value or the
    new one. Symbolic links in the directory are refused. The calls block for as long as the disk takes.

    Arguments:
        directory: made when something is written first. When others can read it, that is taken from them.
    """

    def __init__(self, directory: Path) -> None:
        """Name the directory; nothing is read or written yet."""
        self._directory = directory
        self._ready = False

    def __repr__(self) -> str:
        """Name the directory."""
        return f"FileStore({str(self._directory)!r})"

    async def get(self, key: str, /) -> bytes | None:
        """Give the value, or None when there is none.

        Raises:
            StoreError: it cannot be read, or the directory is not safe.
        """
        name = _file_name(key)
        if not self._open_directory(create=False):
            return None
        content = self._read(name)
        if content is None or not _is_long(name):
            return content
        return content[_header_length(content) :]

    async def put(self, key: str, value: bytes, /) -> None:
        """Keep the value. When this returns, it survives the end of the process and a loss of power.

        Raises:
            StoreError: it cannot be written, or the directory is not safe. The old value is still there.
        """
        self._write(key, value, _replace)

    async def create(self, key: str, value: bytes, /) -> bool:
        """Keep the value if there is none yet; tell whether it was kept. Of several processes one gets True.

        Raises:
            StoreError: as :meth:`put`.
        """
        try:
            self._write(key, value, _link)
        except FileExistsError:
            return False
        return True

    def _write(self, key: str, value: bytes, place: Callable[[Path, Path], object]) -> None:
        name = _file_name(key)
        self._open_directory(create=True)
        temporary = self._directory / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(temporary, _WRITE, 0o600), "wb") as file:
                if _is_long(name):
                    file.write(_header(key))
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            place(temporary, self._directory / name)
            self._sync()
        except FileExistsError:
            temporary.unlink()
            raise
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise self._failed("write to", error) from error

    async def delete(self, key: str, /) -> None:
        """Forget the value; nothing happens when there is none.

        Raises:
            StoreError: it cannot be removed, or the directory is not safe.
        """
        name = _file_name(key)
        if not self._open_directory(create=False):
            return
        try:
            (self._directory / name).unlink()
            self._sync()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._failed("remove from", error) from error

    async def keys(self, prefix: str, /) -> Sequence[str]:
        """List all keys that start with the prefix, sorted. Only the names of the files are read.

        Raises:
            StoreError: the directory cannot be listed, or is not safe.
        """
        if not self._open_directory(create=False):
            return []
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 - names are all that is needed
        except OSError as error:
            raise self._failed("list", error) from error
        start = _encode(prefix)
        found = (self._key(name, start) for name in names if name.startswith((start, start[:_HEAD])))
        return sorted(key for key in found if key is not None and key.startswith(prefix))

    def _key(self, name: str, start: str) -> str | None:
        """Give the key of a file, or None when the file is not ours.

        Arguments:
            name: of the file.
            start: what it begins with, encoded. The end of a long one is not in the name.
        """
        if not _is_long(name):
            return _decode(name) if name.startswith(start) else None
        content = self._read(name)  # only a key of more than about 200 characters comes here
        return (
            None if content is None else content[4 : _header_length(content)].decode("utf-8", "surrogatepass")
        )

    def _read(self, name: str) -> bytes | None:
        try:
            descriptor = os.open(self._directory / name, _READ)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    text = f"{self._directory / name} is not a regular file; remove it"
                    raise StoreError(text, path=str(self._directory))
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read from", error) from error

    def _open_directory(self, *, create: bool) -> bool:
        """Make sure, once, that the directory is there and ours alone. False: it is not there."""
        if self._ready and self._directory.is_dir():
            return True
        try:
            if create:
                self._directory.parent.mkdir(parents=True, exist_ok=True)
                self._directory.mkdir(mode=0o700, exist_ok=True)
            state = self._directory.stat()
            if not stat.S_ISDIR(state.st_mode):
                text = f"{self._directory} is not a directory; move it away or choose another place"
                raise StoreError(text, path=str(self._directory))
            if _POSIX and state.st_uid != os.geteuid():
                text = f"{self._directory} belongs to another user; choose another place for the keys"
                raise StoreError(text, path=str(self._directory))
            if _POSIX and state.st_mode & 0o077:
                self._directory.chmod(0o700)
            self._remove_stale()
        except FileNotFoundError:
            if not create:
                return False
            raise
        except OSError as error:
            raise self._failed("use", error) from error
        self._ready = True
        return True

    def _remove_stale(self) -> None:
        """Remove what a process that died while it wrote has left: it may hold keys."""
        for path in self._directory.glob(f"{_TEMPORARY}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > _STALE:
                    path.unlink()

    def _sync(self) -> None:
        """Make a change of the directory itself durable."""
        if _POSIX:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _failed(self, action: str, error: OSError) -> StoreError:
        reason = error.strerror or type(error).__name__
        text = f"Cannot {action} {self._directory}: {reason}. Check owner, permissions and free space"
        return StoreError(text, path=str(self._directory), errno=error.errno)


def default_directory(account: str) -> Path:
    """Give the directory for the state of one account, in the user's data directory. It is not made yet.

    Arguments:
        account: bare JID.

    Raises:
        StoreError: ``platformdirs`` is not installed; the extra ``slixmpp`` brings it.
    """
    try:
        import platformdirs  # noqa: PLC0415 - only of the extra, and not needed by who names a directory
    except ImportError as error:
        text = "The place for an account's data is not known: install gre-core[slixmpp], or name a directory"
        raise StoreError(text) from error
    return platformdirs.user_data_path("gre", appauthor=False) / "accounts" / _file_name(account)


def _replace(written: Path, target: Path) -> None:
    written.replace(target)


def _link(written: Path, target: Path) -> None:
    """Move a file to a name that must be free.

    Raises:
        FileExistsError: it is not.
    """
    target.hardlink_to(written)
    written.unlink()


# -- names of files ---------------------------------------------------------------------------------

_POSIX: Final = os.name == "posix"
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK

# Capital letters are encoded too: on some file systems "A" and "a" are one name.
_UNSAFE = re.compile(rb"[^a-z0-9_@-]")
_NAME = re.compile(r"(?:[a-z0-9_@-]|%[0-9a-f]{2})+")
_LONG = re.compile(rf"[a-z0-9_@%-]{{{_HEAD}}}~[0-9a-f]{{64}}")


def _checked(key: str) -> str:
    if not 1 <= len(key) <= MAX_KEY:
        text = f"A key of the store must have 1 to {MAX_KEY} characters, not {len(key)}"
        raise StoreError(text, length=len(key))
    return key


def _encode(text: str) -> str:
    encoded = text.encode("utf-8", "surrogatepass")
    return _UNSAFE.sub(lambda found: b"%%%02x" % found[0][0], encoded).decode("ascii")


def _decode(name: str) -> str | None:
    if _NAME.fullmatch(name) is None:
        return None
    raw = re.sub(rb"%(..)", lambda found: bytes([int(found[1], 16)]), name.encode("ascii"))
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def _file_name(key: str) -> str:
    """Give the file name of a key. A long key's ends in its hash; its file begins with the whole key."""
    name = _encode(_checked(key))
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name[:_HEAD]}~{digest}"


def _is_long(name: str) -> bool:
    return _LONG.fullmatch(name) is not None


def _header(key: str) -> bytes:
    encoded = key.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(4, "big") + encoded


def _header_length(content: bytes) -> int:
    return 4 + int.from_bytes(content[:4], "big")
