"""A clock that never jumps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SteadyClock:
    """Seconds since 1970: the time of the start, and what has passed since.

    When somebody sets the clock of the machine, nothing that waits is late by years or expires at once.

    Arguments:
        wall: gives the time at the start.
        passed: gives seconds that only grow.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, passed: Callable[[], float] = time.monotonic
    ) -> None:
        self._passed = passed
        self._zero = wall() - passed()

    def __call__(self) -> float:
        """Give the time."""
        return self._zero + self._passed()
