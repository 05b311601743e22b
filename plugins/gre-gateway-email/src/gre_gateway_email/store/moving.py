"""Moves everything from one database to another one, of the other kind or the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from gre_core.errors import StoreError
from gre_gateway_email.store.database import Database
from gre_gateway_email.store.failures import told
from gre_gateway_email.store.schema import metadata, versions
from gre_gateway_email.store.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_PAGE: Final = 500
_PAGE_OF_MESSAGES: Final = 10
"""Rows that are read at once; a message may have many megabytes."""


async def move(source: str, target: str) -> Mapping[str, int]:
    """Copy all rows, in one transaction: the target has all of them, or none.

    Nothing is removed from the source. No gateway may work on one of the two, and none can start meanwhile.

    Arguments:
        source: URL of the database that is in use.
        target: URL of an empty one. Its tables are made.

    Result:
        How many rows there are, by table.

    Raises:
        StoreError: a gateway uses one of them, the target is not empty or is the source, or a database failed.
    """
    here = Database(source, taken=_nothing)
    try:
        there = Database(target, taken=_nothing)
        try:
            await _bring_up_to_date(here)
            await _bring_up_to_date(there)
            async with here.connected() as reading, there.connected() as writing:
                await _refuse_rows(writing, there.name)
                await writing.exec_driver_sql("BEGIN")
                counts = {
                    table.name: await _copy(reading, writing, table) for table in metadata.sorted_tables
                }
                await _compare(writing, counts, there.name)
                await writing.exec_driver_sql("COMMIT")
        finally:
            await there.close()
    finally:
        await here.close()
    return counts


async def _bring_up_to_date(database: Database) -> None:
    try:
        await database.write(lambda connection: upgrade(connection, database.name), marked=False)
    except (SQLAlchemyError, OSError) as error:
        raise told(error, database.name) from None


async def _refuse_rows(connection: AsyncConnection, name: str) -> None:
    for table in metadata.sorted_tables:
        # A new database has its version numbers.
        if table is not versions and (rows := await _count(connection, table)):
            raise StoreError(
                f"The database {name} is not empty ({rows} row(s) in {table.name}), and nothing was moved: "
                "give an empty one."
            )


async def _copy(reading: AsyncConnection, writing: AsyncConnection, table: Table) -> int:
    if table is versions:
        await writing.execute(table.delete())
    keys = tuple(table.primary_key)
    page = select(table).order_by(*keys).limit(_PAGE_OF_MESSAGES if "size" in table.c else _PAGE)
    rows = (await reading.execute(page)).mappings().all()
    count = 0
    while rows:
        await writing.execute(table.insert(), [dict(row) for row in rows])
        count += len(rows)
        last = tuple_(*(rows[-1][key.name] for key in keys), types=[key.type for key in keys])
        rows = (await reading.execute(page.where(tuple_(*keys) > last))).mappings().all()
    return count


async def _compare(connection: AsyncConnection, counts: Mapping[str, int], name: str) -> None:
    """Count anew what is there; an error ends the connection, and with it the transaction."""
    for table in metadata.sorted_tables:
        there = await _count(connection, table)
        if there != counts[table.name]:
            raise StoreError(
                f"The database {name} has {there} rows in {table.name} instead of {counts[table.name]}: "
                "nothing was moved."
            )


async def _count(connection: AsyncConnection, table: Table) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


def _nothing() -> None:
    """Be told that another gateway has taken a database over: the next statement fails then."""
