"""Presence and roster of users: when the gateway starts and stops, when somebody registers and unregisters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gre_core.errors import GreError
from gre_core.jid_escape import unescape
from gre_core.log import get_logger
from gre_core.slixmpp.ports import new_id

if TYPE_CHECKING:
    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Users
    from gre_gateway_email.xmpp.roster import Roster

AT_ONCE: Final = 10
"""Users who are greeted before there is a pause."""

PAUSE: Final = 0.05
"""Seconds. 10,000 users are greeted in less than a minute; messages go on meanwhile."""

FAREWELL: Final = 5.0
"""Seconds that may be used to tell all users that the gateway goes."""

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

    def greet_all(self) -> None:
        """Begin to tell all users that the gateway is there (XEP-0100, section 8, rule 6). Call it in each session."""
        self._stop_greeting()
        self._greeting = asyncio.create_task(self._greet_all())

    async def _greet_all(self) -> None:
        number = 0
        try:
            async for user in self._users.all():
                if user.blocked:
                    continue
                # Some clients let only subscribers read their keys: ask. Who agreed before is not asked again.
                self._gateway.presences.greet(user.jid, subscribe=True)
                number += 1
                if number % AT_ONCE == 0:
                    await asyncio.sleep(PAUSE)
        except GreError as error:
            _log.warning("greeting-cut", code=error.code, count=number)

    async def leave_all(self) -> None:
        """Tell all users that the gateway goes away. Returns when the stanzas are handed to the stream."""
        self._stop_greeting()
        try:
            async with asyncio.timeout(FAREWELL):
                async for user in self._users.all():
                    self._gateway.presences.leave(user.jid)
        except (GreError, TimeoutError) as error:
            _log.warning("farewell-cut", error_type=type(error).__name__)

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

    async def end(self, jid: str) -> None:
        """Let go who has unregistered (XEP-0100, section 4.3), and suggest to delete the contacts (XEP-0144)."""
        contacts = self._gateway.presences.watched_contacts(jid)
        clients = await self._roster.able_clients(jid)
        self._gateway.presences.release(jid)
        domain = self._gateway.engine.domain
        gone = [(contact, unescape(contact.rpartition("@")[0])) for contact in contacts]
        self._roster.suggest(clients, "delete", [*gone, (domain, domain)])
