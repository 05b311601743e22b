"""XEP-0106: legacy identifiers as the localpart of a JID, and back; and bare JIDs as servers compare them.

>>> escape("alice@example.org")
'alice\\\\40example.org'
>>> unescape("alice\\\\40example.org")
'alice@example.org'
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gre_core.errors import InvalidAddress

_ESCAPES = {
    " ": "\\20", '"': "\\22", "&": "\\26", "'": "\\27", "/": "\\2f", ":": "\\3a",
    "<": "\\3c", ">": "\\3e", "@": "\\40",
}  # fmt: skip
_CODES = "20|22|26|27|2f|3a|3c|3e|40|5c"
# Servers fold the case of a localpart, so \3A would come back as the escape sequence \3a.
_ESCAPABLE = re.compile(rf"[ \"&'/:<>@]|\\(?=(?i:{_CODES}))")
_ESCAPED = re.compile(rf"\\(?:{_CODES})")
_FORBIDDEN = re.compile(r"[ \"&'/:<>@]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

MAX_LOCALPART: Final = 1023
"""Longest localpart, in bytes of UTF-8 (RFC 7622, section 3.3)."""


@lru_cache(maxsize=1024)
def escape(legacy_id: str) -> str:
    """Make a localpart of a legacy identifier (XEP-0106, section 4.2).

    A backslash is escaped only where it would start an escape sequence, in either case of its letters.

    Raises:
        InvalidAddress: empty, longer than 1,023 bytes, with a space at an edge, with a control character, or with
            a look-alike that servers turn into a character that no localpart may have.
    """
    if not legacy_id or legacy_id != legacy_id.strip(" "):
        raise InvalidAddress(
            f"{legacy_id[:80]!r} cannot be part of a JID: it is empty or has a space at an edge"
        )
    if _CONTROL.search(legacy_id):
        raise InvalidAddress(f"{legacy_id[:80]!r} cannot be part of a JID: it has a control character")
    local = _ESCAPABLE.sub(lambda found: _ESCAPES.get(found[0], "\\5c"), legacy_id)
    if len(local.encode()) > MAX_LOCALPART:
        raise InvalidAddress(f"{legacy_id[:80]!r}... is too long for a JID: at most {MAX_LOCALPART} bytes")
    _require_localpart(local)
    return local


@lru_cache(maxsize=1024)
def unescape(localpart: str) -> str:
    """Give the legacy identifier of a localpart (XEP-0106, section 4.3).

    Unknown sequences stay as they are. ``\\5c`` is undone even where it need not have been written, since some
    implementations always escape the backslash.

    Raises:
        InvalidAddress: empty, too long, or with an escaped space at an edge (XEP-0106, section 4.1).
    """
    if not localpart or localpart.startswith("\\20") or localpart.endswith("\\20"):
        raise InvalidAddress(
            f"{localpart[:80]!r} is not an escaped localpart: it is empty or has a space at an edge"
        )
    if len(localpart) > MAX_LOCALPART:
        raise InvalidAddress(
            f"{localpart[:80]!r}... is too long for a localpart: at most {MAX_LOCALPART} bytes"
        )
    return _ESCAPED.sub(lambda found: chr(int(found[0][1:], 16)), localpart)


def canonical(jid: str) -> str:
    """Give a bare JID as servers compare it (RFC 7622, section 3; RFC 6122, appendix A).

    ``Bob\\40Example.org@Gateway/phone`` and ``bob\\40example.org@gateway`` are one contact: whatever is remembered
    of a contact is remembered under this form.
    """
    bare = jid.partition("/")[0]
    return bare.lower() if bare.isascii() else _fold(bare)


@lru_cache(maxsize=1024)
def contact(jid: str) -> tuple[str, str]:
    """Give the canonical bare JID of a contact on a gateway, and its legacy identifier.

    Raises:
        InvalidAddress: not the bare JID of a contact.
    """
    folded = "" if "/" in jid else canonical(jid)
    local, at, domain = folded.rpartition("@")
    if not (local and at and domain) or _CONTROL.search(folded) or _FORBIDDEN.search(domain):
        raise InvalidAddress(
            f"{jid[:160]!r} is not the address of a contact on a gateway. Write it as in "
            "alice\\40example.org@gateway."
        )
    _require_localpart(local)
    return folded, unescape(local)


def _require_localpart(local: str) -> None:
    """Refuse what a server would refuse, or would read as another address."""
    folded = local if local.isascii() else _fold(local)
    found = _FORBIDDEN.search(folded)
    if found is not None:
        raise InvalidAddress(
            f"{local[:80]!r} cannot be part of a JID because of {found[0]!r}. Write it as in "
            "alice\\40example.org@gateway."
        )


def _fold(text: str) -> str:
    """Fold case and compatibility forms (nodeprep, RFC 6122, appendix A)."""
    import stringprep  # noqa: PLC0415 - only for addresses beyond ASCII
    import unicodedata  # noqa: PLC0415

    mapped = "".join(stringprep.map_table_b2(char) for char in text if not stringprep.in_table_b1(char))
    return unicodedata.normalize("NFKC", mapped)
