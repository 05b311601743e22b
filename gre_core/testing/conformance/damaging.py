"""Damage: flipped bits, truncations, extensions, and plain rubbish. The same ones each time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def places(length: int, count: int) -> list[int]:
    """Choose places in something of a length: both ends and a spread of the others, at most ``count``."""
    if length <= count:
        return list(range(length))
    ends = min(8, count // 4)
    chosen = {*range(ends), *range(length - ends, length)}
    return sorted(chosen | set(random.Random(length).sample(range(length), count - 2 * ends)))


def flipped(data: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """Flip one bit of one byte, at up to ``count`` places."""
    for number, place in enumerate(places(len(data), count)):
        changed = bytearray(data)
        changed[place] ^= 1 << number % 8
        yield f"bit {number % 8} of byte {place} flipped", bytes(changed)


def truncated(data: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """Cut it off, at up to ``count`` places."""
    for place in places(len(data), count):
        yield f"cut off after {place} of {len(data)} bytes", data[:place]


def extended(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Add something before, behind and between."""
    half = len(data) // 2
    for more in (b"\0", b"\n", b"a", b"\xff" * 17, data):
        yield f"{more[:8]!r} added behind", data + more
        yield f"{more[:8]!r} added before", more + data
        yield f"{more[:8]!r} added in the middle", data[:half] + more + data[half:]


def rubbish() -> Iterator[tuple[str, bytes]]:
    """Give what is no payload at all."""
    for piece in (
        b"",
        b"\0",
        b"\xff" * 64,
        b"{}",
        b"[]",
        b"null",
        b"<a/>",
        b"\r\n\r\n",
        b"a" * 5000,
        b"\xef\xbb\xbf",
    ):
        yield f"{piece[:16]!r}", piece
    source = random.Random(1)
    for length in (1, 16, 333, 4096):
        yield f"{length} random bytes", source.randbytes(length)
    for opening in (b"[", b"{", b"(", b"<a>", b'{"a":'):
        yield f"{opening!r} 100,000 deep", opening * 100_000
