"""Presence and roster of users: when the gateway starts and stops, when somebody registers and unregisters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gre_core.errors import GreError
from gre_core.jid_escape import unescape
from gre_core.log import get_logger
from gre_core.slixmpp.ports import new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Users
    from gre_gateway_email.xmpp.roster import Roster

AT_ONCE: Final = 10
"""Users who are greeted before there is a pause."""

PAUSE: Final = 0.05
"""Seconds. 10,000 users are greeted in less than a minute; messages go on meanwhile."""

BACKLOG: Final = 256 * 1024
"""Bytes that wait to be written, beyond which no more presence is added: a slow server gets it when it reads."""

FAREWELL: Final = 10.0
"""Seconds that may be used to tell all users that the gateway goes."""

_TOLD_AT_ONCE: Final = 100
"""Users who are told that the gateway goes before others have a turn."""

_log = get_logger(__name__)


class Relations:
    """What users see of the gateway in their rosters.

    Arguments:
        gateway: sends presence.
        users: all of them.
        roster: suggestions.
    """

    def __init__(self, gateway: Gateway, users: Users, roster: Roster) -> None:
        self._gateway = gateway
        self._users = users
        self._roster = roster
        self._greeting: asyncio.Task[None] | None = None

    def greet_all(self, done: Callable[[], None] = lambda: None) -> None:
        """Begin to tell all users that the gateway is there (XEP-0100, section 8, rule 6). Call it in each session.

        Arguments:
            done: called when all were told, and asked for their presence.
        """
        self._stop_greeting()
        self._greeting = asyncio.create_task(self._greet_all(done))

    async def _greet_all(self, done: Callable[[], None]) -> None:
        number = 0
        presences = self._gateway.presences
        try:
            await presences.release_leftovers()
            async for users in self._all(AT_ONCE):
                # Some clients let only subscribers read their keys: ask, once.
                strict = self._gateway.engine.encrypted_only
                greeted = {user.jid: strict or user.encrypted_only for user in users if not user.blocked}
                await presences.greet_all(greeted, subscribe=True)
                number += len(users)
                await asyncio.sleep(PAUSE)
                await self._drained()
        except GreError as error:
            _log.warning("greeting-cut", code=error.code, count=number)
        else:
            done()

    async def leave_all(self) -> None:
        """Tell all users that the gateway goes away. Returns when the stanzas are handed to the stream."""
        self._stop_greeting()
        try:
            async with asyncio.timeout(FAREWELL):
                async for users in self._all(_TOLD_AT_ONCE):
                    self._gateway.presences.leave_all(user.jid for user in users)
                    await self._drained()
                # Contacts come last: what is cut is then the least.
                async for users in self._all(_TOLD_AT_ONCE):
                    await self._gateway.presences.leave_contacts([user.jid for user in users])
                    await self._drained()
        except (GreError, TimeoutError) as error:
            _log.warning("farewell-cut", error_type=type(error).__name__)

    async def _all(self, size: int) -> AsyncIterator[Sequence[User]]:
        some: list[User] = []
        async for user in self._users.all():
            some.append(user)
            if len(some) == size:
                yield some
                some = []
        if some:
            yield some

    async def _drained(self) -> None:
        await asyncio.sleep(0)
        while self._gateway.stream.up and self._gateway.stream.backlog > BACKLOG:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(PAUSE)

    def _stop_greeting(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None

    async def welcome(self, user: User) -> None:
        """Greet who has just registered, and say which address they have: once, and nothing else."""
        self._gateway.presences.greet(user.jid, subscribe=True)
        text = f"Your mail address is {user.addresses[0]}."
        self._gateway.deliver_notice(user.jid, text, f"welcome-{new_id()}")

    async def refresh(self, jid: str) -> None:
        """Tell a user's clients that what the gateway announces may have changed for them."""
        self._gateway.presences.refresh(jid)

    async def contacts_of(self, jid: str) -> Sequence[str]:
        """Give what :meth:`end` needs, before it is erased."""
        return await self._gateway.presences.contacts_of(jid)

    async def end(self, jid: str, contacts: Sequence[str]) -> None:
        """Let go who has unregistered (XEP-0100, section 4.3), and suggest to delete the contacts (XEP-0144)."""
        clients = await self._roster.able_clients(jid)
        await self._gateway.presences.release(jid, contacts)
        domain = self._gateway.engine.domain
        gone = [(contact, unescape(contact.rpartition("@")[0])) for contact in contacts]
        self._roster.suggest(clients, "delete", [*gone, (domain, domain)])
