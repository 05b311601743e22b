"""The commands under ``gre new``, with their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gre_cli.options import Group, Json, run

if TYPE_CHECKING:
    from gre_cli.exits import Exit
    from gre_cli.output import Output

new = typer.Typer(
    name="new",
    cls=Group,
    short_help="Write the package of a new plugin.",
    help="Write the package of a new plugin: it builds, installs and passes the conformance kit as it is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Its short name, as in urn:xmpp:gre:formatter:NAME:0: my-format."),
]
Title = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Its name for people. Default: made of NAME, My Format.")
]
Author = Annotated[str, typer.Option(metavar="TEXT", help="Who writes it.")]
Email = Annotated[str, typer.Option(metavar="ADDRESS", help="Where the author is reached.")]
Into = Annotated[
    Path, typer.Option("--into", metavar="DIR", file_okay=False, help="Where the new folder is made.")
]

_AUTHOR = "Your Name"
_EMAIL = "you@example.org"
_HERE = Path()


@new.command(short_help="Write gre-formatter-NAME.")
def formatter(
    name: Name,
    title: Title = None,
    author: Author = _AUTHOR,
    email: Email = _EMAIL,
    into: Into = _HERE,
    json: Json = False,
) -> None:
    """Write gre-formatter-NAME: a formatter that writes messages as JSON.

    Make it yours from there. An existing folder is left alone.
    """
    _write("formatter", name, title, author, email, into, json=json)


@new.command(short_help="Write gre-encrypter-NAME.")
def encrypter(
    name: Name,
    title: Title = None,
    author: Author = _AUTHOR,
    email: Email = _EMAIL,
    into: Into = _HERE,
    json: Json = False,
) -> None:
    """Write gre-encrypter-NAME: an encrypter that works, as a starting point.

    What it does was never reviewed: replace it before anybody relies on it. An existing folder is left alone.
    """
    _write("encrypter", name, title, author, email, into, json=json)


def _write(
    kind: str, name: str, title: str | None, author: str, email: str, into: Path, *, json: bool
) -> None:
    async def work(output: Output) -> Exit:
        from gre_cli.new.writing import Plan, write

        return write(output, Plan.checked(kind, name, title, author, email), into)

    run(work, json=json)
