"""``gre keys``: looking at keys, and what is done with those of contacts."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gre_cli.exits import Exit
from gre_cli.keys.own import agreed, keys_of, write, wrong_usage
from gre_cli.options import To  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gre_openpgp.encrypting.contact_keys import ContactKeyInfo
    from gre_openpgp.encrypting.management import OwnKeyInfo

    from gre_cli.keys.access import Keys
    from gre_cli.output import Output
    from gre_cli.settings import Settings

Which = Annotated[
    str, typer.Argument(metavar="FINGERPRINT", help="The whole fingerprint, with or without blanks.")
]
Qr = Annotated[bool, typer.Option("--qr/--no-qr", help="Draw the fingerprint for a camera.")]
_MAX_KEY = 1024 * 1024


async def list_(
    output: Output,
    settings: Settings,
    own: Annotated[bool, typer.Option("--own", help="Only yours.")] = False,
    contacts: Annotated[bool, typer.Option("--contacts", help="Only those of contacts.")] = False,
) -> Exit:
    """List your keys and those of contacts. Needs no connection and no passphrase."""
    from gre_cli.keys.show import contact_json, own_json, show_contacts, show_own

    async with keys_of(output, settings, connect=False) as keys:
        ours = () if contacts else await keys.own.list()
        theirs = () if own else await keys.contacts.list()
    if output.json:
        output.result({"own": list(map(own_json, ours)), "contacts": list(map(contact_json, theirs))})
        return Exit.OK
    if not contacts:
        show_own(output, ours)
    if not own:
        show_contacts(output, theirs)
    return Exit.OK


async def show(
    output: Output,
    settings: Settings,
    which: Annotated[
        str | None,
        typer.Argument(metavar="[FINGERPRINT|CONTACT]", help="Default: your key that signs."),
    ] = None,
    qr: Qr = True,
) -> Exit:
    """Show a key in full, with a QR code of its fingerprint."""
    from gre_cli.keys.show import contact_json, own_json, show_contact_key, show_own_key

    async with keys_of(output, settings, connect=False) as keys:
        ours, theirs = await _find(keys, settings, which)
    if output.json:
        output.result({"own": list(map(own_json, ours)), "contacts": list(map(contact_json, theirs))})
        return Exit.OK
    for key in ours:
        show_own_key(output, key, qr=qr)
    for their in theirs:
        show_contact_key(output, their, qr=qr)
    return Exit.OK


async def fetch(output: Output, settings: Settings, to: To) -> Exit:
    """Ask every source for the keys of a contact now, and say what each one has.

    Decides nothing: a changed key still needs your word.
    """
    from gre_cli.keys.show import contact_json, fetched_json, show_contacts, show_fetched

    jid = _jid(to, settings)
    async with keys_of(output, settings, connect=True) as keys:
        results = await keys.contacts.fetch(jid)
        known = await keys.contacts.list(jid)
    if output.json:
        output.result(
            {"sources": list(map(fetched_json, results)), "contacts": list(map(contact_json, known))},
            ok=bool(known),
        )
    else:
        show_fetched(output, results)
        show_contacts(output, known)
    return Exit.OK if known else Exit.FAILED


async def verify(
    output: Output,
    settings: Settings,
    to: To,
    fingerprint: Annotated[
        str | None,
        typer.Argument(metavar="[FINGERPRINT]", help="As your contact tells it, or what a QR code holds."),
    ] = None,
) -> Exit:
    """Note that you compared a contact's fingerprint by another way, such as the telephone.

    Without a fingerprint the known one is shown to compare.
    """
    from gre_cli.keys.show import URI, show_contact_key

    jid = _jid(to, settings)
    async with keys_of(output, settings, connect=False) as keys:
        if fingerprint is None:
            known = [key for key in await keys.contacts.list(jid) if not key.problem]
            if len(known) != 1:
                raise wrong_usage(
                    f"{to} has {len(known)} usable keys here. Say which: gre keys verify {to} FINGERPRINT"
                )
            if not output.json:
                show_contact_key(output, known[0], qr=True)
            if not agreed(output, "Is this what your contact reads to you?"):
                raise wrong_usage("Nothing was noted.")
            fingerprint = known[0].fingerprint
        text = fingerprint.strip()
        if text.upper().startswith(URI):
            text = text[len(URI) :].partition("#")[0]
        key = await keys.contacts.verify(jid, text)
    return _done(output, key, "Verified.")


async def trust(
    output: Output,
    settings: Settings,
    to: To,
    fingerprint: Which,
    no: Annotated[bool, typer.Option("--no", help="Never use it.")] = False,
) -> Exit:
    """Say yes or no to a key of a contact that is new or changed."""
    jid = _jid(to, settings)
    async with keys_of(output, settings, connect=False) as keys:
        key = await keys.contacts.trust(jid, fingerprint, yes=not no)
    return _done(output, key, "It is not used any more." if no else "It is used from now on.")


async def pin(
    output: Output,
    settings: Settings,
    to: To,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="With one public key, armored or not.",
        ),
    ],
) -> Exit:
    """Use the public key in a file for a contact, and no other."""
    if file.stat().st_size > _MAX_KEY:
        raise wrong_usage(f"{file} is larger than any public key.")
    jid = _jid(to, settings)
    async with keys_of(output, settings, connect=False) as keys:
        key = await keys.contacts.pin(jid, file.read_bytes())
    return _done(output, key, "Pinned: only this key is used, whatever any source serves.")


async def unpin(output: Output, settings: Settings, to: To) -> Exit:
    """Take the pin from a contact's keys. They stay in use until another source changes them."""
    jid = _jid(to, settings)
    async with keys_of(output, settings, connect=False) as keys:
        names = await keys.contacts.unpin(jid)
    if output.json:
        output.result({"fingerprints": list(names)})
    else:
        output.console.print(f"Unpinned: {', '.join(names) or 'nothing was pinned'}.")
    return Exit.OK


async def export_contact(
    output: Output,
    settings: Settings,
    to: To,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="A new file.")
    ] = None,
) -> Exit:
    """Write the keys that messages to a contact are encrypted to, armored."""
    jid = _jid(to, settings)
    async with keys_of(output, settings, connect=False) as keys:
        text = await keys.contacts.export(jid)
    return write(output, text, file)


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Exit]]]] = {
    "list": list_,
    "show": show,
    "fetch": fetch,
    "verify": verify,
    "trust": trust,
    "pin": pin,
    "unpin": unpin,
    "export-contact": export_contact,
}
"""The commands by name, in the order of the help."""


# -- shared ------------------------------------------------------------------------------------------


async def _find(
    keys: Keys, settings: Settings, which: str | None
) -> tuple[tuple[OwnKeyInfo, ...], tuple[ContactKeyInfo, ...]]:
    """Find keys by fingerprint or contact; ours first."""
    from gre_core.errors import NoUsableKey

    if which is None:
        return (await keys.own.show(),), ()
    if "@" in which:
        return (), await keys.contacts.list(_jid(which, settings))
    try:
        return (await keys.own.show(which),), ()
    except NoUsableKey:
        return (), await keys.contacts.show(which)


def _jid(to: str, settings: Settings) -> str:
    from gre_cli.addresses import contact_jid

    return contact_jid(to, settings.gateway)


def _done(output: Output, key: ContactKeyInfo, text: str) -> Exit:
    from gre_cli.keys.show import contact_json, show_contact_key

    if output.json:
        output.result({"key": contact_json(key)})
    else:
        show_contact_key(output, key, qr=False)
        output.console.print(text, style="green")
    return Exit.OK
