"""Addresses in reports and ORCPT, with their type: ``rfc822;a@b.c``, ``utf-8;...`` (RFC 3464, 2.3; RFC 6533, 3).

>>> typed("bob@example.net"), typed("\u00fcnal@example.net"), typed("\u00fcnal@example.net", utf8=True)
('rfc822; bob@example.net', 'utf-8; \\\\x{FC}nal@example.net', 'utf-8; \u00fcnal@example.net')
"""

from __future__ import annotations

import re
from typing import Final

UTF8: Final = "utf-8"

_TO_ESCAPE = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_LAST: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


def typed(address: str, *, utf8: bool = False) -> str:
    """Write an address with its type.

    Arguments:
        address: checked by ``check_address``.
        utf8: whether the place takes UTF-8 (``utf-8-addr-unitext``); else what is beyond ASCII is escaped
            (``utf-8-addr-xtext``).
    """
    if address.isascii():
        return f"rfc822; {address}"
    return f"{UTF8}; {address if utf8 else escaped(address)}"


def escaped(address: str) -> str:
    """Write what is beyond printable ASCII, and ``+``, ``=`` and the backslash, as ``\\x{HEX}``."""
    return _TO_ESCAPE.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)


def unescaped(text: str) -> str:
    """Undo :func:`escaped`; what is no character stays as it is.

    >>> unescaped("\\\\x{FC}nal@example.net") == "\u00fcnal@example.net"
    True
    """
    return _ESCAPED.sub(_char, text)


def _char(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return found[0] if number > _LAST or number in _SURROGATES else chr(number)
