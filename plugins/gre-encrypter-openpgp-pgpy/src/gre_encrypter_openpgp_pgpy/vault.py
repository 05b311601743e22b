"""What a password locks: a message that Sequoia and GnuPG read too; see :mod:`gre_openpgp.encrypting.vault`."""

from __future__ import annotations

import secrets
from typing import Final

from gre_openpgp.encrypting.ciphers import AES_SIZES, open_cfb
from gre_openpgp.encrypting.container import key_fits, open_container, seal_container
from gre_openpgp.encrypting.passwords import from_password
from gre_openpgp.encrypting.sessionkeys import SessionKey
from gre_openpgp.encrypting.unwrap import LITERAL, unwrap
from gre_openpgp.encrypting.vault import DAMAGED
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SKESK, new_length, read_header, write_packet

from gre_core.errors import DecryptFailed, NoUsableKey

_AES256: Final = 9
_SHA256: Final = 8
_ITERATED: Final = 3
_COUNT: Final = 0xFF
"""65,011,712 bytes are hashed, some 45 ms (RFC 9580, section 3.7.1.3)."""

_BLOCK: Final = 16


def lock(data: bytes, password: str) -> bytes:
    """Encrypt with a password."""
    specifier = bytes([_ITERATED, _SHA256]) + secrets.token_bytes(8) + bytes([_COUNT])
    key, _ = from_password(specifier, password.encode(), AES_SIZES[_AES256])
    head = write_packet(SKESK, b"\x04" + bytes([_AES256]) + specifier)
    return head + seal_container(write_packet(LITERAL, b"b\0" + bytes(4) + data), key)


def unlock(message: bytes, password: str) -> bytes | None:
    """Decrypt what passed the check of its shape; None when the password is another one.

    Raises:
        NoUsableKey: the message is damaged.
    """
    try:
        at, bodies = 0, list[bytes]()
        while (header := read_header(message, at, len(message))).tag == SKESK:
            at = header.body + header.length
            bodies.append(message[header.body : at])
        body = _joined(message, header.body, header.length, partial=header.partial)
        for each in bodies:
            session = _session_key(each, password)
            if session is None:
                continue
            packets = open_container(body, session)
            if packets is not None:
                return unwrap(packets).content
            if body[0] == 1 and key_fits(body, session):
                raise NoUsableKey(DAMAGED.format("it was changed"))
    except (BadOpenPGP, DecryptFailed, IndexError, ValueError):
        raise NoUsableKey(DAMAGED.format("it is no message of a known form")) from None
    return None


def _joined(message: bytes, at: int, length: int, *, partial: bool) -> bytes:
    parts = [message[at : at + length] if length >= 0 else message[at:]]
    while partial:
        at, length, partial = new_length(message, at + length)
        parts.append(message[at : at + length])
    return b"".join(parts)


def _session_key(body: bytes, password: str) -> SessionKey | None:
    """Read a session key for a password (RFC 9580, section 5.3.1); None: another password, or no AES."""
    cipher = body[1]
    size = AES_SIZES.get(cipher)
    if size is None:
        return None
    key, used = from_password(body[2:], password.encode(), size)
    sealed = body[2 + used :]
    if not sealed:
        return SessionKey(cipher, key)
    clear = open_cfb(key, bytes(_BLOCK), sealed)
    return SessionKey(clear[0], clear[1:])
