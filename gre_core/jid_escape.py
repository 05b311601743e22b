"""XEP-0106: legacy identifiers as the localpart of a JID, and back.

>>> escape("alice@example.org")
'alice\\\\40example.org'
>>> unescape("alice\\\\40example.org")
'alice@example.org'
"""

from __future__ import annotations

import re

from gre_core.errors import InvalidAddress

_ESCAPES = {
    " ": "\\20", '"': "\\22", "&": "\\26", "'": "\\27", "/": "\\2f", ":": "\\3a",
    "<": "\\3c", ">": "\\3e", "@": "\\40",
}  # fmt: skip
_CODES = "20|22|26|27|2f|3a|3c|3e|40|5c"
_ESCAPABLE = re.compile(rf"[ \"&'/:<>@]|\\(?={_CODES})")
_ESCAPED = re.compile(rf"\\(?:{_CODES})")

MAX_LOCALPART = 1023
"""Longest localpart, in bytes of UTF-8 (RFC 7622, section 3.3)."""


def escape(legacy_id: str) -> str:
    """Make a localpart of a legacy identifier (XEP-0106, section 4.2).

    A backslash is escaped only where it would start an escape sequence.

    Raises:
        InvalidAddress: empty, longer than 1,023 bytes, with a space at an edge, or with a control character.
    """
    if not legacy_id or legacy_id != legacy_id.strip(" "):
        raise InvalidAddress(
            f"{legacy_id[:80]!r} cannot be part of a JID: it is empty or has a space at an edge"
        )
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in legacy_id):  # noqa: PLR2004
        raise InvalidAddress(f"{legacy_id[:80]!r} cannot be part of a JID: it has a control character")
    local = _ESCAPABLE.sub(lambda found: _ESCAPES.get(found[0], "\\5c"), legacy_id)
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCALPART:
        raise InvalidAddress(f"{legacy_id[:80]!r}... is too long for a JID: at most {MAX_LOCALPART} bytes")
    return local


def unescape(localpart: str) -> str:
    """Give the legacy identifier of a localpart (XEP-0106, section 4.3).

    Unknown sequences stay as they are. ``\\5c`` is undone even where it need not have been written, since some
    implementations always escape the backslash.

    Raises:
        InvalidAddress: empty, or with an escaped space at an edge (XEP-0106, section 4.1).
    """
    if not localpart or localpart.startswith("\\20") or localpart.endswith("\\20"):
        raise InvalidAddress(
            f"{localpart[:80]!r} is not an escaped localpart: it is empty or has a space at an edge"
        )
    return _ESCAPED.sub(lambda found: chr(int(found[0][1:], 16)), localpart)
