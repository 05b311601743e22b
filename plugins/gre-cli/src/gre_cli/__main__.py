"""The command ``gre``; also ``python -m gre_cli``."""

from __future__ import annotations

from gre_cli.app import app


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
