"""What ``check`` looks at on this machine: plugins, keys, files, the database, the clock, Postfix's settings."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gre_openpgp.keydirectory import KeyDirectory

from gre_core.errors import GreError
from gre_core.registry import Plugins
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.commands.findings import Finding, note, ok, wrong
from gre_gateway_email.commands.shown import moment, size
from gre_gateway_email.commands.stored import CommandFailed, is_there, revision
from gre_gateway_email.store import default_url
from gre_gateway_email.store.upgrade import HEAD, refuse_newer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_gateway_email.config import Config
    from gre_gateway_email.operate.running import Running

SPACE: Final = 200 * 1024 * 1024
"""With less free space than this, in bytes, the operator is warned."""

BUILT: Final = 1_760_000_000
"""In seconds since 1970. A clock that is before this time is wrong."""

_PATIENCE: Final = 10.0
_OTHERS: Final = 0o077


def configuration(config: Config) -> Iterator[Finding]:
    """Tell about the file, and who can be a user."""
    yield ok(f"{config.path}: read")
    for warning in config.warnings:
        yield note(warning)
    yield ok(f"[mail] owns {', '.join(config.mail.domains)}")
    servers = ", ".join(config.registration.servers)
    others = f"users of {servers} may register" if servers else "nobody may register"
    yield ok(f"[users] {len(config.users)} user(s); {others}")
    if config.mail.verifier is None:
        if config.mail.authserv_id is None:
            yield note(
                "[mail] verifier is not given: keys in received mail are always shown as unauthenticated"
            )
        elif config.listen.protocol == "smtp":
            yield wrong(
                "[mail] authserv_id counts for nothing before the queue, where Authentication-Results are those of "
                "strangers: give [mail] verifier"
            )


def plugins(config: Config) -> Iterator[Finding]:
    """Tell about carriers and plugins."""
    carriers = Carriers.discover()
    for formatter, encrypter in carriers.pairs:
        yield ok(f"carries {formatter} with {encrypter}")
    for problem in carriers.problems:
        yield wrong(f"carrier {problem.name}: {problem.error}")
    if not carriers.pairs:
        yield wrong("no carrier is installed: nothing can be relayed. Install gre-gateway-email anew")
    for found in Plugins.discover(allow=config.plugins).problems:
        if found.stage == "ambiguous":
            continue  # which of several encrypters to use is for clients to say: a gateway uses none
        yield wrong(f"plugin {found.plugin}, {found.stage}: {found.error}. {found.hint}")


def keys(config: Config) -> Iterator[Finding]:
    """Tell about the folder with keys of correspondents."""
    folder = config.keys.directory
    if folder is None:
        return
    if not folder.is_dir():
        yield wrong(f"[keys] {folder} is not a folder: make it, or remove the key")
        return
    directory = KeyDirectory(folder)
    directory.refresh()
    for name, text in directory.problems.items():
        yield wrong(f"[keys] {name}: {text}")
    if not directory.problems:
        yield ok(f"[keys] {folder} is readable")


def state(config: Config, running: Running | None) -> Iterator[Finding]:
    """Tell about the state directory. It is not made here: this user may be another one than that of the service."""
    folder = config.state
    if not folder.exists():
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if os.access(above, os.W_OK | os.X_OK):
            yield ok(f"[state] {folder} is made at the first start")
        else:
            yield note(
                f"[state] {folder} is not there, and this user cannot make it: systemd does (StateDirectory=)"
            )
        return
    if not folder.is_dir():
        yield wrong(f"[state] {folder} is not a folder")
        return
    if running is None and not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(f"[state] {folder} cannot be written by this user: chown it, or use sudo")
    elif folder.stat().st_mode & _OTHERS:
        yield wrong(f"[state] {folder} is open to other users of this machine: chmod 700 {folder}")
    else:
        yield ok(f"[state] {folder} can be used")
    free = shutil.disk_usage(folder).free
    if free < SPACE:
        yield wrong(
            f"[state] only {size(free)} are free there: mail is refused for now when the disk is full"
        )


async def database(config: Config) -> Finding:
    """Tell whether the database opens, and whether its tables are up to date. Nothing is changed."""
    try:
        if not is_there(config):
            return ok("[database] is made at the first start")
        async with asyncio.timeout(_PATIENCE):
            name, found = await revision(config.database or default_url(config.state))
        if found is not None:
            refuse_newer(found, name)
    except TimeoutError:
        return wrong(f"[database] gives no answer within {_PATIENCE:.0f} seconds: is PostgreSQL running?")
    except (GreError, CommandFailed) as error:
        return wrong(f"[database] {error.text}")
    if found == HEAD:
        return ok(f"[database] {name}: opens, and its tables are up to date")
    if found is None:
        return ok(f"[database] {name}: opens; its tables are made at the first start")
    return note(
        f"[database] {name}: its tables have version {found}, this program {HEAD}: they are brought up "
        "to date at the next start. Make a backup first"
    )


def clock(config: Config) -> Iterator[Finding]:
    """Tell whether the clock can be right."""
    now = time.time()
    if now < BUILT:
        yield wrong(f"the clock says {moment(now)}, which is long ago: set it (timedatectl)")
        return
    file = Path(default_url(config.state).removeprefix("sqlite:///"))
    try:
        ahead = file.stat().st_mtime - now
    except OSError:
        ahead = 0.0
    if ahead > 3600:  # noqa: PLR2004 - an hour
        yield wrong(f"the clock says {moment(now)}, but {file} was written later: set it (timedatectl)")
    else:
        yield ok(f"the clock says {moment(now)}")


async def postfix(config: Config) -> list[Finding]:
    """Tell whether the Postfix of this machine sends mail for the users to the gateway; nothing where there is none."""
    program = shutil.which("postconf", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or config.smtp.host not in {"127.0.0.1", "::1", "localhost"}:
        return []
    names = (
        "virtual_mailbox_domains",
        "virtual_transport",
        "smtpd_recipient_restrictions",
        "message_size_limit",
    )
    process = await asyncio.create_subprocess_exec(
        program, "-x", *names,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    said, _ = await process.communicate()
    values = dict(line.split(" =", 1) for line in said.decode(errors="replace").splitlines() if " =" in line)
    if process.returncode or not values:
        return []
    found: list[Finding] = []
    domains = values.get("virtual_mailbox_domains", "")
    missing = [one for one in config.mail.domains if one not in domains.replace(",", " ").lower().split()]
    if missing and ":" not in domains:  # tables cannot be looked into
        found.append(
            note(
                f"Postfix of this machine: virtual_mailbox_domains lacks {', '.join(missing)}: no mail comes in"
            )
        )
    transport = values.get("virtual_transport", "")
    if f":{config.listen.port}" not in transport:
        found.append(
            note(f"Postfix of this machine: virtual_transport is{transport}, not port {config.listen.port}")
        )
    if "reject_unverified_recipient" not in values.get("smtpd_recipient_restrictions", ""):
        found.append(
            note(
                "Postfix of this machine: without reject_unverified_recipient it bounces mail for unknown users"
            )
        )
    limit = values.get("message_size_limit", "").strip()
    if limit.isdigit() and not 0 < int(limit) <= config.listen.max_size:
        found.append(
            note(
                f"Postfix of this machine: message_size_limit {limit} is more than [listen] max_size: it bounces some"
            )
        )
    return found or [ok("Postfix of this machine sends mail for the users to the gateway")]
