"""What the host has already seen, so that nothing of the archive is shown twice, and nothing is left out.

Kept in the store: the id of the last archived message up to which everything was handled, and short hashes of the
messages that were handled lately, whatever way they came: live, as a carbon, from the archive, or sent by ourselves.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from gre_core.archive import Place
from gre_core.delay import read_stamp

if TYPE_CHECKING:
    from gre_core.model import Direction
    from gre_core.ports import Store

KEY: Final = "archive/handled"
MAX_RECENT: Final = 512
"""How many hashes are remembered."""

MAX_FAILURES: Final = 3
"""After so many sessions in which the host failed on a message, it is passed over."""

MAX_FAILED: Final = 64
"""How many messages on which the host failed are counted."""

SKEW: Final = timedelta(minutes=10)
"""How far our clock and the server's may differ."""


@dataclass(frozen=True, slots=True)
class Mark:
    """By what a message is recognised again.

    Arguments:
        direction: received or sent.
        peer: bare JID of the contact.
        id: origin-id, else the stanza's id; None when it has neither.
        archive_id: its id in the archive, when known.
    """

    direction: Direction
    peer: str
    id: str | None
    archive_id: str | None = None

    @property
    def hashes(self) -> tuple[str, ...]:
        """The short hashes of both of its names."""
        names = []
        if self.archive_id is not None:
            names.append(f"archive\0{self.archive_id}")
        if self.id is not None:
            names.append(f"{self.direction}\0{self.peer}\0{self.id}")
        return tuple(_short(name) for name in names)


class Handled:
    """What was handled, of one account.

    Arguments:
        store: of the account.

    Attributes:
        complete: all that the archive holds up to now was handled, so that what comes live follows it.
    """

    def __init__(self, store: Store) -> None:
        self.complete: bool = False
        self._store = store
        self._loaded = False
        self._after: str | None = None
        self._since: datetime | None = None
        self._failed: dict[str, int] = {}
        self._recent: dict[str, None] = {}

    async def place(self, first: datetime) -> Place:
        """Give the place from which the archive is read.

        Arguments:
            first: from when on it is read when nothing is known.

        Raises:
            StoreError: the store failed.
        """
        await self._load()
        return Place(self._after, self._since or first)

    async def knows(self, mark: Mark) -> bool:
        """Tell whether a message was handled already."""
        await self._load()
        return any(name in self._recent for name in mark.hashes)

    async def add(self, mark: Mark, stamp: datetime | None = None, *, move: bool = False) -> None:
        """Note that a message was handled.

        Arguments:
            mark: its names.
            stamp: when the archive stored it.
            move: everything before it in the archive was handled, too: the place moves behind it.

        Raises:
            StoreError: the store failed.
        """
        await self._load()
        for name in mark.hashes:
            self._recent.pop(name, None)
            self._recent[name] = None
        while len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        if mark.archive_id is not None and move:
            self._move(mark.archive_id, stamp)
        await self._save()

    async def passed(self, archive_id: str, stamp: datetime | None) -> None:
        """Note that everything in the archive up to a message was handled."""
        await self._load()
        self._move(archive_id, stamp)
        await self._save()

    async def failed(self, archive_id: str) -> bool:
        """Note that the host failed on a message of the archive. True: it failed too often, pass it over."""
        await self._load()
        name = _short(archive_id)
        times = self._failed.pop(name, 0) + 1
        if times < MAX_FAILURES:
            self._failed[name] = times
        while len(self._failed) > MAX_FAILED:
            del self._failed[next(iter(self._failed))]
        await self._save()
        return times >= MAX_FAILURES

    async def caught_up(self, now: datetime) -> None:
        """Note that the archive was read to its end."""
        await self._load()
        self.complete = True
        if self._after is None:
            self._since = now - SKEW
            await self._save()

    def _move(self, archive_id: str, stamp: datetime | None) -> None:
        self._after = archive_id
        self._since = self._since if stamp is None else stamp - SKEW

    async def _load(self) -> None:
        if self._loaded:
            return
        value = await self._store.get(KEY)
        try:
            fields = json.loads(value) if value is not None else {}
            after, since, failed = fields.get("after"), fields.get("since"), fields.get("failed", {})
            self._after = after if isinstance(after, str) else None
            self._since = read_stamp(since) if isinstance(since, str) else None
            self._failed = {str(name): int(times) for name, times in list(failed.items())[:MAX_FAILED]}
            self._recent = {str(name): None for name in fields.get("recent", [])[-MAX_RECENT:]} | self._recent
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            pass  # damaged: the archive is read from the start again
        self._loaded = True

    async def _save(self) -> None:
        fields = {
            "after": self._after,
            "since": None if self._since is None else self._since.astimezone(UTC).isoformat(),
            "failed": self._failed,
            "recent": list(self._recent),
        }
        await self._store.put(KEY, json.dumps(fields).encode())


def _short(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
