"""The addresses of a header field (RFC 5322, section 3.4), read in linear time from whatever people wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_formatter_mime.limits import MAX_ADDRESSES

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE: Final = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|<[^<>]*+>?|\[[^\]]*+\]?|\\.|[(),;:]|[^"<>\[\](),;:\\]++|.', re.DOTALL
)
_ADDRESS: Final = re.compile(r'(?:[^\s<>",;:()\[\]\\@]+|"(?:[^"\\\r\n]|\\[ -~])*")@[^\s<>",;()\\@]+')
_LONGEST: Final = 320
"""Characters of the longest address: 64 before the sign, 255 after it (RFC 5321, section 4.5.3.1)."""


def addresses(values: list[str]) -> tuple[str, ...]:
    """Give the addresses of some fields, without names, comments and groups; at most 1,000."""
    found: list[str] = []
    for value in values:
        if _is_address(value):
            found.append(value)
            continue
        for mailbox in _mailboxes(value):
            address = _address_of(mailbox)
            if _is_address(address):
                found.append(address)
            if len(found) >= MAX_ADDRESSES:
                return tuple(found[:MAX_ADDRESSES])
    return tuple(found[:MAX_ADDRESSES])


def _is_address(text: str) -> bool:
    return len(text) <= _LONGEST and text.isprintable() and _ADDRESS.fullmatch(text) is not None


def _mailboxes(value: str) -> Iterator[list[str]]:
    """Give the pieces of each mailbox, without comments and the names of groups."""
    has_comments = value.count("(") == value.count(")")  # else one of them is a face, or never ends
    depth = 0
    pieces: list[str] = []
    for piece in _PIECE.findall(value):
        if piece == "(" and has_comments:
            depth += 1
        elif depth:
            depth -= piece == ")"
        elif piece in ",;":
            yield pieces
            pieces = []
        elif piece == ":":
            pieces = []
        else:
            pieces.append(piece)
    yield pieces


def _address_of(mailbox: list[str]) -> str:
    for piece in reversed(mailbox):
        if piece.startswith("<"):
            address = piece.strip("<> \t")
            # An obsolete route stands before a colon (section 4.4).
            return address.rpartition(":")[2] if address.startswith("@") else address
    return "".join(mailbox).strip()
