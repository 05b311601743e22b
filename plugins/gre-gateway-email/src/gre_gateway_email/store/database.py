"""One database: its address, its connections, reading, and one transaction at a time.

SQLite: one file of mode 0600, write-ahead log, every commit on the disk with fsync, what is deleted is overwritten.
PostgreSQL: two engines as well, each with few connections.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import time
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from gre_core.errors import StoreError
from gre_gateway_email.store.claim import SETTINGS, FileClaim, SessionClaim
from gre_gateway_email.store.failures import CommitUnknown, is_away, is_passing, told
from gre_gateway_email.store.postgresql_session import LostInCommit, PostgresqlSession
from gre_gateway_email.store.schema import versions
from gre_gateway_email.store.sqlite_thread import SqliteThread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from sqlalchemy.engine import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

PATIENCE: Final = 5.0
"""So long a database that is away is tried again before a call fails, in seconds."""
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)

_CONNECT_TIMEOUT: Final = 5.0
_COMMAND_TIMEOUT: Final = 20.0
BUSY_TIMEOUT: Final = 5_000
"""So long a lock of another program is waited for (SQLite), in milliseconds."""
_READERS: Final = 3
_OPTIONS: Final = {"host", "port", "ssl", "passfile"}
"""What may stand behind the ? of a URL of PostgreSQL: ``host`` may be the folder of its socket."""

_MARKED: Final = select(versions.c.number).where(versions.c.name == "commit").with_for_update()
"""Waits for a transaction that is still being committed."""

_NOTHING: Final = select(1)

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA wal_autocheckpoint=4000",  # pages of 4 KiB: most mails are gone again before their pages are copied
    "PRAGMA journal_size_limit=16777216",
    "PRAGMA cache_size=-8192",  # KiB
    "PRAGMA temp_store=MEMORY",
)


class Database:
    """A database and its connections.

    Arguments:
        url: ``sqlite:////path/file.db`` or ``postgresql://user:password@host/name``; the drivers' own forms too.
        taken: for the gateway itself, which has to be alone: called when another one has taken its place.

    Raises:
        StoreError: the URL is of no use, the driver is missing, the file cannot be made, or another gateway has it.
    """

    def __init__(self, url: str, taken: Callable[[], None] | None = None) -> None:
        self._url = _checked(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.name = str(self._url.database) if self.is_sqlite else _without_password(self._url)
        if self.is_sqlite:
            _prepare_file(Path(str(self._url.database)))
        self._file: FileClaim | None = None
        self._watch: asyncio.Task[None] | None = None
        self._thread: SqliteThread | None = None
        self._writing: AsyncEngine | None = None
        self._session: PostgresqlSession | None = None
        if self.is_sqlite:
            self._thread = SqliteThread(self._url, _set_up_sqlite)
            if taken is not None:
                self._file = FileClaim(Path(str(self._url.database)))
        else:
            # Transactions begin and end in the session, not in SQLAlchemy.
            settings = {} if taken is None else SETTINGS
            self._writing = self._engine(1, settings, isolation_level="AUTOCOMMIT")
            self._session = PostgresqlSession(self._writing)
            if taken is not None:
                claim = SessionClaim(self.name, taken)
                claim.guard(self._writing)
                self._watch = asyncio.get_running_loop().create_task(claim.watch(self._check))
        self._reading = self._engine(_READERS, {}, isolation_level="AUTOCOMMIT")
        dbapi: Any = self._reading.dialect.dbapi
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, dbapi.Error)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read with a connection of its own; each statement sees what was committed before it.

        Raises:
            StoreError: the database cannot be read.
        """

        async def once() -> T:
            async with self._reading.connect() as connection:
                return await _watched(connection, work)

        try:
            return await self._persist(once)
        except self._errors as error:
            raise told(error, self.name) from None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[AsyncConnection]:
        """Give a connection on which each statement is committed by itself, for a program that is alone here.

        Raises:
            StoreError: the database does not answer, or a statement failed.
        """
        try:
            async with self._reading.connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise told(error, self.name) from None

    async def write(self, work: Callable[[Connection], T], *, marked: bool = True) -> T:
        """Run a transaction and commit it. When this returns, it is on the disk.

        Arguments:
            work: what to do.
            marked: leave a mark by which a COMMIT without an answer can be cleared up. Before there are tables: not.

        Raises:
            StoreError: nothing of it is stored.
            CommitUnknown: the connection broke within COMMIT, and the database did not come back to tell.
            Exception: what ``work`` raised; nothing is stored.
        """
        mark = secrets.randbits(62) if marked and not self.is_sqlite else None
        return await self._persist(lambda: self._transaction(work, mark))

    async def close(self) -> None:
        """Close all connections."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._reading.dispose()
        if self._writing is not None:
            await self._writing.dispose()
        if self._thread is not None:
            await self._thread.close()
        if self._file is not None:
            self._file.release()
            self._file = None

    async def _check(self) -> None:
        await self.write(lambda connection: connection.execute(_NOTHING), marked=False)

    async def _transaction(self, work: Callable[[Connection], T], mark: int | None) -> T:
        if self._thread is not None:
            return await self._thread.transaction(work)
        assert self._session is not None
        try:
            return await self._session.transaction(work, mark)
        except LostInCommit as lost:
            if mark is not None and await self._is_marked(mark):
                result: T = lost.result
                return result
        raise ConnectionResetError("lost before COMMIT")

    async def _is_marked(self, mark: int) -> bool:
        """Tell whether the transaction that left a mark was committed.

        Not by its number: after a crash PostgreSQL gives numbers again whose transactions did not reach its log.
        """
        try:
            return await self.read(lambda connection: connection.scalar(_MARKED)) == mark
        except StoreError as error:
            raise CommitUnknown(
                f"The database {self.name} was lost while it stored something, and it is not known whether it did."
            ) from error

    async def _persist(self, once: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + PATIENCE
        pauses = iter(_PAUSES)
        while True:
            try:
                return await once()
            except StoreError:
                raise
            except Exception as error:
                retry = is_away(error) or is_passing(error)
                pause = next(pauses, _PAUSES[-1])
                if not retry:
                    raise
                if time.monotonic() + pause > deadline:
                    raise told(error, self.name) from None
            await asyncio.sleep(pause)

    def _engine(self, size: int, settings: Mapping[str, str], **options: Any) -> AsyncEngine:
        arguments: dict[str, Any] = {}
        if not self.is_sqlite:
            arguments = {
                "timeout": _CONNECT_TIMEOUT,
                "command_timeout": _COMMAND_TIMEOUT,
                "server_settings": {
                    "application_name": "gre-email-gateway",
                    "synchronous_commit": "on",
                    "jit": "off",
                    **settings,
                },
            }
        engine = create_async_engine(
            self._url,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_COMMAND_TIMEOUT,
            pool_reset_on_return=None,  # every connection is given back without a transaction
            hide_parameters=True,  # they are addresses and content
            connect_args=arguments,
            **options,
        )
        if self.is_sqlite:
            event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        return engine


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise StoreError(
            "The URL of the database cannot be read. Write sqlite:////path/file.db or "
            "postgresql://user:password@host/name; characters such as @ and / in a password as %40 and %2F."
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise StoreError(
                "The URL of an SQLite database names a file, and nothing else: sqlite:////path/file.db"
            )
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend not in {"postgresql", "postgres"}:
        raise StoreError(f"The database {backend} is not supported. Use sqlite or postgresql.")
    if find_spec("asyncpg") is None:
        raise StoreError("PostgreSQL needs a driver: pip install 'gre-gateway-email[postgresql]'")
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    foreign = query.keys() - _OPTIONS
    if foreign:
        raise StoreError(
            f"The URL of the database has an option {min(foreign)!r}; known are {', '.join(sorted(_OPTIONS))}. "
            "Characters such as ? and & in a password are written %3F and %26."
        )
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _without_password(url: URL) -> str:
    where = url.host or url.query.get("host") or "localhost"
    return f"{url.database or ''} at {where}{f':{url.port}' if url.port else ''}"


def _prepare_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files beside it (-wal, -shm) the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if stat.S_IMODE(path.stat().st_mode) != stat.S_IRUSR | stat.S_IWUSR:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"The database {path} cannot be used: {error.strerror or type(error).__name__}. "
            "Check owner, permissions and free space."
        ) from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Without this the driver of Python 3.11 decides when a transaction begins.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}")
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


async def _watched(connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
    """Run work; a connection that is of no use any more does not go back to the pool."""
    try:
        return await connection.run_sync(work)
    except Exception as error:
        if is_away(error):
            await connection.invalidate()
        raise
