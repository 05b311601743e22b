"""Searches bytes for secrets in every dress that mail and XMPP give to text.

::

    search = LeakSearch([Secret("text", b"the quick brown fox")])
    search.find(b"... dGhlIHF1aWNrIGJyb3duIGZveA== ...")  # [Leak(secret='text', ...)]

The search is only worth something when it finds what was planted: see :func:`self_test`.
"""

from __future__ import annotations

import binascii
import html
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

_GROUP: Final = 3
"""Bytes that base64 turns into four characters; a text can start at any of three places of a group."""

_SHORTEST: Final = 12
"""A shorter secret would be found by chance."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Something that must not be seen.

    Arguments:
        name: for the report (``text``, ``file name``).
        value: its bytes; text as UTF-8. At least 12 bytes.
    """

    name: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret that was found.

    Arguments:
        secret: its name.
        place: where (``gateway``).
        dress: how it was encoded (``base64 of utf-16-le, in quoted-printable``).
    """

    secret: str
    place: str
    dress: str


def _base64(value: bytes, offset: int) -> bytes:
    """Give the characters of base64 that depend on the value alone when it starts at this place of a group."""
    code = b64encode(b"\0" * offset + value)
    first = 0 if offset == 0 else 4
    whole = (offset + len(value)) // _GROUP * 4
    return code[first:whole]


def _urlsafe(value: bytes, offset: int) -> bytes:
    return _base64(value, offset).translate(bytes.maketrans(b"+/", b"-_"))


def _quoted(value: bytes) -> bytes:
    """Encode every byte, with soft line breaks in between, as a strict encoder might (RFC 2045, section 6.7)."""
    pieces = [value[start : start + 20] for start in range(0, len(value), 20)]
    return b"=\r\n".join(b"".join(b"=%02X" % byte for byte in piece) for piece in pieces)


def _percent(value: bytes) -> bytes:
    return b"".join(b"%%%02x" % byte for byte in value)


def _character_references(value: bytes) -> bytes:
    return "".join(f"&#x{ord(char):x};" for char in value.decode("utf-8", "replace")).encode()


def _folded(code: bytes, width: int = 19) -> bytes:
    return b"\r\n".join(code[start : start + width] for start in range(0, len(code), width))


def _utf16(value: bytes, codec: str) -> bytes:
    return value.decode("utf-8", "replace").encode(codec)


_SEARCHED: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "raw": bytes,
    "base64, offset 0": lambda value: _base64(value, 0),
    "base64, offset 1": lambda value: _base64(value, 1),
    "base64, offset 2": lambda value: _base64(value, 2),
    "base64url, offset 0": lambda value: _urlsafe(value, 0),
    "base64url, offset 1": lambda value: _urlsafe(value, 1),
    "base64url, offset 2": lambda value: _urlsafe(value, 2),
    "hex": binascii.hexlify,
}
"""What is looked for, in every view of what was received."""


def _without_breaks(seen: bytes) -> bytes:
    return seen.translate(None, b" \t\r\n")


_VIEWS: Final[Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]] = {
    "as it is": (bytes, bytes),
    "without line breaks": (_without_breaks, _without_breaks),
    "in quoted-printable": (binascii.a2b_qp, bytes),
    "in a quoted-printable header": (lambda seen: binascii.a2b_qp(seen, header=True), bytes),
    "in percent encoding": (unquote_to_bytes, bytes),
    "in character references": (
        lambda seen: html.unescape(seen.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        ),
        bytes,
    ),
    "in other letter case": (bytes.lower, bytes.lower),
}
"""How what was received, and what is looked for, are read before they are compared."""

PLANTED: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "raw": bytes,
    "base64, offset 0": b64encode,
    "base64, offset 1": lambda value: b64encode(b"x" + value + b"yy"),
    "base64, offset 2": lambda value: b64encode(b"xx" + value + b"y"),
    "base64, folded": lambda value: _folded(b64encode(b"Subject: " + value)),
    "quoted-printable": _quoted,
    "percent": _percent,
    "character references": _character_references,
    "hex": binascii.hexlify,
    "HEX": lambda value: binascii.hexlify(value).upper(),
    "utf-16-le": lambda value: _utf16(value, "utf-16-le"),
    "utf-16-be": lambda value: _utf16(value, "utf-16-be"),
    "base64 of utf-16-le": lambda value: b64encode(_utf16(value, "utf-16-le")),
}
"""How a leak could look: one of each kind is planted by :func:`self_test`. Written apart from the search."""

_TEXT_ONLY: Final = frozenset({"character references", "utf-16-le", "utf-16-be", "base64 of utf-16-le"})


class LeakSearch:
    """Looks for secrets.

    Arguments:
        secrets: what must not be seen, each at least 12 bytes long.

    Raises:
        ValueError: a secret is so short that it would be found by chance.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self.secrets: tuple[Secret, ...] = tuple(secrets)
        self._needles: list[tuple[str, str, bytes]] = []
        for secret in self.secrets:
            if len(secret.value) < _SHORTEST:
                message = f"{secret.name} is shorter than {_SHORTEST} bytes"
                raise ValueError(message)
            for codec, value in _codings(secret.value).items():
                of = "" if codec == "utf-8" else f" of {codec}"
                self._needles += [
                    (secret.name, name + of, encode(value)) for name, encode in _SEARCHED.items()
                ]

    def find(self, received: bytes, place: str = "") -> list[Leak]:
        """Give each secret that stands in the bytes, once, with the first dress it was seen in."""
        found: dict[str, Leak] = {}
        for view, (read, dressed) in _VIEWS.items():
            seen = read(received)
            for secret, dress, needle in self._needles:
                if secret not in found and dressed(needle) in seen:
                    inside = "" if view == "as it is" else f", {view}"
                    found[secret] = Leak(secret, place, dress + inside)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Whether the search can be trusted.

    Arguments:
        planted: how many leaks were planted.
        missed: those that it did not find; must be empty.
    """

    planted: int
    missed: tuple[str, ...]


def self_test(search: LeakSearch, captures: Mapping[str, bytes]) -> SelfTest:
    """Plant every secret in every dress into what each party received, and see that the search finds it there.

    Arguments:
        search: the search to test.
        captures: what was received, by party.
    """
    planted = 0
    missed: list[str] = []
    for place, received in captures.items():
        middle = len(received) // 2
        for dress, encode in PLANTED.items():
            secrets = [one for one in search.secrets if dress not in _TEXT_ONLY or _is_text(one.value)]
            leak = b"\r\n".join([b"", *(encode(secret.value) for secret in secrets), b""])
            found = {one.secret for one in search.find(received[:middle] + leak + received[middle:], place)}
            planted += len(secrets)
            missed += [f"{secret.name} at {place}: {dress}" for secret in secrets if secret.name not in found]
    return SelfTest(planted, tuple(missed))


def _codings(value: bytes) -> dict[str, bytes]:
    codings = {"utf-8": value}
    if _is_text(value):
        codings |= {codec: _utf16(value, codec) for codec in ("utf-16-le", "utf-16-be")}
    return codings


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
