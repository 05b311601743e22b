"""What the commands of an operator ask the running gateway for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_gateway_email.operate.control import NotDone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gre_gateway_email.operate.control import Action
    from gre_gateway_email.store.store import Store
    from gre_gateway_email.xmpp.relations import Relations


class OperatorRequests:
    """What only the process can do that has the XMPP stream, and the queues in memory.

    Arguments:
        store: the database.
        relations: presence of users who come and go.
        wake: lets both queues be looked into at once.
    """

    def __init__(self, store: Store, relations: Relations, wake: Callable[[], None]) -> None:
        self._store = store
        self._relations = relations
        self._wake = wake

    def all(self) -> Mapping[str, Action]:
        """Give the actions by name."""
        return {
            "look": self._look,
            "came": self._came,
            "changed": self._changed,
            "remove": self._remove,
            "forget": self._forget,
        }

    async def _look(self, _: str) -> int:
        """Look into the queues: a dead letter is to be tried again."""
        self._wake()
        return 0

    async def _changed(self, jid: str) -> int:
        """See that the command changed a user, whose clients may be shown something else now."""
        self._store.users.changed()
        await self._relations.refresh(jid)
        return 1

    async def _came(self, jid: str) -> int:
        """Greet a user whom the command added."""
        self._store.users.changed()
        user = await self._store.users.get(jid)
        if user is None:
            raise NotDone("has another database: see [database] and [state] of its configuration")
        await self._relations.welcome(user)
        return 1

    async def _remove(self, jid: str) -> int:
        """End a registration, and say goodbye."""
        contacts = await self._relations.contacts_of(jid)
        await self._store.users.remove(jid)
        await self._relations.end(jid, contacts)
        return 1

    async def _forget(self, jid: str) -> int:
        """Erase all of a user, and say goodbye to one who is registered."""
        contacts = await self._relations.contacts_of(jid)
        user = await self._store.users.get(jid)
        rows = await self._store.forget(jid)
        if user is not None:
            await self._relations.end(jid, contacts)
        return rows
