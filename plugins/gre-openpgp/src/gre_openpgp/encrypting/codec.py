"""What stands inside ``<encrypted/>``: base64 of the binary OpenPGP message (RFC 4648, section 4).

Written is only that. Read are also white space in it, an ``<openpgp/>`` child that holds it (XEP-0373), and
armor. Other children are ignored, as XMPP ignores what it does not know (RFC 6120, section 8.4).
"""

from __future__ import annotations

from typing import Final

import pybase64

from gre_core.errors import BadEncrypted
from gre_core.model import Body
from gre_openpgp.armor import dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP

MAX_TEXT: Final = 192 * 1024 * 1024
"""Longest text that is read, in characters."""

_OPENPGP: Final = "{urn:xmpp:openpgp:0}openpgp"
_WHITE: Final = b" \t\r\n"


def body_of(message: bytes) -> Body:
    """Make the body for a binary message."""
    return Body(pybase64.b64encode_as_string(message))


def message_of(body: Body) -> bytes:
    """Give the binary message of a body, not yet looked into.

    Raises:
        BadEncrypted: no base64, no armor, more than one message, or too large.
    """
    text = body.text
    children = [child for child in body.children if child.tag == _OPENPGP] if body.children else ()
    for child in children:
        if len(children) > 1 or text.strip():
            raise BadEncrypted(
                "The encrypted part must hold base64 text, or one <openpgp/> element and nothing else"
            )
        text = child.text or ""
    if len(text) > MAX_TEXT:
        raise BadEncrypted(f"The encrypted part is longer than {MAX_TEXT} characters", limit=MAX_TEXT)
    try:
        return pybase64.b64decode(text, validate=True) or _nothing()
    except ValueError:
        return _lenient(text)


def _nothing() -> bytes:
    raise BadEncrypted("The encrypted part is empty")


def _lenient(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    try:
        if is_armored(raw):
            return dearmor(raw)
        return pybase64.b64decode(raw.translate(None, _WHITE), validate=True) or _nothing()
    except (ValueError, BadOpenPGP) as error:
        if isinstance(error, BadEncrypted):
            raise
        raise BadEncrypted("The encrypted part is neither base64 nor an armored OpenPGP message") from None
