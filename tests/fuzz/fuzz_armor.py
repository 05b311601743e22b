"""ASCII armor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_openpgp.armor import armor, dearmor

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "armor"


def seeds() -> Iterator[bytes]:
    """Give armors as several programs write them."""
    yield armor(b"message")
    yield armor(bytes(200), checksum=False, newline=b"\n")
    yield armor(b"key", "PUBLIC KEY BLOCK").replace(b"-----\r\n", b"-----\r\nVersion: 1\r\nComment: x\r\n", 1)
    yield b"text before\n" + armor(b"x").replace(b"-----\r\n\r\n", b"-----\r\n", 1) + b"text behind"


def run(data: bytes) -> None:
    """Read it, and write again what was read."""
    for kind in ("MESSAGE", None):
        try:
            content = dearmor(data, kind)
        except GreError:
            continue
        assert len(content) <= len(data)
        assert dearmor(armor(content)) == content
