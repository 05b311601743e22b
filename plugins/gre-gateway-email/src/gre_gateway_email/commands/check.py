"""``gre-email-gateway check``: tries everything that the configuration names, and says what is wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gre_gateway_email.commands import check_here, check_there
from gre_gateway_email.commands.findings import note, ok
from gre_gateway_email.commands.shown import say
from gre_gateway_email.config import load
from gre_gateway_email.operate.running import read_running

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from gre_gateway_email.commands.findings import Finding
    from gre_gateway_email.config import Config


def run(options: argparse.Namespace) -> int:
    """Say what is right and what is wrong; 1 when something is.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    config = load(options.config)
    logging.getLogger("slixmpp").setLevel(logging.CRITICAL)  # what matters of it is said below
    return asyncio.run(_run(config))


async def _run(config: Config) -> int:
    count = {"ok": 0, "note": 0, "wrong": 0}
    async for finding in check(config):
        say(str(finding))
        count[finding.level] += 1
    say("")
    if count["wrong"]:
        say(f"{_counted(count['wrong'], 'thing')} to mend.")
        return 1
    say("All is right." + (f" {_counted(count['note'], 'note')} above." if count["note"] else ""))
    return 0


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


async def check(config: Config) -> AsyncIterator[Finding]:
    """Give what was found, one thing after the other."""
    running = None
    try:
        running = read_running(config.state)
    except PermissionError:
        yield note(
            f"{config.state} cannot be read by this user, so it is not known whether the gateway runs: use sudo"
        )
    if running is not None:
        yield ok(f"the gateway is running: process {running.pid}, version {running.version}")
    for finding in (*check_here.configuration(config), *check_here.plugins(config), *check_here.keys(config)):
        yield finding
    for finding in (*check_here.state(config, running), *check_here.clock(config)):
        yield finding
    yield await check_here.database(config)
    async for finding in check_there.xmpp(config, running):
        yield finding
    async for finding in check_there.relay(config):
        yield finding
    async for finding in check_there.verifier(config):
        yield finding
    async for finding in check_there.ports(config, running):
        yield finding
    async for finding in check_there.wkd(config):
        yield finding
    for finding in await check_here.postfix(config):
        yield finding
