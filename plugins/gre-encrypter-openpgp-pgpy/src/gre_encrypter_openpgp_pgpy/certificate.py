"""A public key with what its owner's signatures really say: every signature on it is verified here, and by nobody else.

The rules are those of RFC 9580, sections 5.2.3 and 10.1, as Sequoia reads them:

- a signature of a key on itself counts when it is valid, made with an accepted hash, and not over;
- a subkey that signs must have signed its binding too, or anybody could put another's subkey on his key;
- a revocation of a key as compromised, or for no stated reason, counts for all times; another one for what is later;
- what was true at another time is asked for that time: an expired key still proves what it signed before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import (
    PUBLIC_KEY,
    PUBLIC_SUBKEY,
    SIGNATURE,
    USER_ID,
    key_fingerprint,
    key_id,
    read_certificate,
    walk,
)

from gre_encrypter_openpgp_pgpy.numbers import (
    ENCRYPTS,
    HASHES,
    REVOKES_WITH,
    RSA,
    RSA_SIGN_ONLY,
    Hashes,
    Numbers,
    read_public,
    verify,
)
from gre_encrypter_openpgp_pgpy.signatures import BACK, Signature, read_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATIONS: Final = frozenset({0x10, 0x11, 0x12, 0x13})
BINDING, DIRECT = 0x18, 0x1F
KEY_REVOCATION, SUBKEY_REVOCATION, NAME_REVOCATION = 0x20, 0x28, 0x30

MAX_SIGNATURES: Final = 1024
"""How many signatures on a key are verified. Each costs up to a millisecond."""

_SIGNS: Final = 0x02
_TRANSPORT: Final = 0x0C
_SOFT: Final = frozenset({1, 3, 32})
"""Reasons of revocations that say nothing about earlier times: superseded, retired, name no longer valid."""

_RSA: Final = frozenset({RSA, RSA_SIGN_ONLY})


@dataclass
class Part:
    """A key, subkey or user id, with the valid signatures of its owner.

    Arguments:
        body: of its packet.
        said: what its owner says about it: self-signatures and bindings.
        revocations: those of its owner.
        regained: a later statement brings it back, whatever the reason was: a name can be taken up again, a stolen key
            cannot.
    """

    body: bytes = field(repr=False)
    said: list[Signature] = field(default_factory=list)
    revocations: list[Signature] = field(default_factory=list)
    regained: bool = False

    def newest(self, time: float) -> Signature | None:
        """Give the newest signature that counted at a time."""
        found = [each for each in self.said if each.when <= time and each.alive(time)]
        return max(found, key=lambda each: each.when, default=None)

    def revoked(self, time: float, latest: Signature | None) -> bool:
        """Tell whether it was given up at a time, as far as is known now; ``latest`` is what was said of it then."""
        for each in self.revocations:
            if each.reason not in _SOFT and not self.regained:
                return True
            if each.alive(time) and each.when <= time and (latest is None or latest.when <= each.when):
                return True
        return False


@dataclass
class Key(Part):
    """A primary key or a subkey."""

    @cached_property
    def numbers(self) -> Numbers:
        """What verifies and encrypts with it."""
        return read_public(self.body)

    @cached_property
    def fingerprint(self) -> str:
        """In upper-case hex."""
        return key_fingerprint(self.body)

    @property
    def key_id(self) -> str:
        """In upper-case hex."""
        return key_id(self.fingerprint)

    @property
    def created(self) -> int:
        """When it was made, in seconds since 1970."""
        return int.from_bytes(self.body[1:5], "big")

    @property
    def hashed(self) -> bytes:
        """What of it a signature covers (RFC 9580, section 5.2.4)."""
        return b"\x99" + len(self.body).to_bytes(2, "big") + self.body

    def ends(self, lifetime: int | None) -> int | None:
        """Give when it ends, in seconds since 1970; None: never."""
        return self.created + lifetime if lifetime else None

    def lives(self, time: float, lifetime: int | None) -> bool:
        """Tell whether it was made before a time, and ended later."""
        return self.created <= time and (not lifetime or time < self.created + lifetime)


class Certificate:
    """A public key of version 4.

    Arguments:
        data: binary.

    Raises:
        BadOpenPGP: it cannot be read here.
    """

    def __init__(self, data: bytes) -> None:
        read_certificate(data)  # its outer shape, and how large it may be
        names: dict[bytes, Part] = {}
        subkeys: dict[bytes, Key] = {}
        self._left = MAX_SIGNATURES
        groups = list(_groups(data))
        self.primary = Key(groups[0][1])
        if self.primary.numbers.weakness:
            raise BadOpenPGP(
                f"The key {self.primary.fingerprint} cannot be used: {self.primary.numbers.weakness}. The package "
                f"gre-encrypter-openpgp (Sequoia) reads more kinds of keys"
            )
        self._ids = {self.fingerprint.lower(), self.primary.key_id.lower()}
        for tag, body, signatures in groups:
            own = [each for each in signatures if not self._ids.isdisjoint(each.issuers)]
            if tag == PUBLIC_KEY:
                self._take(self.primary, own, {DIRECT}, KEY_REVOCATION, self.primary.hashed)
                continue
            # A revocation counts wherever it stands: who leaves it out must not be able to hide it by moving it.
            self._take(self.primary, own, frozenset(), KEY_REVOCATION, self.primary.hashed)
            if tag == USER_ID:
                over = self.primary.hashed + b"\xb4" + len(body).to_bytes(4, "big") + body
                # What is there twice is one part, or a copy would be without the revocation of the other.
                name = names.setdefault(body, Part(body, regained=True))
                self._take(name, own, CERTIFICATIONS, NAME_REVOCATION, over)
            elif tag == PUBLIC_SUBKEY:
                subkey = subkeys.setdefault(body, Key(body))
                self._take(subkey, own, {BINDING}, SUBKEY_REVOCATION, self.primary.hashed + subkey.hashed)
        self.names, self.subkeys = tuple(names.values()), tuple(subkeys.values())

    def _take(
        self,
        part: Part,
        signatures: list[Signature],
        kinds: frozenset[int] | set[int],
        revocation: int,
        over: bytes,
    ) -> None:
        """Keep those that are valid. A binding of a subkey that is to sign needs the signature of the subkey, too."""
        for each in signatures:
            if each.type not in kinds and each.type != revocation:
                continue
            if not self._valid(each, over, self.primary, REVOKES_WITH if each.type == revocation else HASHES):
                continue
            if each.type == BINDING and (each.flags or 0) & _SIGNS:
                back = each.back
                if (
                    back is None
                    or back.type != BACK
                    or not self._valid(back, over, cast("Key", part), HASHES)
                ):
                    continue
            (part.said if each.type in kinds else part.revocations).append(each)

    def _valid(self, signature: Signature, over: bytes, key: Key, accepted: Hashes) -> bool:
        self._left -= 1
        if self._left < 0:
            raise BadOpenPGP(f"The key bears more than the {MAX_SIGNATURES} signatures that are verified")
        return made_by(signature, over, key, accepted)

    @property
    def fingerprint(self) -> str:
        """Of the primary key, in upper-case hex."""
        return self.primary.fingerprint

    @property
    def keys(self) -> tuple[Key, ...]:
        """The primary key and the subkeys."""
        return (self.primary, *self.subkeys)

    # -- at a time ---------------------------------------------------------------------------------

    def said(self, time: float) -> tuple[Signature, ...]:
        """Give what the owner said of the whole key at a time, what counts first; nothing: it was not valid."""
        valid = [(each, name) for name in self.names if (each := name.newest(time)) is not None]
        named = [each for each, name in valid if not name.revoked(time, each)] or [each for each, _ in valid]
        named.sort(key=lambda each: (each.primary, each.when), reverse=True)
        direct = self.primary.newest(time)
        return (*named[:1], *([] if direct is None else [direct]))

    def lifetime(self, time: float) -> int:
        """Give the lifetime of the primary key as it was said at a time, in seconds; 0: no end."""
        return next((each.key_lifetime for each in self.said(time) if each.key_lifetime is not None), 0)

    def flags(self, time: float) -> int:
        """Give what the primary key was for at a time."""
        return next((each.flags for each in self.said(time) if each.flags is not None), 0)

    def revoked(self, time: float) -> bool:
        """Tell whether the whole key was given up at a time."""
        return self.primary.revoked(time, max(self.said(time), key=lambda each: each.when, default=None))

    def lives(self, time: float) -> bool:
        """Tell whether the whole key was valid at a time."""
        return (
            bool(self.said(time)) and not self.revoked(time) and self.primary.lives(time, self.lifetime(time))
        )

    def user_ids(self, time: float) -> tuple[str, ...]:
        """Give the names that the owner bound to it and did not revoke."""
        return tuple(
            name.body.decode("utf-8", "replace")
            for name in self.names
            if (latest := name.newest(time)) is not None and not name.revoked(time, latest)
        )

    def signs(self, key: Key, time: float) -> bool:
        """Tell whether a key of it was allowed to sign messages at a time."""
        if not self.lives(time) or key.numbers.weakness:
            return False
        if key is self.primary:
            return bool(self.flags(time) & _SIGNS)
        binding = self._binding(key, time)
        return binding is not None and bool((binding.flags or 0) & _SIGNS)

    def encrypting(self, time: float, *, ended: bool = False) -> Iterator[tuple[Key, int | None]]:
        """Give the keys that others encrypt to at a time, and when each of them ends.

        Arguments:
            time: in seconds since 1970.
            ended: also those that ended before.
        """
        if not self.said(time):
            return
        for key in self.keys:
            if key.numbers.weakness or key.numbers.algorithm not in ENCRYPTS:
                continue
            if key is self.primary:
                if self.flags(time) & _TRANSPORT:
                    yield key, None  # it ends with the whole key
                continue
            binding = self._binding(key, time, ended=ended)
            if binding is not None and (binding.flags or 0) & _TRANSPORT:
                yield key, key.ends(self._inherited(binding, time))

    def _binding(self, key: Key, time: float, *, ended: bool = False) -> Signature | None:
        latest = key.newest(time)
        if latest is None or key.revoked(time, latest):
            return None
        return latest if ended or key.lives(time, self._inherited(latest, time)) else None

    def _inherited(self, binding: Signature, time: float) -> int | None:
        """Give the lifetime of a subkey: what its binding says, or else what the owner said of all of the key."""
        if binding.key_lifetime is None and (direct := self.primary.newest(time)) is not None:
            return direct.key_lifetime
        return binding.key_lifetime


def made_by(signature: Signature, over: bytes, key: Key, accepted: Hashes = HASHES) -> bool:
    """Tell whether a signature covers these bytes and is by a key. Whether it counts at a time is for others to say."""
    mine = key.numbers.algorithm
    named = signature.algorithm == mine or {signature.algorithm, mine} <= _RSA
    if not named or signature.strange or signature.created is None or signature.created < key.created:
        return False
    made = accepted.get(signature.hash)
    return made is not None and verify(key.numbers, signature.over(over), made, signature.fields)


def _groups(data: bytes) -> Iterator[tuple[int, bytes, list[Signature]]]:
    """Give each packet but signatures, with the signatures behind it."""
    group: tuple[int, bytes, list[Signature]] | None = None
    for packet in walk(data):
        body = data[packet.body : packet.end]
        if packet.tag != SIGNATURE:
            if group is not None:
                yield group
            group = (packet.tag, body, [])
        elif group is not None and (signature := read_signature(body)) is not None:
            group[2].append(signature)
    if group is not None:
        yield group
