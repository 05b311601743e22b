"""How often somebody may try something: in memory, bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gre_core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 10_000
"""Names that are remembered; beyond that the oldest are forgotten."""


class Tries:
    """Counts tries by name, in windows of a fixed length.

    Arguments:
        limit: tries within one window.
        seconds: length of the window.
        clock: that never goes back.
    """

    def __init__(self, *, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, name: str) -> None:
        """Count one try.

        Raises:
            Refused: there were too many.
        """
        now = self._clock()
        since, count = self._counts.pop(name, (now, 0))
        if now - since > self._seconds:
            since, count = now, 0
        self._counts[name] = since, count + 1
        if len(self._counts) > _MOST:
            self._counts.popitem(last=False)
        if count >= self._limit:
            raise Refused(
                "You have tried this too often. Try again in an hour.",
                condition="resource-constraint",
                error_type="wait",
            )
