"""The backup of secret keys in a private node (XEP-0373, section 5): element, backup code, outer shape.

>>> normal_code("twnk kd5y mt3t e1gs drdb kvtw")
'TWNK-KD5Y-MT3T-E1GS-DRDB-KVTW'
"""

from __future__ import annotations

import binascii
import secrets
from typing import Final
from xml.etree.ElementTree import Element

from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SEIPD, SKESK, read_header
from gre_openpgp.xep0373 import OPENPGP, SECRET_KEY

__all__ = [
    "ALPHABET",
    "MAX_BACKUP",
    "SECRET_KEY",
    "check_password_message",
    "new_code",
    "normal_code",
    "read_secretkey",
    "secretkey_element",
]

ALPHABET: Final = "123456789ABCDEFGHIJKLMNPQRSTUVWXYZ"
"""What a backup code is made of: no O and no 0 (XEP-0373, section 5.4)."""

MAX_BACKUP: Final = 1024 * 1024
"""Largest backup that is read, in bytes."""

MAX_PASSWORDS: Final = 4
"""How many passwords a message may have: each costs some 50 ms."""

_LENGTH: Final = 24
_GROUP: Final = 4
_DASHES: Final = "-\u2010\u2011\u2012\u2013\u2014"
_WHITE: Final = b" \t\r\n"
_V4: Final = 4
_MIN_SEIPD: Final = 41
_S2K: Final = frozenset({0, 1, 3})


def new_code() -> str:
    """Make a backup code, in groups of four: 122 bits from the system's random source."""
    return _grouped("".join(secrets.choice(ALPHABET) for _ in range(_LENGTH)))


def normal_code(text: str) -> str:
    """Write a backup code as it is used: upper case, in groups of four with dashes between.

    Arguments:
        text: in any case; dashes and white space may stand anywhere.

    Raises:
        ValueError: it is none; the text says why, and never quotes it.
    """
    if len(text) > 10 * _LENGTH:
        raise ValueError("A backup code has 24 characters")
    plain = "".join(character for character in text if character not in _DASHES and not character.isspace())
    if not plain.isascii() or set(plain.upper()) - set(ALPHABET):
        raise ValueError("A backup code has only the letters A to Z without O, and the digits 1 to 9")
    if len(plain) != _LENGTH:
        raise ValueError(f"A backup code has {_LENGTH} characters; this one has {len(plain)}")
    return _grouped(plain.upper())


def _grouped(plain: str) -> str:
    return "-".join(plain[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def secretkey_element(message: bytes) -> Element:
    """Make ``<secretkey/>`` from a binary message that is encrypted with the backup code."""
    top = Element(f"{{{OPENPGP}}}secretkey")
    top.text = binascii.b2a_base64(message, newline=False).decode("ascii")
    return top


def read_secretkey(element: Element | None) -> bytes:
    """Give the binary message of a ``<secretkey/>`` whose outer shape was checked.

    Raises:
        BadOpenPGP: another element, no base64, more than :data:`MAX_BACKUP`, or no such message.
    """
    if element is None or element.tag != f"{{{OPENPGP}}}secretkey":
        raise BadOpenPGP("The backup is not a <secretkey/>")
    text = "".join(element.itertext())
    if len(text) > MAX_BACKUP * 2:
        raise BadOpenPGP(f"The backup is larger than the {MAX_BACKUP} bytes that are read", limit=MAX_BACKUP)
    try:
        message = binascii.a2b_base64(text.encode("ascii").translate(None, _WHITE), strict_mode=True)
    except ValueError:
        raise BadOpenPGP("The backup is not base64") from None
    check_password_message(message)
    return message


def check_password_message(message: bytes) -> None:
    """Check the outer shape of a message that is encrypted with a password, before a crypto library sees it.

    One to four session keys for passwords (SKESK version 4, no string-to-key method that a stranger can make cost
    gigabytes), then one integrity-protected container to the end.

    Raises:
        BadOpenPGP: any other shape.
    """
    at, end, count = 0, len(message), 0
    while True:
        header = read_header(message, at, end)
        stop = header.body + header.length
        if header.tag != SKESK:
            break
        body = message[header.body : stop]
        count += 1
        if header.partial or stop > end or len(body) < _V4 or body[0] != _V4 or body[2] not in _S2K:
            raise BadOpenPGP("The data is locked with a password in a way that is not supported")
        if count > MAX_PASSWORDS:
            raise BadOpenPGP(
                f"The data is locked with more than {MAX_PASSWORDS} passwords", limit=MAX_PASSWORDS
            )
        at = stop
    whole = header.partial or stop == end
    if not count or header.tag != SEIPD or not whole or end - header.body < _MIN_SEIPD:
        raise BadOpenPGP(
            "The data is not an OpenPGP message that is encrypted with a password, or it is cut off"
        )
