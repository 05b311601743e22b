"""Envelope ids that say which message a mail was, so that nothing has to be stored for a late report (RFC 3461, 4.4).

::

    token = envelope_id(secret, stanza_id="m1", user="juliet@xmpp.example")  # goes out as ENVID=...
    read_envelope_id(secret, token, user="juliet@xmpp.example")  # Original(stanza_id="m1", several=False)

A report goes to the address of the user: whoever reads the token knows the user. Only mail systems on the way of the
mail see the token, and nobody else can make one for that user: it is authenticated.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from gre_gateway_email.mail.authenticated import MAC_CHARS, code_of, is_code, to_base64

MAX_ENVELOPE_ID: Final = 100
"""Longest ENVID, in characters (RFC 3461, section 4.4)."""

_PURPOSE: Final = "envelope id"
_PLAIN = re.compile(r"[A-Za-z0-9._-]*")
_KINDS: Final = {(True, False): "a", (False, False): "b", (True, True): "c", (False, True): "d"}


@dataclass(frozen=True, slots=True)
class Original:
    """What an ENVID says.

    Arguments:
        stanza_id: of the message that the mail was made of.
        several: the message was addressed to the gateway itself, for several recipients (XEP-0033).
    """

    stanza_id: str
    several: bool = False


def envelope_id(secret: bytes, stanza_id: str, user: str, *, several: bool = False) -> str:
    """Make an ENVID of letters, digits, ``.``, ``_`` and ``-``: the same in xtext (RFC 3461, section 4).

    Arguments:
        secret: known to the gateway alone, at least 16 random bytes, the same after a restart.
        stanza_id: of the message.
        user: bare JID of the sender.
        several: see :class:`Original`.

    Returns:
        At most :data:`MAX_ENVELOPE_ID` characters, or ``""`` when the stanza id is too long (82 plain characters, or
        61 bytes of others): such a mail is sent without, and a report is found by its Message-ID.
    """
    plain = _PLAIN.fullmatch(stanza_id) is not None
    said = stanza_id if plain else to_base64(stanza_id.encode("utf-8", "surrogatepass"))
    said = _KINDS[plain, several] + said
    token = code_of(secret, _PURPOSE, user, said) + said
    return token if len(token) <= MAX_ENVELOPE_ID else ""


def read_envelope_id(secret: bytes, token: str, user: str) -> Original | None:
    """Read the ENVID of a report.

    Arguments:
        secret: as for :func:`envelope_id`.
        token: what the report says, of any length.
        user: bare JID of the user whom the report came to.

    Returns:
        What it says; None: it is not of this gateway, or was not made for that user.
    """
    if not MAC_CHARS < len(token) <= MAX_ENVELOPE_ID or not token.isascii():
        return None
    said = token[MAC_CHARS:]
    if not is_code(token[:MAC_CHARS], secret, _PURPOSE, user, said):
        return None
    kind = next((key for key, letter in _KINDS.items() if letter == said[0]), None)
    if kind is None:
        return None
    plain, several = kind
    try:
        stanza_id = said[1:] if plain else _unbase64(said[1:])
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Original(stanza_id, several)


def _unbase64(text: str) -> str:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    return data.decode("utf-8", "surrogatepass")
