"""Short texts that come back from outside, and that only this gateway can have written, for that user."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

MAC_CHARS: Final = 16
"""Length of a code; letters, digits, ``-`` and ``_``."""

_MAC_BYTES: Final = 12


def code_of(secret: bytes, purpose: str, user: str, said: str) -> str:
    """Give the code that authenticates a text: HMAC-SHA-256, cut to 96 bits.

    Arguments:
        secret: known to the gateway alone, at least 16 random bytes, the same after a restart.
        purpose: what the text is for; a code for one purpose is none for another.
        user: bare JID of whom it is for.
        said: the text.
    """
    seed = f"gre-email {purpose}\0{user}\0{said}".encode("utf-8", "surrogatepass")
    return to_base64(hmac.digest(secret, seed, hashlib.sha256)[:_MAC_BYTES])


def is_code(code: str, secret: bytes, purpose: str, user: str, said: str) -> bool:
    """Tell whether a code is that of a text, in constant time."""
    return code.isascii() and hmac.compare_digest(code_of(secret, purpose, user, said), code)


def to_base64(data: bytes) -> str:
    """Write bytes with letters, digits, ``-`` and ``_`` (RFC 4648, section 5), without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
