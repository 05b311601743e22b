"""``gre-email-gateway users``: who is registered; adds, removes and blocks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gre_core.errors import InvalidAddress
from gre_gateway_email.commands.shown import say, say_json, table
from gre_gateway_email.commands.stored import NOT_REACHED, CommandFailed, bare_jid, opened
from gre_gateway_email.config import load
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.operate.control import ask_running
from gre_gateway_email.store.records import User

if TYPE_CHECKING:
    import argparse

    from gre_gateway_email.config import Config
    from gre_gateway_email.store.store import Store


def run(options: argparse.Namespace) -> int:
    """Do one of the actions: list, add, remove, block, unblock.

    Raises:
        ConfigError: the configuration cannot be used.
        CommandFailed: there is no such user, or an address cannot be given.
        StoreError: the database cannot be used, or an address belongs to somebody else.
    """
    asyncio.run(_run(load(options.config), options))
    return 0


async def _run(config: Config, options: argparse.Namespace) -> None:
    async with opened(config) as store:
        if options.action == "list":
            await _list(store, as_json=options.json)
        elif options.action == "add":
            await _add(config, store, bare_jid(options.jid), options.addresses)
        else:
            await _change(config, store, bare_jid(options.jid), options.action)


async def _list(store: Store, *, as_json: bool) -> None:
    users = [user async for user in store.users.all()]
    if as_json:
        say_json(
            [
                {
                    "jid": user.jid,
                    "addresses": list(user.addresses),
                    "encrypted_only": user.encrypted_only,
                    "publish_key": user.publish_key,
                    "blocked": user.blocked,
                    "from_config": user.from_config,
                    "registered_at": user.registered_at,
                }
                for user in users
            ]
        )
        return
    rows = [(user.jid, " ".join(user.addresses), _notes(user) or "-") for user in users]
    if not rows:
        say("Nobody is registered.")
        return
    for line in table(("JID", "ADDRESSES", "NOTES"), rows):
        say(line)


def _notes(user: User) -> str:
    notes = {
        "configuration": user.from_config,
        "blocked": user.blocked,
        "encrypted only": user.encrypted_only,
        "publishes key": user.publish_key,
    }
    return ", ".join(name for name, is_so in notes.items() if is_so)


async def _add(config: Config, store: Store, jid: str, addresses: list[str]) -> None:
    for address in addresses:
        try:
            check_address(address)
        except InvalidAddress as error:
            raise CommandFailed(f"{address}: {error.text}") from None
        if domain_of(address).lower() not in config.mail.domains:
            raise CommandFailed(
                f"{address} is not in {', '.join(config.mail.domains)}, the domains of [mail]"
            )
        owner = await store.users.by_address(address)
        if owner is not None and owner.jid != jid:
            raise CommandFailed(f"{address} belongs to {owner.jid}")
    there = await store.users.get(jid)
    user = there or User(jid, (), registered_at=time.time())
    known = {address.lower() for address in user.addresses}
    new = tuple(address for address in addresses if address.lower() not in known)
    await store.users.put(replace(user, addresses=user.addresses + new))
    say(f"{jid} has {' '.join(user.addresses + new)}.")
    await ask_running(config.state, "came" if there is None else "changed", jid)


async def _change(config: Config, store: Store, jid: str, action: str) -> None:
    user = await store.users.get(jid)
    if user is None:
        raise CommandFailed(f"{jid} is not registered: `gre-email-gateway users list` shows who is")
    if action == "remove":
        if user.from_config:
            raise CommandFailed(
                f"{jid} stands in the configuration: remove it there and start the gateway again"
            )
        if await ask_running(config.state, "remove", jid) is None:
            await store.users.remove(jid)
            say(f"{NOT_REACHED}: nobody has told the clients of {jid}, who still show its contacts.")
        say(
            f"{jid} is not registered any more. Messages and keys stay until `gre-email-gateway forget {jid}`."
        )
        return
    await store.users.put(replace(user, blocked=action == "block"))
    await ask_running(config.state, "changed", jid)
    say(f"{jid} {'sends and receives nothing any more' if action == 'block' else 'is not blocked any more'}.")
