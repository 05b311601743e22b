"""Text and file names from the network, made harmless for a terminal and a folder."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_NAME: Final = 180
"""Longest file name that is written, in bytes of UTF-8."""

MAX_COPIES: Final = 1000
"""How many files of the same name a folder takes."""

_SEQUENCE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, ...: titles, links
    r"|\x1b[ -/]*[0-~]"
)
_LINE_END: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_DIRECTION: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORBIDDEN: Final = re.compile(r'[<>:"|?*\\/]')
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def clean(text: str) -> str:
    """Take out what could steer a terminal or turn text around: escape sequences, controls, direction marks.

    Line ends become ``\\n``; tabs stay.
    """
    text = _SEQUENCE.sub("", _LINE_END.sub("\n", text))
    return "".join(char for char in text if char in "\n\t" or _is_harmless(char))


def clean_line(text: str) -> str:
    """Make one line of a text, for headers, names and addresses."""
    return " ".join(clean(text).split())


def safe_name(name: str) -> str:
    """Make a file name that is one on every system: without folders, controls, a leading dot or reserved words."""
    name = unicodedata.normalize("NFC", clean_line(name)).replace("\\", "/").rpartition("/")[2]
    name = _FORBIDDEN.sub("_", name).strip(". ")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    return _shortened(name) or "attachment"


def write_new(folder: Path, name: str, content: bytes) -> Path:
    """Write a file of mode 0600 under a safe name that no file has yet; nothing is overwritten, no link followed.

    Raises:
        OSError: it cannot be written, or there are too many files of that name.
    """
    safe = PurePosixPath(safe_name(name))
    for number in range(MAX_COPIES):
        path = folder / (f"{safe.stem} ({number}){safe.suffix}" if number else safe.name)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return path
    message = f"{folder} has {MAX_COPIES} files named {safe.name} already"
    raise FileExistsError(message)


def _is_harmless(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cs"} and char not in _DIRECTION


def _shortened(name: str) -> str:
    """Cut the stem, so that the ending stays."""
    if len(name.encode()) <= MAX_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > MAX_NAME // 4:
        stem, dot, ending = name, "", ""
    room = MAX_NAME - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + ending
