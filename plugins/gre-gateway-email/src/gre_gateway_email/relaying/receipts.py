"""Messages that a server has, and whose receipts are awaited: in memory for some seconds, then in the database.

A client that loses its connection may take messages with it that its server had written to it. So what no receipt came
for is sent again when the user comes back; receipts for what the server had kept meanwhile are waited for first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from gre_gateway_email.store.records import InboundMessage

SOON: Final = 5.0
"""How long a message stays in memory without its receipt, in seconds."""

BACK: Final = 10.0
"""How long receipts are waited for after a client of the user came, in seconds."""

MOST: Final = 100_000
"""Messages whose ids are remembered."""


class Receipts:
    """What is awaited, on one stream.

    Arguments:
        park: takes a message out of memory.
        again: sends the message of an id again.
    """

    def __init__(self, park: Callable[[InboundMessage], None], again: Callable[[str], None]) -> None:
        self._park = park
        self._again = again
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._users: dict[str, str] = {}
        self._of: dict[str, set[str]] = {}
        self._back: dict[str, asyncio.TimerHandle] = {}
        self._left: set[str] = set()

    def expect(self, message: InboundMessage) -> None:
        """Await the receipt for a message that its server has."""
        self._timers[message.id] = asyncio.get_running_loop().call_later(SOON, self._soon, message)
        if len(self._users) < MOST:
            self._users[message.id] = message.user
            self._of.setdefault(message.user, set()).add(message.id)

    def settled(self, message_id: str) -> None:
        """Await nothing more for a message."""
        self._stop_timer(message_id)
        self._left.discard(message_id)
        user = self._users.pop(message_id, None)
        if user is not None:
            of_user = self._of[user]
            of_user.discard(message_id)
            if not of_user:
                del self._of[user]

    def forget(self, user: str) -> None:
        """Await nothing more of a user whose data were erased."""
        self._stop_waiting(user)
        for message_id in tuple(self._of.get(user, ())):
            self.settled(message_id)

    def user_came(self, user: str) -> None:
        """Send again what no receipt comes for soon."""
        self._stop_waiting(user)
        awaited = frozenset(self._of.get(user, ()))
        if awaited:
            loop = asyncio.get_running_loop()
            self._back[user] = loop.call_later(BACK, self._send_again, user, awaited)

    def user_left(self, user: str, under_way: Iterable[str]) -> None:
        """Note that the last client of a user is gone.

        Arguments:
            user: bare JID.
            under_way: ids of messages that were sent while it was there, and are not proven: they may be lost with it.
        """
        self._stop_waiting(user)
        self._left.update(under_way)

    @property
    def left(self) -> Container[str]:
        """Ids of messages that may be lost with a client that is gone."""
        return self._left

    def stop(self) -> None:
        """Forget everything: it is sent again on the next stream, or by the next process."""
        for timer in (*self._timers.values(), *self._back.values()):
            timer.cancel()
        for each in (self._timers, self._back, self._users, self._of, self._left):
            each.clear()

    def _soon(self, message: InboundMessage) -> None:
        self._timers.pop(message.id, None)
        self._park(message)

    def _send_again(self, user: str, awaited: frozenset[str]) -> None:
        self._back.pop(user, None)
        for message_id in awaited & self._of.get(user, set()):
            self.settled(message_id)
            self._again(message_id)

    def _stop_timer(self, message_id: str) -> None:
        timer = self._timers.pop(message_id, None)
        if timer is not None:
            timer.cancel()

    def _stop_waiting(self, user: str) -> None:
        timer = self._back.pop(user, None)
        if timer is not None:
            timer.cancel()
