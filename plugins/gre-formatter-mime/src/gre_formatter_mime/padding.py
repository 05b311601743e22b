"""Padding against what the size of a message tells: Padmé lengths, filled up behind the last part.

What follows the end of a multipart, its epilogue, is ignored by every reader (RFC 2046, section 5.1.1).

>>> padme(1000), padme(1_000_000)
(1024, 1015808)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE: Final = b"0" * 76 + b"\r\n"
_BLOCK: Final = _LINE * 1024
_END: Final = 2
"""Bytes of the line end that closes the payload."""


def padme(length: int) -> int:
    """Give the next Padmé length: it tells O(log log n) bits of the true one and is at most 12 % larger.

    From "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs" (PoPETs 2019), section 4:
    of a length, only as many of its leading bits are kept as its exponent has.

    Arguments:
        length: in bytes.
    """
    if length < 2:  # noqa: PLR2004 - no bit can be spared
        return length
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def padded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the pieces of a multipart up to its end delimiter, and an epilogue that makes a Padmé length.

    The line end that closes the payload is counted, and not given.
    """
    length = _END
    for piece in pieces:
        length += len(piece)
        yield piece
    missing = padme(length) - length
    if missing == 1:  # a line end needs two
        missing = padme(length + 2) - length
    if missing:
        yield from _filler(missing)


def _filler(size: int) -> Iterator[bytes]:
    yield b"\r\n"
    size -= 2
    while size > len(_BLOCK):
        yield _BLOCK
        size -= len(_BLOCK)
    last = _BLOCK[:size]
    yield last[:-1] + b"0" if last.endswith(b"\r") else last
