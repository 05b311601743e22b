"""The commands under ``gre keys``."""

from __future__ import annotations

import typer

from gre_cli.keys import contacts, own
from gre_cli.keys.shared_options import with_account
from gre_cli.options import Group

keys = typer.Typer(
    name="keys",
    cls=Group,
    help="Your OpenPGP keys and those of contacts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for name, work in {**contacts.COMMANDS, **own.COMMANDS}.items():
    keys.command(name)(with_account(work))
