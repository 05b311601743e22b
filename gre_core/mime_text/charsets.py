"""Bytes of a named charset as text, and encoded words (RFC 2047). No input makes these functions raise."""

from __future__ import annotations

import binascii
import re
from encodings.aliases import aliases
from typing import Final

# Mail that says one of these means the larger one, as the Encoding Standard of the web has it.
_MEANT: Final = {
    "ascii": "",
    "us_ascii": "",
    "iso_8859_1": "cp1252",
    "iso8859_1": "cp1252",
    "latin1": "cp1252",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "ks_c_5601_1987": "cp949",
    "shift_jis": "cp932",
    "x_sjis": "cp932",
    "windows_874": "cp874",
}
# An allow-list: among Python's codecs are some that are no charsets or take quadratic time, and each unknown
# name that is looked up stays in memory.
_UNLISTED: Final = {"cp720", "cp737", "cp856", "cp874", "koi8_t", "koi8_u", "utf_8_sig"}
_NO_CHARSETS: Final = {
    "idna",
    "mbcs",
    "oem",
    "punycode",
    "raw_unicode_escape",
    "rot_13",
    "undefined",
    "unicode_escape",
}
_CHARSETS: Final = {
    name for name in {*aliases.values(), *_UNLISTED} - _NO_CHARSETS if not name.endswith("_codec")
}

_NOT_BASE64: Final = bytes(
    sorted({*range(256)} - {*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"})
)
_WORD: Final = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?\n]*+)\?=")


def _codec(charset: str) -> str:
    """Give the name of a codec, or ``""`` when the charset is unknown or ASCII."""
    label = charset.strip("\"' ").lower().replace("-", "_")
    name = _MEANT.get(label, label)
    name = aliases.get(name.replace(".", "_"), name)
    return name if name in _CHARSETS else ""


def to_text(raw: bytes, charset: str) -> str:
    """Decode bytes. An unknown charset, and ASCII that is none, is taken for UTF-8, else for windows-1252."""
    codec = _codec(charset)
    if codec:
        return raw.decode(codec, "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def decode_words(value: str) -> str:
    """Decode the encoded words of a header field's value.

    Adjacent words of one charset are decoded together: some writers split a character between two words.
    """
    if "=?" not in value:
        return value
    out: list[str] = []
    pending, charset = b"", ""
    position = 0
    for found in _WORD.finditer(value):
        between = value[position : found.start()]
        # Raw bytes do not belong here. They were already read as UTF-8, so the charset is not what the word says.
        label = found[1].lower() if found[3].isascii() else "utf-8"
        if pending and (between.strip() or label != charset):
            out.append(to_text(pending, charset))
            pending = b""
        if between.strip() or position == 0:
            out.append(between)
        pending += _word_bytes(found[2], found[3])
        charset = label
        position = found.end()
    if pending:
        out.append(to_text(pending, charset))
    out.append(value[position:])
    return "".join(out)


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding in "bB":
        # Padding ends it (RFC 2045, section 6.8).
        letters = raw.partition(b"=")[0].translate(None, _NOT_BASE64)
        if len(letters) % 4 == 1:
            letters = letters[:-1]
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    return binascii.a2b_qp(raw, header=True)
