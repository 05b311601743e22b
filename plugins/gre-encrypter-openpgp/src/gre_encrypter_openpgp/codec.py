"""What stands inside ``<encrypted/>``: base64 of the binary OpenPGP message (RFC 4648, section 4).

Written is only that. Read are also white space in it, an ``<openpgp/>`` child that holds it (XEP-0373), and
armor.
"""

from __future__ import annotations

import binascii
from functools import partial
from typing import TYPE_CHECKING, Final

from gre_openpgp.armor import dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP

from gre_core.errors import BadEncrypted
from gre_core.model import Body

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT: Final = 192 * 1024 * 1024
"""Longest text that is read, in characters."""

_OPENPGP: Final = "{urn:xmpp:openpgp:0}openpgp"
_WHITE: Final = b" \t\r\n"


def _plain_encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _plain_decode(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


_encode: Callable[[bytes], str] = _plain_encode
_decode: Callable[[str], bytes] = _plain_decode
try:
    import pybase64
except ImportError:
    pass
else:  # several times faster
    _encode = pybase64.b64encode_as_string
    _decode = partial(pybase64.b64decode, validate=True)


def body_of(message: bytes) -> Body:
    """Make the body for a binary message."""
    return Body(_encode(message))


def message_of(body: Body) -> bytes:
    """Give the binary message of a body, not yet looked into.

    Raises:
        BadEncrypted: no base64, no armor, more than one child, or too large.
    """
    text = body.text
    for child in body.children:
        if len(body.children) > 1 or child.tag != _OPENPGP or text.strip():
            raise BadEncrypted(
                "The encrypted part must hold base64 text, or one <openpgp/> element and nothing else"
            )
        text = child.text or ""
    if len(text) > MAX_TEXT:
        raise BadEncrypted(f"The encrypted part is longer than {MAX_TEXT} characters", limit=MAX_TEXT)
    try:
        return _decode(text) or _nothing()
    except ValueError:
        return _lenient(text)


def _nothing() -> bytes:
    raise BadEncrypted("The encrypted part is empty")


def _lenient(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    try:
        if is_armored(raw):
            return dearmor(raw)
        return _plain_decode(raw.translate(None, _WHITE).decode("ascii")) or _nothing()
    except (ValueError, BadOpenPGP) as error:
        if isinstance(error, BadEncrypted):
            raise
        raise BadEncrypted("The encrypted part is neither base64 nor an armored OpenPGP message") from None
