"""From a session-key packet and our secret subkey to the session key (RFC 9580, section 5.1)."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from gre_openpgp.encrypting.ciphers import AES_SIZES
from gre_openpgp.encrypting.passwords import HASHES
from gre_openpgp.encrypting.secretkeys import (
    ECDH,
    MLKEM768_X25519,
    MLKEM1024_X448,
    RSA,
    X448,
    X25519,
    take_mpi,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_openpgp.encrypting.secretkeys import SecretSubkey

T = TypeVar("T")

_V3: Final = 3
_CURVE25519: Final = bytes.fromhex("2B060104019755010501")
_CURVES: Final[dict[bytes, type[ec.EllipticCurve]]] = {
    bytes.fromhex("2A8648CE3D030107"): ec.SECP256R1,
    bytes.fromhex("2B81040022"): ec.SECP384R1,
    bytes.fromhex("2B81040023"): ec.SECP521R1,
}


class SessionKey(NamedTuple):
    """A session key. ``cipher`` is 0 where the packet does not name one (version 6)."""

    cipher: int
    key: bytes


def open_session_key(body: bytes, subkey: SecretSubkey) -> SessionKey | None:
    """Decrypt a session key; None when this subkey does not open it.

    Arguments:
        body: of a session-key packet (PKESK) of version 3 or 6.
        subkey: ours. Whether the packet is addressed to it is not looked at.
    """
    old = body[0] == _V3
    at = 9 if old else 2 + body[1]
    try:
        if body[at] != subkey.algorithm:
            return None
        fields = body[at + 1 :]
        if subkey.algorithm in RSA:
            return _checked(_rsa(fields, subkey), named=old)
        if subkey.algorithm == ECDH:
            return _checked(_ecdh(fields, subkey), named=old)
        return _modern(fields, subkey, named=old)
    except (ValueError, IndexError, InvalidUnwrap, UnsupportedAlgorithm, InternalError, ImportError):
        return None


def _checked(clear: bytes, *, named: bool) -> SessionKey | None:
    """Read the decrypted fields of RSA and ECDH: the cipher (version 3 only), the key, a checksum."""
    cipher = clear[0] if named else 0
    key, check = clear[int(named) : -2], clear[-2:]
    return (
        SessionKey(cipher, key)
        if hmac.compare_digest((sum(key) & 0xFFFF).to_bytes(2, "big"), check)
        else None
    )


def _kept(subkey: SecretSubkey, name: str, make: Callable[[SecretSubkey], T]) -> T:
    """Load a key once."""
    found: T | None = subkey.loaded.get(name)
    if found is None:
        found = subkey.loaded[name] = make(subkey)
    return found


def _rsa_key(subkey: SecretSubkey) -> rsa.RSAPrivateKey:
    modulus, at = take_mpi(subkey.public, 0)
    exponent, _ = take_mpi(subkey.public, at)
    d, at = take_mpi(subkey.secret, 0)
    p, at = take_mpi(subkey.secret, at)
    q, _ = take_mpi(subkey.secret, at)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(exponent, modulus)
    )
    # Checking that the primes are prime takes longer than all the rest, and the key is our own.
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _rsa(fields: bytes, subkey: SecretSubkey) -> bytes:
    key = _kept(subkey, "rsa", _rsa_key)
    number, _ = take_mpi(fields, 0)
    return key.decrypt(number.to_bytes((key.key_size + 7) // 8, "big"), padding.PKCS1v15())


def _old_x25519_key(subkey: SecretSubkey) -> X25519PrivateKey:
    scalar, _ = take_mpi(subkey.secret, 0)
    return X25519PrivateKey.from_private_bytes(scalar.to_bytes(32, "little"))


def _x25519_key(subkey: SecretSubkey) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(subkey.secret[:32])


def _ecdh(fields: bytes, subkey: SecretSubkey) -> bytes:
    """RFC 9580, section 11.5; the older form of Curve25519 included."""
    public = subkey.public
    oid = public[1 : 1 + public[0]]
    _, at = take_mpi(public, 1 + len(oid))
    hash_number, cipher = public[at + 2], public[at + 3]
    number, end = take_mpi(fields, 0)
    point = number.to_bytes(end - 2, "big")
    if oid == _CURVE25519:
        private = _kept(subkey, "x25519", _old_x25519_key)
        shared = private.exchange(X25519PublicKey.from_public_bytes(point[1:]))
    else:
        if oid not in _CURVES:
            raise ValueError("unknown curve")
        curve = _CURVES[oid]()
        scalar, _ = take_mpi(subkey.secret, 0)
        key = ec.derive_private_key(scalar, curve)
        shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(curve, point))
    fingerprint = bytes.fromhex(subkey.fingerprint)
    named = (
        public[: 1 + len(oid)] + bytes([ECDH]) + public[at : at + 4] + b"Anonymous Sender    " + fingerprint
    )
    digest = hashlib.new(HASHES[hash_number], b"\0\0\0\1" + shared + named).digest()
    clear = aes_key_unwrap(digest[: AES_SIZES[cipher]], fields[end + 1 : end + 1 + fields[end]])
    return clear[: -clear[-1]]


def _modern(fields: bytes, subkey: SecretSubkey, *, named: bool) -> SessionKey | None:
    """X25519, X448 (RFC 9580, section 5.1.6 and 5.1.7) and their composites with ML-KEM."""
    if subkey.algorithm in {X25519, MLKEM768_X25519}:
        size = 32
        private = _kept(subkey, "x25519", _x25519_key)
        shared = private.exchange(X25519PublicKey.from_public_bytes(fields[:size]))
    else:
        size = 56
        other = X448PrivateKey.from_private_bytes(subkey.secret[:size])
        shared = other.exchange(X448PublicKey.from_public_bytes(fields[:size]))
    sent, public = fields[:size], subkey.public[:size]
    at = size
    if subkey.algorithm == X25519:
        kek = HKDF(hashes.SHA256(), 16, None, b"OpenPGP X25519").derive(sent + public + shared)
    elif subkey.algorithm == X448:
        kek = HKDF(hashes.SHA512(), 32, None, b"OpenPGP X448").derive(sent + public + shared)
    else:
        secret, at = _mlkem(fields, size, subkey)
        domain = b"OpenPGPCompositeKDFv1"
        parts = secret + shared + sent + public + bytes([subkey.algorithm]) + domain + bytes([len(domain)])
        kek = hashlib.sha3_256(parts).digest()
    wrapped = fields[at + 1 : at + 1 + fields[at]]
    cipher = wrapped[0] if named else 0
    return SessionKey(cipher, aes_key_unwrap(kek, wrapped[int(named) :]))


def _mlkem(fields: bytes, at: int, subkey: SecretSubkey) -> tuple[bytes, int]:
    # Not at the top: versions of ``cryptography`` before 47 do not have it, and few keys need it.
    from cryptography.hazmat.primitives.asymmetric import mlkem  # noqa: PLC0415

    seed = subkey.secret[at:]
    if subkey.algorithm == MLKEM768_X25519:
        end = at + 1088
        return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(fields[at:end]), end
    end = at + 1568
    if subkey.algorithm != MLKEM1024_X448:
        raise ValueError("unknown algorithm")
    return mlkem.MLKEM1024PrivateKey.from_seed_bytes(seed).decapsulate(fields[at:end]), end
