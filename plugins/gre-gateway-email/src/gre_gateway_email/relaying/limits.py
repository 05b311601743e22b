"""What one user may send in an hour."""

from __future__ import annotations

import time
from collections import deque
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


class HourlyLimits:
    """Counts messages, recipients and bytes of each user in the last hour, by the minute, in memory.

    Arguments:
        limits: what is allowed.
        clock: seconds that only grow.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._most: Amounts = (limits.messages, limits.recipients, limits.size)
        self._clock = clock
        self._users: dict[str, deque[tuple[int, Amounts]]] = {}
        self._swept = 0

    def take(self, user: str, recipients: int, size: int) -> None:
        """Count a message.

        Raises:
            Refused: it would be too much; nothing was counted. The text says when to try again.
        """
        minute, minutes = self._hour_of(user)
        wanted = (1, recipients, size)
        for index, most in enumerate(self._most):
            over = sum(amounts[index] for _, amounts in minutes) + wanted[index] - most
            if over > 0:
                raise self._refusal(index, over, minutes)
        self._add(minutes, minute, wanted)
        self._sweep(minute)

    def take_bytes(self, user: str, size: int) -> None:
        """Count bytes that a message has beyond those that :meth:`take` counted: files that were fetched for it.

        Raises:
            Refused: it is too much. The bytes and the message stay counted: they were fetched.
        """
        minute, minutes = self._hour_of(user)
        self._add(minutes, minute, (0, 0, size))
        over = sum(amounts[_BYTES] for _, amounts in minutes) - self._most[_BYTES]
        if over > 0:
            raise self._refusal(_BYTES, over, minutes)

    def give_back(self, user: str, recipients: int, size: int) -> None:
        """Take back what :meth:`take` counted: the message was not a new one, or was not stored."""
        minutes = self._users.get(user)
        if minutes:
            self._add(minutes, minutes[-1][0], (-1, -recipients, -size))

    def _hour_of(self, user: str) -> tuple[int, deque[tuple[int, Amounts]]]:
        """Give the minute that it is, and what a user sent in the hour before it."""
        minute = self._minute()
        minutes = self._users.setdefault(user, deque())
        while minutes and minutes[0][0] <= minute - _WINDOW:
            minutes.popleft()
        return minute, minutes

    def _refusal(self, index: int, over: int, minutes: deque[tuple[int, Amounts]]) -> Refused:
        name, most = _NAMES[index], self._most[index]
        for minute, amounts in minutes:
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

    @staticmethod
    def _add(minutes: deque[tuple[int, Amounts]], minute: int, more: Amounts) -> None:
        before: Amounts = (0, 0, 0)
        if minutes and minutes[-1][0] == minute:
            before = minutes.pop()[1]
        minutes.append((minute, (before[0] + more[0], before[1] + more[1], before[2] + more[2])))

    def _sweep(self, minute: int) -> None:
        """Forget users who sent nothing for an hour, so that memory is bounded by who is active."""
        if minute == self._swept:
            return
        self._swept = minute
        for user in [
            user for user, minutes in self._users.items() if not minutes or minutes[-1][0] <= minute - _WINDOW
        ]:
            del self._users[user]
