"""The command ``gre``; also ``python -m gre_cli``."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from gre_cli.app import app


def main() -> None:
    """Run the command. What the terminal cannot show becomes a question mark, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
