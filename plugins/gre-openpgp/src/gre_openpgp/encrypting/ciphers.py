"""AES in the modes of OpenPGP: CFB, and three AEAD modes (RFC 9580, section 9.6)."""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESOCB3
from cryptography.hazmat.primitives.cmac import CMAC

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # older versions of ``cryptography``
    from cryptography.hazmat.primitives.ciphers.modes import CFB

AES_SIZES: Final = {7: 16, 8: 24, 9: 32}
"""Key sizes of AES, in bytes, by the number of the cipher (RFC 9580, section 9.3)."""

EAX, OCB, GCM = 1, 2, 3
NONCES: Final = {EAX: 16, OCB: 15, GCM: 12}
"""Lengths of the nonces, in bytes."""

TAG: Final = 16
"""Length of the tag behind the ciphertext, in bytes."""


def open_cfb(key: bytes, start: bytes, sealed: bytes | memoryview) -> bytes:
    """Decrypt in CFB mode, which checks nothing.

    Arguments:
        key: of AES.
        start: the initialization vector.
        sealed: the ciphertext.
    """
    stream = Cipher(algorithms.AES(key), CFB(start)).decryptor()
    return stream.update(sealed) + stream.finalize()


def seal_cfb(key: bytes, start: bytes, clear: bytes) -> bytes:
    """Encrypt in CFB mode; see :func:`open_cfb`."""
    stream = Cipher(algorithms.AES(key), CFB(start)).encryptor()
    return stream.update(clear) + stream.finalize()


def open_sealed(mode: int, key: bytes, nonce: bytes, sealed: bytes, extra: bytes) -> bytes | None:
    """Decrypt and check; None when it does not fit.

    Arguments:
        mode: number of the AEAD mode.
        key: of AES.
        nonce: of the length that the mode wants.
        sealed: ciphertext and tag.
        extra: authenticated with it.

    Raises:
        ValueError: an unknown mode, or lengths that it does not take.
    """
    if len(sealed) < TAG:
        return None
    try:
        if mode == GCM:
            return AESGCM(key).decrypt(nonce, sealed, extra)
        if mode == OCB:
            return AESOCB3(key).decrypt(nonce, sealed, extra)
    except InvalidTag:
        return None
    if mode == EAX:
        return _open_eax(key, nonce, sealed, extra)
    raise ValueError("unknown AEAD mode")


def _open_eax(key: bytes, nonce: bytes, sealed: bytes, extra: bytes) -> bytes | None:
    """EAX of Bellare, Rogaway and Wagner, which ``cryptography`` does not have."""
    text, tag = sealed[:-TAG], sealed[-TAG:]
    start = _omac(key, 0, nonce)
    parts = zip(start, _omac(key, 1, extra), _omac(key, 2, text), strict=True)
    if not hmac.compare_digest(bytes(a ^ b ^ c for a, b, c in parts), tag):
        return None
    stream = Cipher(algorithms.AES(key), modes.CTR(start)).decryptor()
    return stream.update(text) + stream.finalize()


def _omac(key: bytes, tweak: int, data: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(bytes(15) + bytes([tweak]))
    mac.update(data)
    return mac.finalize()
