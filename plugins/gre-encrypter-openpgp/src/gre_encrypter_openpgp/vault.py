"""What a password locks, by Sequoia; see :mod:`gre_openpgp.encrypting.vault`."""

from __future__ import annotations

import pysequoia
from gre_openpgp.encrypting.engine import first_line
from gre_openpgp.encrypting.vault import DAMAGED

from gre_core.errors import NoUsableKey
from gre_encrypter_openpgp.sequoia import NO_KEY, NO_SESSION_KEY, guard_panic


def lock(data: bytes, password: str) -> bytes:
    """Encrypt with a password."""
    return pysequoia.encrypt(data, passwords=[password], armor=False)


def unlock(message: bytes, password: str) -> bytes | None:
    """Decrypt; None when the password is another one.

    Raises:
        NoUsableKey: the message is damaged.
    """
    try:
        return pysequoia.decrypt(message, passwords=[password]).bytes
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        reason = first_line(error)
        if reason == NO_KEY or reason.startswith(NO_SESSION_KEY):
            return None
        raise NoUsableKey(DAMAGED.format(reason)) from None
