"""Transactions of PostgreSQL in few round trips: BEGIN takes the mark along, and nothing else is asked between.

Each answer of the database waits for a turn of the event loop, behind all that messages bring. So the number of answers
decides how long a commit takes, and with it how many messages are stored in a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from gre_gateway_email.store.failures import is_away

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

_MARK: Final = "UPDATE versions SET number = {} WHERE name = 'commit'"


class LostInCommit(Exception):
    """The connection broke within COMMIT: the transaction is stored, or not.

    Attributes:
        result: of the work that was to be committed.
    """

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class PostgresqlSession:
    """The one connection that writes.

    Arguments:
        engine: for one connection, which leaves transactions to us (``AUTOCOMMIT``).
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def transaction(self, work: Callable[[Connection], T], mark: int | None) -> T:
        """Run a transaction and commit it; raises what ``work`` or the driver raises, and nothing is stored then.

        Arguments:
            work: what to do.
            mark: stored with it, as the number of ``commit`` in ``versions``; None: nothing is.

        Raises:
            LostInCommit: it may be stored; the mark tells.
        """
        async with self._engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            begin = "BEGIN" if mark is None else f"BEGIN; {_MARK.format(mark)}"
            await _watched(connection, driver, driver.execute(begin))
            try:
                result = await _watched(connection, driver, connection.run_sync(work))
            except BaseException:
                if not connection.invalidated:
                    await _watched(connection, driver, driver.execute("ROLLBACK"))
                raise
            try:
                said = await _watched(connection, driver, driver.execute("COMMIT"))
            except Exception as error:
                if is_away(error):
                    raise LostInCommit(result) from error
                raise
            if said != "COMMIT":
                # A statement had failed and nobody said so: PostgreSQL takes everything back.
                raise RuntimeError(said)
            return result


async def _watched(connection: AsyncConnection, driver: Any, work: Awaitable[T]) -> T:
    """Wait for the driver; a connection that is of no use any more does not go back to the pool."""
    try:
        return await work
    except Exception as error:
        gone = driver.is_closed()
        if gone or is_away(error):
            await connection.invalidate()
        if gone and not is_away(error):
            raise ConnectionResetError(
                "the connection is closed"
            ) from error  # as the driver says in some cases only
        raise
