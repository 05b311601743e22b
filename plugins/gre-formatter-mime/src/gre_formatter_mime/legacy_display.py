"""Copies of protected fields that are made for old programs, and not to be shown by others.

RFC 9788 has them in the body, marked by ``hp-legacy-display``; before it they were a part of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_core.mime_text.html_text import text_of_html
from gre_formatter_mime import headers_read as read
from gre_formatter_mime.source import BytesSource
from gre_formatter_mime.transfer import decode

if TYPE_CHECKING:
    from gre_formatter_mime.part import Part
    from gre_formatter_mime.source import Source

_OPENING: Final = re.compile(
    r"""<div\s[^<>]{0,200}?class\s*=\s*["']?header-protection-legacy-display\b[^<>]{0,200}>""", re.IGNORECASE
)
_CLOSING: Final = re.compile(r"</div\s*>", re.IGNORECASE)
_FIELDS: Final = re.compile(r"(?:[!-9;-~]++:[^\n]*+\n(?:[ \t]++[^\n]++\n)*+)++")
_LARGEST: Final = 64 << 10
"""Characters or bytes in which such a copy is looked for."""


def without_legacy_display(text: str, *, is_html: bool) -> str:
    """Remove the element from a body whose Content-Type says that it has one.

    What does not look like it stays: nothing that somebody wrote is left out because of a wrong label.

    Arguments:
        text: the body with LF line ends.
        is_html: the element is the first ``div``, of a class of its own; in plain text it is some fields up to
            the first empty line.
    """
    if not is_html:
        fields = _FIELDS.match(text, 0, _LARGEST)
        return text[fields.end() + 1 :] if fields and text[fields.end() :].startswith("\n") else text
    opening = _OPENING.search(text, 0, _LARGEST)
    closing = _CLOSING.search(text, opening.end()) if opening else None
    if not opening or not closing or text_of_html(text[: opening.start()]):
        return text
    return text[: opening.start()] + text[closing.end() :]


def copied_fields(source: Source, part: Part) -> read.Fields | None:
    """Read the part in which programs before RFC 9788 repeat the protected fields; None when it is no such part."""
    if (
        part.media_type.value not in {"text/rfc822-headers", "text/plain"}
        or "protected-headers" not in part.media_type.parameters
        or part.end - part.start > _LARGEST
    ):
        return None
    raw = decode(source.read(part.start, part.end), part.encoding)
    fields, body = read.read_header(BytesSource(raw), 0, len(raw))
    return fields if fields and not raw[body:].strip() else None


def repeats(copy: read.Fields, fields: read.Fields) -> bool:
    """Tell whether a copy says nothing that the fields do not say."""
    return all(
        {_shown(value) for value in values} <= {_shown(value) for value in fields.get(name, ())}
        for name, values in copy.items()
    )


def _shown(value: str) -> str:
    return " ".join(read.free_text(value).split())
