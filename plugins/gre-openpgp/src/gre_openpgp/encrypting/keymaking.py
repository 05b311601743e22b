"""Making and maintaining keys, by PGPy: what pysequoia cannot do, so for all engines. Nothing here touches messages.

The shape of a new key is the one that was tested with GnuPG, Delta Chat and Sequoia: version 4, an Ed25519
primary key that signs and certifies, one Curve25519 subkey that encrypts, feature octet 01 (so that nobody
sends SEIPDv2, which GnuPG 2.2 cannot read), and no wish for compression (which Sequoia cannot verify). It ends
after two years unless it is extended: a key that was lost, and its passphrase with it, does not stay for ever.

PGPy has known holes in judging signatures. It only ever sees our own secret keys here, and what it wrote is
used only after the engine accepted it. Each function takes an unlocked binary secret key and gives a new one, in
which every packet that was there stays byte for byte.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import NoUsableKey
from gre_openpgp.encrypting.secretkeys import SECRET_KEY, SECRET_SUBKEY
from gre_openpgp.encrypting.transferable import (
    Component,
    components,
    joined,
    signed,
    with_component,
)
from gre_openpgp.packets import USER_ID, walk

if TYPE_CHECKING:
    from collections.abc import Generator

DEFAULT_LIFETIME: Final = timedelta(days=730)
"""How long a new key lives unless it is extended."""

_REASONS: Final = {"superseded": "Superseded", "compromised": "Compromised", "retired": "Retired"}
_MADE_ANEW: Final = frozenset(
    {"CreationTime", "SignatureExpirationTime", "KeyExpirationTime", "Issuer", "IssuerFingerprint"}
)
_SECOND: Final = timedelta(seconds=1)
_SELF_SIGNATURES: Final = range(0x10, 0x14)
_DIRECT: Final = 0x1F
_BINDING: Final = 0x18


def _pgpy() -> tuple[Any, Any]:
    """Import PGPy, which costs 0.3 s and warns about its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgpy  # noqa: PLC0415 - only when a key is made  # type: ignore[import-untyped]
        from pgpy import constants  # noqa: PLC0415
    return pgpy, constants


def make_key(
    user_id: str, now: datetime | None = None, *, lifetime: timedelta | None = DEFAULT_LIFETIME
) -> bytes:
    """Make a key pair.

    Arguments:
        user_id: the one user id.
        now: the time; the system's otherwise.
        lifetime: until it ends; None is for ever.

    Returns:
        The binary secret key, not locked.
    """
    pgpy, c = _pgpy()
    start = _whole_second((now or datetime.now(UTC)) - _SECOND)  # so that it can be changed at once
    end = {} if lifetime is None else {"key_expiration": lifetime}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519, created=start)
        key.add_uid(pgpy.PGPUID.new(user_id), primary=True, created=start, **_preferences(c), **end)
        _add_subkey(key, start)
        return bytes(key)


def _add_subkey(key: Any, created: datetime) -> Any:
    pgpy, c = _pgpy()
    subkey = pgpy.PGPKey.new(c.PubKeyAlgorithm.ECDH, c.EllipticCurveOID.Curve25519, created=created)
    key.add_subkey(
        subkey, usage={c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage}, created=created
    )
    return subkey


def _preferences(c: Any) -> dict[str, Any]:
    return {
        "usage": {c.KeyFlags.Sign, c.KeyFlags.Certify},
        "hashes": [c.HashAlgorithm.SHA512, c.HashAlgorithm.SHA256],
        "ciphers": [c.SymmetricKeyAlgorithm.AES256, c.SymmetricKeyAlgorithm.AES128],
        "compression": [c.CompressionAlgorithm.Uncompressed],
    }


def add_user_id(secret: bytes, user_id: str, *, lifetime: timedelta | None = None) -> bytes:
    """Give the secret key with a further user id.

    Arguments:
        secret: the key.
        user_id: the name.
        lifetime: how long the key lives from its making on, as its other user ids say it.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    end = {} if lifetime is None else {"key_expiration": lifetime}
    with _opened(secret, "a user id cannot be added to it") as (key, pgpy, c):
        key.add_uid(pgpy.PGPUID.new(user_id), **_preferences(c), **end)
        written = bytes(key)
    new = next(
        part
        for part in components(written)
        if part.tag == USER_ID and part.name == user_id.encode("utf-8", "surrogatepass")
    )
    return with_component(secret, new)


def extend(secret: bytes, until: datetime | None, now: datetime) -> bytes:
    """Give the secret key with another end: its user ids and bindings are signed anew, with nothing else changed.

    Arguments:
        secret: the key.
        until: when it ends; None is never. Subkeys that have an end of their own and are not revoked get the same.
        now: when that is said.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    result = secret
    moment = _whole_second(now)
    with _opened(secret, "it cannot be extended") as (key, _, c):
        end = None if until is None else _whole_second(until) - key.created
        for name, target, signatures in _targets(key):
            newest = max(signatures, key=_created)
            created = max(moment, newest.created + _SECOND)
            renewed = _signed_anew(key, target, newest, end, created, c)
            result = signed(result, name, renewed)
        for subkey in key.subkeys.values():
            made = [s for s in subkey._signatures if int(s.type) == _BINDING]  # noqa: SLF001
            newest = max(made, key=_created, default=None)
            revoked = any(s.type == c.SignatureType.SubkeyRevocation for s in subkey._signatures)  # noqa: SLF001
            if newest is None or revoked or newest.key_expiration is None:
                continue
            last = None if until is None else _whole_second(until) - subkey.created
            created = max(moment, newest.created + _SECOND)
            result = signed(result, _name(subkey), _signed_anew(key, subkey, newest, last, created, c))
    return result


def _targets(key: Any) -> Generator[tuple[str | bytes, Any, list[Any]]]:
    """Give what says when the primary key ends: the key itself, and its user ids, each with its self-signatures."""
    direct = [s for s in key._signatures if int(s.type) == _DIRECT]  # noqa: SLF001
    if direct:
        yield _name(key), key, direct
    for user_id in key.userids:
        made = [
            s
            for s in user_id._signatures  # noqa: SLF001
            if int(s.type) in _SELF_SIGNATURES and s.signer == key.fingerprint.keyid
        ]
        if made:
            yield _content(user_id), user_id, made


def _signed_anew(
    key: Any, target: Any, old: Any, lifetime: timedelta | None, created: datetime, c: Any
) -> bytes:
    """Sign what an older signature says, with another end of the key."""
    pgpy, _ = _pgpy()
    new = pgpy.PGPSignature.new(
        old.type, key.key_algorithm, c.HashAlgorithm.SHA512, key.fingerprint.keyid, created=created
    )
    said, says = old._signature.subpackets, new._signature.subpackets  # noqa: SLF001
    for hashed, facts in ((True, said._hashed_sp), (False, said._unhashed_sp)):  # noqa: SLF001
        for fact in facts.values():
            if type(fact).__name__ not in _MADE_ANEW:
                says[("h_" if hashed else "") + type(fact).__name__] = copy.copy(fact)
    if lifetime is not None:
        says.addnew("KeyExpirationTime", hashed=True, expires=lifetime)
    return bytes(key._sign(target, new))  # noqa: SLF001


def rotate(secret: bytes, now: datetime) -> bytes:
    """Give the secret key with a new encryption subkey; the old ones are revoked as superseded.

    A revocation, rather than an end of validity, because it holds whatever the times of other signatures are.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    result = secret
    with _opened(secret, "its subkey cannot be changed") as (key, _, c):
        moment = _after_all(key, now)
        old = list(key.subkeys.values())
        new = _add_subkey(key, moment)
        binding = next(iter(new._signatures))  # noqa: SLF001
        result = with_component(result, Component(_name(new), SECRET_SUBKEY, _packet(new), [bytes(binding)]))
        for subkey in old:
            flags = [s.key_flags for s in subkey._signatures if int(s.type) == _BINDING]  # noqa: SLF001
            ended = any(s.type == c.SignatureType.SubkeyRevocation for s in subkey._signatures)  # noqa: SLF001
            if ended or not any(
                {c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage} & f for f in flags
            ):
                continue
            revocation = key.revoke(
                subkey,
                reason=c.RevocationReason.Superseded,
                comment="A new subkey took its place",
                hash=c.HashAlgorithm.SHA512,
                created=moment,
            )
            result = signed(result, _name(subkey), bytes(revocation))
    return result


def revoke(secret: bytes, reason: str, text: str, now: datetime) -> bytes:
    """Give the secret key with its revocation (RFC 9580, section 5.2.3.31).

    Arguments:
        secret: the key.
        reason: ``superseded``, ``compromised`` or ``retired``.
        text: for people.
        now: when.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    with _opened(secret, "it cannot be revoked") as (key, _, c):
        revocation = key.revoke(
            key,
            reason=c.RevocationReason[_REASONS[reason]],
            comment=text,
            hash=c.HashAlgorithm.SHA512,
            created=_after_all(key, now),
        )
        return signed(secret, _name(key), bytes(revocation))


def locked(secret: bytes, passphrase: str) -> bytes:
    """Give a secret key locked with a passphrase, as GnuPG reads it.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    with _opened(secret, "it cannot be locked") as (key, _, c):
        key.protect(passphrase, c.SymmetricKeyAlgorithm.AES256, c.HashAlgorithm.SHA256)
        return _with_secrets(secret, {_name(part): part for part in (key, *key.subkeys.values())})


def _with_secrets(secret: bytes, keys: dict[str, Any]) -> bytes:
    """Put other secret key packets in the place of those of the same keys."""
    parts = components(secret)
    for part in parts:
        if part.tag in {SECRET_KEY, SECRET_SUBKEY}:
            part.packet = _packet(keys[str(part.name)])
    return joined(parts)


def revive_subkeys(secret: bytes) -> dict[str, bytes]:
    """Give each subkey bound to a throw-away primary key of its own, by fingerprint in upper-case hex.

    Sequoia does not decrypt with an expired or revoked subkey; old mail must still open. The result is for
    decrypting only and never stored.

    Raises:
        NoUsableKey: PGPy cannot work with this key.
    """
    revived: dict[str, bytes] = {}
    with _opened(secret, "old mail cannot be opened with it") as (key, pgpy, c):
        for subkey in list(key.subkeys.values()):
            holder = pgpy.PGPKey.new(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519)
            holder.add_uid(
                pgpy.PGPUID.new("old"), usage={c.KeyFlags.Certify}, hashes=[c.HashAlgorithm.SHA256]
            )
            subkey._signatures.clear()  # noqa: SLF001 - PGPy has no other way to drop the old bindings
            holder.add_subkey(subkey, usage={c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage})
            revived[_name(subkey)] = bytes(holder)
    return revived


def _packet(key: Any) -> bytes:
    return bytes(key._key.__bytearray__())  # noqa: SLF001


def _content(user_id: Any) -> bytes:
    raw = bytes(user_id._uid.__bytearray__())  # noqa: SLF001
    return raw[next(walk(raw)).body :]


def _name(key: Any) -> str:
    return "".join(str(key.fingerprint).split()).upper()


def _created(signature: Any) -> datetime:
    made: datetime = signature.created  # without a type in PGPy
    return made


def _after_all(key: Any, now: datetime) -> datetime:
    """Give the time for a revocation: one that is older than what it revokes would not count."""
    signatures = [*key._signatures, *(s for u in key.userids for s in u._signatures)]  # noqa: SLF001
    signatures += [s for subkey in key.subkeys.values() for s in subkey._signatures]  # noqa: SLF001
    latest: datetime = max(_whole_second(now), key.created, *(_created(s) for s in signatures))
    return latest


def _whole_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


@contextlib.contextmanager
def _opened(secret: bytes, what: str) -> Generator[tuple[Any, Any, Any]]:
    """Read a key with PGPy; what goes wrong with it is our error."""
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield pgpy.PGPKey.from_blob(secret)[0], pgpy, c
        except NoUsableKey:
            raise
        except Exception as error:
            raise NoUsableKey(
                f"Your key is of a kind that is not supported here: {what}", reason=type(error).__name__
            ) from error
