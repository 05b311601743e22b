"""Transactions of SQLite in a thread of their own: one hop between threads for each, not one for each statement.

The asynchronous driver goes to its thread and back for every cursor, statement and row set. Under load each of these
waits for a turn of the interpreter, and a commit of a few milliseconds took tens of them.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine, event

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
            pool_size=1,
            max_overflow=0,
            pool_reset_on_return=None,  # every connection is given back without a transaction
            hide_parameters=True,  # they are addresses and content
        )
        event.listen(self._engine, "connect", set_up)
        event.listen(self._engine, "begin", _begin_immediate)

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run a transaction and commit it; raises what ``work`` or the driver raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, work)

    async def close(self) -> None:
        """Finish what is under way and close the connection."""
        # The thread has nothing to do but what is under way; it is waited for without holding up the event loop.
        await asyncio.to_thread(self._executor.shutdown)
        self._engine.dispose()

    def _run(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first could otherwise not become one that writes while another program writes.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
