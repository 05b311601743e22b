"""What host and worker process say to each other: an outline in JSON, and bytes behind it.

Keys are named by digest; their bytes travel only when the other side asks for them, since it keeps what it parsed.
"""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_OUTLINE: Final = 1 << 20
"""Longest outline of an answer, in bytes."""

_write: Final = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
_LENGTH: Final = struct.Struct(">I")


def pack(outline: dict[str, Any], *pieces: bytes) -> bytes:
    """Join an outline and what stands behind it."""
    head = _write(outline).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *pieces))


def unpack(data: bytes) -> tuple[dict[str, Any], int]:
    """Give the outline, and where it ends.

    Raises:
        ValueError, struct.error: it is no frame.
    """
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    outline = json.loads(data[_LENGTH.size : end]) if length <= MAX_OUTLINE else None
    if not isinstance(outline, dict):
        raise ValueError  # noqa: TRY004 - one error for everything that is no frame
    return outline, end


@lru_cache(maxsize=4096)
def cert_name(cert: bytes) -> str:
    """Name a public key by its digest."""
    return hashlib.sha256(cert).hexdigest()


def secret_name(secret: bytes) -> str:
    """Name a secret key by its digest. Nothing of it is kept."""
    return hashlib.sha256(secret).hexdigest()


def cut(data: bytes, start: int, lengths: Sequence[int]) -> list[bytes]:
    """Cut the bytes behind an outline into pieces of these lengths; what is left over is the last one."""
    pieces = []
    for length in lengths:
        pieces.append(data[start : start + length])
        start += length
    return [*pieces, data[start:]]
