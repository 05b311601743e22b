"""File names that are safe to show and to save, whoever chose them.

>>> safe_name("../../etc/passwd")
'passwd'
>>> safe_name("", "image/png")
'attachment.png'
"""

from __future__ import annotations

import re
from typing import Final

MAX_FILE_NAME: Final = 255
"""Longest file name, in bytes: what common file systems take."""

# Controls, line separators, surrogates and what reorders or hides text: "exe.<RLO>fdp" shows as "exe.pdf".
# The joiners U+200C and U+200D stay: Persian, Indic scripts and emoji need them.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|\Z)", re.IGNORECASE
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]{8,60}\.[A-Za-z0-9]{1,12}")

_EXTENSIONS: Final = {
    "application/pdf": ".pdf",
    "application/pgp-keys": ".asc",
    "application/pgp-signature": ".asc",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/html": ".html",
    "text/plain": ".txt",
}
_DROPPED_AT_END: Final = (
    ". \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
"""Dots, which Windows drops, and white space, which cannot be seen there."""

_LONGEST_EXTENSION: Final = 32


def safe_name(name: str, media_type: str = "") -> str:
    """Make a file name safe: no folder, no control or bidi characters, no reserved name, at most 255 bytes.

    Applied twice it changes nothing more. Letters of every script are kept as they are.

    Arguments:
        name: as someone wrote it.
        media_type: gives the extension of a file that has no name.

    Result:
        a name that is never empty.
    """
    if _PLAIN.fullmatch(name):
        return name
    name = _INVISIBLE.sub("", name)
    name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    # A colon would name a drive or an alternate data stream.
    name = name.replace(":", "_").lstrip().rstrip(_DROPPED_AT_END)
    if not name:
        return "attachment" + _EXTENSIONS.get(media_type, "")
    if _DEVICE.match(name):
        name = f"_{name}"
    return _shorten(name)


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_FILE_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = dot + extension
    if not stem or len(tail.encode()) > _LONGEST_EXTENSION:
        stem, tail = name, ""
    room = MAX_FILE_NAME - len(tail.encode())
    return (stem.encode()[:room].decode(errors="ignore") + tail).rstrip(_DROPPED_AT_END)
