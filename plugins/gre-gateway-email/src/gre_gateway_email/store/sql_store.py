"""The store as one object."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, func, insert, select

from gre_gateway_email.store.contact_keys import SqlContactKeys
from gre_gateway_email.store.contacts import SqlContacts
from gre_gateway_email.store.database import Database
from gre_gateway_email.store.dead import SqlDeadLetters, prune_dead, queued
from gre_gateway_email.store.failures import told
from gre_gateway_email.store.hashes import Hashes
from gre_gateway_email.store.inbox import SqlInbox
from gre_gateway_email.store.inbox import wake as wake_inbox
from gre_gateway_email.store.outbox import SqlOutbox
from gre_gateway_email.store.outbox import wake as wake_outbox
from gre_gateway_email.store.records import QueueCount
from gre_gateway_email.store.remembered import drop_hashes, hashes_of, prune_slice
from gre_gateway_email.store.schema import contact_keys, contacts, inbox, outbox, secrets
from gre_gateway_email.store.upgrade import upgrade
from gre_gateway_email.store.users import SqlUsers, remove_user
from gre_gateway_email.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Connection

    from gre_gateway_email.store.records import InboundMessage, OutboundMail, State

_OWN: Final = "database"
"""Name of the secret behind the hashes."""
SECRET_SIZE: Final = 32
_SECRET: Final = select(secrets.c.value).where(secrets.c.name == bindparam("of"))
_MAKE_SECRET: Final = insert(secrets)
_COUNTS: Final = tuple(
    select(table.c.state, func.count(), func.coalesce(func.sum(table.c.size), 0), func.min(came)).group_by(
        table.c.state
    )
    for table, came in ((outbox, outbox.c.created_at), (inbox, inbox.c.received_at))
)
_FORGET: Final = tuple(
    delete(table).where(table.c.jid == bindparam("of")) for table in (outbox, inbox, contact_keys, contacts)
)


class SqlStore:
    """See :class:`gre_gateway_email.store.store.Store`. Made by :func:`open_sql_store`."""

    def __init__(self, database: Database, writer: Writer, hashes: Hashes, now: Callable[[], float]) -> None:
        self._database = database
        self._writer = writer
        self._hashes = hashes
        self._now = now
        self.users = SqlUsers(database, writer, now)
        self.outbox = SqlOutbox(database, writer, hashes, now)
        self.inbox = SqlInbox(database, writer, hashes, now, self.outbox)
        self.contact_keys = SqlContactKeys(database, writer)
        self.contacts = SqlContacts(database, writer)
        self.dead = SqlDeadLetters(database, writer, now)
        self._forgotten: list[Callable[[str], None]] = []

    def on_forget(self, tell: Callable[[str], None]) -> None:
        """Call something with the JID of each user who is forgotten through this object, after the rows are gone."""
        self._forgotten.append(tell)

    async def wake(self, latest: float) -> None:
        """Let nothing that waits, in both directions, be tried later than at that time."""
        await self._writer.do(_wake, latest)

    async def secret(self, name: str) -> bytes:
        """Give 32 random bytes that are made at the first call and stay the same."""
        found: bytes | None = await self._database.read(
            lambda connection: connection.scalar(_SECRET, {"of": name})
        )
        if found is None:
            return await self._writer.do(_secrets, name)
        return found

    async def counts(self) -> tuple[QueueCount, QueueCount]:
        """Give how much waits: outbound, inbound."""
        return await self._database.read(_counts)

    async def queue(
        self, state: State | None = None, limit: int = 1000
    ) -> Sequence[OutboundMail | InboundMessage]:
        """Give what is in the queues, the oldest first, for people; mails without their content."""
        return await queued(self._database, state, limit)

    async def forget(self, jid: str) -> int:
        """Erase everything of a user: registration, addresses, messages, keys, hashes. Gives how many rows."""
        try:
            rows = await self._writer.do(_forget, jid)
        finally:
            self.users.changed()
        for tell in self._forgotten:
            tell(jid)
        # Now none is added any more. They are looked for without keeping writers waiting.
        user = self._hashes.user(jid)
        while found := await self._database.read(lambda connection: hashes_of(connection, user)):
            rows += await self._writer.do(drop_hashes, found)
        return rows

    async def prune(self, relayed: float, dead: float) -> None:
        """Remove hashes and dead letters that are older than so many seconds."""
        now = self._now()
        await self._writer.do(prune_dead, now - dead)
        while await self._writer.do(prune_slice, (now - relayed, now + relayed)):
            pass

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        await self._writer.close()
        await self._database.close()


async def open_sql_store(
    url: str, now: Callable[[], float], claim: Callable[[], None] | None = None
) -> SqlStore:
    """Open a database, and bring its tables up to date."""
    database = Database(url, claim)
    try:
        await database.write(lambda connection: upgrade(connection, database.name), marked=False)
        hashes = Hashes(await database.write(lambda connection: _secret(connection, _OWN)))
    except BaseException as error:
        await database.close()
        if isinstance(error, Exception):
            raise told(error, database.name) from None
        raise
    return SqlStore(database, Writer(database), hashes, now)


def _forget(connection: Connection, jids: Sequence[str]) -> list[int]:
    return [
        remove_user(connection, jid)
        + sum(connection.execute(statement, {"of": jid}).rowcount for statement in _FORGET)
        for jid in jids
    ]


def _secret(connection: Connection, name: str) -> bytes:
    found = connection.scalar(_SECRET, {"of": name})
    if found is None:
        found = os.urandom(SECRET_SIZE)
        connection.execute(_MAKE_SECRET, {"name": name, "value": found})
    return bytes(found)


def _secrets(connection: Connection, names: Sequence[str]) -> list[bytes]:
    return [_secret(connection, name) for name in names]


def _counts(connection: Connection) -> tuple[QueueCount, QueueCount]:
    outbound, inbound = (_count(connection.execute(statement).all()) for statement in _COUNTS)
    return outbound, inbound


def _count(rows: Sequence[Any]) -> QueueCount:
    states: dict[str, tuple[int, int, float | None]] = {
        state: (int(count), int(size), oldest) for state, count, size, oldest in rows
    }
    nothing = (0, 0, None)
    waiting, size, oldest = states.get("waiting", nothing)
    return QueueCount(waiting, size, oldest, states.get("held", nothing)[0], states.get("dead", nothing)[0])


def _wake(connection: Connection, times: Sequence[float]) -> list[None]:
    wake_outbox(connection, min(times))
    wake_inbox(connection, min(times))
    return [None] * len(times)
