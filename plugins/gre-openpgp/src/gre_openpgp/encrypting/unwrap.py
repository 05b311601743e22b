"""What lies inside the encryption, taken apart: the content, and the signatures over it.

GnuPG and others compress what they signed, and pysequoia refuses to judge that. Here the compression is taken off,
bounded. Signatures cover the content and nothing around it, so that each can be judged like a detached one. Whether
it is valid is the judgement of the engine.
"""

from __future__ import annotations

import bz2
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from gre_core.errors import DecryptFailed
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import MARKER, PADDING, SIGNATURE, new_length, read_header, write_packet

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE_PASS: Final = 4
COMPRESSED: Final = 8
LITERAL: Final = 11

MAX_CONTENT: Final = 128 * 1024 * 1024
"""How much may come out of a compressed message, in bytes."""

FREE_CONTENT: Final = 16 * 1024 * 1024
"""Up to this much, the ratio is not looked at."""

MAX_RATIO: Final = 250
"""How many times larger than its compressed form a content may be. Text and mail hardly reach 20."""

MAX_DEPTH: Final = 2
"""How deep compression may be nested. No program needs more than one."""

MAX_SIGNATURES: Final = 16
"""How many signatures a message may bear."""

_MAX_PACKETS: Final = 64
_STEP: Final = 1 << 16
_UNCOMPRESSED, _ZIP, _ZLIB, _BZIP2 = 0, 1, 2, 3


class Unwrapped(NamedTuple):
    """A message without encryption and compression.

    Arguments:
        content: that of its literal packet.
        signatures: the packets, with headers. Not judged.
    """

    content: bytes
    signatures: tuple[bytes, ...]


class _Packet(NamedTuple):
    tag: int
    body: bytes


def unwrap(data: bytes) -> Unwrapped:
    """Take the compression off a decrypted message.

    Only one shape gets through (RFC 9580, section 10.3): signatures around, or before, one literal packet, with
    compression around any part of that.

    Raises:
        DecryptFailed: another shape, damaged, nested too deep, or larger than the limits.
    """
    try:
        before, literal, after = _message(data, 0)
    except (BadOpenPGP, IndexError, zlib.error, OSError, ValueError, EOFError):
        raise _odd() from None
    # Before the content stand the format, the length of a file name, the name, and a date.
    name_end = 2 + literal.body[1] + 4 if len(literal.body) > 1 else 0
    if not 0 < name_end <= len(literal.body):
        raise _odd()
    signatures = tuple(
        write_packet(packet.tag, packet.body) for packet in (*before, *after) if packet.tag == SIGNATURE
    )
    return Unwrapped(literal.body[name_end:], signatures)


def starts_plain(data: bytes) -> bool:
    """Tell whether the first packets lead to a literal packet without compression. ``data`` may be cut off."""
    at = 0
    try:
        for _ in range(_MAX_PACKETS):
            tag, at, length, partial = read_header(data, at, len(data))
            if tag == LITERAL:
                return True
            if tag not in {MARKER, PADDING, ONE_PASS, SIGNATURE} or partial or length < 0:
                return False
            at += length
    except (BadOpenPGP, IndexError):
        pass
    return False


def _odd() -> DecryptFailed:
    return DecryptFailed(
        "The message was decrypted, but what it holds is no message of a form that OpenPGP allows. It was not opened"
    )


def _message(data: bytes, depth: int) -> tuple[list[_Packet], _Packet, list[_Packet]]:
    """Read one message: what stands before its literal packet, that packet, what stands behind."""
    before: list[_Packet] = []
    after: list[_Packet] = []
    literal: _Packet | None = None
    inner_after: list[_Packet] = []
    awaited = 0
    for packet in _packets(data):
        if packet.tag in {MARKER, PADDING}:
            continue
        if literal is not None:
            if packet.tag != SIGNATURE or len(after) == awaited:
                raise _odd()
            after.append(packet)
        elif packet.tag in {ONE_PASS, SIGNATURE}:
            awaited += packet.tag == ONE_PASS
            before.append(packet)
        elif packet.tag == LITERAL:
            literal = packet
        elif packet.tag == COMPRESSED and depth < MAX_DEPTH:
            inner, literal, inner_after = _message(_decompressed(packet.body), depth + 1)
            before += inner
        else:
            raise _odd()
        if len(before) > MAX_SIGNATURES:
            raise _odd()
    if literal is None or len(after) != awaited:
        raise _odd()
    return before, literal, [*inner_after, *after]


def _packets(data: bytes) -> Iterator[_Packet]:
    """Give the packets, with partial and indeterminate lengths resolved."""
    at, end = 0, len(data)
    for _ in range(_MAX_PACKETS):
        if at == end:
            return
        tag, at, length, partial = read_header(data, at, end)
        if length < 0:
            yield _Packet(tag, data[at:])
            return
        parts: list[bytes] = []
        while True:
            if at + length > end:
                raise _odd()
            parts.append(data[at : at + length])
            at += length
            if not partial:
                break
            at, length, partial = new_length(data, at)
        yield _Packet(tag, b"".join(parts))
    if at != end:
        raise _odd()


def _decompressed(body: bytes) -> bytes:
    """Decompress the body of a compressed packet within the limits (RFC 9580, section 5.6)."""
    kind, source = body[0], memoryview(body)[1:]
    if kind == _UNCOMPRESSED:
        return bytes(source)
    limit = min(MAX_CONTENT, max(FREE_CONTENT, MAX_RATIO * len(source)))
    pieces = _inflated(source, kind) if kind in {_ZIP, _ZLIB} else _bunzipped(source, kind)
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise DecryptFailed(
                "The message is compressed, and would become far larger than it is. It was not opened, since such "
                "messages are made to fill the memory. Ask the sender to send it uncompressed (GnuPG: -z 0)",
                limit=limit,
            )
        parts.append(piece)
    return b"".join(parts)


# What follows the end of a compressed stream within its packet is not looked at: Thunderbird leaves some octets there.


def _inflated(source: memoryview, kind: int) -> Iterator[bytes]:
    machine = zlib.decompressobj(-15 if kind == _ZIP else 15)
    for at in range(0, len(source), _STEP):
        waiting: bytes | memoryview = source[at : at + _STEP]
        while waiting and not machine.eof:
            yield machine.decompress(waiting, _STEP)
            waiting = machine.unconsumed_tail
    while not machine.eof:
        piece = machine.decompress(b"", _STEP)
        if not piece:
            raise _odd()
        yield piece


def _bunzipped(source: memoryview, kind: int) -> Iterator[bytes]:
    if kind != _BZIP2:
        raise _odd()
    machine = bz2.BZ2Decompressor()
    at = 0
    while not machine.eof:
        step: bytes | memoryview = b""
        if machine.needs_input:
            step = source[at : at + _STEP]
            at += len(step)
            if not step:
                raise _odd()
        yield machine.decompress(step, _STEP)
