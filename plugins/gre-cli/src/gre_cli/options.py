"""What several commands share: options, reading the settings, and turning errors into words and exit codes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typing import Any

    from gre_cli.exits import Exit
    from gre_cli.output import Output
    from gre_cli.settings import Settings


class Group(TyperGroup):
    """A group whose ``--help`` has a default: without one, typer 0.29 loads pydantic (0.4 s) to convert None."""

    def get_help_option(self, ctx: Any) -> Any:
        """Give the option ``--help``."""
        option = super().get_help_option(ctx)
        if option is not None and option.default is None:
            option.default = False
        return option


Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to standard output, nothing else.")]
Account = Annotated[
    str | None, typer.Option("--account", "-a", metavar="JID", envvar="GRE_ACCOUNT", help="Your account.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", envvar="GRE_CONFIG", help="Configuration, instead of the usual place."
    ),
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Folder of keys, trust and unconfirmed messages."),
]
Host = Annotated[str | None, typer.Option("--host", help="The XMPP server, when DNS does not tell.")]
Port = Annotated[int | None, typer.Option("--port", help="Its port; with --host. Default: 5222.")]
Plaintext = Annotated[
    bool, typer.Option("--insecure-plaintext", help="Log in without TLS: only to a server on this machine.")
]
Gateway = Annotated[
    str | None,
    typer.Option(
        "--gateway", "-g", metavar="DOMAIN", help="The gateway that leads to the contact's network."
    ),
]
Approve = Annotated[
    list[str] | None,
    typer.Option("--approve", metavar="CODE=VALUE", help="Say yes ahead to a question; may be repeated."),
]
To = Annotated[
    str, typer.Argument(metavar="TO", help="Mail address, or JID as in alice\\40example.org@gateway.")
]


def settings_of(*, need_account: bool = True, **options: str | int | bool | Path | None) -> Settings:
    """Read the configuration, with the options of the command line above it."""
    from gre_cli.settings import Options, load

    return load(Options(**options), need_account=need_account)  # type: ignore[arg-type]


def run(work: Callable[[Output], Awaitable[Exit]], *, json: bool) -> None:
    """Run a command; turn errors that a person can do something about into words and exit codes."""
    import asyncio

    from gre_cli.exits import Exit
    from gre_cli.output import Output
    from gre_cli.settings import UsageError
    from gre_core.errors import GreError

    async def job() -> Exit:
        return await work(output)

    output = Output(json=json)
    try:
        code = asyncio.run(job())
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = Exit.INTERRUPTED
    except UsageError as error:
        code = output.fail(error, Exit.USAGE)
    except (GreError, OSError, UnicodeDecodeError) as error:
        code = output.fail(error)
    raise typer.Exit(int(code))
