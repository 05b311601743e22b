"""``gre-email-gateway database``: makes a backup, puts one back, and moves everything to another database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gre_gateway_email.commands.shown import say, size, table
from gre_gateway_email.commands.stored import CommandFailed, is_there
from gre_gateway_email.config import ConfigError, load
from gre_gateway_email.config.sources import MAX_SECRET
from gre_gateway_email.operate.running import read_running
from gre_gateway_email.store import default_url
from gre_gateway_email.store.backup import back_up, put_back
from gre_gateway_email.store.moving import move

if TYPE_CHECKING:
    import argparse

    from gre_gateway_email.config import Config


def run(options: argparse.Namespace) -> int:
    """Do one of the actions: backup, restore, move.

    Raises:
        ConfigError: the configuration cannot be used.
        CommandFailed: it makes no sense now. The text says what to do.
        StoreError: a database cannot be used.
    """
    config = load(options.config)
    if options.action == "restore":
        _restore(config, options.file)
    elif not is_there(config):
        raise CommandFailed(f"There is no database in {config.state} yet")
    elif options.action == "backup":
        asyncio.run(back_up(_url(config), options.file))
        say(f"wrote {options.file} ({size(options.file.stat().st_size)})")
    else:
        _refuse_running(config)
        _move(config, _target(options.target))
    return 0


def _url(config: Config) -> str:
    return config.database or default_url(config.state)


def _refuse_running(config: Config) -> None:
    running = read_running(config.state)
    if running is not None:
        raise CommandFailed(f"The gateway runs (process {running.pid}): stop it first")


def _restore(config: Config, source: Path) -> None:
    if config.database is not None and not config.database.startswith("sqlite"):
        raise CommandFailed(
            "The database of the configuration is PostgreSQL: put a backup of it back with pg_restore"
        )
    _refuse_running(config)
    old = put_back(Path(_url(config).partition(":///")[2]), source)
    say(f"{source} is the database now.")
    if old is not None:
        say(f"The one that was there is {old}: remove it when all is well.")


def _target(text: str) -> str:
    """Give a URL, or the one in a file, so that no password has to stand in the list of processes."""
    if "://" in text:
        return text
    try:
        with Path(text).open("rb") as stream:
            url = stream.read(MAX_SECRET).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{text} is neither a URL nor a file with one: {reason}") from None
    if "://" not in url:
        raise ConfigError(f"{text} holds no URL such as postgresql://user:password@host/name")
    return url


def _move(config: Config, target: str) -> None:
    counts = asyncio.run(move(_url(config), target))
    for line in table(("TABLE", "ROWS"), [(name, str(count)) for name, count in counts.items()]):
        say(line)
    say("")
    say(
        f"Everything is copied and counted. Now set [database] url_file in {config.path} and start the gateway."
    )
    say(
        "The old database is as it was: remove it when all is well. Until then do not start a gateway with it."
    )
