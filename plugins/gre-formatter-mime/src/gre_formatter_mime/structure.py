"""Cutting a multipart at its delimiters (RFC 2046, section 5.1.1), by position, without copying."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_core.errors import ParseFailed
from gre_formatter_mime.limits import MAX_FALSE_DELIMITERS, MAX_PARTS

if TYPE_CHECKING:
    from gre_formatter_mime.source import Source

_AFTER: Final = re.compile(rb"(--)?+[ \t]*+\r?(?:\n|\Z)")
_LOOK: Final = 128
"""Bytes after a delimiter that are looked at: more padding than this is not one."""

_LONGEST_BOUNDARY: Final = 256
"""Characters; the standard allows 70."""


def parts_of(source: Source, start: int, end: int, boundary: str) -> list[tuple[int, int]]:
    """Give start and end of each part of a multipart. Preamble and epilogue are left out.

    A missing end delimiter is no error: the last part then goes to the end.

    Arguments:
        source: the payload.
        start: where the body of the multipart begins.
        end: where it ends.
        boundary: the parameter of its Content-Type.

    Result:
        empty when there is no delimiter.

    Raises:
        ParseFailed: more than 1,000 parts, or 10,000 lines that only begin like the delimiter.
    """
    if not boundary or len(boundary) > _LONGEST_BOUNDARY:
        return []
    dashed = b"--" + boundary.encode("utf-8", "replace")
    needle = b"\n" + dashed
    parts: list[tuple[int, int]] = []
    part = -1
    false = 0
    at_start = bytes(source.read(start, min(start + len(dashed), end))) == dashed
    position = start - 1 if at_start else source.find(needle, start, end)
    while position >= 0:
        after = position + len(needle)
        found = _AFTER.match(source.read(after, min(after + _LOOK, end)))
        if found is None:
            false += 1
            if false > MAX_FALSE_DELIMITERS:
                raise ParseFailed("Too many lines of the message look like the end of a part")
        else:
            if part >= 0:
                parts.append((part, max(part, _before_line_end(source, position))))
            if found[1]:
                return parts
            part = after + found.end()
            if len(parts) >= MAX_PARTS:
                raise ParseFailed(f"The message has more than {MAX_PARTS} parts", limit=MAX_PARTS)
        # The line end of a delimiter may be the one before the next delimiter: an empty part.
        position = source.find(needle, after + found.end() - 1 if found else after, end)
    if part >= 0:
        parts.append((part, end))
    return parts


def _before_line_end(source: Source, position: int) -> int:
    """Give the end of a part: the line end before a delimiter belongs to the delimiter."""
    return position - 1 if position > 0 and bytes(source.read(position - 1, position)) == b"\r" else position
