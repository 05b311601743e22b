"""Bytes that a password locks: an OpenPGP message, which ``gpg --decrypt`` reads as well.

The password is made a key by iterated and salted SHA-256 over 65 MB (RFC 9580, section 3.7.1.3), some 45 ms: the
strongest that GnuPG 2.2 reads. (Argon2 would cost an attacker more; GnuPG 2.2 does not know it.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import NoUsableKey
from gre_openpgp.backup import check_password_message
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SKESK, read_header

if TYPE_CHECKING:
    from gre_openpgp.encrypting.engine import Engine

DAMAGED: Final = "What is locked with the password is damaged: {}. Restore it from a backup"


def is_locked(data: bytes) -> bool:
    """Tell whether the data is what :meth:`~gre_openpgp.encrypting.engine.Engine.lock` gives."""
    try:
        return read_header(data, 0, len(data)).tag == SKESK
    except BadOpenPGP:
        return False


def unlock(engine: Engine, message: bytes, password: str) -> bytes | None:
    """Decrypt; None when the password is another one.

    Raises:
        NoUsableKey: the message is damaged.
    """
    try:
        check_password_message(message)
    except BadOpenPGP as error:
        raise NoUsableKey(DAMAGED.format(error.text)) from None
    return engine.unlock(message, password)
