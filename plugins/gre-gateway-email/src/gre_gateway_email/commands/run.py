"""``gre-email-gateway run``: the gateway itself."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING, Final

from gre_gateway_email.app import App
from gre_gateway_email.config import Config, load
from gre_gateway_email.operate.log import set_up_logging

if TYPE_CHECKING:
    import argparse


_GARBAGE: Final = 20_000
"""New objects before cycles among them are looked for. Messages leave few; at 700, as Python has it, a sixth of the
time went into looking."""


def run(options: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration cannot be used, or the XMPP server does not accept the gateway.
        StoreError: the database cannot be used.
    """
    config = load(options.config)
    set_up_logging(config.log)
    for warning in config.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    asyncio.run(_run(config))
    return 0


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await App(config).run(stop, _say)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    # What is there now stays until the end: the collector need not go through it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
