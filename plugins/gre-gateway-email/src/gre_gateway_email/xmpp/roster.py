"""Suggestions for a user's roster (XEP-0144): only to clients that announce that they can take them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import GreError, PeerError
from gre_core.log import get_logger
from gre_core.wire import CLIENT
from gre_gateway_email.xmpp.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.store.records import User

ROSTERX: Final = "http://jabber.org/protocol/rosterx"
MOST_ITEMS: Final = 100
"""In one stanza; 150 or more are treated with suspicion (XEP-0144, section 6)."""

_REMEMBERED: Final = 20_000
_AT_ONCE: Final = 100
_IN_AN_HOUR: Final = 20
"""Contacts that are suggested to one user: whoever can send mail could fill a screen with more."""
_PATIENCE: Final = 5.0
"""Seconds that a client has to say what it takes while its user waits."""
_NO_REQUESTS: Final = frozenset({"service-unavailable", "feature-not-implemented"})
"""What clients answer that take suggestions in messages only."""

Action = Literal["add", "delete"]

_log = get_logger(__name__)


class Roster:
    """Suggests contacts to add and to delete.

    A request goes to each client that announces that it takes it (XEP-0144, section 5). There are clients that announce
    it, and take messages only: they get one when they refuse the request.

    Arguments:
        gateway: knows the clients.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._suggested: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tries = Tries(limit=_IN_AN_HOUR, seconds=3600.0)
        self._tasks: set[asyncio.Task[None]] = set()

    def wrote(self, address: str, users: Iterable[User]) -> None:
        """Suggest a contact who wrote: once to each user, and not to who has the contact already.

        Returns at once, and never raises. Without a sender, and when there is too much to do, nothing is suggested.

        Arguments:
            address: of the contact.
            users: who got the mail.
        """
        for user in users:
            if address and self._gateway.presences.is_online(user.jid):
                self._start(self._meet(user.jid, address))

    async def _meet(self, user: str, address: str) -> None:
        try:
            jid = self._gateway.engine.jid_of(address)
            if (user, jid) in self._suggested or jid in await self._gateway.presences.contacts_of(user):
                return
            clients = await self.able_clients(user)
            if not clients or (user, jid) in self._suggested:
                return
            self._tries.take(user)
            self.suggest(clients, "add", [(jid, address)])
        except GreError as error:
            _log.info("contact-not-suggested", code=error.code)
            return
        self._suggested[user, jid] = None
        if len(self._suggested) > _REMEMBERED:
            self._suggested.popitem(last=False)

    async def add(self, full: str, address: str) -> bool:
        """Suggest to add a contact; tell whether a client could be asked.

        Arguments:
            full: JID of the client that wants it; it need not have shown itself.
            address: of the contact.

        Raises:
            GreError: the address cannot be written as a JID, or the stream is down.
        """
        jid = self._gateway.engine.jid_of(address)
        clients: tuple[str, ...] = ()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                clients = await self.able_clients(full)
                if full not in clients and ROSTERX in await self._gateway.presences.clients.ask(full):
                    clients = (full, *clients)
        self.suggest(clients, "add", [(jid, address)])
        return bool(clients)

    async def able_clients(self, user: str) -> tuple[str, ...]:
        """Give the full JIDs of a user's clients that take suggestions."""
        return await self._gateway.presences.clients_with(user, ROSTERX)

    def suggest(self, clients: Sequence[str], action: Action, contacts: Sequence[tuple[str, str]]) -> None:
        """Begin to send suggestions of one kind.

        Arguments:
            clients: full JIDs.
            action: what to do with the contacts.
            contacts: pairs of JID and name.
        """
        for client in clients:
            for start in range(0, len(contacts), MOST_ITEMS):
                self._start(self._suggest(client, action, contacts[start : start + MOST_ITEMS]))

    async def _suggest(self, client: str, action: Action, contacts: Sequence[tuple[str, str]]) -> None:
        x = Element(f"{{{ROSTERX}}}x")
        for jid, name in contacts:
            SubElement(x, f"{{{ROSTERX}}}item", {"action": action, "jid": jid, "name": name})
        stream = self._gateway.stream
        try:
            try:
                await stream.iq(client, "set", x)
            except PeerError as error:
                if error.condition not in _NO_REQUESTS:
                    raise
                # Headlines are not kept for clients that have gone, nor given to others (RFC 6121, section 8.5.3).
                message = Element(
                    f"{{{CLIENT}}}message",
                    {"to": client, "from": self._gateway.engine.domain, "type": "headline"},
                )
                message.append(x)
                stream.put(message)
        except GreError as error:
            _log.info("suggestion-not-taken", code=error.code)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if len(self._tasks) >= _AT_ONCE:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
