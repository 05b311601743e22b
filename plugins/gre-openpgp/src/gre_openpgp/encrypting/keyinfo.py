"""What hosts show of a key of ours. All of it is public."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gre_openpgp.certificate_parts import ENCRYPTS, SIGNS, SUBKEY_REVOCATION, Group, Parts
from gre_openpgp.packets import USER_ID, key_id

if TYPE_CHECKING:
    from gre_openpgp.encrypting.own import OwnKey
    from gre_openpgp.signatures import SignatureFacts


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
    parts = tuple(_parts(key))
    return OwnKeyInfo(
        fingerprint=key.fingerprint,
        user_ids=key.parsed.user_ids,
        created=parts[0].created,
        expires=key.parsed.ends,
        active=active,
        revoked=key.parsed.revoked,
        locked=key.protected,
        announced=announced,
        subkeys=parts,
        version=4 if len(key.fingerprint) == _V4_DIGITS else 6,
    )


def _parts(key: OwnKey) -> list[OwnSubkey]:
    parts = Parts(key.parsed.key.data)
    found: list[OwnSubkey] = []
    about: list[tuple[Group, list[SignatureFacts]]] = []
    for group in parts.groups:
        if group.tag == USER_ID:
            about[0][1].extend(group.signatures)  # what is said of a name is said of the primary key
        else:
            about.append((group, list(group.signatures)))
    for group, signatures in about:
        latest = max((facts for facts in signatures if facts.flags), key=_created, default=None)
        flags = latest.flags if latest is not None else 0
        created = parts.created(group.packet)
        fingerprint = parts.name(group.packet)
        primary = group is parts.primary
        found.append(
            OwnSubkey(
                fingerprint=fingerprint,
                id=key_id(fingerprint),
                created=_moment(created),
                expires=_moment(created + latest.lifetime)
                if latest is not None and latest.lifetime
                else None,
                revoked=key.parsed.revoked if primary else group.has(SUBKEY_REVOCATION),
                signs=bool(flags & SIGNS),
                encrypts=bool(flags & ENCRYPTS),
                primary=primary,
            )
        )
    return found


def _created(facts: SignatureFacts) -> int:
    return facts.created


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
