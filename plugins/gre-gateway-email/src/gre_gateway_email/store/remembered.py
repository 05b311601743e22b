"""Hashes of what is through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import bindparam

from gre_gateway_email.store.prepared import Prepared
from gre_gateway_email.store.schema import relayed
from gre_gateway_email.store.statements import padded, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

_KEEP: Final = {
    "sqlite": Prepared(lambda: sqlite.insert(relayed).on_conflict_do_nothing()),
    "postgresql": Prepared(lambda: postgresql.insert(relayed).on_conflict_do_nothing()),
}
_SLICE: Final = 5_000
_OLD: Final = delete(relayed).where(
    relayed.c.hash.in_(
        select(relayed.c.hash)
        # What lies far ahead was noted before the clock was set back; it would otherwise stay for as long.
        .where(or_(relayed.c.at < bindparam("before"), relayed.c.at > bindparam("after")))
        .limit(_SLICE)
    )
)
_OF_USER: Final = select(relayed.c.hash).where(relayed.c.user_hash == bindparam("user")).limit(_SLICE)
_DROP: Final = delete(relayed).where(relayed.c.hash.in_(some("hashes")))


def insert_new(table: Table, name: str) -> Prepared:
    """Make the statement that inserts a row unless the table has one of its name, or its ``hash`` is kept.

    It gives the names of the rows that were inserted. Nearly all are new: nothing has to be asked before. That saves a
    round trip to PostgreSQL; in SQLite, where there is none, to ask before is quicker.

    Arguments:
        table: into which.
        name: of a unique column.
    """
    values = select(*(bindparam(column.name, type_=column.type) for column in table.c)).where(
        ~exists().where(relayed.c.hash == bindparam("hash", type_=relayed.c.hash.type))
    )
    statement = postgresql.insert(table).from_select(table.c.keys(), values)
    return Prepared(lambda: statement.on_conflict_do_nothing(index_elements=[name]).returning(table.c[name]))


def remember(connection: Connection, now: float, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """Keep hashes, each with the hash of its user."""
    rows = [{"hash": hashed, "user_hash": user, "at": int(now)} for hashed, user in pairs]
    if rows:
        _KEEP[connection.dialect.name].run_all(connection, rows)


def prune_slice(connection: Connection, bounds: Sequence[tuple[float, float]]) -> list[bool]:
    """Remove some hashes from before and after these times; tell whether there may be more."""
    return [
        connection.execute(_OLD, {"before": int(before), "after": int(after)}).rowcount >= _SLICE
        for before, after in bounds
    ]


def hashes_of(connection: Connection, user: bytes) -> Sequence[bytes]:
    """Give some of the hashes that belong to a hashed user."""
    return connection.scalars(_OF_USER, {"user": user}).all()


def drop_hashes(connection: Connection, groups: Sequence[Sequence[bytes]]) -> list[int]:
    """Remove hashes; give how many that were."""
    return [connection.execute(_DROP, {"hashes": padded(group)}).rowcount for group in groups]
