"""Bombs: a megabyte or so that decompresses to a GiB, alone and inside what a format packs itself."""

from __future__ import annotations

import base64
import binascii
import bz2
import lzma
import re
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MIB: Final = 1 << 20
_HEADER: Final = 64
"""How many bytes of its own a format may have before what it packs."""
_BZIP2_END: Final = 0x177245385090
"""The 48 bits that stand before the checksum of a bzip2 stream; they are no whole bytes."""
_XZ_HEADER: Final = 12
"""Bytes of the header of an xz stream; its first block begins with its length in words of 4 bytes, less one."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")


@cache
def _zeros() -> bytes:
    """Give a raw deflate stream (RFC 1951) of a GiB of zeros: one MiB, written once and repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # After a full flush nothing refers back, so the piece can be repeated.
    piece = packer.compress(bytes(_MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * 1024 + packer.flush(zlib.Z_FINISH)


@cache
def _xz() -> bytes:
    """Give an xz stream of a GiB of zeros: its chunks (LZMA2, the first resets all) written once and repeated."""
    stream = lzma.compress(bytes(2 * _MIB), check=lzma.CHECK_NONE)
    start = end = _XZ_HEADER + 4 * (stream[_XZ_HEADER] + 1)
    while stream[end]:
        properties = stream[end] >= 0xC0
        end += 5 + properties + int.from_bytes(stream[end + 3 : end + 5]) + 1
    return stream[:start] + stream[start:end] * 512 + stream[end:]


@cache
def _blocks() -> bytes:
    """Give a bzip2 stream of a GiB of zeros: one block, written once and repeated; blocks are not whole bytes."""
    stream = bz2.compress(bytes(40 * _MIB))
    bits = f"{int.from_bytes(stream):0{8 * len(stream)}b}"
    end = bits.rindex(f"{_BZIP2_END:048b}")
    bits = bits[:32] + bits[32:end] * 26 + bits[end : end + 80]
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


@dataclass(frozen=True, slots=True)
class _Packing:
    """A way to compress: how it is read, and a GiB of zeros in it; its checksum may be wrong."""

    name: str
    reader: Callable[[], Any]
    bomb: Callable[[], bytes]


_PACKINGS: Final = (
    _Packing("zlib", zlib.decompressobj, lambda: b"\x78\xda" + _zeros() + bytes(4)),
    _Packing(
        "gzip",
        lambda: zlib.decompressobj(zlib.MAX_WBITS + 16),
        lambda: b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + _zeros() + bytes(8),
    ),
    _Packing("deflate", lambda: zlib.decompressobj(-zlib.MAX_WBITS), _zeros),
    _Packing("bzip2", bz2.BZ2Decompressor, _blocks),
    _Packing("xz", lzma.LZMADecompressor, _xz),
)


def bombs() -> list[tuple[str, bytes]]:
    """Give compressed zeros, named: about a MB that decompresses to a GiB. Their checksums are wrong."""
    return [(f"a GiB of zeros as {each.name}", each.bomb()) for each in _PACKINGS[:3]]


def bombs_inside(valid: bytes) -> Iterator[tuple[str, bytes]]:
    """Give a valid payload with a bomb in the place of what is compressed in it, also behind a header or in base64.

    Arguments:
        valid: what the format writes.
    """
    for start in range(min(_HEADER, len(valid))):
        for packing, rest in _packings_of(valid[start:]):
            if start or packing not in _PACKINGS[:3]:
                yield (
                    f"a GiB of zeros as {packing.name} from byte {start} on",
                    valid[:start] + packing.bomb() + rest,
                )
    for found in _BASE64.finditer(valid):
        try:
            data = base64.b64decode(found[0], validate=True)
        except binascii.Error:
            continue
        for packing, _ in _packings_of(data):
            coded = base64.b64encode(packing.bomb())
            name = f"a GiB of zeros as {packing.name} in base64"
            yield name, valid[: found.start()] + coded + valid[found.end() :]


def _packings_of(data: bytes) -> Iterator[tuple[_Packing, bytes]]:
    """Give how it is compressed, if it is, and what follows."""
    for packing in _PACKINGS:
        reader = packing.reader()
        try:
            unpacked = reader.decompress(data, _MIB)
        except (zlib.error, OSError, EOFError, lzma.LZMAError):
            continue
        if reader.eof and unpacked:
            yield packing, bytes(reader.unused_data)
