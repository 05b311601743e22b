"""``gre-email-gateway status``: whether the gateway works, and how much waits."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from gre_gateway_email.commands.shown import age, moment, say, say_json, size
from gre_gateway_email.commands.stored import CommandFailed, is_there, opened
from gre_gateway_email.config import load
from gre_gateway_email.operate.running import read_running

if TYPE_CHECKING:
    import argparse

    from gre_gateway_email.config import Config
    from gre_gateway_email.operate.running import Running
    from gre_gateway_email.store.records import QueueCount


def run(options: argparse.Namespace) -> int:
    """Show the status; 0 when the gateway runs and the XMPP server accepts it, else 1.

    Raises:
        ConfigError: the configuration cannot be used.
        CommandFailed: this user may not look.
    """
    config = load(options.config)
    try:
        running = read_running(config.state)
    except PermissionError:
        raise CommandFailed(f"{config.state} cannot be read by this user: use sudo") from None
    if not options.quiet:
        stored = asyncio.run(_stored(config)) if is_there(config) else None
        if options.json:
            say_json(_as_json(running, stored))
        else:
            _show(config, running, stored)
    return 0 if running is not None and running.connected_at is not None else 1


async def _stored(config: Config) -> tuple[QueueCount, QueueCount, int]:
    async with opened(config) as store:
        return *await store.counts(), await store.users.count()


def _as_json(running: Running | None, stored: tuple[QueueCount, QueueCount, int] | None) -> dict[str, object]:
    now = time.time()
    shown: dict[str, object] = {
        "running": running is not None,
        "connected": running is not None and running.connected_at is not None,
        "installed_version": version("gre-gateway-email"),
    }
    if running is not None:
        shown |= {
            "pid": running.pid,
            "version": running.version,
            "domain": running.domain,
            "since": running.since,
            "connected_since": running.connected_at,
            "listen_port": running.listen_port,
            "http_port": running.http_port,
        }
    if stored is not None:
        outbound, inbound, users = stored
        shown |= {"users": users, "queue": {"out": _count(outbound, now), "in": _count(inbound, now)}}
    return shown


def _count(count: QueueCount, now: float) -> dict[str, object]:
    return {
        "waiting": count.waiting,
        "bytes": count.size,
        "oldest_seconds": None if count.oldest_at is None else round(max(0.0, now - count.oldest_at), 3),
        "held": count.held,
        "dead": count.dead,
    }


def _show(config: Config, running: Running | None, stored: tuple[QueueCount, QueueCount, int] | None) -> None:
    now = time.time()
    if running is None:
        say(f"gateway    does not run ({config.path})")
    else:
        say(
            f"gateway    runs since {moment(running.since)} ({age(now - running.since)}), process {running.pid}"
        )
        if running.connected_at is None:
            say(f"xmpp       {running.domain} is NOT connected; it tries again")
        else:
            say(f"xmpp       {running.domain} is connected since {moment(running.connected_at)}")
        if running.listen_port is None:
            say("mail       none is taken")
        else:
            say(f"mail       taken on {config.listen.host}:{running.listen_port}")
        if running.http_port is not None:
            say(f"metrics    http://{config.http.host}:{running.http_port}/metrics")
    installed = version("gre-gateway-email")
    if running is not None and running.version != installed:
        say(f"version    {running.version} runs, {installed} is installed: start it again")
    else:
        say(f"version    {installed}")
    if stored is None:
        say(f"database   none yet in {config.state}")
        return
    outbound, inbound, users = stored
    say(f"users      {users}")
    say(f"out        {_line(outbound, now)}")
    say(f"in         {_line(inbound, now)}")
    if outbound.dead or inbound.dead:
        say("           look at dead letters: gre-email-gateway queue list --dead")


def _line(count: QueueCount, now: float) -> str:
    oldest = f", the oldest for {age(now - count.oldest_at)}" if count.oldest_at is not None else ""
    waiting = f"{count.waiting} wait ({size(count.size)}{oldest})" if count.waiting else "nothing waits"
    return f"{waiting}, {count.held} held, {count.dead} dead"
