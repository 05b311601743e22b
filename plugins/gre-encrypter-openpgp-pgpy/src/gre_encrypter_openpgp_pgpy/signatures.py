"""A signature packet: all that decides whether it counts (RFC 9580, section 5.2), read from the bytes as they came."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from gre_openpgp.packets import key_id, new_length

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARY, TEXT = 0x00, 0x01
BACK: Final = 0x19

TOLERANCE: Final = timedelta(minutes=30)
"""By how much the clock of a signer may be ahead of ours."""

MAX_SIZE: Final = 64 * 1024
"""Longest signature that is read, in bytes."""

_OLD, _V4 = 3, 4
_MAX_SUBPACKETS: Final = 200
_MAX_NESTING: Final = 1
_UNDERSTOOD: Final = frozenset(
    {2, 3, 4, 5, 6, 9, 11, 16, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 39}
)
"""Subpackets that may be marked as critical (RFC 9580, section 5.2.3.7). Notations are not among them."""

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True)
class Signature:
    """A signature, not verified.

    Arguments:
        type: see RFC 9580, section 5.2.1; -1 for one that is too old to count.
        hash: number of its hash algorithm.
        algorithm: of the key that made it.
        created: seconds since 1970; None: it does not say.
        lifetime: of the signature, in seconds; 0: no end.
        key_lifetime: of the key that it speaks of, in seconds; 0: no end; None: it does not say.
        flags: what that key may be used for (first octet); None: it does not say.
        primary: the user id that it speaks of is the main one.
        reason: of a revocation (RFC 9580, section 5.2.3.31); None: it does not say.
        issuers: fingerprints and key ids of who claims to have made it, in lower-case hex, the most exact first.
        strange: it holds something critical that is not understood.
        back: the signature inside it, by the subkey (RFC 9580, section 5.2.3.34).
        covered: what of it is hashed.
        fields: its numbers.
    """

    type: int
    hash: int = 0
    algorithm: int = 0
    created: int | None = None
    lifetime: int = 0
    key_lifetime: int | None = None
    flags: int | None = None
    primary: bool = False
    reason: int | None = None
    issuers: tuple[str, ...] = ()
    strange: bool = False
    back: Signature | None = None
    covered: bytes = field(default=b"", repr=False)
    fields: bytes = field(default=b"", repr=False)

    @property
    def when(self) -> int:
        """When it was made, in seconds since 1970."""
        return self.created or 0

    def alive(self, now: float) -> bool:
        """Tell whether it counts at a time: made before, and not over."""
        if self.strange or self.created is None or self.created > now + TOLERANCE.total_seconds():
            return False
        return not self.lifetime or now < self.created + self.lifetime

    def over(self, data: bytes) -> bytes:
        """Give all that is hashed, for a signature over these bytes."""
        return data + self.covered + b"\x04\xff" + len(self.covered).to_bytes(4, "big")

    def of_content(self, content: bytes) -> bytes:
        """Give what a signature of this type covers of a message."""
        return _LINE_END.sub(b"\r\n", content) if self.type == TEXT else content


def read_signature(body: bytes, *, nesting: int = 0) -> Signature | None:
    """Read the body of a signature packet; None when it is damaged, or of a version after 4."""
    try:
        if len(body) > MAX_SIZE:
            return None
        if body[0] == _OLD:
            return Signature(-1, issuers=(body[7:15].hex(),)) if len(body) > 19 else None  # noqa: PLR2004
        if body[0] != _V4:
            return None
        return _read(body, nesting)
    except (IndexError, ValueError):
        return None


def _read(body: bytes, nesting: int) -> Signature | None:
    end_hashed = 6 + int.from_bytes(body[4:6], "big")
    end = end_hashed + 2 + int.from_bytes(body[end_hashed : end_hashed + 2], "big")
    if end + 4 > len(body):
        return None
    facts: dict[int, bytes] = {}
    strange = False
    fingerprints: list[str] = []
    ids: list[str] = []
    backs: list[bytes] = []
    for hashed, critical, number, content in _subpackets(body, end_hashed, end):
        if number == 33 and len(content) == 21 and content[0] == _V4:  # noqa: PLR2004
            fingerprints.append(content[1:].hex())
        elif number == 16 and len(content) == 8:  # noqa: PLR2004
            ids.append(content.hex())
        elif number == 32:  # noqa: PLR2004
            backs.append(content)
        elif hashed:
            facts[number] = content
        strange = strange or (hashed and critical and number not in _UNDERSTOOD)
    known = {key_id(name.upper()).lower() for name in fingerprints}
    names = [*fingerprints, *(name for name in ids if name not in known)]
    back = read_signature(backs[0], nesting=nesting + 1) if backs and nesting < _MAX_NESTING else None
    reason = facts.get(29)
    return Signature(
        type=body[1],
        algorithm=body[2],
        hash=body[3],
        created=_number(facts, 2) if 2 in facts else None,  # noqa: PLR2004
        lifetime=_number(facts, 3),
        key_lifetime=_number(facts, 9) if 9 in facts else None,  # noqa: PLR2004
        flags=(facts[27][0] if facts[27] else 0) if 27 in facts else None,  # noqa: PLR2004
        primary=bool(facts.get(25, b"").strip(b"\0")),
        reason=reason[0] if reason else None,
        issuers=tuple(dict.fromkeys(names)),
        strange=strange,
        back=back,
        covered=body[:end_hashed],
        fields=body[end + 2 :],
    )


def _number(facts: dict[int, bytes], number: int) -> int:
    return int.from_bytes(facts.get(number, b"")[:4], "big")


def _subpackets(body: bytes, end_hashed: int, end: int) -> Iterator[tuple[bool, bool, int, bytes]]:
    """Give the subpackets: whether it is covered, whether it is critical, its number, its content."""
    count = 0
    for hashed, begin, stop in ((True, 6, end_hashed), (False, end_hashed + 2, end)):
        at = begin
        while at < stop:
            start, length, partial = new_length(body, at)
            count += 1
            if partial or not length or start + length > stop or count > _MAX_SUBPACKETS:
                raise ValueError
            yield hashed, bool(body[start] & 0x80), body[start] & 0x7F, body[start + 1 : start + length]
            at = start + length


def moment(seconds: int) -> datetime:
    """Give a time for people."""
    return datetime.fromtimestamp(seconds, UTC)
