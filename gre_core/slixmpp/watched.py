"""Which contacts users were told of, in memory and within bounds."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gre_core.jid_escape import canonical

MOST: Final = 50_000
"""Pairs of user and contact, beyond which those of the users who were told longest ago are forgotten."""

MOST_OF_ONE: Final = 1000
"""Contacts of one user, beyond which further ones are not remembered."""


class Watched:
    """Contacts by user, both as canonical bare JIDs."""

    def __init__(self) -> None:
        self._contacts: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._count = 0

    def of(self, user: str) -> tuple[str, ...]:
        """Give the contacts of a user."""
        return tuple(self._contacts.get(canonical(user), ()))

    def add(self, user: str, contact: str) -> None:
        """Note that a user is told of a contact."""
        contacts = self._contacts.setdefault(canonical(user), {})
        self._contacts.move_to_end(canonical(user))
        if canonical(contact) in contacts or len(contacts) >= MOST_OF_ONE:
            return
        contacts[canonical(contact)] = None
        self._count += 1
        while self._count > MOST:
            self._count -= len(self._contacts.popitem(last=False)[1])

    def remove(self, user: str, contact: str) -> None:
        """Note that a user is told no more of a contact."""
        contacts = self._contacts.get(canonical(user), {})
        if canonical(contact) in contacts:
            del contacts[canonical(contact)]
            self._count -= 1

    def forget(self, user: str) -> None:
        """Forget all contacts of a user."""
        self._count -= len(self._contacts.pop(canonical(user), ()))
