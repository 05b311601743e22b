"""Brings the tables of a database up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from gre_core.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection

HEAD: Final = "4"
"""The newest revision in ``migrations/versions``."""
SCRIPTS: Final = "gre_gateway_email.store:migrations"

_LOCK: Final = 0x6772_652D_6D61_696C  # any number that no other program locks


def upgrade(connection: Connection, name: str) -> None:
    """Apply what is missing, within the transaction of the connection.

    Arguments:
        connection: in a transaction.
        name: of the database, for errors.

    Raises:
        StoreError: the database is newer than this program.
    """
    if connection.dialect.name == "postgresql":
        if connection.scalar(text("SHOW server_encoding")) != "UTF8":
            raise StoreError(f"The database {name} does not use UTF-8. Make it with ENCODING 'UTF8'.")
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    revision = revision_of(connection)
    if revision == HEAD:
        return
    # Only a new or old database waits for these imports.
    from alembic import command  # noqa: PLC0415

    config = _scripts()
    if revision is not None:
        refuse_newer(revision, name)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def refuse_newer(revision: str, name: str) -> None:
    """Refuse tables that this version does not know.

    Raises:
        StoreError: the database is newer than this program.
    """
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    known = {script.revision for script in ScriptDirectory.from_config(_scripts()).walk_revisions()}
    if revision not in known:
        raise StoreError(
            f"The database {name} was written by a newer version of gre-gateway-email. "
            "Install that version again, or restore a backup from before."
        )


def _scripts() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config


def revision_of(connection: Connection) -> str | None:
    """Give the revision of the tables, or None for a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
