"""Language-neutral test vectors: text files that an implementation in any language can run.

A file is UTF-8 with LF. Vectors are blocks of ``key: value`` lines with an empty line between; ``#`` starts a comment
line. A key may come several times; the order counts. The value of a key that ends in ``-base64`` is base64 of bytes
(RFC 4648, section 4), of UTF-8 where it is text. Every vector has a ``name``; one that must be refused has ``error``.

::

    for vector in read("jid-escape"):
        print(vector["name"], vector.all("legacy"))
"""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Final

NAMES: Final = (
    "jid-escape",
    "namespaces",
    "negotiation",
    "data-form",
    "encrypted",
    "mime",
    "openpgp-keys",
    "openpgp-messages",
)
"""The files, without ``.txt``."""


class Vector:
    """One block of a file."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        """Make it of its (key, value) pairs, in their order."""
        self.lines = lines

    def __getitem__(self, key: str) -> str:
        """Give the one value of a key; raises :class:`KeyError`."""
        found = self.all(key)
        if len(found) != 1:
            raise KeyError(key)
        return found[0]

    def __contains__(self, key: str) -> bool:
        """Tell whether a key is there."""
        return any(name == key for name, _ in self.lines)

    def all(self, key: str) -> list[str]:
        """Give all values of a key."""
        return [value for name, value in self.lines if name == key]

    def bytes(self, key: str) -> bytes:
        """Give what stands in base64 under ``key-base64``; raises :class:`KeyError`."""
        return base64.b64decode(self[f"{key}-base64"], validate=True)

    def text(self, key: str) -> str | None:
        """Give a text that stands plainly or in base64, or None when it does not stand there."""
        if f"{key}-base64" in self:
            return self.bytes(key).decode()
        found = self.all(key)
        return found[0] if found else None


def parse(text: str) -> list[Vector]:
    """Read the text of a file."""
    vectors: list[Vector] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith("#")]
        if lines:
            vectors.append(Vector([_pair(line) for line in lines]))
    return vectors


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key, value.removeprefix(" ")


def source(name: str) -> str:
    """Give the text of a file."""
    return files(__name__).joinpath(f"{name}.txt").read_text("utf-8")


def read(name: str) -> list[Vector]:
    """Read a file of :data:`NAMES`."""
    return parse(source(name))
