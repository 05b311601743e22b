"""A part as an attachment that is decoded when it is opened."""

from __future__ import annotations

import io
import re
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

from gre_core.api import Attachment
from gre_core.mime_text.file_names import safe_name
from gre_formatter_mime.compose import ORIGINAL_TYPE
from gre_formatter_mime.limits import MAX_ID
from gre_formatter_mime.reader import LineReader
from gre_formatter_mime.source import WINDOW, StreamSource
from gre_formatter_mime.transfer import decode, decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_formatter_mime.part import Part
    from gre_formatter_mime.source import Source

MESSAGE_TYPES: Final = ("message/rfc822", "message/global")

_SMALL: Final = 64 << 10
"""Bytes up to which a body is decoded at once."""

_CONTENT_ID: Final = re.compile(rf"<?([!-;=?-~]{{1,{MAX_ID}}})>?")
_CHARSET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_COMPOSITE: Final = re.compile(r"(?:message|multipart)/[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}")
_DEFAULT_CHARSETS: Final = frozenset({"", "us-ascii", "utf-8"})
_LONGEST_LINE: Final = 1000


def attachment_of(source: Source, part: Part, *, related: bool = False) -> Attachment:
    """Make an attachment of a part.

    Arguments:
        source: where its body is read from, now or when it is opened.
        part: the part.
        related: it belongs to an HTML body.
    """
    media_type = _media_type(part)
    content_ids = part.fields.get("content-id")
    content_id = _CONTENT_ID.fullmatch(content_ids[0]) if content_ids else None
    name = safe_name(part.file_name, media_type)
    inline = part.disposition.value == "inline" or (related and not part.disposition.value)
    identifier = content_id[1] if content_id else None
    length = part.end - part.start
    if length <= _SMALL:
        content = decode(source.read(part.start, part.end), part.encoding)
        return Attachment(name, media_type, partial(io.BytesIO, content), len(content), inline, identifier)
    size: int | None = None
    opener: Callable[[], BinaryIO] = partial(_open_whole, source, part.start, part.end, part.encoding)
    if part.encoding == "base64":
        line, size = _regular_base64(source, part.start, part.end)
        if line and isinstance(source, StreamSource):
            opener = partial(_open_base64, source, part.start, part.end, line)
    elif part.is_plain:
        size = length
        if isinstance(source, StreamSource):
            opener = partial(_open_plain, source, part.start, part.end)
    return Attachment(name, media_type, opener, size, inline, identifier)


def _media_type(part: Part) -> str:
    kind, parameters = part.media_type
    original = parameters.get(ORIGINAL_TYPE, "")
    if kind == "application/octet-stream" and _COMPOSITE.fullmatch(original):
        return original
    if kind.startswith("text/"):
        # Without it the content of the file could not be read.
        charset = parameters.get("charset", "").lower()
        if charset not in _DEFAULT_CHARSETS and _CHARSET.fullmatch(charset):
            return f"{kind}; charset={charset}"
    return kind


def _open_whole(source: Source, start: int, end: int, encoding: str) -> BinaryIO:
    return io.BytesIO(decode(source.read(start, end), encoding))


def _open_base64(source: Source, start: int, end: int, line: int) -> BinaryIO:
    return io.BufferedReader(LineReader(source, start, end, line, decode_base64), WINDOW)


def _open_plain(source: Source, start: int, end: int) -> BinaryIO:
    return io.BufferedReader(LineReader(source, start, end, 1, bytes), WINDOW)


def _regular_base64(source: Source, start: int, end: int) -> tuple[int, int | None]:
    """Tell whether base64 stands in lines of one length, without decoding it.

    Result:
        the length of a line with its line end, and the size of the content; ``(0, None)`` when it is not
        regular. The size is too large when there are characters in the lines that are not base64.
    """
    tail = bytes(source.read(end - 8, end))
    end -= len(tail) - len(tail.rstrip(b"\r\n"))
    head, line_feed, _ = bytes(source.read(start, start + _LONGEST_LINE)).partition(b"\n")
    letters = head.rstrip(b"\r")
    width, line = len(letters), len(head) + 1
    if not line_feed or not width or width % 4:
        return 0, None
    line_end = head[width:] + line_feed
    step = WINDOW // line * line
    for position in range(start, end, step):
        piece = source.read(position, min(position + step, end))
        for offset, char in enumerate(line_end, start=width):
            column = bytes(piece[offset::line])
            if column.count(char) != len(column):
                return 0, None
    lines, rest = divmod(end - start, line)
    padding = tail.rstrip(b"\r\n")[-2:].count(b"=")
    if rest > width or rest % 4:
        return 0, None
    return line, (lines * width + rest) // 4 * 3 - padding
