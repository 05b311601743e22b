"""ASCII armor (RFC 9580, section 6.2), without comment or version lines.

>>> dearmor(armor(b"message"))
b'message'
"""

from __future__ import annotations

import binascii
from functools import cache
from typing import Final

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
_CRC_INIT: Final = 0xB704CE
_CRC_POLYNOMIAL: Final = 0x1864CFB
_CRC_BITS: Final = 24
_BEGIN: Final = b"-----BEGIN PGP "
_WHITE: Final = b" \t\r\n"


def armor(data: bytes, kind: str = MESSAGE, *, newline: bytes = b"\r\n") -> bytes:
    """Wrap binary OpenPGP data.

    There is a checksum only where GnuPG 2.2 needs it, see :func:`checksum_line`.

    Arguments:
        data: one or more binary packets.
        kind: the words after ``BEGIN PGP``.
        newline: what ends each line.
    """
    text = binascii.b2a_base64(data, newline=False)
    lines = [text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS)]
    if text and not text.endswith(b"="):
        lines.append(checksum_line(data))
    label = kind.encode("ascii")
    return newline.join([_BEGIN + label + b"-----", b"", *lines, b"-----END PGP " + label + b"-----", b""])


def checksum_line(data: bytes) -> bytes:
    """Give the checksum line of an armor (RFC 9580, section 6.1.1).

    RFC 9580 makes it optional. GnuPG 2.2 (seen in 2.2.40) reads on into the end line when an armor has
    neither a checksum nor padding, and fails: so write it where the base64 does not end in ``=``.

    Arguments:
        data: the binary content.
    """
    return b"=" + binascii.b2a_base64(_crc24(data).to_bytes(3, "big"), newline=False)


def _crc24(data: bytes) -> int:
    """Compute the CRC-24 on one large integer: 20 times faster than byte by byte.

    The data is a polynomial over GF(2). Its upper part, times ``x ** m`` modulo the CRC's polynomial, is
    added to its lower ``m`` bits, for ever smaller ``m``.
    """
    value = int.from_bytes(data, "big") << 24 ^ _CRC_INIT << 8 * len(data)
    for power in range(value.bit_length().bit_length(), 4, -1):
        bits = 1 << power
        high = value >> bits
        if high:
            value ^= high << bits
            value ^= _times(high, _x_to_two_to(power))
    return _reduced(value)


@cache
def _x_to_two_to(power: int) -> int:
    """Give ``x ** (2 ** power)`` modulo the polynomial."""
    if power == 0:
        return 0b10
    root = _x_to_two_to(power - 1)
    return _reduced(_times(root, root))


def _times(large: int, small: int) -> int:
    """Multiply two polynomials over GF(2)."""
    product = 0
    for place in range(small.bit_length()):
        if small >> place & 1:
            product ^= large << place
    return product


def _reduced(value: int) -> int:
    while (length := value.bit_length()) > _CRC_BITS:
        value ^= _CRC_POLYNOMIAL << length - 1 - _CRC_BITS
    return value


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
        return binascii.a2b_base64(stripped.translate(None, _WHITE), strict_mode=True)
    except ValueError:
        raise BadOpenPGP("The armor is damaged: its content is not base64") from None
