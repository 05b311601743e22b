"""Public keys, parsed once, with what pysequoia ignores: whether and until when to encrypt to them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pysequoia
from gre_openpgp.encrypting.engine import ParsedCert, first_line
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import key_id, read_certificate
from pysequoia.packet import Packet, PacketPile, SignatureType, Tag

from gre_encrypter_openpgp.sequoia import guard_panic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_openpgp.xep0373 import PublicKey

_MAX_TRIALS = 64


def parse_cert(key: PublicKey) -> ParsedCert:
    """Parse a public key and find out what it may be used for. Takes some 0.3 ms.

    Raises:
        BadOpenPGP: Sequoia cannot read it.
    """
    outline = read_certificate(key.data)
    ids = tuple(
        name.lower() for part in outline.keys for name in (part.fingerprint, key_id(part.fingerprint))
    )
    try:
        cert = pysequoia.Cert.from_bytes(key.data)
        if cert.fingerprint.upper() != key.fingerprint:
            raise BadOpenPGP("The key has another fingerprint than announced")
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        _guard(error, key)
        raise BadOpenPGP(f"The key {key.fingerprint} cannot be read: {first_line(error)}") from None
    try:
        user_ids = tuple(str(user_id) for user_id in cert.user_ids)
        problem, expires = _judge(cert, key.data)
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        _guard(error, key)
        return ParsedCert(key, cert, ids, (), f"it is not valid ({first_line(error)})")
    return ParsedCert(key, cert, ids, user_ids, problem, expires, cert.is_revoked, cert.expiration)


def merge(mine: PublicKey, other: PublicKey) -> bytes:
    """Put together what two forms of one key say.

    Raises:
        BadOpenPGP: one cannot be read, or it is not the same key.
    """
    try:
        return bytes(_bare(mine).merge(_bare(other)))
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        _guard(error, other)
        raise BadOpenPGP(f"The key {other.fingerprint} cannot be joined with what is known of it") from None


def _bare(key: PublicKey) -> pysequoia.Cert:
    return pysequoia.Cert.from_bytes(key.data)


def _guard(error: BaseException, key: PublicKey) -> None:
    if isinstance(error, BadOpenPGP):
        raise error
    try:
        guard_panic(error)
    except Exception:  # noqa: BLE001
        raise BadOpenPGP(f"The key {key.fingerprint} cannot be read: it makes the library fail") from None


def _judge(cert: pysequoia.Cert, data: bytes) -> tuple[str, datetime | None]:
    """Give the problem, or ``""``, and when the key expires for encryption.

    pysequoia encrypts to revoked and expired keys without a word, and takes an expired subkey when there is
    no other.
    """
    if cert.is_revoked:
        return "its owner revoked it", None
    ends = tuple(_encryption_ends(data))
    if not ends:
        return "it cannot be encrypted to", None
    subkeys = None if None in ends else max(end for end in ends if end is not None)
    known = [end for end in (cert.expiration, subkeys) if end is not None]
    expires = min(known, default=None)
    if expires is not None and expires <= datetime.now(UTC):
        return f"it expired on {expires:%Y-%m-%d}", expires
    return "", expires


def _encryption_ends(data: bytes) -> Iterator[datetime | None]:
    """Give the end of each valid encryption (sub)key; None is "never".

    Which binding of a subkey is valid and the newest is Sequoia's judgement, asked by encrypting nothing to
    a cert that has only this subkey and this binding.
    """
    groups: list[list[Packet]] = []
    for packet in PacketPile.from_bytes(data):
        if packet.tag == Tag.Signature and groups:
            groups[-1].append(packet)
        else:
            groups.append([packet])
    base = [packet for group in groups if group[0].tag != Tag.PublicSubkey for packet in group]
    if _can_encrypt(base):
        yield None  # the primary key encrypts, and ends with the cert
    trials = 0
    for group in groups:
        if group[0].tag != Tag.PublicSubkey:
            continue
        bindings = [sig for sig in group[1:] if sig.signature_type == SignatureType.SubkeyBinding]
        others = [sig for sig in group[1:] if sig.signature_type != SignatureType.SubkeyBinding]
        if len(bindings) > 1 and not _can_encrypt([*base, *group]):
            continue  # the newest one says so, whatever an older one said
        for binding in sorted(bindings, key=_created, reverse=True):
            trials += 1
            if trials > _MAX_TRIALS:
                return
            if _can_encrypt([*base, group[0], binding, *others]):
                yield _end(group[0], binding)
                break


def _created(signature: Packet) -> datetime:
    return signature.signature_created or datetime.min.replace(tzinfo=UTC)


def _end(key: Packet, binding: Packet) -> datetime | None:
    created, period = key.key_created, binding.key_validity_period
    return created + period if created and period else None


def _can_encrypt(packets: list[Packet]) -> bool:
    try:
        pysequoia.encrypt(b"", [pysequoia.Cert.from_packets(packets)], armor=False)
    except RuntimeError:
        return False
    return True
