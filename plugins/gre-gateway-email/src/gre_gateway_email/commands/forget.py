"""``gre-email-gateway forget USER``: erases all that the gateway has of a user."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from gre_gateway_email.commands.shown import say
from gre_gateway_email.commands.stored import NOT_REACHED, CommandFailed, bare_jid, opened
from gre_gateway_email.config import read
from gre_gateway_email.operate.control import ask_running

if TYPE_CHECKING:
    import argparse

    from gre_gateway_email.config import Config

OUTLIVES = (
    "What other systems keep is theirs: the archives (MAM) of the XMPP server, mailboxes of correspondents, mail logs, "
    "backups of this database."
)


def run(options: argparse.Namespace) -> int:
    """Ask, erase, and say what was erased; 1 when the person says no.

    Raises:
        ConfigError: the configuration cannot be used.
        CommandFailed: the user stands in the configuration, or nobody answers.
        StoreError: the database cannot be used.
    """
    config, sources = read(options.config)
    config_users = {jid: sources.where("users", address) for address, jid in config.users}
    return asyncio.run(_run(config, config_users, options.user, sure=options.yes))


async def _run(config: Config, config_users: dict[str, str], name: str, *, sure: bool) -> int:
    async with opened(config) as store:
        user = await store.users.by_address(name) or await store.users.get(bare_jid(name))
        jid = user.jid if user else bare_jid(name)
        if jid in config_users:
            raise CommandFailed(
                f"{config_users[jid]} makes {jid} a user at each start: remove that line, start the gateway again, "
                "then forget"
            )
        if not sure and not _is_sure(jid, registered=user is not None):
            say("Nothing was erased.")
            return 1
        asked = await ask_running(config.state, "forget", jid)
        rows = await store.forget(jid) if asked is None else asked
    if rows:
        say(
            f"Erased all of {jid}: registration, addresses, messages under way, keys, hashes ({rows} entries)."
        )
    else:
        say(f"There was nothing of {jid}.")
    if user is not None and asked is None:
        say(f"{NOT_REACHED}: nobody has told the clients of {jid}, who still show its contacts.")
    say(OUTLIVES)
    return 0


def _is_sure(jid: str, *, registered: bool) -> bool:
    who = jid if registered else f"{jid} (not registered)"
    if not sys.stdin.isatty():
        raise CommandFailed(f"Nobody can be asked whether to erase all of {jid}: give --yes")
    return input(f"Erase all of {who}, also messages under way? [no] ").strip().lower() in {"y", "yes"}
