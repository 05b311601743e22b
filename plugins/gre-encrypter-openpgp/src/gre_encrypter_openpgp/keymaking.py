"""Making and maintaining keys, by PGPy: what pysequoia cannot do. Nothing here touches messages.

The shape of a new key is the one that was tested with GnuPG, Delta Chat and Sequoia: version 4, an Ed25519
primary key that signs and certifies, one Curve25519 subkey that encrypts, feature octet 01 (so that nobody
sends SEIPDv2, which GnuPG 2.2 cannot read), and no wish for compression (which Sequoia cannot verify).

PGPy has known holes in judging signatures. It only ever sees our own secret keys here, and what it wrote is
used only after Sequoia accepted it.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from gre_openpgp.packets import PUBLIC_SUBKEY, SIGNATURE, USER_ID, walk

from gre_core.errors import NoUsableKey

if TYPE_CHECKING:
    from collections.abc import Generator

_SECRET_SUBKEY = 7


def _pgpy() -> tuple[Any, Any]:
    """Import PGPy, which costs 0.3 s and warns about its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgpy  # noqa: PLC0415 - only when a key is made  # type: ignore[import-untyped]
        from pgpy import constants  # noqa: PLC0415
    return pgpy, constants


def make_key(user_id: str) -> bytes:
    """Make a key pair for a user id; give the binary secret key."""
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519)
        key.add_uid(pgpy.PGPUID.new(user_id), primary=True, **_preferences(c))
        subkey = pgpy.PGPKey.new(c.PubKeyAlgorithm.ECDH, c.EllipticCurveOID.Curve25519)
        key.add_subkey(subkey, usage={c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage})
        return bytes(key)


def _preferences(c: Any) -> dict[str, Any]:
    return {
        "usage": {c.KeyFlags.Sign, c.KeyFlags.Certify},
        "hashes": [c.HashAlgorithm.SHA512, c.HashAlgorithm.SHA256],
        "ciphers": [c.SymmetricKeyAlgorithm.AES256, c.SymmetricKeyAlgorithm.AES128],
        "compression": [c.CompressionAlgorithm.Uncompressed],
    }


def add_user_id(secret: bytes, user_id: str, password: str | None) -> bytes:
    """Give the secret key with a further user id. All that was there stays byte for byte.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    pgpy, c = _pgpy()
    with warnings.catch_warnings(), _as_no_usable_key("a user id cannot be added to it"):
        warnings.simplefilter("ignore")
        key, _ = pgpy.PGPKey.from_blob(secret)
        with key.unlock(password) if password is not None else contextlib.nullcontext():
            key.add_uid(pgpy.PGPUID.new(user_id), **_preferences(c))
        written = bytes(key)
    added = b""
    copying = False
    for packet in walk(written):
        if packet.tag == USER_ID:
            copying = written[packet.body : packet.end] == user_id.encode()
        elif packet.tag != SIGNATURE:
            copying = False
        if copying:
            added += written[packet.start : packet.end]
    at = next((p.start for p in walk(secret) if p.tag in {_SECRET_SUBKEY, PUBLIC_SUBKEY}), len(secret))
    return secret[:at] + added + secret[at:]


def revive_subkeys(secret: bytes) -> dict[str, bytes]:
    """Give each subkey bound to a throw-away primary key of its own, by fingerprint in upper-case hex.

    Sequoia does not decrypt with an expired or revoked subkey; old mail must still open. The result is for
    decrypting only and never stored. A locked subkey stays locked.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    pgpy, c = _pgpy()
    revived: dict[str, bytes] = {}
    with warnings.catch_warnings(), _as_no_usable_key("old mail cannot be opened with it"):
        warnings.simplefilter("ignore")
        key, _ = pgpy.PGPKey.from_blob(secret)
        for subkey in list(key.subkeys.values()):
            holder = pgpy.PGPKey.new(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519)
            holder.add_uid(
                pgpy.PGPUID.new("old"), usage={c.KeyFlags.Certify}, hashes=[c.HashAlgorithm.SHA256]
            )
            subkey._signatures.clear()  # noqa: SLF001 - PGPy has no other way to drop the old bindings
            holder.add_subkey(subkey, usage={c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage})
            revived["".join(str(subkey.fingerprint).split()).upper()] = bytes(holder)
    return revived


@contextlib.contextmanager
def _as_no_usable_key(what: str) -> Generator[None]:
    try:
        yield
    except Exception as error:
        raise NoUsableKey(
            f"Your key is of a kind that is not supported here: {what}", reason=type(error).__name__
        ) from error
