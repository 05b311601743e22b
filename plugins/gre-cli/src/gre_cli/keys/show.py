"""Keys as tables for people and as JSON for scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from gre_cli.safe import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gre_openpgp.contact_record import Source
    from gre_openpgp.encrypting.contact_keys import ContactKeyInfo, FetchResult
    from gre_openpgp.encrypting.management import OwnKeyInfo, OwnSubkey
    from gre_openpgp.key_origin import Origin
    from rich.table import Table

    from gre_cli.output import Output

URI: Final = "OPENPGP4FPR:"
"""What programs with a camera read from the QR code of a fingerprint."""

_HALF: Final = 20

_WHOLE: Final = frozenset({"your keys", "keys of contacts", "keys", "ends", "published"})
"""Columns that are of no use when they are broken elsewhere than between lines."""


def grouped(fingerprint: str) -> str:
    """Write a fingerprint in groups of four, with a gap in the middle."""
    plain = clean_line(fingerprint)
    halves = (plain[: len(plain) // 2], plain[len(plain) // 2 :]) if len(plain) >= 2 * _HALF else (plain,)
    return "  ".join(" ".join(half[at : at + 4] for at in range(0, len(half), 4)) for half in halves)


def halves(fingerprint: str) -> str:
    """Write a fingerprint in two lines or more, for a narrow column."""
    plain = clean_line(fingerprint)
    return "\n".join(grouped(plain[at : at + _HALF]) for at in range(0, len(plain), _HALF))


def day(moment: datetime | None, never: str = "never") -> str:
    """Write a date."""
    return never if moment is None else f"{moment.astimezone():%Y-%m-%d}"


def qr_code(fingerprint: str) -> str:
    """Draw a fingerprint for a camera."""
    import segno

    out = StringIO()
    segno.make(URI + fingerprint, error="m", micro=False).terminal(out, compact=True)
    return out.getvalue()


# -- for scripts -------------------------------------------------------------------------------------


def own_json(key: OwnKeyInfo) -> dict[str, object]:
    """Give a key of ours."""
    return {
        "fingerprint": key.fingerprint,
        "user_ids": list(key.user_ids),
        "created": key.created.isoformat(),
        "expires": _iso(key.expires),
        "active": key.active,
        "revoked": key.revoked,
        "locked": key.locked,
        "announced": key.announced,
        "version": key.version,
        "subkeys": [
            {
                "fingerprint": subkey.fingerprint,
                "id": subkey.id,
                "created": subkey.created.isoformat(),
                "expires": _iso(subkey.expires),
                "revoked": subkey.revoked,
                "signs": subkey.signs,
                "encrypts": subkey.encrypts,
                "primary": subkey.primary,
            }
            for subkey in key.subkeys
        ],
    }


def contact_json(key: ContactKeyInfo) -> dict[str, object]:
    """Give a key of a contact."""
    return {
        "jid": key.jid,
        "address": key.address,
        "fingerprint": key.fingerprint,
        "user_ids": [clean_line(user_id) for user_id in key.user_ids],
        "sources": {
            str(source): {name: str(getattr(seen, name)) for name in seen.__dataclass_fields__}
            for source, seen in key.sources.items()
        },
        "gateway_says": None
        if key.origin is None
        else {
            "source": key.origin.name,
            "authenticated": key.origin.authenticated,
            "seen": key.origin.seen or None,
        },
        "state": str(key.state),
        "by": key.by,
        "problem": key.problem,
        "expires": _iso(key.expires),
    }


def fetched_json(result: FetchResult) -> dict[str, object]:
    """Give what a source said."""
    return {
        "source": str(result.source),
        "outcome": str(result.outcome),
        "fingerprints": list(result.fingerprints),
        "detail": clean(result.detail),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


# -- for people --------------------------------------------------------------------------------------


def show_own(output: Output, keys: Sequence[OwnKeyInfo]) -> None:
    """Show our keys, a line each."""
    if not keys:
        output.console.print("You have no key yet. The first message makes one, or: gre keys make ADDRESS")
        return
    table = _table("your keys", "name", "state", "ends", "published")
    for key in keys:
        table.add_row(
            halves(key.fingerprint),
            _names(key.user_ids),
            own_state(key),
            day(key.expires),
            day(_moment(key.announced), "not yet"),
            style=None if key.active else "dim",
        )
    output.console.print(table)


def show_contacts(output: Output, keys: Sequence[ContactKeyInfo]) -> None:
    """Show keys of contacts, a line each."""
    if not keys:
        output.console.print("No key of a contact is known yet.")
        return
    table = _table("keys of contacts", "contact", "state", "from", "ends")
    for key in keys:
        table.add_row(
            halves(key.fingerprint),
            clean_line(key.address or key.jid),
            str(key.state) + (f": {clean_line(key.problem)}" if key.problem else ""),
            ", ".join(_source(source, key.origin) for source in key.sources) or "-",
            day(key.expires),
            style="dim" if key.problem else None,
        )
    output.console.print(table)


def show_own_key(output: Output, key: OwnKeyInfo, *, qr: bool) -> None:
    """Show one key of ours in full."""
    table = _details()
    table.add_row("fingerprint", grouped(key.fingerprint))
    table.add_row("names", _names(key.user_ids))
    table.add_row("state", own_state(key))
    table.add_row("made", day(key.created))
    table.add_row("ends", day(key.expires))
    table.add_row("published", day(_moment(key.announced), "not yet, or in an older form"))
    for subkey in key.subkeys:
        table.add_row("primary key" if subkey.primary else "subkey", _subkey(subkey))
    output.console.print(table)
    if qr:
        output.console.print(qr_code(key.fingerprint))


def show_contact_key(output: Output, key: ContactKeyInfo, *, qr: bool) -> None:
    """Show one key of a contact in full."""
    table = _details()
    table.add_row("fingerprint", grouped(key.fingerprint))
    table.add_row("contact", clean_line(key.address or key.jid))
    table.add_row("JID", clean_line(key.jid))
    table.add_row("names on it", _names(key.user_ids))
    table.add_row("state", str(key.state) + (f" (by {clean_line(key.by)})" if key.by else ""))
    if key.problem:
        table.add_row("problem", clean_line(key.problem), style="yellow")
    table.add_row("ends", day(key.expires))
    for source in key.sources:
        table.add_row("served by", str(source))
    if key.origin is not None:
        table.add_row("from there", clean_line(key.origin.describe()))
    output.console.print(table)
    if qr:
        output.console.print(qr_code(key.fingerprint))


def show_fetched(output: Output, results: Iterable[FetchResult]) -> None:
    """Show what each source said."""
    table = _table("source", "said", "keys", "")
    for result in results:
        table.add_row(
            str(result.source),
            str(result.outcome),
            "\n".join(map(halves, result.fingerprints)) or "-",
            clean(result.detail),
        )
    output.console.print(table)


def _source(source: Source, origin: Origin | None) -> str:
    """Name a source, with what a gateway says behind it: its word, so in brackets."""
    if source != "xep-0373" or origin is None:
        return str(source)
    doubt = ", nobody vouches" if origin.authenticated is False else ""
    return f"{source} ({origin.name}{doubt})"


def own_state(key: OwnKeyInfo) -> str:
    """Say in few words what a key of ours is good for."""
    if key.revoked:
        return "revoked: opens old mail only"
    if key.expires is not None and key.expires <= datetime.now(UTC):
        return "expired: extend it"
    words = ["signs" if key.active else "kept for old mail", "passphrase" if key.locked else "no passphrase"]
    return ", ".join(words)


def _subkey(subkey: OwnSubkey) -> str:
    does = [word for word, yes in (("signs", subkey.signs), ("encrypts", subkey.encrypts)) if yes]
    state = "revoked, " if subkey.revoked else ""
    ends = f", ends {day(subkey.expires)}" if subkey.expires else ""
    return f"{subkey.id}  {state}{' and '.join(does) or 'certifies'}, made {day(subkey.created)}{ends}"


def _names(user_ids: Sequence[str]) -> str:
    return "\n".join(map(clean_line, user_ids)) or "(none)"


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _table(*heads: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head in _WHOLE)
    return table


def _details() -> Table:
    from rich import box
    from rich.table import Table

    options: dict[str, Any] = {"box": box.SIMPLE, "show_header": False, "padding": (0, 1)}
    table = Table(**options)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table
