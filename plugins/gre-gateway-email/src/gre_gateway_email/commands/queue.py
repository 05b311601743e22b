"""``gre-email-gateway queue``: what waits, and dead letters. Never shows content."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from gre_gateway_email.commands.shown import age, moment, say, say_json, short, size, table
from gre_gateway_email.commands.stored import CommandFailed, opened
from gre_gateway_email.config import load
from gre_gateway_email.operate.control import ask_running
from gre_gateway_email.store.records import OutboundMail

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gre_gateway_email.config import Config
    from gre_gateway_email.store.records import InboundMessage
    from gre_gateway_email.store.store import Store

    Entry = OutboundMail | InboundMessage

ALL: Final = 100_000
"""As many are looked through for an id."""


def run(options: argparse.Namespace) -> int:
    """Do one of the actions: list, show, replay, drop.

    Raises:
        ConfigError: the configuration cannot be used.
        CommandFailed: there is no such message.
        StoreError: the database cannot be used.
    """
    return asyncio.run(_run(load(options.config), options))


async def _run(config: Config, options: argparse.Namespace) -> int:
    async with opened(config) as store:
        if options.action == "list":
            await _list(store, options)
        elif options.action == "show":
            await _show(store, options)
        else:
            return await _change(config, store, options)
    return 0


async def _list(store: Store, options: argparse.Namespace) -> None:
    entries: Sequence[Entry]
    if options.dead:
        entries = await store.dead.all(options.limit)
    else:
        entries = [
            *await store.queue("waiting", options.limit),
            *await store.queue("held", options.limit),
        ][: options.limit]
    if options.json:
        say_json([_as_json(entry, whole=options.addresses) for entry in entries])
        return
    if not entries:
        say("There are no dead letters." if options.dead else "Nothing waits.")
        return
    now = time.time()
    rows = [_row(entry, now, whole=options.addresses) for entry in entries]
    for line in table(("ID", "WAY", "STATE", "AGE", "TRIES", "NEXT TRY", "FROM", "TO", "REASON"), rows):
        say(line)


async def _show(store: Store, options: argparse.Namespace) -> None:
    entry = await _find(store, options.id)
    shown = _as_json(entry, whole=options.addresses)
    if options.json:
        say_json(shown)
        return
    for name, value in shown.items():
        if name.endswith("_at"):
            value = moment(float(str(value))) if value else "-"  # noqa: PLW2901
        elif name == "size" and isinstance(value, int):
            value = size(value)  # noqa: PLW2901
        elif isinstance(value, list):
            value = ", ".join(map(str, value))  # noqa: PLW2901
        say(f"{name:<12} {value}")


async def _change(config: Config, store: Store, options: argparse.Namespace) -> int:
    """Replay or drop dead letters; 1 when one of them was not there."""
    ids = list(options.ids)
    if options.all_dead:
        ids += [entry.id for entry in await store.dead.all(ALL)]
    elif not ids:
        raise CommandFailed("Say which: IDs as `queue list --dead` shows them, or --all-dead")
    work, done = (
        (store.dead.replay, "is tried again")
        if options.action == "replay"
        else (store.dead.drop, "is removed")
    )
    missing = 0
    for letter_id in dict.fromkeys(ids):
        if await work(letter_id):
            say(f"{letter_id} {done}")
        else:
            missing += 1
            say(f"{letter_id} is not a dead letter: nothing was done")
    if not ids:
        say("There are no dead letters.")
    if options.action == "replay":
        await ask_running(config.state, "look")
    return 1 if missing else 0


async def _find(store: Store, entry_id: str) -> Entry:
    for entries in (await store.dead.all(ALL), await store.queue(None, ALL)):
        for entry in entries:
            if entry.id == entry_id:
                return entry
    raise CommandFailed(f"There is no message {entry_id}: it was brought on, or never here")


def _row(entry: Entry, now: float, *, whole: bool) -> tuple[str, ...]:
    shown = _as_json(entry, whole=whole)
    recipients = shown["to"]
    came = entry.created_at if isinstance(entry, OutboundMail) else entry.received_at
    waits = entry.state == "waiting"
    return (
        entry.id,
        str(shown["way"]),
        entry.state,
        age(now - came),
        str(entry.attempts),
        ("now" if entry.next_at <= now else f"in {age(entry.next_at - now)}") if waits else "-",
        str(shown["from"]),
        ", ".join(map(str, recipients)) if isinstance(recipients, list) else str(recipients),
        entry.reason or "-",
    )


def _as_json(entry: Entry, *, whole: bool) -> dict[str, object]:
    """Give what an operator may see: no content, no subject, no names of files."""

    def address(text: str) -> str:
        return text if whole else short(text)

    shown: dict[str, object]
    if isinstance(entry, OutboundMail):
        shown = {
            "id": entry.id,
            "way": "out",
            "kind": entry.kind,
            "state": entry.state,
            "user": address(entry.user),
            "from": address(entry.sender),
            "to": [address(one) for one in entry.recipients],
            "came_at": entry.created_at,
        }
    else:
        shown = {
            "id": entry.id,
            "way": "in",
            "kind": entry.kind,
            "state": entry.state,
            "size": entry.size,
            "user": address(entry.user),
            "from": address(entry.sender),
            "to": [address(entry.address)],
            "came_at": entry.received_at,
            "expires_at": entry.expires_at,
        }
    return shown | {"attempts": entry.attempts, "next_at": entry.next_at, "reason": entry.reason}
