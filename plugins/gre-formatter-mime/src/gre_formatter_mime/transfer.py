"""Content transfer encodings (RFC 2045, section 6): choosing and writing one, and reading any."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final

import pybase64

from gre_formatter_mime.limits import LINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_SAFE: Final = bytes(range(0x20, 0x7F)) + b"\t\n"
_ASCII: Final = bytes(range(0x80))
_QP_LINE: Final = 76
_QP_OR_BASE64: Final = 6
"""Quoted-printable is shorter, and readable, while less than one byte in six needs an escape."""

_BLOCK: Final = 57 * 8192
"""Bytes of an attachment that are encoded at a time: whole lines of 76 columns."""

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_ALPHABET: Final = bytes(sorted(set(range(256)) - set(_ALPHABET + b"=")))
_PAD: Final = re.compile(rb"=")
_MAX_UU: Final = 16 << 20


# -- writing ---------------------------------------------------------------------------------------


def encode_text(text: str) -> tuple[str, bytes]:
    r"""Encode a text, with LF line ends, for a body of 7bit lines with CRLF.

    Plain ASCII in short lines stays as it is. Trailing white space, ``From`` at the start of a line and
    control characters are encoded (RFC 3156, section 3), and so is all else that is not plain.

    Result:
        the Content-Transfer-Encoding and the body. A line end after the last line is not part of the body.

    Raises:
        UnicodeEncodeError: the text has surrogates.
    """
    raw = text.encode()
    if not raw.translate(None, _SAFE) and _is_plain(raw):
        return "7bit", raw.replace(b"\n", b"\r\n")
    crlf = raw.replace(b"\n", b"\r\n")
    if len(raw.translate(None, _ASCII)) * _QP_OR_BASE64 <= len(raw):
        quoted = _quoted_printable(crlf)
        if _longest_line(quoted) <= _QP_LINE:
            return "quoted-printable", quoted
    return "base64", encode_base64(crlf)


def _is_plain(raw: bytes) -> bool:
    return (
        _longest_line(raw) <= LINE
        and b" \n" not in raw
        and b"\t\n" not in raw
        and not raw.endswith((b" ", b"\t"))
        and not raw.startswith(b"From ")
        and b"\nFrom " not in raw
    )


def _longest_line(raw: bytes) -> int:
    return max(map(len, raw.splitlines()), default=0)


def _quoted_printable(crlf: bytes) -> bytes:
    # The added line end makes the codec write CRLF after soft breaks, and protect white space at the end.
    quoted = binascii.b2a_qp(crlf + b"\r\n", istext=True)[:-2]
    if b"From " in quoted:
        quoted = re.sub(rb"(?m)^From ", b"=46rom=\r\n ", quoted)
    return quoted


def encode_base64(content: bytes) -> bytes:
    """Encode in lines of 76 columns with CRLF, one after the last line too."""
    return pybase64.encodebytes(content).replace(b"\n", b"\r\n")


def encode_stream(stream: BinaryIO) -> Iterator[bytes]:
    """Encode a stream to its end as base64, piece by piece."""
    while block := _read_block(stream):
        yield encode_base64(block)


def _read_block(stream: BinaryIO) -> bytes:
    block = stream.read(_BLOCK)
    while 0 < len(block) < _BLOCK:  # a pipe may give less than was asked for
        more = stream.read(_BLOCK - len(block))
        if not more:
            break
        block += more
    return block


# -- reading ---------------------------------------------------------------------------------------


def decode(raw: bytes | memoryview, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding, however damaged. What is unknown is left as it is; never raises.

    Arguments:
        raw: the body.
        encoding: the value of the field in lower case.
    """
    if encoding == "base64":
        return decode_base64(raw)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding in {"x-uuencode", "uuencode", "x-uue", "uue"} and len(raw) <= _MAX_UU:
        return _decode_uu(bytes(raw))
    return bytes(raw)


def decode_base64(raw: bytes | memoryview) -> bytes:
    """Decode base64 as far as it goes; what is not of its alphabet is skipped.

    Padding ends it (RFC 2045, section 6.8): what follows is no content, but for more whole blocks of base64, as some
    programs put several one behind the other.
    """
    pad = _PAD.search(raw)
    if pad is None or not bytes(raw[pad.start() :]).strip(b"= \t\r\n"):
        try:
            return pybase64.b64decode(raw)
        except (binascii.Error, ValueError):
            pass
    dense = bytes(raw).translate(None, b" \t\r\n")
    signs = dense.translate(None, _NOT_ALPHABET)
    blocks = signs.split(b"=")
    if len(signs) < len(dense) or len(signs) % 4:
        blocks = blocks[:1]
    return b"".join(map(_decode_block, blocks))


def _decode_block(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return pybase64.b64decode(letters + b"=" * (-len(letters) % 4))


def _decode_uu(raw: bytes) -> bytes:
    from email.message import Message  # noqa: PLC0415 - rare, and slow to import

    part = Message()
    part["Content-Transfer-Encoding"] = "x-uuencode"
    part.set_payload(raw.decode("latin-1"))
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else raw
