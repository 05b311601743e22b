"""The options of the ``gre`` command. What the commands do is imported when one of them runs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from gre_cli.keys.app import keys
from gre_cli.new.app import new
from gre_cli.options import (
    Account,
    Approve,
    Config,
    Gateway,
    Group,
    Host,
    Json,
    Plaintext,
    Port,
    State,
    run,
    settings_of,
)

if TYPE_CHECKING:
    from gre_cli.exits import Exit
    from gre_cli.output import Output
    from gre_core.model import Message


# Rich's help costs 0.4 s; the plain one says the same.
app = typer.Typer(
    name="gre",
    cls=Group,
    help="Encrypted messages through XMPP gateways (Gateway Relayed Encryption).\n\n"
    "Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 you have to decide first, "
    "4 nothing final in the given time, 5 a message came that cannot be trusted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys)
app.add_typer(new)


class ServerChoice(StrEnum):
    """The servers of the demo."""

    LOOPBACK = "loopback"
    PROSODY = "prosody"


@app.command()
def demo(
    server: Annotated[
        ServerChoice, typer.Option(help="Built-in router, or a throw-away Prosody.")
    ] = ServerChoice.LOOPBACK,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Keep the captured stanzas and mails here."),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Save the screen as a picture.")
    ] = None,
    json: Json = False,
) -> None:
    """Send a message both ways through a gateway and check it.

    Shows who saw what, and searches everything that the server, the gateway and the relay received for plaintext.
    Needs no account, no network and no root. Exit 0 only when every check passed.
    """

    async def work(output: Output) -> Exit:
        from gre_cli.demo.command import demo as run_demo

        return await run_demo(output, server.value, keep, svg)

    run(work, json=json)


@app.command()
def doctor(
    plugin: Annotated[
        str | None,
        typer.Argument(metavar="[PLUGIN]", help="Why is this one not taken? Its package, or its namespace."),
    ] = None,
    account: Account = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Show what is installed, what is broken, what to do.

    Exit 1 when something has to be mended.
    """

    async def work(output: Output) -> Exit:
        from gre_cli.doctor import doctor as examine

        settings = settings_of(need_account=False, account=account, config=config, state=state)
        return await examine(output, settings, plugin)

    run(work, json=json)


@app.command()
def send(
    to: Annotated[
        list[str],
        typer.Argument(metavar="TO...", help="Mail addresses, or JIDs as in alice\\40example.org@gateway."),
    ],
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            "-t",
            help="The text. Others on this machine see it among the processes: standard input is private.",
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", "-s", help="Encrypted, as everything else.")
    ] = None,
    cc: Annotated[list[str] | None, typer.Option(metavar="JID", help="Who gets a copy. Repeat it.")] = None,
    bcc: Annotated[
        list[str] | None,
        typer.Option(metavar="JID", help="Who gets a copy that the others do not learn of. Repeat it."),
    ] = None,
    reply_to: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The message that this one answers; `gre listen` shows ids."),
    ] = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            "--attach",
            "-f",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="May be repeated.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, help="The same text as HTML.")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for the receipt.")
    ] = 60.0,
    approve: Approve = None,
    account: Account = None,
    gateway: Gateway = None,
    config: Config = None,
    state: State = None,
    host: Host = None,
    port: Port = None,
    insecure_plaintext: Plaintext = False,
    json: Json = False,
) -> None:
    """Send an encrypted message, say how far it came.

    It ends as relayed, refused, or queued: then it is kept and sent again with the next command.
    The password is taken from GRE_PASSWORD, the configuration, or a prompt.
    """

    async def work(output: Output) -> Exit:
        from gre_cli.addresses import contact_jid

        settings = settings_of(
            account=account, config=config, state=state, host=host, port=port, gateway=gateway,
            insecure_plaintext=insecure_plaintext,
        )  # fmt: skip
        message = _message(text, subject, html, attach or [])
        from gre_cli.sending import People
        from gre_cli.sending import send as send_one

        first, copies, blind = (
            [contact_jid(one, settings.gateway) for one in role or ()] for role in (to, cc, bcc)
        )
        people = People(first, copies, blind, reply_to)
        return await send_one(output, settings, people, message, wait=wait, approved=approve or ())

    run(work, json=json)


@app.command()
def listen(
    once: Annotated[bool, typer.Option("--once", help="End after one message.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="End after so long.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, help="Folder for attachments; one in the state otherwise."
        ),
    ] = None,
    approve: Approve = None,
    account: Account = None,
    config: Config = None,
    state: State = None,
    host: Host = None,
    port: Port = None,
    insecure_plaintext: Plaintext = False,
    json: Json = False,
) -> None:
    """Show messages as they come, with their signatures.

    With --json: one object on one line for each message. The password is taken from GRE_PASSWORD, the configuration,
    or a prompt.
    """

    async def work(output: Output) -> Exit:
        settings = settings_of(
            account=account, config=config, state=state, host=host, port=port,
            insecure_plaintext=insecure_plaintext,
        )  # fmt: skip
        from gre_cli.listening import listen as listen_on

        ends = 1 if once else count
        return await listen_on(
            output, settings, folder=save, count=ends, seconds=timeout, approved=approve or ()
        )

    run(work, json=json)


@app.command()
def explain(
    to: Annotated[str, typer.Argument(metavar="JID", help="JID on a gateway, or an address with --gateway.")],
    approve: Approve = None,
    account: Account = None,
    gateway: Gateway = None,
    config: Config = None,
    state: State = None,
    host: Host = None,
    port: Port = None,
    insecure_plaintext: Plaintext = False,
    json: Json = False,
) -> None:
    """Tell what a contact offers, what was chosen and why.

    Also what is remembered of the contact, and what to install when nothing fits.
    """

    async def work(output: Output) -> Exit:
        from gre_cli.addresses import contact_jid

        settings = settings_of(
            account=account, config=config, state=state, host=host, port=port, gateway=gateway,
            insecure_plaintext=insecure_plaintext,
        )  # fmt: skip
        jid = contact_jid(to, settings.gateway)
        from gre_cli.explaining import explain as explain_one

        return await explain_one(output, settings, jid, approved=approve or ())

    run(work, json=json)


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    if value:
        from importlib.metadata import version

        typer.echo(f"gre {version('gre-cli')}, gre-core {version('gre-core')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
) -> None:
    pass


# -- shared ------------------------------------------------------------------------------------------


def _message(text: str | None, subject: str | None, html: Path | None, attach: list[Path]) -> Message:
    from gre_cli.settings import UsageError
    from gre_core.model import Attachment, Message

    if text is None and sys.stdin.isatty():
        sys.stderr.write("Write the message, and end it with Ctrl-D.\n")
    content: str = sys.stdin.read() if text is None else text
    if not content.strip() and not attach and html is None:
        raise UsageError("The message is empty. Give --text, --attach, or a text on standard input.")
    return Message(
        text=content,
        html=None if html is None else html.read_text(encoding="utf-8"),
        subject=subject,
        attachments=tuple(Attachment.from_path(path) for path in attach),
    )
