"""The command ``gre-email-gateway``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from gre_gateway_email.config import Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code: 0 done, 1 something is wrong, 2 wrong use or configuration."""
    parser = argparse.ArgumentParser(
        prog="gre-email-gateway",
        description="An XMPP gateway to email that relays OpenPGP messages which it cannot read.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('gre-gateway-email')}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "start the gateway"),
        ("check", "try out the configuration and say what is wrong"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize())
        command.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="configuration (TOML)"
        )
    chosen = parser.parse_args(arguments)

    # slixmpp would import python-gnupg where it is installed (XEP-0027). This process has no use for OpenPGP.
    sys.modules.setdefault("gnupg", cast("ModuleType", None))
    from gre_core.errors import GreError  # noqa: PLC0415 - --help and --version come without waiting
    from gre_gateway_email.config import ConfigError, load  # noqa: PLC0415

    try:
        config = load(chosen.config)
        return asyncio.run(_run(config) if chosen.command == "run" else _check(config))
    except ConfigError as error:
        sys.stderr.write(f"{error.text}\n")
        return 2
    except (GreError, OSError) as error:
        sys.stderr.write(f"{chosen.config}: {error}\n")
        return 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _run(config: Config) -> int:
    from gre_gateway_email.app import App, set_up_logging  # noqa: PLC0415

    set_up_logging(config.log.level)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await App(config).run(stop, _say)
    return 0


async def _check(config: Config) -> int:
    from gre_gateway_email.commands.check import check  # noqa: PLC0415

    wrong = 0
    async for right, line in check(config):
        _say(("ok     " if right else "WRONG  ") + line)
        wrong += not right
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
