"""Bytes that a password locks: an OpenPGP message, which ``gpg --decrypt`` reads as well.

The password is made a key by iterated and salted SHA-256 over 65 MB (RFC 9580, section 3.7.1.3), some 45 ms: the
strongest that GnuPG 2.2 reads. (Argon2 would cost an attacker more; GnuPG 2.2 does not know it.)
"""

from __future__ import annotations

from typing import Final

import pysequoia
from gre_openpgp.backup import check_password_message
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SKESK, read_header

from gre_core.errors import NoUsableKey
from gre_encrypter_openpgp.sequoia import NO_KEY, NO_SESSION_KEY, first_line, guard_panic

_DAMAGED: Final = "What is locked with the password is damaged: {}. Restore it from a backup"


def lock(data: bytes, password: str) -> bytes:
    """Encrypt with a password."""
    return pysequoia.encrypt(data, passwords=[password], armor=False)


def is_locked(data: bytes) -> bool:
    """Tell whether the data is what :func:`lock` gives."""
    try:
        return read_header(data, 0, len(data)).tag == SKESK
    except BadOpenPGP:
        return False


def unlock(message: bytes, password: str) -> bytes | None:
    """Decrypt; None when the password is another one.

    Raises:
        NoUsableKey: the message is damaged.
    """
    try:
        check_password_message(message)
        return pysequoia.decrypt(message, passwords=[password]).bytes
    except BadOpenPGP as error:
        raise NoUsableKey(_DAMAGED.format(error.text)) from None
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        reason = first_line(error)
        if reason == NO_KEY or reason.startswith(NO_SESSION_KEY):
            return None
        raise NoUsableKey(_DAMAGED.format(reason)) from None
