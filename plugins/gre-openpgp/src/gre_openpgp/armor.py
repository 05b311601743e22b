"""ASCII armor (RFC 9580, section 6.2), without comment or version lines.

>>> dearmor(armor(b"message"))
b'message'
"""

from __future__ import annotations

from typing import Final

import anycrc
import pybase64

from gre_openpgp.errors import BadOpenPGP

MESSAGE: Final = "MESSAGE"
PUBLIC_KEY: Final = "PUBLIC KEY BLOCK"
PRIVATE_KEY: Final = "PRIVATE KEY BLOCK"

COLUMNS: Final = 76
"""Base64 characters on a line (RFC 9580, section 6.2.4: at most 76)."""

MAX_ARMOR: Final = 256 * 1024 * 1024
"""Longest armor that is read, in bytes."""

_MAX_HEADERS: Final = 16 * 1024
_CHECKSUM_LINE: Final = 5
_CRC24: Final = anycrc.Model("CRC24-OPENPGP")
_BEGIN: Final = b"-----BEGIN PGP "
_WHITE: Final = b" \t\r\n"


def armor(data: bytes, kind: str = MESSAGE, *, newline: bytes = b"\r\n", checksum: bool = True) -> bytes:
    """Wrap binary OpenPGP data.

    The checksum is optional since RFC 9580. But GnuPG 2.2 (seen in 2.2.40) fails on an armor that has neither a
    checksum nor padding, and PGPy on any armor without one.

    Arguments:
        data: one or more binary packets.
        kind: the words after ``BEGIN PGP``.
        newline: what ends each line.
        checksum: write one. RFC 9580, section 6.1, forbids it for what only newer programs read (SEIPD version 2).
    """
    lines = pybase64.encodebytes(data).replace(b"\n", newline)
    if checksum and data:
        lines += checksum_line(data) + newline
    label = kind.encode("ascii")
    return newline.join([_BEGIN + label + b"-----", b"", lines + b"-----END PGP " + label + b"-----", b""])


def checksum_line(data: bytes) -> bytes:
    """Give the checksum line of an armor (RFC 9580, section 6.1.1).

    Arguments:
        data: the binary content.
    """
    return b"=" + pybase64.b64encode(_CRC24.calc(data).to_bytes(3, "big"))


def is_armored(data: bytes) -> bool:
    """Tell whether the data starts with an armor, white space aside."""
    return data[:256].lstrip(_WHITE).startswith(_BEGIN)


def dearmor(data: bytes | str, kind: str | None = MESSAGE, *, max_size: int = MAX_ARMOR) -> bytes:
    """Give the binary content of the first armor in a text. A checksum is accepted and not looked at.

    Arguments:
        data: text with an armor somewhere in it.
        kind: the words after ``BEGIN PGP`` that are wanted; None takes any.
        max_size: longest text that is read, in bytes.

    Raises:
        BadOpenPGP: no armor of that kind, or a damaged or too large one.
    """
    if len(data) > max_size:
        raise BadOpenPGP(f"The armor is larger than the {max_size} bytes that are read", limit=max_size)
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    begin = raw.find(_BEGIN if kind is None else _BEGIN + kind.encode("ascii") + b"-----")
    label_end = raw.find(b"-----", begin + len(_BEGIN))
    if begin < 0 or label_end < 0 or b"\n" in (label := raw[begin + len(_BEGIN) : label_end]):
        raise BadOpenPGP(f"There is no line '-----BEGIN PGP {kind or '...'}-----'")
    end = raw.find(b"-----END PGP " + label + b"-----", label_end)
    if end < 0:
        raise BadOpenPGP("The armor is cut off: its end line is missing. Ask for the data again")
    start = _after_headers(raw, label_end + 5, end)
    return _decode(raw[start:end])


def _after_headers(raw: bytes, at: int, end: int) -> int:
    """Give the offset of the first base64 line: behind the empty line that ends the armor headers."""
    at = raw.find(b"\n", at, end) + 1
    limit = at + _MAX_HEADERS
    first = at
    while first <= at < limit:
        stop = raw.find(b"\n", at, end)
        line = raw[at : stop if stop >= 0 else end].strip(_WHITE)
        if not line:
            return stop + 1 if stop >= 0 else end
        if b":" not in line:  # no empty line, as some programs write it
            return at
        at = stop + 1 if stop >= 0 else -1
    raise BadOpenPGP("The armor has too many header lines, or nothing but them")


def _decode(text: bytes) -> bytes:
    stripped = text.rstrip(_WHITE)
    checksum = stripped.rfind(b"\n=")
    if checksum >= 0 and len(stripped) - checksum - 1 == _CHECKSUM_LINE:
        stripped = stripped[:checksum]
    try:
        return pybase64.b64decode(stripped.translate(None, _WHITE), validate=True)
    except ValueError:
        raise BadOpenPGP("The armor is damaged: its content is not base64") from None
