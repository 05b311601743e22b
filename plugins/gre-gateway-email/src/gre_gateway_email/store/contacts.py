"""Which contacts are in the rosters of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from gre_gateway_email.store.records import Contact
from gre_gateway_email.store.schema import contacts, users
from gre_gateway_email.store.statements import padded, some

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy.engine import Connection

    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.writer import Writer

MAX_OF_USER: Final = 1000
"""Contacts of one user; further ones are not kept."""

_OF: Final = (
    select(contacts).where(contacts.c.jid.in_(some("jids"))).order_by(contacts.c.jid, contacts.c.contact)
)
_ONE: Final = and_(contacts.c.jid == bindparam("user"), contacts.c.contact == bindparam("of"))
_THERE: Final = select(contacts.c.jid).where(_ONE)
_COUNT: Final = select(func.count()).where(contacts.c.jid == bindparam("user"))
_IS_USER: Final = select(users.c.jid).where(users.c.jid == bindparam("user"))
_DROP: Final = delete(contacts).where(_ONE)
_FORGET: Final = delete(contacts).where(contacts.c.jid == bindparam("user"))
_LEFT: Final = (
    select(contacts.c.jid).where(contacts.c.jid.not_in(select(users.c.jid))).distinct().limit(10_000)
)


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(contacts)
    changes = {name: statement.excluded[name] for name in ("sees", "agreed")}
    return statement.on_conflict_do_update(index_elements=["jid", "contact"], set_=changes)


_PUT: Final = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}


class SqlContacts:
    """See :class:`gre_gateway_email.store.store.Contacts`."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def of(self, users: Sequence[str]) -> Sequence[Contact]:
        """Give the contacts of users."""
        if not users:
            return ()
        values = {"jids": padded(users)}
        rows = await self._database.read(lambda connection: connection.execute(_OF, values).all())
        return tuple(Contact(row.jid, row.contact, sees=row.sees, agreed=row.agreed) for row in rows)

    async def put(self, contact: Contact) -> None:
        """Add a contact or change one; nothing happens for who is no user, and beyond the limit."""
        await self._writer.do(_put, contact)

    async def remove(self, user: str, contact: str) -> None:
        """Remove one."""
        await self._writer.do(_remove, (user, contact))

    async def forget(self, user: str) -> None:
        """Remove all of a user."""
        await self._writer.do(_forget, user)

    async def leftovers(self) -> Sequence[str]:
        """Give who has contacts and is no user."""
        return await self._database.read(lambda connection: connection.scalars(_LEFT).all())


def _put(connection: Connection, changed: Sequence[Contact]) -> list[None]:
    for each in changed:
        place = {"user": each.user, "of": each.contact}
        if connection.execute(_THERE, place).one_or_none() is None and (
            connection.execute(_IS_USER, place).one_or_none() is None
            or connection.execute(_COUNT, place).scalar_one() >= MAX_OF_USER
        ):
            continue
        row = {"jid": each.user, "contact": each.contact, "sees": each.sees, "agreed": each.agreed}
        connection.execute(_PUT[connection.dialect.name], row)
    return [None] * len(changed)


def _remove(connection: Connection, pairs: Sequence[tuple[str, str]]) -> list[None]:
    connection.execute(_DROP, [{"user": user, "of": contact} for user, contact in pairs])
    return [None] * len(pairs)


def _forget(connection: Connection, jids: Sequence[str]) -> list[None]:
    connection.execute(_FORGET, [{"user": jid} for jid in jids])
    return [None] * len(jids)
