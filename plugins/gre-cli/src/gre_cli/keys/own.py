"""``gre keys``: what is done with our own keys."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gre_cli.exits import Exit
from gre_cli.options import Approve  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from gre_openpgp.encrypting.management import OwnKeyInfo

    from gre_cli.keys.access import Keys
    from gre_cli.output import Output
    from gre_cli.settings import Settings, UsageError


Fingerprint = Annotated[
    str | None,
    typer.Argument(
        metavar="[FINGERPRINT]", help="Which key; its last 16 digits will do. Default: yours that signs."
    ),
]
Lifetime = Annotated[
    str,
    typer.Option("--for", metavar="TIME", help="How long from now: 90d, 18m, 2y, or never."),
]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The mail address that the key bears.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Also when the account has a key already. Others then encrypt to both."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", dir_okay=False, help="A new file of mode 0600, not the screen."
    ),
]
_DAYS: Final = {"d": 1, "w": 7, "m": 30, "y": 365}
_MOST: Final = 9999
_MAX_KEY: Final = 4 * 1024 * 1024
_NO_BACKUP: Final = "Make a new backup now: gre keys backup"


async def make(
    output: Output,
    settings: Settings,
    address: Address,
    life: Lifetime = "2y",
    force: Force = False,
    approve: Approve = None,
) -> Exit:
    """Make a key for an address and publish it.

    The first message to a contact does this by itself.
    """
    period = lifetime(life)
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        await keys.own.make(address, expires_in=period, force=force)
        key = await keys.own.publish()
    return _done(output, key, "Made and published.", "Put a backup on your server: gre keys backup")


async def import_(
    output: Output,
    settings: Settings,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="With one secret key, armored or not.",
        ),
    ],
) -> Exit:
    """Take a secret key of another program.

    For example from: gpg --export-secret-keys ADDRESS. It signs from now on; the next message publishes it.
    """
    if file.stat().st_size > _MAX_KEY:
        raise wrong_usage(f"{file} is larger than any key.")
    async with keys_of(output, settings, connect=False) as keys:
        key = await keys.own.import_key(file.read_bytes(), _passphrase_of(output, file))
    return _done(output, key, "Imported. It signs from now on, and is published with the next message.")


async def export(
    output: Output,
    settings: Settings,
    fingerprint: Fingerprint = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="With the secret part: whoever gets it reads everything.")
    ] = False,
    file: Out = None,
) -> Exit:
    """Write a key, armored: the public one, or with --secret all of it."""
    async with keys_of(output, settings, connect=False) as keys:
        password = _new_passphrase(output, "Passphrase for the exported key") if secret else None
        text = await keys.own.export(fingerprint, secret=secret, passphrase=password)
    return write(output, text, file)


async def publish(output: Output, settings: Settings, approve: Approve = None) -> Exit:
    """Publish your key now, whether or not it was published before."""
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        key = await keys.own.publish()
    return _done(output, key, "Published.")


async def backup(output: Output, settings: Settings, approve: Approve = None) -> Exit:
    """Put your secret keys on your server, encrypted.

    The backup code is shown once. Without it the backup opens for nobody.
    """
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        code = await keys.own.backup()
    if output.json:
        output.result({"code": code})
    else:
        output.console.print(f"Your backup code:\n\n    {code}\n", style="bold")
        output.console.print(
            "Write it down; it is kept nowhere and shown only now. On another device: gre keys restore"
        )
    return Exit.OK


async def restore(output: Output, settings: Settings, approve: Approve = None) -> Exit:
    """Take your keys from the backup on your server.

    Asks for the backup code, or reads it from standard input.
    """
    code = _line(output, "Backup code: ")
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        restored = await keys.own.restore(code)
    from gre_cli.keys.show import own_json, show_own

    if output.json:
        output.result({"keys": [own_json(key) for key in restored]})
    else:
        show_own(output, restored)
        output.console.print("Restored. This device now opens what your other devices do.", style="green")
    return Exit.OK


async def rotate(
    output: Output, settings: Settings, fingerprint: Fingerprint = None, approve: Approve = None
) -> Exit:
    """Make a new encryption subkey and publish it.

    The old one opens old mail still. Your fingerprint stays the same.
    """
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        rotated = await keys.own.rotate(fingerprint)
        key = await keys.own.publish(rotated.fingerprint)
    return _done(output, key, "Rotated and published.", _NO_BACKUP)


async def extend(
    output: Output,
    settings: Settings,
    fingerprint: Fingerprint = None,
    life: Lifetime = "2y",
    approve: Approve = None,
) -> Exit:
    """Let a key end later, or earlier, and publish that."""
    period = lifetime(life)
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        extended = await keys.own.extend(period, fingerprint)
        key = await keys.own.publish(extended.fingerprint)
    return _done(output, key, "Extended and published.")


async def revoke(
    output: Output,
    settings: Settings,
    fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="Which key, as gre keys list shows it.")
    ],
    reason: Annotated[
        str, typer.Option(help="superseded, compromised or retired; everybody can read it.")
    ] = "retired",
    text: Annotated[str, typer.Option(help="A sentence that everybody can read.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")] = False,
    approve: Approve = None,
) -> Exit:
    """Give a key up for good and publish that. Old mail still opens with it."""
    from gre_cli.keys.access import NoBackEnd

    try:
        from gre_openpgp.encrypting.management import RevocationReason
    except ImportError as error:
        raise NoBackEnd("`gre keys` needs the package gre-encrypter-openpgp") from error
    try:
        why = RevocationReason(reason)
    except ValueError:
        names = ", ".join(RevocationReason)
        raise wrong_usage(f"{reason!r} is no reason. There are: {names}.") from None
    if not yes and not agreed(output, f"Revoke {fingerprint}? Nobody can take that back."):
        raise wrong_usage("Nothing was done. To revoke without a question: --yes")
    async with keys_of(output, settings, approve or (), connect=True) as keys:
        key = await keys.own.revoke(why, text, fingerprint)
    return _done(output, key, "Revoked and published.", "Make a new one: gre keys make ADDRESS")


async def activate(
    output: Output,
    settings: Settings,
    fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="Which key, as gre keys list shows it.")
    ],
) -> Exit:
    """Let another one of your keys sign from now on."""
    async with keys_of(output, settings, connect=False) as keys:
        key = await keys.own.activate(fingerprint)
    return _done(output, key, "It signs from now on, and is published with the next message.")


async def passphrase(output: Output, settings: Settings, fingerprint: Fingerprint = None) -> Exit:
    """Change the passphrase of a key on this device."""
    async with keys_of(output, settings, connect=False) as keys:
        key = await keys.own.change_passphrase(fingerprint)
    return _done(output, key, "Protected." if key.locked else "It has no passphrase now.")


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Exit]]]] = {
    "make": make,
    "import": import_,
    "export": export,
    "publish": publish,
    "backup": backup,
    "restore": restore,
    "rotate": rotate,
    "extend": extend,
    "revoke": revoke,
    "activate": activate,
    "passphrase": passphrase,
}
"""The commands by name, in the order of the help."""


# -- shared ------------------------------------------------------------------------------------------


def keys_of(
    output: Output, settings: Settings, approved: Collection[str] = (), *, connect: bool
) -> AbstractAsyncContextManager[Keys]:
    """Open the keys of the account; see :func:`gre_cli.keys.access.opened`, which costs an import of the engine."""
    from gre_cli.keys.access import opened

    return opened(output, settings, approved, connect=connect)


def wrong_usage(text: str) -> UsageError:
    """Make the error of a wrong command line."""
    from gre_cli.settings import UsageError

    return UsageError(text)


def lifetime(text: str) -> timedelta | None:
    """Read a length of time: ``90d``, ``18m``, ``2y``; None for ``never``.

    Raises:
        UsageError: it is none.
    """
    plain = text.strip().lower()
    if plain == "never":
        return None
    number, unit = plain[:-1], plain[-1:]
    if not (number.isascii() and number.isdigit() and unit in _DAYS and 0 < int(number[:6]) <= _MOST):
        raise wrong_usage(f"{text!r} is no time. Write 90d, 26w, 18m, 2y, or never.")
    return timedelta(days=int(number) * _DAYS[unit])


def write(output: Output, content: bytes, file: Path | None) -> Exit:
    """Write an armored key to a new private file, or to standard output."""
    if file is not None:
        import os

        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)
        except OSError as error:
            raise wrong_usage(f"{file} cannot be written: {error.strerror}") from None
    if output.json:
        output.result({"file": str(file)} if file is not None else {"key": content.decode("ascii")})
    elif file is None:
        sys.stdout.write(content.decode("ascii"))
    else:
        output.note(f"Written to {file}.")
    return Exit.OK


def agreed(output: Output, question: str) -> bool:
    """Ask at a terminal; no everywhere else."""
    if output.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} Type yes to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() == "yes"


def _done(output: Output, key: OwnKeyInfo, text: str, next_step: str = "") -> Exit:
    from gre_cli.keys.show import own_json, show_own_key

    if output.json:
        output.result({"key": own_json(key)})
    else:
        show_own_key(output, key, qr=False)
        output.console.print(text, style="green")
        if next_step:
            output.console.print(next_step)
    return Exit.OK


def _line(output: Output, prompt: str) -> str:
    if sys.stdin.isatty() and not output.json:
        from getpass import getpass

        return getpass(prompt)
    return sys.stdin.readline().strip()


def _passphrase_of(output: Output, file: Path) -> str | None:
    import os

    from gre_cli.passphrases import IMPORT_PASSPHRASE

    if IMPORT_PASSPHRASE in os.environ:
        return os.environ[IMPORT_PASSPHRASE]
    if output.json or not sys.stdin.isatty():
        return None
    from getpass import getpass

    return getpass(f"Passphrase of the key in {file.name} (empty: it has none): ") or None


def _new_passphrase(output: Output, prompt: str) -> str | None:
    import os

    from gre_cli.passphrases import EXPORT_PASSPHRASE

    if EXPORT_PASSPHRASE in os.environ:
        return os.environ[EXPORT_PASSPHRASE] or None
    if output.json or not sys.stdin.isatty():
        return None
    from getpass import getpass

    first = getpass(f"{prompt} (empty: none): ")
    if first != getpass("The same again: "):
        raise wrong_usage("They differ. Nothing was written.")
    return first or None
