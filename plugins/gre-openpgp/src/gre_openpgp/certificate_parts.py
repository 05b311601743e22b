"""A public key cut into its parts, with what its owner's signatures say. Nothing of it is verified here.

It serves those who move keys around and have no OpenPGP library: what is left out of a key cannot harm, and whoever
uses the key verifies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gre_openpgp.packets import (
    PUBLIC_KEY,
    PUBLIC_SUBKEY,
    SIGNATURE,
    USER_ID,
    Packet,
    key_fingerprint,
    key_id,
    read_certificate,
    walk,
)
from gre_openpgp.signatures import SignatureFacts, read_signature
from gre_openpgp.user_ids import address_of

CERTIFICATIONS: Final = range(0x10, 0x14)
SUBKEY_BINDING: Final = 0x18
DIRECT_KEY: Final = 0x1F
KEY_REVOCATION: Final = 0x20
SUBKEY_REVOCATION: Final = 0x28
CERTIFICATION_REVOCATION: Final = 0x30

SIGNS: Final = 0x02
ENCRYPTS: Final = 0x0C

_USER_ATTRIBUTE: Final = 17
_KEPT: Final = {
    PUBLIC_KEY: frozenset({DIRECT_KEY, KEY_REVOCATION}),
    USER_ID: frozenset({*CERTIFICATIONS, CERTIFICATION_REVOCATION}),
    PUBLIC_SUBKEY: frozenset({SUBKEY_BINDING, SUBKEY_REVOCATION}),
}


@dataclass(slots=True)
class Group:
    """A key or user id packet, and the primary key's own signatures that follow it."""

    packet: Packet
    signatures: list[SignatureFacts]

    @property
    def tag(self) -> int:
        """The kind of the packet."""
        return self.packet.tag

    def has(self, kind: int) -> bool:
        """Tell whether a signature of a type is there."""
        return any(facts.type == kind for facts in self.signatures)


class Parts:
    """A public key cut into groups; signatures that others made are left out.

    Arguments:
        data: one binary public key.

    Raises:
        BadOpenPGP: it is none.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.fingerprint = read_certificate(data).fingerprint
        self.groups: list[Group] = []
        own = {self.fingerprint, key_id(self.fingerprint)}
        for packet in walk(data):
            if packet.tag == SIGNATURE and self.groups:
                facts = read_signature(data, packet)
                if facts is not None and facts.issuer in own:
                    self.groups[-1].signatures.append(facts)
            elif packet.tag in _KEPT or packet.tag == _USER_ATTRIBUTE:
                self.groups.append(Group(packet, []))
        # Images go, with the signatures that stood behind them.
        self.groups = [group for group in self.groups if group.tag in _KEPT]
        self.primary = self.groups[0]

    def raw(self, packet: Packet) -> bytes:
        """Give a packet as it stands."""
        return self._data[packet.start : packet.end]

    def name(self, key: Packet) -> str:
        """Give the fingerprint of a key or subkey, in upper-case hex."""
        return key_fingerprint(self._data[key.body : key.end])

    def named(self, address: str) -> list[Group]:
        """Give the user ids that name a mail address and are not revoked."""
        wanted = address.strip().lower()
        return [
            group
            for group in self.groups
            if group.tag == USER_ID and self._address(group.packet) == wanted and not _withdrawn(group)
        ]

    def subkeys(self, flags: int) -> list[Group]:
        """Give the subkeys that may be used for one of these purposes and are not revoked."""
        return [
            Group(group.packet, [facts for facts in group.signatures if facts.flags & flags])
            for group in self.groups
            if group.tag == PUBLIC_SUBKEY and not group.has(SUBKEY_REVOCATION)
        ]

    def _address(self, packet: Packet) -> str | None:
        return address_of(self._data[packet.body : packet.end].decode("utf-8", "replace"))

    def created(self, packet: Packet) -> int:
        """Give when a key was made, in seconds since 1970."""
        return int.from_bytes(self._data[packet.body + 1 : packet.body + 5], "big")

    def public(self, address: str) -> bytes | None:
        """Give the key with the user ids of one address and its owner's signatures, revocations too.

        Result:
            None when no user id that the owner signed names the address.
        """
        wanted = address.strip().lower()
        kept: list[bytes] = []
        named = False
        for group in self.groups:
            if group.tag == USER_ID:
                if self._address(group.packet) != wanted or not _newest_of(group, CERTIFICATIONS):
                    continue
                named = True
            kept.append(self.raw(group.packet))
            kept += [self.raw(facts.packet) for facts in group.signatures if facts.type in _KEPT[group.tag]]
        return b"".join(kept) if named else None


@dataclass(frozen=True, slots=True)
class Life:
    """What a public key claims about its own life.

    Arguments:
        revoked: its owner revoked it.
        ends: when nothing can be encrypted to it any more, in seconds since 1970; None when never.
        changed: date of the newest signature of its owner, in seconds since 1970: when it was last worked on.
    """

    revoked: bool
    ends: int | None
    changed: int

    def over(self, now: float) -> bool:
        """Tell whether it is revoked, or past its end."""
        return self.revoked or (self.ends is not None and self.ends <= now)


def life_of(data: bytes) -> Life:
    """Read what a public key claims about its life.

    Raises:
        BadOpenPGP: it is none.
    """
    parts = Parts(data)
    about_key = [facts for facts in parts.primary.signatures if facts.type == DIRECT_KEY]
    for group in parts.groups:
        if group.tag == USER_ID and not _withdrawn(group):
            about_key += [facts for facts in group.signatures if facts.type in CERTIFICATIONS]
    latest = max(about_key, key=lambda facts: facts.created, default=None)
    primary_ends = _end(parts, parts.primary, latest)
    ends = [
        _end(parts, group, binding)
        for group in parts.subkeys(ENCRYPTS)
        if (binding := _newest_of(group, (SUBKEY_BINDING,)))
    ]
    subkey_ends = None if not ends or None in ends else max(end for end in ends if end is not None)
    both = [end for end in (primary_ends, subkey_ends) if end is not None]
    changed = max((facts.created for group in parts.groups for facts in group.signatures), default=0)
    return Life(parts.primary.has(KEY_REVOCATION), min(both, default=None), changed)


def newest(groups: list[Group], types: range | tuple[int, ...]) -> tuple[Group, SignatureFacts] | None:
    """Give the group with the newest signature of these types, and that signature."""
    found = [(group, facts) for group in groups if (facts := _newest_of(group, types))]
    return max(found, key=lambda pair: pair[1].created, default=None)


def _newest_of(group: Group, types: range | tuple[int, ...]) -> SignatureFacts | None:
    found = [facts for facts in group.signatures if facts.type in types]
    return max(found, key=lambda facts: facts.created, default=None)


def _withdrawn(user_id: Group) -> bool:
    """Tell whether a user id is revoked, and was not signed again later."""
    certified = _newest_of(user_id, CERTIFICATIONS)
    revoked = _newest_of(user_id, (CERTIFICATION_REVOCATION,))
    return revoked is not None and (certified is None or certified.created <= revoked.created)


def _end(parts: Parts, key: Group, facts: SignatureFacts | None) -> int | None:
    return parts.created(key.packet) + facts.lifetime if facts is not None and facts.lifetime else None
