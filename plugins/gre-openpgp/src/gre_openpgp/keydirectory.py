"""The operator's key directory of a gateway: a folder with public keys of mail users.

.. code-block:: text

    keys/bob@example.org.asc        any name will do that ends in .asc, .pgp or .gpg
    keys/sales-team.gpg             several keys in a file are fine

What counts is the address in the user ids of a key, never the name of its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Final

from gre_openpgp.armor import PUBLIC_KEY, dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import MAX_CERT, read_certificate, split_certificates
from gre_openpgp.user_ids import address_of
from gre_openpgp.xep0373 import MAX_KEYS, PublicKey, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_FILES: Final = 20_000
"""How many files of a folder are read."""

MAX_FILE: Final = 4 * 1024 * 1024
"""Largest file that is read, in bytes."""

_MANY: Final = 500
_REST: Final = 1.0
"""A folder with more than 500 files takes milliseconds to look through, so it is left alone for a second."""

_ENDINGS: Final = frozenset({".asc", ".pgp", ".gpg"})


@dataclass(frozen=True, slots=True)
class _File:
    stamp: tuple[int, int]
    keys: tuple[tuple[str, PublicKey], ...]


class KeyDirectory:
    """Finds public keys by mail address. A file is read again only when its time or size changed.

    Arguments:
        folder: where the files lie. It may be missing: then there are no keys.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _File] = {}
        self._by_address: dict[str, tuple[PublicKey, ...]] = {}
        self._rest_until = 0.0
        self.problems: dict[str, str] = {}
        """What is wrong with files, by file name, for the operator's log."""

    def keys(self, address: str) -> Sequence[PublicKey]:
        """Give the keys of an address, at most 16, in the order of their files' names."""
        if monotonic() >= self._rest_until:
            self.refresh()
        return self._by_address.get(address.strip().lower(), ())

    def refresh(self) -> bool:
        """Read what changed in the folder; tell whether anything did."""
        present = self._scan()
        if len(present) > _MANY:
            self._rest_until = monotonic() + _REST
        changed = present.keys() != self._files.keys()
        for path, stamp in present.items():
            old = self._files.get(path)
            if old is None or old.stamp != stamp:
                self._files[path] = _File(stamp, self._read(path, stamp))
                changed = True
        if changed:
            for gone in self._files.keys() - present.keys():
                del self._files[gone]
                self.problems.pop(gone.name, None)
            self._index()
        return changed

    def _scan(self) -> dict[Path, tuple[int, int]]:
        found: dict[Path, tuple[int, int]] = {}
        try:
            entries = sorted(self._folder.iterdir())
        except OSError:
            return found
        for path in entries[:MAX_FILES]:
            if path.suffix.lower() in _ENDINGS and not path.name.startswith("."):
                try:
                    status = path.stat()
                except OSError:
                    continue
                found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _read(self, path: Path, stamp: tuple[int, int]) -> tuple[tuple[str, PublicKey], ...]:
        self.problems.pop(path.name, None)
        date = timestamp(datetime.fromtimestamp(stamp[0] / 1e9, UTC))
        found: list[tuple[str, PublicKey]] = []
        try:
            if stamp[1] > MAX_FILE:
                raise BadOpenPGP(f"The file is larger than the {MAX_FILE} bytes that are read")
            raw = path.read_bytes()
            for data in split_certificates(dearmor(raw, PUBLIC_KEY) if is_armored(raw) else raw):
                certificate = read_certificate(data, max_size=MAX_CERT)
                key = PublicKey(certificate.fingerprint, data, date)
                addresses = {address_of(user_id) for user_id in certificate.user_ids} - {None}
                found += [(address, key) for address in addresses if address]
        except (OSError, BadOpenPGP) as error:
            self.problems[path.name] = str(error)
        return tuple(found)

    def _index(self) -> None:
        index: dict[str, dict[str, PublicKey]] = {}
        for path in sorted(self._files):
            for address, key in self._files[path].keys:
                keys = index.setdefault(address, {})
                if len(keys) < MAX_KEYS:
                    keys.setdefault(key.fingerprint, key)
        self._by_address = {address: tuple(keys.values()) for address, keys in index.items()}
