"""What databases raise, sorted by what to do about it, and told without a value of any row."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, StatementError

from gre_core.errors import GreError, StoreError
from gre_gateway_email.store.errors import NoRoom, NotStorable

_AWAY: Final = ("08", "57P", "25006")
"""SQLSTATE of PostgreSQL: connection lost, it starts or stops, read-only (it became a standby)."""
_TRY_AGAIN: Final = ("40001", "40P01")
"""Serialization failure, deadlock."""
_NO_ROOM: Final = ("53",)
"""Disk full, out of memory, too many connections."""
_DISK_FULL: Final = "53100"
_POSTGRESQL_WORDS: Final = {
    "08": "the connection was lost",
    "25006": "it takes no changes now",
    "28": "it does not let us in; check user and password in the URL",
    "3D": "there is no such database; make it, or check its name in the URL",
    "42501": "the user in the URL may not do that; check its rights",
    "53": "it has no room left, on the disk, in memory or for connections",
    "57": "it is starting, stopping, or was told to stop",
}

_SQLITE_WORDS: Final = {
    "FULL": "the disk is full",
    "BUSY": "another program keeps it locked",
    "LOCKED": "another program keeps it locked",
    "READONLY": "it cannot be written; check the owner of the file and its folder",
    "CANTOPEN": "it cannot be opened; check the folder, its owner, and free space",
    "IOERR": "the disk does not work as it should, or is full",
    "CORRUPT": "the file is damaged; restore a backup",
    "NOTADB": "the file is not an SQLite database",
    "NOMEM": "memory is full",
}


class CommitUnknown(StoreError):
    """The connection broke within COMMIT: it is not known whether the transaction is stored."""


def sqlstate(error: BaseException) -> str:
    """Give PostgreSQL's code of an error, or ``""``."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    return str(getattr(error, "sqlstate", None) or "")


def is_away(error: BaseException) -> bool:
    """Tell whether the database cannot be reached now, so that a new connection may help."""
    if isinstance(error, DBAPIError):
        if isinstance(error.orig, sqlite3.Error):
            return False
        if error.connection_invalidated:
            return True
    # TimeoutError is an OSError, and asyncpg's own errors about connections come from ConnectionError or with a code.
    return isinstance(error, OSError) or sqlstate(error).startswith(_AWAY)


def is_passing(error: BaseException) -> bool:
    """Tell whether the same transaction may simply be tried again."""
    return sqlstate(error).startswith(_TRY_AGAIN)


def is_of_a_row(error: BaseException) -> bool:
    """Tell whether what was to be stored is to blame, not the database."""
    if isinstance(error, StoreError):
        return isinstance(error, NotStorable)
    return not (
        is_away(error) or is_passing(error) or _sqlite_name(error) or sqlstate(error).startswith(_NO_ROOM)
    )


def told(error: BaseException, name: str) -> GreError:
    """Make an error for people. What the database itself says is left out: it may quote addresses.

    Arguments:
        error: what was raised.
        name: of the database, without a password.
    """
    cause = error.orig if isinstance(error, StatementError) else error
    if isinstance(cause, GreError):
        return cause
    kind = NoRoom if _sqlite_name(error) == "FULL" or sqlstate(error) == _DISK_FULL else StoreError
    return kind(f"The database {name} cannot be used: {_reason(error)}.")


def _reason(error: BaseException) -> str:
    name, state = _sqlite_name(error), sqlstate(error)
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if name:
        reason = f"{_SQLITE_WORDS[name]} (SQLITE_{name})"
    elif state:
        words = next(
            (words for start, words in _POSTGRESQL_WORDS.items() if state.startswith(start)), "it failed"
        )
        reason = f"{words} (SQLSTATE {state})"
    elif isinstance(cause, TimeoutError):
        reason = "it did not answer in time"
    elif isinstance(cause, OSError):
        reason = f"it cannot be reached: {cause.strerror or type(cause).__name__}"
    else:
        reason = "the connection was lost" if is_away(error) else type(cause).__name__
    return reason


def _sqlite_name(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    name = str(getattr(cause, "sqlite_errorname", None) or "").removeprefix("SQLITE_").partition("_")[0]
    return name if name in _SQLITE_WORDS else ""
