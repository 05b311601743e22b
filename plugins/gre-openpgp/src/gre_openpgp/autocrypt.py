"""The Autocrypt header (Autocrypt Level 1, section 2): writing one for a user, reading those of mails.

::

    Autocrypt: addr=alice@example.org; prefer-encrypt=mutual; keydata=
     xjMEawOqfRYJKwYBBAHaRw8BAQ...
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import Final

from gre_openpgp.certificate_parts import (
    CERTIFICATIONS,
    DIRECT_KEY,
    ENCRYPTS,
    SIGNS,
    SUBKEY_BINDING,
    Parts,
    newest,
)
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import read_certificate
from gre_openpgp.user_ids import address_of

MAX_HEADER: Final = 10 * 1024
"""Longest header that is written or read, in bytes (Autocrypt Level 1, section 2.1)."""

_COLUMNS: Final = 76
_ATTRIBUTE: Final = re.compile(r"\s*([A-Za-z0-9_-]{1,64})\s*=\s*([^;]*)")
_V6_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Autocrypt:
    """What a header says. Nothing of it is proven.

    Arguments:
        address: whose key it is, in lower case.
        keydata: the binary public key.
        mutual: whether the owner prefers encryption.
    """

    address: str
    keydata: bytes = field(repr=False)
    mutual: bool = False


def header_value(address: str, certificate: bytes, *, mutual: bool = False) -> str:
    """Write the value of the header, folded at 76 columns with CRLF and a space.

    Arguments:
        address: the mail address in From.
        certificate: a binary public key that names the address in a user id. What a mail peer does not need
            stays
            out of the header: other user ids (which may be JIDs), signatures of others, old subkeys.
        mutual: say that encrypted answers are welcome.

    Raises:
        BadOpenPGP: the key does not name the address, cannot encrypt, or is too large for a header.
    """
    keydata = binascii.b2a_base64(minimal_certificate(address, certificate), newline=False).decode("ascii")
    lines = [keydata[at : at + _COLUMNS] for at in range(0, len(keydata), _COLUMNS)]
    preference = " prefer-encrypt=mutual;" if mutual else ""
    value = "\r\n ".join([f"addr={address};{preference} keydata=", *lines])
    if len(value) > MAX_HEADER:
        raise BadOpenPGP(
            f"The key of {address} makes a header of {len(value)} bytes, more than the {MAX_HEADER} that "
            f"mail programs read",
            limit=MAX_HEADER,
        )
    return value


def parse(value: str) -> Autocrypt | None:
    """Read the value of a header; None when it must be ignored (Autocrypt Level 1, section 2.1).

    Arguments:
        value: folded or unfolded.
    """
    if len(value) > MAX_HEADER:
        return None
    attributes: dict[str, str] = {}
    for part in value.rstrip("; \t\r\n").split(";"):
        found = _ATTRIBUTE.fullmatch(part)
        if found is None or found[1].lower() in attributes:
            return None
        attributes[found[1].lower()] = found[2].strip()
    address = address_of(attributes.pop("addr", ""))
    keydata = attributes.pop("keydata", "")
    mutual = attributes.pop("prefer-encrypt", "") == "mutual"
    if address is None or any(not name.startswith("_") for name in attributes):
        return None
    try:
        data = binascii.a2b_base64("".join(keydata.split()).encode("ascii"), strict_mode=True)
        read_certificate(data)
    except (ValueError, BadOpenPGP):
        return None
    return Autocrypt(address, data, mutual)


def minimal_certificate(address: str, certificate: bytes) -> bytes:
    """Give the five packets that mail programs need: primary key, user id, its signature, subkey, binding.

    A signing subkey comes in addition when the primary key does not sign, a direct-key signature for version
    6. Revoked user ids and subkeys are left out.

    Raises:
        BadOpenPGP: the key does not name the address, or cannot encrypt.
    """
    parts = Parts(certificate)
    chosen = newest(parts.named(address), CERTIFICATIONS)
    if chosen is None:
        raise BadOpenPGP(f"The key does not name {address} in a user id", address=address)
    encrypting = newest(parts.subkeys(ENCRYPTS), (SUBKEY_BINDING,))
    primary_flags = chosen[1].flags
    if encrypting is None and not primary_flags & ENCRYPTS:
        raise BadOpenPGP("The key has no subkey for encryption")
    signing = None if primary_flags & SIGNS else newest(parts.subkeys(SIGNS), (SUBKEY_BINDING,))
    kept = [parts.raw(parts.primary.packet)]
    direct = newest([parts.primary], (DIRECT_KEY,)) if len(parts.fingerprint) == _V6_DIGITS else None
    if direct is not None:
        kept.append(parts.raw(direct[1].packet))
    for pick in (chosen, signing, encrypting):
        if pick is not None:
            kept += [parts.raw(pick[0].packet), parts.raw(pick[1].packet)]
    return b"".join(kept)
