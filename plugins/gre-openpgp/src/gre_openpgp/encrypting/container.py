"""Between a session key and the packets inside: the encrypted and integrity-protected container (RFC 9580, 5.13).

Nothing is given out before all of it was authenticated.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gre_openpgp.encrypting.ciphers import AES_SIZES, NONCES, TAG, open_cfb, open_sealed, seal_cfb
from gre_openpgp.packets import SEIPD, write_packet

if TYPE_CHECKING:
    from gre_openpgp.encrypting.sessionkeys import SessionKey

_BLOCK: Final = 16
_MDC: Final = b"\xd3\x14"
_MDC_SIZE: Final = 22
_V2_HEAD: Final = 36
_MAX_CHUNK: Final = 16
_PEEK_V1: Final = 1 << 16

PEEK: Final = _V2_HEAD + (1 << _MAX_CHUNK + 6) + 2 * TAG
"""How much of a container has to be there to look at its beginning: the largest chunk of version 2."""


def open_container(body: bytes, session: SessionKey) -> bytes | None:
    """Decrypt a container; None when the key does not fit, or when a bit of it was changed.

    Arguments:
        body: of an SEIPD packet of version 1 or 2, joined.
        session: see there.
    """
    return _open_v1(body, session) if body[0] == 1 else _open_v2(body, session)


def seal_container(packets: bytes, key: bytes) -> bytes:
    """Encrypt packets: an SEIPD packet of version 1 with AES (RFC 9580, section 5.13.1)."""
    prefix = secrets.token_bytes(_BLOCK)
    clear = b"".join((prefix, prefix[-2:], packets, _MDC))
    digest = hashlib.sha1(clear, usedforsecurity=False).digest()
    return write_packet(SEIPD, b"\x01" + seal_cfb(key, bytes(_BLOCK), clear + digest))


def is_known(body: bytes, session: SessionKey) -> bool:
    """Tell whether a container is encrypted with a cipher that is read here."""
    return (session.cipher if body[0] == 1 else body[1]) in AES_SIZES


def key_fits(body: bytes, session: SessionKey) -> bool:
    """Tell whether a key is likely the right one for a container of version 1, by its prefix (RFC 9580, 5.13.1).

    Only for what is ours and nobody else sends again and again: for others the answer would be an oracle.
    """
    if AES_SIZES.get(session.cipher) != len(session.key):
        return False
    prefix = open_cfb(session.key, bytes(_BLOCK), memoryview(body)[1 : _BLOCK + 3])
    return prefix[_BLOCK - 2 : _BLOCK] == prefix[_BLOCK:]


def peek(body: bytes, session: SessionKey) -> bytes | None:
    """Decrypt the beginning of a container; None when it cannot be read here. What it gives may be forged.

    Arguments:
        body: at least its first :data:`PEEK` octets, or all of it.
        session: see there.
    """
    if body[0] == 1:
        if AES_SIZES.get(session.cipher) != len(session.key):
            return None
        return open_cfb(session.key, bytes(_BLOCK), memoryview(body)[1:_PEEK_V1])[_BLOCK + 2 :]
    v2 = _read_v2(body, session)
    return None if v2 is None else v2.open(0, body[_V2_HEAD : _V2_HEAD + v2.step])


def _open_v1(body: bytes, session: SessionKey) -> bytes | None:
    if AES_SIZES.get(session.cipher) != len(session.key):
        return None
    clear = open_cfb(session.key, bytes(_BLOCK), memoryview(body)[1:])
    # The two repeated octets of the prefix are not looked at: telling them apart would be an oracle.
    digest = hashlib.sha1(memoryview(clear)[:-20], usedforsecurity=False).digest()
    fits = hmac.compare_digest(_MDC + digest, clear[-_MDC_SIZE:])
    return clear[_BLOCK + 2 : -_MDC_SIZE] if fits and len(clear) >= _BLOCK + 2 + _MDC_SIZE else None


class _V2(NamedTuple):
    """What the chunks of a container of version 2 are opened with. ``step`` is the length of a chunk with its tag."""

    mode: int
    key: bytes
    prefix: bytes
    info: bytes
    step: int

    def open(self, index: int, sealed: bytes, size: bytes = b"") -> bytes | None:
        nonce = self.prefix + index.to_bytes(8, "big")
        return open_sealed(self.mode, self.key, nonce, sealed, self.info + size)


def _read_v2(body: bytes, session: SessionKey) -> _V2 | None:
    cipher, mode, chunk_size = body[1], body[2], body[3]
    if AES_SIZES.get(cipher) != len(session.key) or mode not in NONCES or chunk_size > _MAX_CHUNK:
        return None
    info = b"\xd2" + body[:4]
    derived = HKDF(SHA256(), len(session.key) + NONCES[mode] - 8, body[4:_V2_HEAD], info).derive(session.key)
    cut = len(session.key)
    return _V2(mode, derived[:cut], derived[cut:], info, (1 << chunk_size + 6) + TAG)


def _open_v2(body: bytes, session: SessionKey) -> bytes | None:
    v2 = _read_v2(body, session)
    if v2 is None:
        return None
    parts: list[bytes] = []
    end = len(body) - TAG
    for index, at in enumerate(range(_V2_HEAD, end, v2.step)):
        clear = v2.open(index, body[at : min(at + v2.step, end)])
        if clear is None:
            return None
        parts.append(clear)
    size = sum(map(len, parts)).to_bytes(8, "big")
    return None if v2.open(len(parts), body[end:], size) is None else b"".join(parts)
