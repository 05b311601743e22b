"""Transactions of SQLite in a thread of their own: one hop between threads for each, not one for each statement.

The asynchronous driver goes to its thread and back for every cursor, statement and row set. Under load each of these
waits for a turn of the interpreter, and a commit of a few milliseconds took tens of them.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import NullPool, create_engine, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL, Connection

T = TypeVar("T")


class SqliteThread:
    """The one connection that writes.

    Arguments:
        url: of the file.
        set_up: gets each new connection of the driver.
    """

    def __init__(self, url: URL, set_up: Callable[[Any, object], None]) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gre-store")
        self._engine = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # transactions begin and end here, not in SQLAlchemy
            hide_parameters=True,  # they are addresses and content
        )
        event.listen(self._engine, "connect", set_up)
        self._connection: Connection | None = None

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run a transaction and commit it; raises what ``work`` or the driver raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, work)

    async def close(self) -> None:
        """Finish what is under way and close the connection."""
        # The thread has nothing to do but what is under way; it is waited for without holding up the event loop.
        loop = asyncio.get_running_loop()
        if self._connection is not None:
            await loop.run_in_executor(self._executor, self._connection.close)
            self._connection = None
        self._executor.shutdown(wait=False)

    def _run(self, work: Callable[[Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._engine.connect()
        driver = connection.connection.dbapi_connection
        assert driver is not None
        # A transaction that reads first could otherwise not become one that writes while another program writes.
        driver.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            driver.commit()
        except BaseException:
            driver.rollback()
            raise
        return result
