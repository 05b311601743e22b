"""The encoding of values in SMTP parameters: xtext (RFC 3461, section 4).

>>> to_xtext("rfc822;a+b=c@example.org"), from_xtext("a+2Bb")
('rfc822;a+2Bb+3Dc@example.org', 'a+b')
"""

from __future__ import annotations

import re

_TO_ESCAPE = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x7e]")
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*")
_ESCAPED = re.compile(r"\+([0-9A-F]{2})")


def to_xtext(value: str) -> str:
    """Encode a value; characters beyond ASCII have no place in it and become ``?``."""
    return _TO_ESCAPE.sub(lambda found: f"+{ord(found[0]):02X}" if found[0].isascii() else "?", value)


def from_xtext(text: str) -> str | None:
    """Decode a value; None: it is not xtext, or decodes to what is not printable ASCII."""
    if _XTEXT.fullmatch(text) is None:
        return None
    value = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return value if value.isascii() and value.isprintable() else None
