"""The command ``gre-email-gateway``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

from gre_gateway_email.commands.options import parse, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code: 0 done, 1 something is wrong, 2 wrong use or configuration."""
    options = parse(arguments, version("gre-gateway-email"))

    # slixmpp would import python-gnupg where it is installed (XEP-0027). This process has no use for OpenPGP.
    sys.modules.setdefault("gnupg", cast("ModuleType", None))
    from gre_core.errors import GreError  # noqa: PLC0415 - --help and --version come without waiting
    from gre_gateway_email.config import ConfigError  # noqa: PLC0415

    try:
        return run_command(options)
    except ConfigError as error:
        sys.stderr.write(f"{error.text}\n")
        return 2
    except (GreError, OSError) as error:
        sys.stderr.write(f"gre-email-gateway {options.command}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
