"""The check before any crypto library: what passes has the one shape, and nothing but our error comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_openpgp.messages import MAX_SESSION_KEYS, MIN_SEIPD, check_message

from gre_core.errors import BadEncrypted

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "message-check"


def seeds() -> Iterator[bytes]:
    """Give messages with each form of lengths and session keys."""
    v3 = b"\x03" + bytes.fromhex("0123456789ABCDEF") + b"\x12" + bytes(40)
    v6 = b"\x06\x21\x06" + bytes(range(32)) + b"\x19" + bytes(40)
    old = bytes([0x84, len(v3)]) + v3
    first, anonymous = (bytes([0xC1, len(body)]) + body for body in (v6, b"\x06\x00\x19" + bytes(40)))
    whole = b"\xd2\xff\x00\x00\x00\x64\x01" + bytes(99)
    parts = b"\xd2\xe9\x01" + bytes(511) + b"\x32" + bytes(50)
    yield from (old + whole, first + parts, old + anonymous + first + whole, whole)


def run(data: bytes) -> None:
    """Check the bounds of what passes."""
    try:
        checked = check_message(data)
    except BadEncrypted:
        return
    body = checked.body(data)
    assert len(checked.session_keys) <= MAX_SESSION_KEYS
    assert len(body) >= MIN_SEIPD
    assert body[0] == checked.version
    ends = [0, *(key.end for key in checked.session_keys)]
    assert [key.start for key in checked.session_keys] == ends[:-1]
    assert checked.container == ends[-1]
    wanted = checked.for_keys({"0123456789ABCDEF"})
    assert check_message(checked.keep(data, wanted)).body(checked.keep(data, wanted)) == body
