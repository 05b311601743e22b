"""Copies of an SQLite database: made while the gateway works, and put back while it does not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError
from gre_gateway_email.store.claim import FileClaim
from gre_gateway_email.store.database import Database
from gre_gateway_email.store.upgrade import refuse_newer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BESIDE: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database: of another database it would be wrong."""


async def back_up(url: str, target: Path) -> None:
    """Write all of a database into a new file, as of one moment.

    Arguments:
        url: of an SQLite database. A gateway may work on it.
        target: the file, of mode 0600; it must not be there.

    Raises:
        StoreError: the database or the file cannot be used.
    """
    database = Database(url)
    try:
        if not database.is_sqlite:
            raise StoreError(f"The database {database.name} is PostgreSQL's: back it up with pg_dump.")
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            hint = ": remove it, or choose another name" if isinstance(error, FileExistsError) else ""
            raise StoreError(f"{target} cannot be made: {error.strerror}{hint}") from error
        try:
            async with database.connected() as connection:
                await connection.exec_driver_sql("VACUUM INTO ?", (str(target),))
            _sync(target)
        except BaseException:
            os.unlink(target)  # noqa: PTH108 - one quick call
            raise
    finally:
        await database.close()


def put_back(file: Path, source: Path) -> Path | None:
    """Put a backup in the place of a database.

    Arguments:
        file: the database.
        source: the backup; it stays.

    Result:
        Where the database is now that was there; None when there was none.

    Raises:
        StoreError: a gateway uses the database, or the backup is none that this version can read.
    """
    _look_into(source)
    old = file.with_name(f"{file.name}.before-restore")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = FileClaim(file)
        try:
            beside = file.with_name(f".{file.name}.new")
            beside.unlink(missing_ok=True)
            os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            shutil.copyfile(source, beside)
            _sync(beside)
            was_there = file.exists()
            if was_there:
                _fold(file)
                file.replace(old)
            for name in _names_beside(file):
                name.unlink(missing_ok=True)
            beside.replace(file)
            _give_to_owner_of_folder(file, file.with_name(f"{file.name}.lock"))
        finally:
            claim.release()
    except OSError as error:
        raise StoreError(f"{error.filename or file} cannot be written: {error.strerror}") from error
    return old if was_there else None


def _look_into(source: Path) -> None:
    """Refuse what is no whole database of a gateway, or one of a newer version."""
    try:
        with closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{source} is not a database of the email gateway: {error}") from None
    if whole != "ok" or revision is None:
        raise StoreError(f"{source} is damaged: {whole}")
    refuse_newer(revision[0], str(source))


def _fold(file: Path) -> None:
    """Bring what stands in the write-ahead log into the file, which is kept without it."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        # It is damaged, which may be the reason for all this: keep all there is of it.
        for name in _names_beside(file):
            if name.exists():
                name.replace(name.with_name(name.name.replace(file.name, f"{file.name}.before-restore")))


def _names_beside(file: Path) -> Iterator[Path]:
    return (file.with_name(f"{file.name}{end}") for end in BESIDE)


def _give_to_owner_of_folder(*files: Path) -> None:
    """Let the user of the service use what root has made."""
    if os.geteuid() == 0:
        owner = files[0].parent.stat()
        for file in files:
            os.chown(file, owner.st_uid, owner.st_gid)


def _sync(file: Path) -> None:
    for path in (file, file.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
