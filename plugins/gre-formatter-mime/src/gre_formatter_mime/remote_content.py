"""Whether an HTML body would load something: it could tell that it was read, or carry away its text (EFAIL).

Everything counts that is not known to be harmless: a value has to begin with ``cid:``, ``data:``, ``about:`` or
``#`` as it stands there, so that no way of spelling an address otherwise is overlooked. Links that a person has to
follow do not count.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from gre_formatter_mime.limits import MAX_REFLOWED

if TYPE_CHECKING:
    from collections.abc import Callable

# Possessive quantifiers throughout: linear time.
_ELEMENT: Final = re.compile(
    r"<(?:script|iframe|frame|object|embed|applet|base|link|form|portal|fencedframe|import)\b", re.IGNORECASE
)
_ATTRIBUTE: Final = re.compile(
    r"[\s\"'/](?:(?:src|background|poster|data|action|formaction|codebase|lowsrc|dynsrc|manifest|icon|classid|"
    r"xlink:href)\s*+=\s*+[\"']?+(?![\"'>]|\s*+(?:cid:|data:|about:|#))"
    r"|(?:srcset|imagesrcset|ping|archive)\s*+=)",  # each of these takes several addresses
    re.IGNORECASE,
)
# In SVG a plain href loads: <image href>, <use href>, <feImage href>.
_SVG: Final = re.compile(r"<(?:\w++:)?+(?:image|use|feimage)\b", re.IGNORECASE)
_REFRESH: Final = re.compile(r"http-equiv\s*+=\s*+[\"']?+\s*+(?:refresh|link|&)", re.IGNORECASE)
_STYLE: Final = re.compile(
    r"@import\b|\b(?:image-set|src|expression)\(|-moz-binding|"
    r"\burl\(\s*+[\"']?+(?![\"')]|\s*+(?:cid:|data:|about:|#))",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n\f]?|([^\n0-9a-fA-F]))")
_HUGE_REFERENCE: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}+;?")
_LAST: Final = 0x10FFFF


def would_load(markup: str) -> bool:
    """Tell whether a program that shows this HTML might ask the network for something.

    What is longer than a million characters is not looked through, and counts as if it did.
    """
    return (
        len(markup) > MAX_REFLOWED
        or any(pattern.search(markup) for pattern in (_ELEMENT, _ATTRIBUTE, _SVG, _REFRESH))
        or _style_loads(markup)
    )


def _style_loads(markup: str) -> bool:
    """Look for addresses in styles, also for those whose letters are written as references or as escapes."""
    plain: list[tuple[str, Callable[[str], str]]] = [
        ("&", _without_references), ("\\", _without_escapes), ("/*", _without_comments),
    ]  # fmt: skip
    found = _STYLE.search(markup) is not None
    for sign, undo in plain:
        if not found and sign in markup:
            markup = undo(markup)
            found = _STYLE.search(markup) is not None
    return found


def _without_references(markup: str) -> str:
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", markup))


def _without_comments(markup: str) -> str:
    first, *pieces = markup.split("/*")
    return first + "".join([piece.partition("*/")[2] for piece in pieces])


def _without_escapes(markup: str) -> str:
    return _ESCAPE.sub(_unescaped, markup)


def _unescaped(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else 0
    return found[2] or (chr(code) if 0 < code <= _LAST else "\ufffd")
