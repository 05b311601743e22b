"""A small real PNG, made with the standard library: the night sky over a balcony."""

from __future__ import annotations

import random
import struct
import zlib

WIDTH, HEIGHT = 96, 64


def make_picture(seed: int | None = None) -> bytes:
    """Give a PNG (ISO/IEC 15948) of 96 by 64 pixels, different each time unless seeded."""
    dice = random.Random(seed)  # noqa: S311 - stars, not keys
    rows = []
    for y in range(HEIGHT):
        row = bytearray(b"\0")
        for x in range(WIDTH):
            moon = (x - 70) ** 2 + (y - 16) ** 2 < 81  # noqa: PLR2004
            if moon:
                row += bytes((250, 240, 200 + dice.randrange(20)))
            elif y > 48 and (x // 6) % 2 == 0:  # noqa: PLR2004
                row += bytes((40 + dice.randrange(8), 25, 30))
            else:
                star = 180 if dice.random() < 0.01 else 0  # noqa: PLR2004
                row += bytes((8 + star, 12 + star, 40 + y // 2 + star // 2))
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(rows), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
