"""Transactions of SQLite in a thread of their own: one hop between threads for each, not one for each statement.

The asynchronous driver goes to its thread and back for every cursor, statement and row set. Under load each of these
waits for a turn of the interpreter, and a commit of a few milliseconds took tens of them.

What was removed can stand in SQLite's log (``-wal``) until that place is written again. So the log is emptied when
nothing was written for a moment, now and then under load, and at the end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import NullPool, create_engine, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL, Connection

T = TypeVar("T")

REST: Final = 2.0
"""Seconds without a write after which the log is emptied."""
LATEST: Final = 60.0
"""Seconds after which it is emptied in any case."""
_PATIENCE: Final = 100
"""Milliseconds for which a reader is waited for, and writers with it; then it is tried again later."""


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
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._written_at = self._since = 0.0

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run a transaction and commit it; raises what ``work`` or the driver raises."""
        result = await self._loop.run_in_executor(self._executor, self._run, work)
        self._written_at = self._loop.time()
        if self._timer is None:
            self._since = self._written_at
            self._timer = self._loop.call_later(REST, self._look)
        return result

    async def close(self) -> None:
        """Finish what is under way and close the connection."""
        # The thread has nothing to do but what is under way; it is waited for without holding up the event loop.
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            await self._loop.run_in_executor(self._executor, self._empty_log)
            await self._loop.run_in_executor(self._executor, self._connection.close)
            self._connection = None
        self._executor.shutdown(wait=False)

    def _look(self) -> None:
        at = min(self._written_at + REST, self._since + LATEST)
        if self._loop.time() < at:
            self._timer = self._loop.call_at(at, self._look)
            return
        self._timer = None
        self._loop.run_in_executor(self._executor, self._empty_log).add_done_callback(self._emptied)

    def _emptied(self, answer: asyncio.Future[bool]) -> None:
        if self._timer is None and not (answer.cancelled() or answer.result()):
            self._since = self._loop.time()
            self._timer = self._loop.call_later(REST, self._look)

    def _empty_log(self) -> bool:
        """Bring what stands in the log into the file, and cut it off; False: somebody reads it, or it failed."""
        assert self._connection is not None
        driver: Any = self._connection.connection.dbapi_connection
        try:
            (patience,) = driver.execute("PRAGMA busy_timeout").fetchone()
            driver.execute(f"PRAGMA busy_timeout={_PATIENCE}")
            try:
                busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                driver.execute(f"PRAGMA busy_timeout={patience}")
        except sqlite3.Error:
            return False  # as a full disk: the next write says so
        return not busy

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
