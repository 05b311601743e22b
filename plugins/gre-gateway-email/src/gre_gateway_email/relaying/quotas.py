"""How much waits: for each user, and in all. Read from the database now and then, and counted in between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.config import Limits
    from gre_gateway_email.store.store import Store

FRESH: Final = 5.0
"""Seconds after which a count is read anew that leaves no room."""

RARELY: Final = 60.0
"""Seconds after which any other is read anew. What is counted in between only grows: it is never too low, but for
what an admin lets be tried again."""

_MOST_USERS: Final = 30_000


class Quotas:
    """Tells whether there is room for one more message.

    Arguments:
        store: what waits.
        limits: what may wait.
        clock: seconds that only grow.
    """

    def __init__(self, store: Store, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._users: dict[str, tuple[float, int, int]] = {}
        self._counted = float("-inf")
        self._out = self._in = 0

    async def outbound_full(self) -> bool:
        """Tell whether too many mails wait for the relay; raises StoreError."""
        await self._count()
        return self._out >= self._limits.queue

    async def inbound_full(self) -> bool:
        """Tell whether too many messages wait for users; raises StoreError."""
        await self._count()
        return self._in >= self._limits.queue

    async def user_full(self, user: str, size: int = 0) -> bool:
        """Tell whether too much waits for a user, with a message of that size; raises StoreError."""
        read, messages, waiting = self._users.get(user, (float("-inf"), 0, 0))
        full = self._is_full(messages, waiting + size)
        if self._clock() - read >= (FRESH if full else RARELY):
            messages, waiting = await self._store.inbox.waiting_of(user)
            if len(self._users) >= _MOST_USERS:
                self._users.clear()
            self._users[user] = (self._clock(), messages, waiting)
            full = self._is_full(messages, waiting + size)
        return full

    def sent(self) -> None:
        """Note that one more mail waits for the relay."""
        self._out += 1

    def received(self, user: str, size: int) -> None:
        """Note that one more message waits for a user."""
        self._in += 1
        if user in self._users:
            read, messages, waiting = self._users[user]
            self._users[user] = (read, messages + 1, waiting + size)

    def _is_full(self, messages: int, size: int) -> bool:
        return messages >= self._limits.waiting or size > self._limits.waiting_size

    async def _count(self) -> None:
        full = max(self._out, self._in) >= self._limits.queue
        if self._clock() - self._counted < (FRESH if full else RARELY):
            return
        self._counted = self._clock()  # now: who comes meanwhile does not count as well
        out, into = await self._store.counts()
        self._out, self._in = out.waiting, into.waiting + into.held
