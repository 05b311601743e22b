"""Legacy display elements (RFC 9788): copies of protected fields in a body, which are not to be shown."""

from __future__ import annotations

import re
from typing import Final

_OPENING: Final = re.compile(
    r"""<div\s[^<>]{0,200}?class\s*=\s*["']?header-protection-legacy-display\b[^<>]{0,200}>""", re.IGNORECASE
)
_CLOSING: Final = re.compile(r"</div\s*>", re.IGNORECASE)


def without_legacy_display(text: str, *, is_html: bool) -> str:
    """Remove the element from a body whose Content-Type says that it has one.

    Arguments:
        text: the body with LF line ends.
        is_html: the element is a ``div`` of its own class; in plain text it ends at the first empty line.
    """
    if not is_html:
        _, empty_line, rest = text.partition("\n\n")
        return rest if empty_line else text
    opening = _OPENING.search(text)
    closing = _CLOSING.search(text, opening.end()) if opening else None
    return text[: opening.start()] + text[closing.end() :] if opening and closing else text
