"""From a password to a key (RFC 9580, section 3.7.1: string-to-key)."""

from __future__ import annotations

import hashlib
from typing import Final

HASHES: Final = {
    1: "md5",
    2: "sha1",
    3: "ripemd160",
    8: "sha256",
    9: "sha384",
    10: "sha512",
    11: "sha224",
    12: "sha3_256",
    14: "sha3_512",
}
_SIMPLE, _SALTED, _ITERATED, _ARGON = 0, 1, 3, 4
_MAX_ARGON_MEMORY: Final = 21
"""2 GiB, as RFC 9106 recommends. The key is ours, so nobody attacks with it."""
_UNIT: Final = 1 << 16


def from_password(specifier: bytes, password: bytes, size: int) -> tuple[bytes, int]:
    """Make a key: (key, length of the specifier).

    Arguments:
        specifier: a string-to-key specifier; what follows it is not looked at.
        password: of the user.
        size: of the key, in bytes.

    Raises:
        ValueError, IndexError: of an unknown kind, or cut off.
    """
    kind = specifier[0]
    if kind == _ARGON:
        return _argon(specifier, password, size), 20
    if kind not in {_SIMPLE, _SALTED, _ITERATED} or specifier[1] not in HASHES:
        raise ValueError("unknown string-to-key specifier")
    data = (b"" if kind == _SIMPLE else specifier[2:10]) + password
    count, end = len(data), (2 if kind == _SIMPLE else 10)
    if kind == _ITERATED:
        coded = specifier[end]
        count = max(count, (16 + (coded & 15)) << ((coded >> 4) + 6))
        end += 1
    unit = data * max(1, _UNIT // max(1, len(data)))
    whole, rest = divmod(count, len(unit)) if unit else (0, 0)
    key = b""
    turn = 0
    while len(key) < size:
        digest = hashlib.new(HASHES[specifier[1]], bytes(turn), usedforsecurity=False)
        for _ in range(whole):
            digest.update(unit)
        digest.update(unit[:rest])
        key += digest.digest()
        turn += 1
    return key[:size], end


def _argon(specifier: bytes, password: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - keys with it are rare

    salt, (passes, lanes, memory) = specifier[1:17], specifier[17:20]
    if memory > _MAX_ARGON_MEMORY:
        raise ValueError("string-to-key specifier that wants too much memory")
    maker = Argon2id(salt=salt, length=size, iterations=passes, lanes=lanes, memory_cost=1 << memory)
    return maker.derive(password)
