"""What is under way of a queue in the database: a bounded part of it in memory, each item once.

What was just stored goes its way without being read again (:meth:`Feed.offer`), as long as nothing older waits and
memory allows; the rest is read in pages when its time has come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from gre_core.errors import StoreError
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Container, Generator

LONGEST_SLEEP: Final = 15.0
"""Seconds after which the database is asked again in any case: other programs write to it, too."""

SHORTEST_SLEEP: Final = 0.5
STORE_PAUSE: Final = 1.0
"""Seconds between two tries while the database is away."""

_log = get_logger(__name__)


class Item(Protocol):
    """What has an id in the database."""

    @property
    def id(self) -> str:
        """Unique."""
        ...

    @property
    def user(self) -> str:
        """Whose it is: a bare JID."""
        ...


T = TypeVar("T", bound=Item)
Due = Callable[[float, int, Iterable[str]], Awaitable[Sequence[T]]]


class Feed(Generic[T]):
    """The part of a queue that is in memory.

    Arguments:
        due: reads waiting items: until when, how many, without which ids.
        next_at: gives when the next one is due.
        begin: gets each item that is taken into memory.
        size: gives how many bytes an item holds in memory.
        now: seconds since 1970.
        most: items in memory.
        most_bytes: bytes in memory.
        page: how many are read at once.
        ready: whether items can go on now; else none are taken.
    """

    def __init__(  # noqa: PLR0913 - a queue, what is done with it, and the bounds
        self,
        due: Due[T],
        next_at: Callable[[], Awaitable[float | None]],
        begin: Callable[[T], None],
        size: Callable[[T], int],
        now: Callable[[], float],
        *,
        most: int,
        most_bytes: int,
        page: int,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._due = due
        self._next_at = next_at
        self._begin = begin
        self._size = size
        self._now = now
        self._most = most
        self._most_bytes = most_bytes
        self._page = page
        self._ready = ready
        self.held: dict[str, T] = {}
        self._bytes = 0
        self._elsewhere: set[str] = set()
        self._gone: set[str] | None = None
        """What was released or written while a page is read: what the page says of it may be outdated."""
        self._behind = True
        self._more = asyncio.Event()

    @contextlib.contextmanager
    def storing(self, ids: Iterable[str]) -> Generator[None]:
        """Leave items alone while they are written: who writes them says what becomes of them."""
        ours = set(ids) - self._elsewhere
        self._elsewhere |= ours
        try:
            yield
        finally:
            self._elsewhere -= ours
            if self._gone is not None:
                self._gone |= ours

    def offer(self, item: T) -> bool:
        """Take an item that was just stored; False: it is read later."""
        if self._behind or not self._has_room() or not self._ready():
            self._behind = True
            self.wake()
            return False
        self._hold(item)
        return True

    def release(self, item_id: str) -> None:
        """Forget an item: the database says what becomes of it, and that is written."""
        item = self.held.pop(item_id, None)
        if item is not None:
            self._bytes -= self._size(item)
            if self._gone is not None:
                self._gone.add(item_id)
            if self._behind and self._is_half_empty():
                self.wake()

    def take(self, item: T) -> None:
        """Take an item before its time, or beyond the bounds, unless it is there."""
        if item.id not in self.held:
            self._hold(item)

    def guard(self, item: T) -> None:
        """Keep an item from being read until it is released: what becomes of it is being written."""
        if item.id not in self.held:
            self.held[item.id] = item
            self._bytes += self._size(item)

    def of_user(self, user: str) -> list[T]:
        """Give what is held of a user."""
        return [item for item in self.held.values() if item.user == user]

    def clear(self, keep: Container[str] = ()) -> None:
        """Forget all items but some; those that still wait are read again."""
        dropped = [item_id for item_id in self.held if item_id not in keep]
        for item_id in dropped:
            self.release(item_id)
        self._behind = True
        self.wake()

    def wake(self) -> None:
        """Look into the database now."""
        self._more.set()

    async def run(self) -> None:
        """Read what is due, for ever."""
        while True:
            self._more.clear()
            try:
                seconds = await self._read() if self._ready() and self._is_half_empty() else LONGEST_SLEEP
            except StoreError as error:
                _log.warning("store-away", code=error.code)
                seconds = STORE_PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._more.wait()

    async def _read(self) -> float:
        """Read a page; give how long to sleep."""
        gone = self._gone = set[str]()
        try:
            items = await self._due(self._now(), self._page, {*self.held, *self._elsewhere})
        finally:
            self._gone = None
        for item in items:
            if item.id not in self.held and item.id not in self._elsewhere and item.id not in gone:
                self._hold(item)
        self._behind = len(items) >= self._page
        if self._behind:
            return 0.0 if self._is_half_empty() else LONGEST_SLEEP
        at = await self._next_at()
        return LONGEST_SLEEP if at is None else min(max(at - self._now(), SHORTEST_SLEEP), LONGEST_SLEEP)

    def _hold(self, item: T) -> None:
        self.held[item.id] = item
        self._bytes += self._size(item)
        self._begin(item)

    def _has_room(self) -> bool:
        return len(self.held) < self._most and self._bytes < self._most_bytes

    def _is_half_empty(self) -> bool:
        return len(self.held) <= self._most // 2 and self._bytes <= self._most_bytes // 2
