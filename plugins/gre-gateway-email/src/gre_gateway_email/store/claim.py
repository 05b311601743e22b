"""That only one gateway works on a database; the commands of an operator work beside it.

SQLite: a locked file beside the database. PostgreSQL: an advisory lock of the very session that writes. Whoever loses
that connection loses the lock with it, and the next connection has to get it before anything is written through it.
Both locks go with the process, however it ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from gre_core.errors import StoreError
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

LOCK: Final = 0x6772_652D_6761_7465
"""Any number that no other program locks in this database."""
PATIENCE: Final = 10.0
"""So long the session of a process that is gone may take to notice it, in seconds."""
CHECK_EVERY: Final = 5.0
"""Seconds between two looks whether the session is still there."""
_PAUSE: Final = 0.1

SETTINGS: Final = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""Of the session: the server notices within half a minute that the machine of a gateway is gone."""

_TRY: Final = "SELECT pg_try_advisory_lock($1)"
_HOLDER: Final = (
    "SELECT l.pid, host(a.client_addr) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = $1 AND l.objid = $2 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

_log = get_logger(__name__)


class FileClaim:
    """A locked file beside an SQLite database.

    Arguments:
        database: the file; links to it are followed, so that one database has one lock.

    Raises:
        StoreError: another gateway has it, or the file cannot be made.
    """

    def __init__(self, database: Path) -> None:
        database = database.resolve()
        path = database.with_name(f"{database.name}.lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if isinstance(error, BlockingIOError):
                raise _in_use(str(database)) from None
            raise StoreError(f"{path} cannot be locked: {error.strerror}") from error

    def release(self) -> None:
        """Let another gateway have it."""
        os.close(self._descriptor)


class SessionClaim:
    """A lock of each session that an engine for one connection makes.

    Arguments:
        name: of the database, for errors.
        taken: called once, when another gateway got the lock after this one had lost it.
    """

    def __init__(self, name: str, taken: Callable[[], None]) -> None:
        self._name = name
        self._taken = taken
        self._session = 0
        self._is_taken = False

    def guard(self, engine: AsyncEngine) -> None:
        """Let no connection of an engine be used before it has the lock."""
        event.listen(engine.sync_engine, "connect", self._connected)

    async def watch(self, check: Callable[[], Awaitable[object]]) -> None:
        """Look now and then whether the connection is there, so that a new one takes the lock soon.

        Arguments:
            check: uses the connection, and makes a new one when it has to.
        """
        while not self._is_taken:
            await asyncio.sleep(CHECK_EVERY)
            try:
                await check()
            except (StoreError, SQLAlchemyError, OSError) as error:
                _log.warning("store-away", error_type=type(error).__name__)

    def _connected(self, connection: Any, _record: object) -> None:
        connection.run_async(self._take)

    async def _take(self, driver: Any) -> None:
        try:
            await self._wait(driver)
        except BaseException:
            driver.terminate()
            raise
        self._session = driver.get_server_pid()

    async def _wait(self, driver: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        waiting = False
        while not self._is_taken:
            if await driver.fetchval(_TRY, LOCK):
                return
            if time.monotonic() > deadline:
                break
            if not waiting:
                waiting = True
                _log.warning("store-in-use", wait_seconds=PATIENCE)
            await asyncio.sleep(_PAUSE)
        holder = None if self._is_taken else await driver.fetchrow(_HOLDER, LOCK >> 32, LOCK & 0xFFFF_FFFF)
        if holder is not None and holder[0] == self._session:
            raise StoreError(f"The database {self._name} has not noticed yet that its connection is gone.")
        if self._session and not self._is_taken:
            self._is_taken = True
            self._taken()
        raise _in_use(self._name, holder[1] if holder is not None else None)


def _in_use(name: str, address: str | None = None) -> StoreError:
    return StoreError(
        f"The database {name} is used by another gateway{f', at {address}' if address else ''}. "
        "Stop it, or give this one a database of its own ([state] directory, or [database] url)."
    )
