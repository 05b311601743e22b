"""The only place that calls PGPy on keys and messages: single operations with numbers, and nothing that judges.

PGPy's own judgement of signatures, keys and messages has holes, each listed in the README. So it is never asked for it:
which bytes a signature covers, whether it counts, and which key is encrypted to are decided in the modules beside this
one. PGPy reads the numbers of one key packet, and signs, verifies or encrypts with them.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from gre_openpgp.encrypting.secretkeys import take_mpi
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import PKESK, write_packet

from gre_core.errors import EncryptFailed, NoUsableKey

RSA, RSA_SIGN_ONLY, ECDH, ECDSA, EDDSA = 1, 3, 18, 19, 22
SIGNS: Final = frozenset({RSA, RSA_SIGN_ONLY, ECDSA, EDDSA})
ENCRYPTS: Final = frozenset({RSA, ECDH})

MIN_RSA: Final = 2048
MAX_RSA: Final = 8192
"""Sizes of RSA keys that are used, in bits. Shorter ones can be broken; longer ones cost much time."""

Hashes = dict[int, type[hashes.HashAlgorithm]]

HASHES: Final[Hashes] = {8: hashes.SHA256, 9: hashes.SHA384, 10: hashes.SHA512}
"""The hash algorithms that are accepted, by their numbers (RFC 9580, section 9.5). PGPy itself takes MD5 and SHA-1."""

REVOKES_WITH: Final[Hashes] = {**HASHES, 2: hashes.SHA1}
"""Those of revocations: one that lay in a drawer was made by an older program, and the key is given up all the same."""

SIGNS_WITH: Final = 10
"""SHA-512."""

_V4: Final = 4
_ED25519_POINT: Final = 32
_ED25519: Final = "Ed25519"
_CURVE25519: Final = "Curve25519"
_CURVES: Final = frozenset({"NIST_P256", "NIST_P384", "NIST_P521"})
_PUBLIC, _SECRET = 6, 5


class _Library(NamedTuple):
    packets: Any
    constants: Any
    fields: Any


@cache
def _library() -> _Library:
    """Import PGPy, which costs 0.3 s and warns about its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgpy.packet.fields  # noqa: PLC0415 - only when it is needed
        import pgpy.packet.packets  # noqa: PLC0415
        from pgpy import constants  # noqa: PLC0415
    return _Library(pgpy.packet, constants, pgpy.packet.fields)


@dataclass(frozen=True)
class Numbers:
    """The numbers of one public or secret key.

    Arguments:
        algorithm: of the key (RFC 9580, section 9.1).
        weakness: why nothing is done with it, for people, or ``""``.
        packet: PGPy's form.
    """

    algorithm: int
    weakness: str
    packet: Any = field(repr=False)


def read_public(body: bytes) -> Numbers:
    """Read the body of a public key packet; an unknown or weak kind of key has a ``weakness``.

    Raises:
        BadOpenPGP: damaged.
    """
    return _read(_PUBLIC, body)


def read_secret(body: bytes) -> Numbers:
    """Read the body of a secret key packet that is not locked.

    Raises:
        BadOpenPGP: damaged.
    """
    return _read(_SECRET, body)


def _read(tag: int, body: bytes) -> Numbers:
    version, algorithm = body[0], body[5]
    if version != _V4:
        return Numbers(algorithm, f"keys of version {version} cannot be read here", None)
    if algorithm not in SIGNS | ENCRYPTS:
        return Numbers(algorithm, f"its algorithm (number {algorithm}) is not supported here", None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            packet = _library().packets.Packet(bytearray(write_packet(tag, body)))
            return Numbers(algorithm, _weakness(algorithm, packet.keymaterial), packet)
    except Exception as error:
        raise BadOpenPGP("The numbers of the key are damaged, or of an unknown kind") from error


def _weakness(algorithm: int, material: Any) -> str:
    if algorithm in {RSA, RSA_SIGN_ONLY}:
        bits = int(material.n).bit_length()
        return "" if MIN_RSA <= bits <= MAX_RSA else f"it is an RSA key of {bits} bits"
    curve = material.oid.name
    if curve in {_ED25519, _CURVE25519}:
        right = (curve == _ED25519) == (algorithm == EDDSA) and algorithm != ECDSA
        return "" if right and len(material.p.x) == _ED25519_POINT else "its point is none"
    return "" if curve in _CURVES and algorithm != EDDSA else f"its curve ({curve}) is not supported here"


def verify(key: Numbers, data: bytes, by: type[hashes.HashAlgorithm], fields: bytes) -> bool:
    """Tell whether a signature is that of a key over these bytes. Whether it counts is for others to say.

    Arguments:
        key: see there.
        data: all that is hashed.
        by: the hash algorithm.
        fields: the numbers of the signature, as they stand at its end.
    """
    if key.weakness or key.algorithm not in SIGNS:
        return False
    try:
        first, at = take_mpi(fields, 0)
        if key.algorithm in {RSA, RSA_SIGN_ONLY}:
            raw = first.to_bytes((int(key.packet.keymaterial.n).bit_length() + 7) // 8, "big")
        else:
            second, at = take_mpi(fields, at)
            if key.algorithm == EDDSA:
                raw = first.to_bytes(32, "big") + second.to_bytes(32, "big")
            else:
                raw = encode_dss_signature(first, second)
        # PGPy gives True, False, or something else that is true: only True counts.
        return at == len(fields) and key.packet.keymaterial.verify(data, raw, by()) is True
    except Exception:  # noqa: BLE001 - whatever PGPy stumbles over is no valid signature
        return False


def sign(key: Numbers, data: bytes) -> tuple[bytes, bytes]:
    """Sign bytes with a secret key, by SHA-512.

    Result:
        The first two octets of the hash, and the numbers of the signature.

    Raises:
        NoUsableKey: it cannot sign.
    """
    start = hashlib.sha512(data).digest()[:2]
    try:
        raw: bytes = bytes(key.packet.sign(data, HASHES[SIGNS_WITH]()))
    except Exception as error:
        raise NoUsableKey("Your key cannot sign", reason=type(error).__name__) from error
    if key.algorithm == ECDSA:
        return start, b"".join(map(_mpi, decode_dss_signature(raw)))
    if key.algorithm == EDDSA:
        return start, _mpi(int.from_bytes(raw[:32], "big")) + _mpi(int.from_bytes(raw[32:], "big"))
    return start, _mpi(int.from_bytes(raw, "big"))


def _mpi(number: int) -> bytes:
    """Write a number (RFC 9580, section 3.2)."""
    bits = number.bit_length()
    return bits.to_bytes(2, "big") + number.to_bytes((bits + 7) // 8, "big")


def session_key_packet(key: Numbers, key_id: str, session_key: bytes) -> bytes:
    """Encrypt a session key for AES-256 to a public key: a PKESK of version 3 (RFC 9580, section 5.1.1).

    Arguments:
        key: of the recipient.
        key_id: of that key, in upper-case hex.
        session_key: 32 octets.

    Raises:
        EncryptFailed: this key cannot be encrypted to.
    """
    library = _library()
    try:
        packet = library.packets.packets.PKESessionKeyV3()
        packet.pkalg = key.algorithm
        packet.encrypt_sk(key.packet, library.constants.SymmetricKeyAlgorithm.AES256, session_key)
        sealed = bytes(packet.ct.__bytearray__())
    except Exception as error:
        raise EncryptFailed(
            "A recipient's key cannot be encrypted to", reason=type(error).__name__
        ) from error
    return write_packet(PKESK, b"\x03" + bytes.fromhex(key_id) + bytes([key.algorithm]) + sealed)
