"""Who sees whose presence: what a gateway keeps of the rosters of its users.

The gateway keeps it in memory, unless the host gives a :class:`Subscriptions` that outlives the program.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.jid_escape import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST: Final = 50_000
"""Pairs of user and contact in memory, beyond which those of the users who were seen longest ago are forgotten."""

MOST_OF_ONE: Final = 1000
"""Contacts of one user, beyond which further ones are not kept."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is between a user and a contact, or the gateway itself.

    Arguments:
        sees: the user subscribed to the presence of the contact.
        agreed: what the user answered when the contact asked to see the user's presence; None without an answer.
    """

    sees: bool = False
    agreed: bool | None = None


NOTHING: Final = Subscription()

Known = dict[str, Subscription]
"""By the canonical bare JID of the contact; the gateway itself has its domain."""


class Subscriptions(Protocol):
    """Keeps subscriptions. All JIDs are canonical and bare. Calls for one user never overlap."""

    async def of(self, users: Sequence[str], /) -> Mapping[str, Known]:
        """Give what is known of users; who has nothing may be missing."""
        ...

    async def note(self, user: str, contact: str, now: Subscription, /) -> None:
        """Keep what is between a user and a contact; :data:`NOTHING` removes it.

        Beyond 1,000 contacts of one user nothing is added.
        """
        ...

    async def forget(self, user: str, /) -> None:
        """Remove all that is known of a user."""
        ...

    async def leftovers(self) -> Sequence[str]:
        """Give users of whom something is known although they are not registered any more."""
        ...


class MemorySubscriptions:
    """Keeps subscriptions as long as the program runs, within bounds."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._count = 0

    async def of(self, users: Sequence[str], /) -> Mapping[str, Known]:
        """Give what is known of users."""
        return {user: dict(self._known.get(user, {})) for user in users}

    async def note(self, user: str, contact: str, now: Subscription, /) -> None:
        """Keep what is between a user and a contact."""
        known = self._known.setdefault(user, {})
        self._known.move_to_end(user)
        if now == NOTHING:
            self._count -= known.pop(contact, None) is not None
        elif contact in known:
            known[contact] = now
        elif len(known) < MOST_OF_ONE:
            known[contact] = now
            self._count += 1
        while self._count > MOST:
            self._count -= len(self._known.popitem(last=False)[1])

    async def forget(self, user: str, /) -> None:
        """Remove all that is known of a user."""
        self._count -= len(self._known.pop(user, ()))

    async def leftovers(self) -> Sequence[str]:
        """Give nobody: who unregistered while the program runs was let go."""
        return ()


class Ledger:
    """Notes what stanzas change about subscriptions.

    Arguments:
        kept: what is known.
        domain: of the gateway: a user's "no" to the gateway itself is kept, so that nobody is asked at each start.
    """

    def __init__(self, kept: Subscriptions, domain: str) -> None:
        self._kept = kept
        self._domain = domain

    async def of(self, users: Sequence[str]) -> list[Known]:
        """Give what is known of each user, without what belongs to a gateway that had another name."""
        jids = [canonical(user) for user in users]
        found = await self._kept.of(jids)
        return [
            {
                contact: kept
                for contact, kept in found.get(jid, {}).items()
                if contact.rpartition("@")[2] == self._domain
            }
            for jid in jids
        ]

    async def change(
        self, user: str, contact: str, *, sees: bool | None = None, agreed: bool | None = None
    ) -> Subscription:
        """Note what changed; give how it was before."""
        jid = canonical(contact)
        (known,) = await self.of([user])
        before = now = known.get(jid, NOTHING)
        if sees is not None:
            now = replace(now, sees=sees)
        if agreed is not None:
            now = replace(now, agreed=agreed)
        if jid != self._domain and not now.sees and not now.agreed:
            now = NOTHING
        if now != before:
            await self._kept.note(canonical(user), jid, now)
        return before

    async def forget(self, user: str) -> None:
        """Remove all that is known of a user."""
        await self._kept.forget(canonical(user))

    async def leftovers(self) -> Sequence[str]:
        """Give users who are not registered any more, and were not let go."""
        return await self._kept.leftovers()
