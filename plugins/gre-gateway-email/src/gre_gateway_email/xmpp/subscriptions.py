"""Which contacts users see, kept in the store: after a restart they see them again."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gre_core.slixmpp.subscriptions import NOTHING, Subscription
from gre_gateway_email.store.records import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gre_core.slixmpp.subscriptions import Known
    from gre_gateway_email.store.store import Contacts

FRESH: Final = 30.0
"""Seconds for which an answer is used again: a client that logs in probes each of its contacts."""
_REMEMBERED: Final = 200
"""Users; one may have 1,000 contacts."""


class StoredSubscriptions:
    """See :class:`gre_core.slixmpp.subscriptions.Subscriptions`.

    Arguments:
        contacts: the store's.
        clock: that never goes back.
    """

    def __init__(self, contacts: Contacts, clock: Callable[[], float] = time.monotonic) -> None:
        self._contacts = contacts
        self._clock = clock
        self._read: OrderedDict[str, tuple[float, Known]] = OrderedDict()

    async def of(self, users: Sequence[str], /) -> Mapping[str, Known]:
        """Give what is known of users."""
        if len(users) == 1:
            since, known = self._read.get(users[0], (0.0, None))
            if known is not None and self._clock() - since < FRESH:
                return {users[0]: known}
        found: dict[str, Known] = {user: {} for user in users}
        for each in await self._contacts.of(users):
            found[each.user][each.contact] = Subscription(each.sees, each.agreed)
        if len(users) == 1:  # who are many are asked for once, at start and stop
            self._read[users[0]] = self._clock(), found[users[0]]
            if len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
        return found

    async def note(self, user: str, contact: str, now: Subscription, /) -> None:
        """Keep what is between a user and a contact."""
        self._read.pop(user, None)
        if now == NOTHING:
            await self._contacts.remove(user, contact)
        else:
            await self._contacts.put(Contact(user, contact, sees=now.sees, agreed=now.agreed))

    async def forget(self, user: str, /) -> None:
        """Remove all that is known of a user."""
        self._read.pop(user, None)
        await self._contacts.forget(user)

    async def leftovers(self) -> Sequence[str]:
        """Give users who left the operator's file, or were removed by another program."""
        return await self._contacts.leftovers()
