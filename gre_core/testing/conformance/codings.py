"""Texts that are bytes written down: in hex, base32, base64 or base85, in lines, with armor around them."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_ARMOR: Final = re.compile(
    r"(?P<head>\s*-----BEGIN [^\n]+-----\r?\n(?:[^\n:]+:[^\n]*\n)*\s*)"
    r"(?P<lines>[^=-]*[^=\s-]={0,2})(?:\s*=[\w+/]{4})?(?P<tail>\s*-----END [^\n]+-----\s*)"
)


class Coded(NamedTuple):
    """What a text stands for, and how other bytes are written the same way."""

    name: str
    raw: bytes
    write: Callable[[bytes], str]


def coded(text: str) -> Coded | None:
    """Read a text that is nothing but bytes in hex, base32, base64 or base85, in lines and armor or not."""
    armored = _ARMOR.fullmatch(text)
    if armored is not None:
        inner = coded(armored["lines"])
        if inner is None:
            return None
        head, tail, write = armored["head"], armored["tail"], inner.write
        return Coded(f"{inner.name} in armor", inner.raw, lambda data: f"{head}{write(data)}{tail}")
    lines = text.split("\n")
    whole, width = "".join(lines), len(lines[0])
    folded = len(lines) > 1 and width > 0
    for name, (read, write_one) in _CODINGS.items():
        try:
            raw = read(whole)
            same = bool(raw) and write_one(raw) == whole
        except ValueError:
            continue
        if same:
            return Coded(name, raw, _folding(write_one, width) if folded else write_one)
    return None


def _folding(write: Callable[[bytes], str], width: int) -> Callable[[bytes], str]:
    """Let a text be written in lines."""

    def folded(data: bytes) -> str:
        text = write(data)
        return "\n".join(text[at : at + width] for at in range(0, len(text), width))

    return folded


def _padded(text: str, group: int) -> str:
    return text + "=" * (-len(text) % group)


_CODINGS: Final[dict[str, tuple[Callable[[str], bytes], Callable[[bytes], str]]]] = {
    "hex": (bytes.fromhex, bytes.hex),
    "upper hex": (bytes.fromhex, lambda data: data.hex().upper()),
    "base32": (base64.b32decode, lambda data: base64.b32encode(data).decode()),
    "bare base32": (
        lambda text: base64.b32decode(_padded(text, 8)),
        lambda data: base64.b32encode(data).decode().rstrip("="),
    ),
    "base64": (
        lambda text: base64.b64decode(text, validate=True),
        lambda data: base64.b64encode(data).decode(),
    ),
    "bare base64": (
        lambda text: base64.b64decode(_padded(text, 4), validate=True),
        lambda data: base64.b64encode(data).decode().rstrip("="),
    ),
    "base64url": (base64.urlsafe_b64decode, lambda data: base64.urlsafe_b64encode(data).decode()),
    "bare base64url": (
        lambda text: base64.urlsafe_b64decode(_padded(text, 4)),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    ),
    "base85": (base64.b85decode, lambda data: base64.b85encode(data).decode()),
}
"""How to read and to write. The first one counts whose writing gives back what was read: hex looks like base64, too."""
