"""The commands and their options. Nothing heavy is imported here, so that ``--help`` comes at once."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER: Final = Path("/etc/gre-email-gateway")
CONFIG: Final = FOLDER / "gateway.toml"

_ABOUT: Final = "An XMPP gateway to email that relays OpenPGP messages which it cannot read."
_INIT: Final = """\
Asks a few questions and writes into one folder: gateway.toml with every key explained, the secret that gateway and
XMPP server share, and what Prosody, ejabberd, Postfix, systemd, nginx, Prometheus and Grafana need (snippets/).
Nothing outside of the folder is changed, and no file is overwritten unless you say --force; the secret stays the
same even then.

examples:
  gre-email-gateway init
  gre-email-gateway init --yes --xmpp-domain example.org --output ./conf"""
_CHECK: Final = """\
Tries everything that the configuration names, and says what is wrong and what to do. Works while the gateway runs.
Exit code: 0 all is right, 1 something is wrong, 2 the configuration cannot be read."""
_RUN: Final = """\
Works until SIGTERM or SIGINT, and finishes what is under way. The log goes to standard error. A changed configuration
takes effect at the next start (there is no reload). The database is brought up to date at each start."""
_STATUS: Final = """\
Says whether the gateway runs and is connected, and how much waits. Exit code: 0 it works, 1 it does not.

examples:
  gre-email-gateway status
  gre-email-gateway status --json | jq .queue.out.waiting"""
_QUEUE: Final = """\
Shows what waits, is held, or was given up (dead letters), and lets dead letters be tried again or removed. Never shows
content. Works whether or not the gateway runs.

examples:
  gre-email-gateway queue list --dead
  gre-email-gateway queue show ID
  gre-email-gateway queue replay ID ID ...
  gre-email-gateway queue drop --all-dead"""
_DATABASE: Final = """\
Makes a backup of an SQLite database, puts one back, or copies everything from SQLite to PostgreSQL or the other way.
For backups of PostgreSQL take pg_dump and pg_restore.

examples:
  gre-email-gateway database backup /var/backups/gre-email-gateway.db
  gre-email-gateway database restore /var/backups/gre-email-gateway.db
  gre-email-gateway database move /etc/gre-email-gateway/database-url"""
_FORGET: Final = """\
Erases all that the gateway has of a user: registration, addresses, messages under way, keys of correspondents, hashes
of delivered messages. A user of the configuration file has to be removed there first.

examples:
  gre-email-gateway forget juliet@example.org"""
_USERS: Final = """\
Shows, adds, removes and blocks users. Users of the configuration file are changed there.

examples:
  gre-email-gateway users list
  gre-email-gateway users add juliet@xmpp.example juliet@example.org
  gre-email-gateway users block juliet@xmpp.example"""


def parse(arguments: Sequence[str] | None, version: str) -> argparse.Namespace:
    """Read the command line; ends the process for ``--help``, ``--version`` and wrong use.

    Result:
        The options; ``run_command(options)`` does the work.
    """
    options = make_parser(version).parse_args(arguments)
    if options.command is None or ("action" in options and options.action is None):
        # Whoever does not know what there is needs more than "required: COMMAND".
        options.group.print_help(sys.stderr)
        raise SystemExit(2)
    return options


def make_parser(version: str) -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(prog="gre-email-gateway", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parser.set_defaults(group=parser)

    init = _command(commands, "init", "write a configuration with comments", _INIT, config=None)
    init.add_argument(
        "--output", type=Path, default=FOLDER, metavar="FOLDER", help=f"where to write ({FOLDER})"
    )
    init.add_argument("--yes", action="store_true", help="ask nothing: take defaults for what is not given")
    init.add_argument("--force", action="store_true", help="write over files that are there")
    for name, text in _QUESTIONS.items():
        init.add_argument(f"--{name}", metavar="ANSWER", help=text)

    _command(commands, "check", "try out the configuration and say what is wrong", _CHECK, config=_default())
    _command(commands, "run", "start the gateway", _RUN, config=_default())

    status = _command(
        commands, "status", "say whether the gateway works, and how much waits", _STATUS, config=_default()
    )
    _json(status)
    status.add_argument("--quiet", action="store_true", help="say nothing; the exit code tells")

    queue = _command(commands, "queue", "look at what waits, and at dead letters", _QUEUE, config=_default())
    actions = queue.add_subparsers(dest="action", metavar="ACTION")
    listing = _command(actions, "list", "what waits, the oldest first")
    listing.add_argument("--dead", action="store_true", help="only dead letters, the newest first")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (100)")
    _shown(listing)
    show = _command(actions, "show", "all about one message but its content")
    show.add_argument("id", metavar="ID", help="as `queue list` shows it")
    _shown(show)
    for name, text in (("replay", "let dead letters be tried again"), ("drop", "remove dead letters")):
        action = _command(actions, name, text)
        action.add_argument("ids", nargs="*", metavar="ID", help="as `queue list` shows them")
        action.add_argument("--all-dead", action="store_true", help="all dead letters")

    database = _command(
        commands, "database", "back up, restore or move what is stored", _DATABASE, config=_default()
    )
    actions = database.add_subparsers(dest="action", metavar="ACTION")
    for name, text, file in (
        ("backup", "write all of an SQLite database into a new file; the gateway may run", "the new file"),
        (
            "restore",
            "put a backup in the place of the SQLite database; the gateway must not run",
            "the backup",
        ),
    ):
        _command(actions, name, text).add_argument("file", type=Path, metavar="FILE", help=file)
    moving = _command(actions, "move", "copy everything to another, empty database; the gateway must not run")
    moving.add_argument("target", metavar="URL-OR-FILE", help="its URL, or a file with the URL")

    forget = _command(commands, "forget", "erase all that is stored of a user", _FORGET, config=_default())
    forget.add_argument("user", metavar="USER", help="JID, or mail address of the user")
    forget.add_argument("--yes", action="store_true", help="do not ask")

    users = _command(
        commands, "users", "look at the users, add, remove or block some", _USERS, config=_default()
    )
    actions = users.add_subparsers(dest="action", metavar="ACTION")
    listing = _command(actions, "list", "all users")
    _json(listing)
    add = _command(actions, "add", "add a user, or addresses of one")
    add.add_argument("jid", metavar="JID", help="bare JID of the user")
    add.add_argument(
        "addresses",
        metavar="ADDRESS",
        nargs="+",
        help="mail addresses; mails of the user come from the first",
    )
    for name, text in (
        ("remove", "end a registration; messages and keys stay until `forget`"),
        ("block", "let a user send and receive nothing"),
        ("unblock", "let a blocked user send and receive again"),
    ):
        _command(actions, name, text).add_argument("jid", metavar="JID", help="bare JID of the user")
    for group in (queue, database, users):
        group.set_defaults(group=group)
    return parser


def run_command(options: argparse.Namespace) -> int:
    """Do what the options say; give the exit code."""
    return int(import_module(f"gre_gateway_email.commands.{options.command}").run(options))


_QUESTIONS: Final = {
    "server": "XMPP server: prosody or ejabberd",
    "xmpp-domain": "domain of your users' JIDs",
    "component": "the gateway's own domain on the XMPP server",
    "mail-domain": "mail domain that the gateway owns",
    "relay": "Postfix: host or host:port",
    "before-queue": "all mail on port 25 is for that domain, and Postfix asks before it takes one: yes or no",
    "encrypted-only": "refuse all mail that is not encrypted: yes or no",
    "register": "XMPP domains whose users may register, with commas, or: nobody",
    "admin": "JID that may use the commands for admins, or: nobody",
    "xmpp-port": "component port of the XMPP server (5347)",
    "listen-port": "port on which Postfix delivers mail to the gateway (2424)",
    "http-port": "port of metrics and health (8095)",
    "wkd": "publish the keys of users who agree; needs a web server: yes or no",
}
"""The questions of ``init``, see :mod:`gre_gateway_email.commands.questions`."""


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    description: str = "",
    *,
    config: Path | str | None = argparse.SUPPRESS,
) -> argparse.ArgumentParser:
    """Add a command. One within another leaves ``--config`` as it was given before the inner name."""
    command = commands.add_parser(
        name,
        help=text,
        description=description or f"{text[0].upper()}{text[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if config is not None:
        command.add_argument(
            "--config", type=Path, default=config, metavar="FILE", help=f"configuration ({_default()})"
        )
    return command


def _default() -> Path:
    return Path(os.environ.get("GRE_EMAIL_CONFIG") or CONFIG)


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="write JSON, for programs")


def _shown(command: argparse.ArgumentParser) -> None:
    _json(command)
    command.add_argument("--addresses", action="store_true", help="show addresses whole")
