"""Our own secret subkeys as numbers, and the lock that another program put on a key (RFC 9580, section 5.5.3).

The numbers open the session keys of messages that we read ourselves. Nothing here sees a message.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gre_core.errors import NoUsableKey
from gre_openpgp.encrypting.ciphers import AES_SIZES, NONCES, open_cfb, open_sealed
from gre_openpgp.encrypting.passwords import from_password
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import PUBLIC_KEY, PUBLIC_SUBKEY, Packet, key_fingerprint, walk, write_packet

RSA: Final = frozenset({1, 2})
ECDH: Final = 18
X25519: Final = 25
X448: Final = 26
MLKEM768_X25519: Final = 35
MLKEM1024_X448: Final = 36

SECRET_KEY: Final = 5
SECRET_SUBKEY: Final = 7

_DECRYPT: Final = frozenset({*RSA, ECDH, X25519, X448, MLKEM768_X25519, MLKEM1024_X448})
_PUBLIC_SIZES: Final = {
    X25519: 32,
    X448: 56,
    27: 32,
    28: 57,
    MLKEM768_X25519: 32 + 1184,
    MLKEM1024_X448: 56 + 1568,
}
_PUBLIC_PARTS: Final = {1: "mm", 2: "mm", 3: "mm", 16: "mmm", 17: "mmmm", ECDH: "omo", 19: "om", 22: "om"}
"""What stands in public keys of variable size: numbers (MPI), and octets with their count (RFC 9580, section 5.5.5)."""

_SECRET_SIZES: Final = {X25519: 32, X448: 56, MLKEM768_X25519: 32 + 64, MLKEM1024_X448: 56 + 64}
_SECRET: Final = frozenset({SECRET_KEY, SECRET_SUBKEY})
_V6: Final = 6
_AEAD: Final = 253  # RFC 9580, section 3.7.2.1
_ELSEWHERE: Final = 101  # GnuPG's string-to-key method for a secret on a smart card


@dataclass(frozen=True, slots=True)
class SecretSubkey:
    """One secret key that decrypts.

    Arguments:
        fingerprint: in upper-case hex.
        algorithm: of the key (RFC 9580, section 9.1).
        public: the fields of its public part, as they stand in the packet.
        secret: the fields of its secret part, unlocked.
        loaded: what ``cryptography`` made of them, since that takes as long as using it.
    """

    fingerprint: str
    algorithm: int
    public: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    loaded: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


class _Outline(NamedTuple):
    version: int
    algorithm: int
    public: int
    end: int


def read_subkeys(data: bytes, password: str | None) -> dict[str, SecretSubkey]:
    """Read and unlock the keys that decrypt, by fingerprint in upper-case hex; others are left out.

    Arguments:
        data: a binary secret key.
        password: of a locked one.

    Raises:
        NoUsableKey: the password is wrong, or the key is damaged.
    """
    found: dict[str, SecretSubkey] = {}
    try:
        for packet in walk(data):
            if packet.tag in {SECRET_KEY, SECRET_SUBKEY}:
                subkey = _read(data[packet.body : packet.end], packet, password)
                if subkey is not None:
                    found[subkey.fingerprint] = subkey
    except (BadOpenPGP, IndexError, ValueError) as error:
        raise NoUsableKey("Your secret key is damaged, or locked in an unknown way") from error
    return found


def take_mpi(data: bytes, at: int) -> tuple[int, int]:
    """Read a number (RFC 9580, section 3.2): (number, offset behind it).

    Raises:
        IndexError: the data ends before it.
    """
    size = ((data[at] << 8 | data[at + 1]) + 7) // 8
    end = at + 2 + size
    if end > len(data):
        raise IndexError
    return int.from_bytes(data[at + 2 : end], "big"), end


def _read(body: bytes, packet: Packet, password: str | None) -> SecretSubkey | None:
    outline = _outline(body)
    if outline is None or outline.algorithm not in _DECRYPT:
        return None
    secret = _unlock(body, outline, packet.tag, password)
    if secret is None:
        return None
    fingerprint = key_fingerprint(body[: outline.end])
    return SecretSubkey(fingerprint, outline.algorithm, body[outline.public : outline.end], secret)


def is_locked(data: bytes) -> bool:
    """Tell whether a part of a binary secret key is locked with a passphrase by the program that wrote it.

    Raises:
        BadOpenPGP: damaged.
    """
    try:
        return any(_usage(data[packet.body : packet.end]) for packet in walk(data) if packet.tag in _SECRET)
    except IndexError:
        raise BadOpenPGP("The secret key is cut off") from None


def without_lock(data: bytes, password: str) -> bytes:
    """Give a binary secret key without the lock that another program put on it (string-to-key usage octet 0).

    All other packets stay as they are, and secrets that lie elsewhere, such as on a smart card.

    Raises:
        NoUsableKey: the password is wrong, or the key is damaged or locked in an unknown way.
        BadOpenPGP: damaged.
    """
    parts: list[bytes] = []
    try:
        for packet in walk(data):
            body = data[packet.body : packet.end]
            if packet.tag in _SECRET and _usage(body):
                parts.append(_opened(body, packet.tag, password))
            else:
                parts.append(data[packet.start : packet.end])
    except (IndexError, ValueError) as error:
        raise NoUsableKey(
            "The key is damaged, or locked in an unknown way. Take its passphrase off with the program that made it"
        ) from error
    return b"".join(parts)


def public_part(data: bytes) -> bytes:
    """Give the public key of a binary secret key, its packets in the same order.

    Sequoia would sort the subkeys; ours has the newest first, since simple programs encrypt to the first one.

    Raises:
        BadOpenPGP: damaged, or a key of an unknown kind.
    """
    parts: list[bytes] = []
    try:
        for packet in walk(data):
            if packet.tag not in _SECRET:
                parts.append(data[packet.start : packet.end])
                continue
            body = data[packet.body : packet.end]
            outline = _outline(body)
            if outline is None:
                raise BadOpenPGP("The secret key is of an unknown kind")
            tag = PUBLIC_KEY if packet.tag == SECRET_KEY else PUBLIC_SUBKEY
            parts.append(write_packet(tag, body[: outline.end]))
    except IndexError:
        raise BadOpenPGP("The secret key is cut off") from None
    return b"".join(parts)


def fingerprint_of(body: bytes, tag: int) -> str:
    """Give the fingerprint of the body of a public or secret key packet, in upper-case hex.

    Raises:
        BadOpenPGP: damaged, or a secret key of an unknown kind.
    """
    if tag not in _SECRET:
        return key_fingerprint(body)
    try:
        outline = _outline(body)
    except IndexError:
        raise BadOpenPGP("The secret key is cut off") from None
    if outline is None:
        raise BadOpenPGP("The secret key is of an unknown kind")
    return key_fingerprint(body[: outline.end])


def _opened(body: bytes, tag: int, password: str) -> bytes:
    outline = _outline(body)
    assert outline is not None
    secret = _unlock(body, outline, tag, password)
    assert secret is not None
    check = b"" if outline.version == _V6 else (sum(secret) & 0xFFFF).to_bytes(2, "big")
    new = body[: outline.end] + b"\x00" + secret + check
    return write_packet(tag, new)


def _usage(body: bytes) -> int:
    """Give the string-to-key usage octet; 0 when nothing can be unlocked: unknown, or the secret lies elsewhere."""
    outline = _outline(body)
    if outline is None or not body[outline.end]:
        return 0
    at = outline.end + 2 + 2 * (outline.version == _V6) + (body[outline.end] == _AEAD)
    return 0 if body[at] == _ELSEWHERE else body[outline.end]


def _outline(body: bytes) -> _Outline | None:
    """Find the public part; None when the key is of an unknown kind."""
    version, algorithm = body[0], body[5]
    if version == _V6:  # says how long its public part is, of whatever kind it is
        end = 10 + int.from_bytes(body[6:10], "big")
        if end >= len(body):
            raise IndexError
        return _Outline(version, algorithm, 10, end)
    start = at = 6
    if algorithm in _PUBLIC_SIZES:
        return _Outline(version, algorithm, start, start + _PUBLIC_SIZES[algorithm])
    if algorithm not in _PUBLIC_PARTS:
        return None
    for part in _PUBLIC_PARTS[algorithm]:
        at = take_mpi(body, at)[1] if part == "m" else at + 1 + body[at]
    return _Outline(version, algorithm, start, at)


def _unlock(body: bytes, outline: _Outline, tag: int, password: str | None) -> bytes | None:
    """Give the secret fields; None when they are not there, as on a smart card.

    Raises:
        NoUsableKey: it is locked, and the password is missing or wrong.
    """
    at = outline.end
    usage = body[at]
    at += 1
    if usage == 0:
        secret = body[at:]
        if outline.version != _V6:
            secret, check = secret[:-2], secret[-2:]
            if sum(secret) & 0xFFFF != int.from_bytes(check, "big"):
                raise ValueError
        return secret
    if usage not in {253, 254, 255}:
        raise ValueError
    v6 = outline.version == _V6
    at += v6  # the count of the fields that follow
    cipher = body[at]
    aead = body[at + 1] if usage == _AEAD else 0
    at += 1 + bool(aead) + v6
    if body[at] == _ELSEWHERE:
        return None
    if password is None:
        raise NoUsableKey("Your secret key is locked, and its password is not known here")
    size = AES_SIZES.get(cipher)
    if size is None:
        raise ValueError
    key, used = from_password(body[at:], password.encode(), size)
    at += used
    if aead:
        return _open_aead(key, body, outline, tag, (cipher, aead), at)
    clear = open_cfb(key, body[at : at + 16], body[at + 16 :])
    if usage == 254:  # noqa: PLR2004
        secret, check = clear[:-20], clear[-20:]
        fits = hmac.compare_digest(hashlib.sha1(secret, usedforsecurity=False).digest(), check)
    else:
        secret, check = clear[:-2], clear[-2:]
        fits = hmac.compare_digest((sum(secret) & 0xFFFF).to_bytes(2, "big"), check)
    if not fits:
        raise NoUsableKey("The password of your secret key is wrong")
    return secret


def _open_aead(
    key: bytes, body: bytes, outline: _Outline, tag: int, algorithms_: tuple[int, int], at: int
) -> bytes:
    cipher, aead = algorithms_
    head = bytes([0xC0 | tag])
    info = head + bytes([outline.version, cipher, aead])
    kek = HKDF(SHA256(), len(key), None, info).derive(key)
    nonce = body[at : at + NONCES[aead]]
    sealed = body[at + len(nonce) :]
    clear = open_sealed(aead, kek, nonce, sealed, head + body[: outline.end])
    if clear is None:
        raise NoUsableKey("The password of your secret key is wrong")
    return clear
