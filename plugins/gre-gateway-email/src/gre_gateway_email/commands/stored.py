"""The database, for the commands: they work on it directly, whether or not the gateway runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slixmpp import JID
from slixmpp.jid import InvalidJID

from gre_core.errors import GreError
from gre_gateway_email.operate.running import read_running
from gre_gateway_email.store import default_url, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gre_gateway_email.config import Config
    from gre_gateway_email.store.store import Store


NOT_REACHED: Final = "No gateway runs on this machine with this state"


class CommandFailed(GreError):
    """A command cannot do what it was asked for."""

    code = "command"


def is_there(config: Config) -> bool:
    """Tell whether there can be a database at all: a command must not make one that the service cannot write.

    Raises:
        CommandFailed: this user may not look.
    """
    if config.database is not None:
        return True
    try:
        return Path(default_url(config.state).removeprefix("sqlite:///")).stat().st_size >= 0
    except FileNotFoundError:
        return False
    except PermissionError:
        raise CommandFailed(f"{config.state} cannot be read by this user: use sudo") from None


async def revision(url: str) -> tuple[str, str | None]:
    """Look at a database without changing it: its name, and the revision of its tables (None: there are none).

    Raises:
        StoreError: it cannot be opened.
    """
    # Only who looks into the database waits for these imports.
    from gre_gateway_email.store.database import Database  # noqa: PLC0415
    from gre_gateway_email.store.upgrade import revision_of  # noqa: PLC0415

    database = Database(url)
    try:
        return database.name, await database.read(revision_of)
    finally:
        await database.close()


async def _is_up_to_date(url: str) -> bool:
    from gre_gateway_email.store.upgrade import HEAD  # noqa: PLC0415

    return (await revision(url))[1] == HEAD


@asynccontextmanager
async def opened(config: Config) -> AsyncGenerator[Store]:
    """Open the database that the gateway uses.

    Raises:
        CommandFailed: there is none yet, or an older gateway works on it, whose tables must not change meanwhile.
        StoreError: it cannot be opened.
    """
    if not is_there(config):
        raise CommandFailed(
            f"There is no database in {config.state} yet: the gateway was never started with {config.path}"
        )
    url = config.database or default_url(config.state)
    running = read_running(config.state)
    if (
        running is not None
        and running.version != version("gre-gateway-email")
        and not await _is_up_to_date(url)
    ):
        raise CommandFailed(
            f"Version {running.version} of the gateway runs, and the one that is installed needs other tables: "
            "start the gateway again first"
        )
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def bare_jid(text: str) -> str:
    """Give a JID in its canonical form.

    Raises:
        CommandFailed: it is not the JID of a person.
    """
    try:
        jid = JID(text)
    except InvalidJID:
        raise CommandFailed(f"{text} is not a JID") from None
    if not jid.user or jid.resource:
        raise CommandFailed(f"{text} is not the bare JID of a user, such as juliet@example.org")
    return jid.bare
