"""What one user may send in an hour."""

from __future__ import annotations

import time
from math import ceil
from typing import TYPE_CHECKING, Final

from gre_core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.config import Limits

_MINUTE: Final = 60
_WINDOW: Final = 60
"""Minutes that count."""

_NAMES: Final = ("messages", "recipients", "bytes")
_BYTES: Final = _NAMES.index("bytes")

Amounts = tuple[int, int, int]


class _Hour:
    """What one user sent in the last hour: by the minute, and in all."""

    __slots__ = ("minutes", "total")

    def __init__(self) -> None:
        self.minutes: list[tuple[int, Amounts]] = []  # at most 60, and a deque takes ten times the memory
        self.total: Amounts = (0, 0, 0)

    def add(self, minute: int, more: Amounts) -> None:
        self.total = _sum(self.total, more)
        if self.minutes and self.minutes[-1][0] == minute:
            more = _sum(self.minutes.pop()[1], more)
        self.minutes.append((minute, more))

    def forget_until(self, minute: int) -> None:
        while self.minutes and self.minutes[0][0] <= minute:
            messages, recipients, size = self.minutes.pop(0)[1]
            self.total = _sum(self.total, (-messages, -recipients, -size))

    def is_over(self, minute: int) -> bool:
        return not self.minutes or self.minutes[-1][0] <= minute


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


class HourlyLimits:
    """Counts messages, recipients and bytes of each user in the last hour, by the minute, in memory.

    Arguments:
        limits: what is allowed.
        clock: seconds that only grow.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._most: Amounts = (limits.messages, limits.recipients, limits.size)
        self._clock = clock
        self._users: dict[str, _Hour] = {}
        self._swept = 0

    def take(self, user: str, recipients: int, size: int) -> None:
        """Count a message.

        Raises:
            Refused: it would be too much; nothing was counted. The text says when to try again.
        """
        minute, hour = self._hour_of(user)
        wanted = (1, recipients, size)
        for index, most in enumerate(self._most):
            over = hour.total[index] + wanted[index] - most
            if over > 0:
                raise self._refusal(index, over, hour)
        hour.add(minute, wanted)
        self._sweep(minute)

    def take_bytes(self, user: str, size: int) -> None:
        """Count bytes that a message has beyond those that :meth:`take` counted: files that were fetched for it.

        Raises:
            Refused: it is too much. The bytes and the message stay counted: they were fetched.
        """
        minute, hour = self._hour_of(user)
        hour.add(minute, (0, 0, size))
        over = hour.total[_BYTES] - self._most[_BYTES]
        if over > 0:
            raise self._refusal(_BYTES, over, hour)

    def give_back(self, user: str, recipients: int, size: int) -> None:
        """Take back what :meth:`take` counted: the message was not a new one, or was not stored."""
        hour = self._users.get(user)
        if hour is not None and hour.minutes:
            hour.add(hour.minutes[-1][0], (-1, -recipients, -size))

    def _hour_of(self, user: str) -> tuple[int, _Hour]:
        """Give the minute that it is, and what a user sent in the hour before it."""
        minute = self._minute()
        hour = self._users.get(user)
        if hour is None:
            hour = self._users[user] = _Hour()
        hour.forget_until(minute - _WINDOW)
        return minute, hour

    def _refusal(self, index: int, over: int, hour: _Hour) -> Refused:
        name, most = _NAMES[index], self._most[index]
        for minute, amounts in hour.minutes:
            over -= amounts[index]
            if over <= 0:
                left = ceil((minute + _WINDOW) - self._clock() / _MINUTE)
                return Refused(
                    f"You may send {most:,} {name} in an hour, and this would be more. "
                    f"Try again in about {max(left, 1)} minutes.",
                    condition="policy-violation",
                    error_type="wait",
                )
        return Refused(
            f"One message has more {name} than the {most:,} that you may send in an hour. Send it in parts.",
            condition="policy-violation",
            error_type="modify",
        )

    def _minute(self) -> int:
        return int(self._clock() // _MINUTE)

    def _sweep(self, minute: int) -> None:
        """Forget users who sent nothing for an hour, so that memory is bounded by who is active."""
        if minute == self._swept:
            return
        self._swept = minute
        for user in [user for user, hour in self._users.items() if hour.is_over(minute - _WINDOW)]:
            del self._users[user]
