"""What hosts show of a key of ours. All of it is public."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pysequoia.packet import Packet, PacketPile, SignatureType, Tag

if TYPE_CHECKING:
    from datetime import datetime

    from gre_encrypter_openpgp.own import OwnKey


class RevocationReason(StrEnum):
    """Why a key is given up (RFC 9580, section 5.2.3.31)."""

    SUPERSEDED = "superseded"
    COMPROMISED = "compromised"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class OwnSubkey:
    """The primary key or a subkey of a key of ours.

    Arguments:
        fingerprint: in upper-case hex.
        id: the key id, in upper-case hex.
        created: when.
        expires: when it ends; None: when the whole key does.
        revoked: it was given up. Old mail still opens with it.
        signs: it signs messages.
        encrypts: others encrypt to it.
        primary: it is the primary key.
    """

    fingerprint: str
    id: str
    created: datetime
    expires: datetime | None
    revoked: bool
    signs: bool
    encrypts: bool
    primary: bool = False


@dataclass(frozen=True, slots=True)
class OwnKeyInfo:
    """What is known of a key of ours without its passphrase.

    Arguments:
        fingerprint: of the primary key, in upper-case hex.
        user_ids: those that are not revoked.
        created: when.
        expires: when it ends; None: never.
        active: it signs what we send.
        revoked: it was given up.
        locked: it is protected by a passphrase in the store.
        announced: when it was published as it is now (XEP-0082 date and time); ``""``: not yet, or in an older form.
        subkeys: the primary key first, then the subkeys.
        version: of the key: 4 or 6.
    """

    fingerprint: str
    user_ids: tuple[str, ...]
    created: datetime
    expires: datetime | None
    active: bool
    revoked: bool
    locked: bool
    announced: str
    subkeys: tuple[OwnSubkey, ...]
    version: int


_V4_DIGITS: Final = 40


def describe(key: OwnKey, *, active: bool, announced: str) -> OwnKeyInfo:
    """Describe a key of ours.

    Arguments:
        key: locked or not.
        active: it signs.
        announced: see :class:`OwnKeyInfo`.
    """
    cert = key.parsed.cert
    parts = tuple(_parts(key))
    return OwnKeyInfo(
        fingerprint=key.fingerprint,
        user_ids=key.parsed.user_ids,
        created=parts[0].created,
        expires=cert.expiration,
        active=active,
        revoked=cert.is_revoked,
        locked=key.protected,
        announced=announced,
        subkeys=parts,
        version=4 if len(key.fingerprint) == _V4_DIGITS else 6,
    )


def _parts(key: OwnKey) -> list[OwnSubkey]:
    groups: list[tuple[Packet, list[Packet]]] = []
    for packet in PacketPile.from_bytes(key.parsed.key.data):
        if packet.tag in (Tag.PublicKey, Tag.PublicSubkey):
            groups.append((packet, []))
        elif packet.tag == Tag.Signature and groups:
            groups[-1][1].append(packet)
    found: list[OwnSubkey] = []
    for number, (packet, signatures) in enumerate(groups):
        created = packet.key_created
        assert created is not None
        latest = _newest(signatures)
        flags = latest.key_flags if latest is not None else None
        period = latest.key_validity_period if latest is not None else None
        fingerprint = (packet.fingerprint or "").upper()
        found.append(
            OwnSubkey(
                fingerprint=fingerprint,
                id=(packet.key_id or "").upper(),
                created=created,
                expires=created + period if period else None,
                revoked=key.parsed.cert.is_revoked
                if number == 0
                else any(s.signature_type == SignatureType.SubkeyRevocation for s in signatures),
                signs=flags is not None and flags.signing,
                encrypts=flags is not None and (flags.transport_encryption or flags.storage_encryption),
                primary=number == 0,
            )
        )
    return found


def _newest(signatures: list[Packet]) -> Packet | None:
    """Give the newest signature that says what a key is for."""
    found = [signature for signature in signatures if signature.key_flags is not None]
    return max(found, key=lambda signature: str(signature.signature_created), default=None)
