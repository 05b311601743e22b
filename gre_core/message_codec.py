"""A message as bytes, for the way out of a worker process, which may have been taken over by what it read.

::

    GREM 01 | length of the outline, 4 bytes | outline in JSON | long texts and contents, one behind the other

The outline is small and flat. What is long (texts, attachments) is named there by its length alone and stays where it
is: attachments are read from the very bytes that came, without a copy.
"""

from __future__ import annotations

import io
import json
import struct
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from gre_core.errors import ParseFailed
from gre_core.model import Attachment, Message, Notice, SignedPart

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_OUTLINE: Final = 4 << 20
"""Longest outline that is written or read, in bytes: JSON may take thirty times as much memory."""

MAX_LIST: Final = 10_000
"""How many entries one list of a message may have."""

_MAGIC: Final = b"GREM\x01"
_HEAD: Final = struct.Struct(">5sI")
_write: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_NOT_IN_NAMES: Final = frozenset("/\\\0")


def encode_message(message: Message) -> bytes:
    """Write a message; :func:`decode_message` reads it.

    Raises:
        ParseFailed: its header fields are longer than ``MAX_OUTLINE``, or an attachment cannot be read.
    """
    blobs: list[bytes] = []

    def blob(content: bytes | None) -> int | None:
        if content is None:
            return None
        blobs.append(content)
        return len(content)

    outline = {
        "text": blob(_utf8(message.text)),
        "html": None if message.html is None else blob(_utf8(message.html)),
        "attachments": [
            [one.name, one.media_type, blob(_content(one)), one.inline, one.content_id]
            for one in message.attachments
        ],
        "signed": None
        if message.signed is None
        else [blob(message.signed.content), blob(message.signed.signature), message.signed.protocol],
        "subject": message.subject,
        "to": message.to,
        "cc": message.cc,
        "claimed_sender": message.claimed_sender,
        "message_id": message.message_id,
        "in_reply_to": message.in_reply_to,
        "references": message.references,
        "date": None if message.date is None else message.date.isoformat(),
        "headers": [[name, *values] for name, values in message.headers.items()],
        "hidden": message.hidden,
        "notices": [[one.code, one.text, *_flat(one.params)] for one in message.notices],
    }
    head = _utf8(_write(outline))
    if len(head) > MAX_OUTLINE:
        raise ParseFailed(
            f"The header fields of the message are longer than {MAX_OUTLINE} bytes", limit=MAX_OUTLINE
        )
    return b"".join((_HEAD.pack(_MAGIC, len(head)), head, *blobs))


def decode_message(data: bytes) -> Message:
    """Read what :func:`encode_message` wrote. Nothing in it is trusted.

    Raises:
        ParseFailed: it is anything else.
    """
    try:
        magic, length = _HEAD.unpack_from(data)
        if magic != _MAGIC or length > MAX_OUTLINE:
            raise ParseFailed(_DAMAGED)
        rest = memoryview(data).toreadonly()[_HEAD.size :]
        outline = json.loads(str(rest[:length], "utf-8", "surrogatepass"))
        return _Reader(rest[length:]).message(outline)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, struct.error):
        raise ParseFailed(_DAMAGED) from None


_DAMAGED: Final = (
    "What the worker process gave for the message is damaged. Try again, and report it if it goes on"
)


class _Reader:
    """Takes the long parts in their order; each of its methods raises for what it does not expect."""

    def __init__(self, rest: memoryview) -> None:
        self._rest = rest

    def message(self, fields: dict[str, Any]) -> Message:
        text, html = self._text(fields["text"]), None
        if fields["html"] is not None:
            html = self._text(fields["html"])
        attachments = tuple(self._attachment(*one) for one in _bounded(fields["attachments"]))
        signed = None if fields["signed"] is None else self._signed(*fields["signed"])
        if self._rest:
            raise ValueError
        return Message(
            text=text,
            html=html,
            subject=_optional(fields["subject"]),
            attachments=attachments,
            to=_strings(fields["to"]),
            cc=_strings(fields["cc"]),
            claimed_sender=_optional(fields["claimed_sender"]),
            message_id=_optional(fields["message_id"]),
            in_reply_to=_optional(fields["in_reply_to"]),
            references=_strings(fields["references"]),
            date=None if fields["date"] is None else _date(fields["date"]),
            headers=_headers(fields["headers"]),
            hidden=_strings(fields["hidden"]),
            signed=signed,
            notices=tuple(_notice(*_strings(one)) for one in _bounded(fields["notices"])),
        )

    def _take(self, length: int) -> memoryview:
        if type(length) is not int or not 0 <= length <= len(self._rest):
            raise ValueError
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def _text(self, length: int) -> str:
        return str(self._take(length), "utf-8", "surrogatepass")

    def _attachment(
        self, name: str, media_type: str, length: int, inline: object, content_id: str | None
    ) -> Attachment:
        content = self._take(length)
        if type(inline) is not bool:
            raise TypeError
        return Attachment(
            _file_name(name),
            _string(media_type),
            lambda: _stream(content),
            length,
            inline,
            _optional(content_id),
        )

    def _signed(self, content: int, signature: int, protocol: str) -> SignedPart:
        return SignedPart(bytes(self._take(content)), bytes(self._take(signature)), _string(protocol))


class _View(io.RawIOBase):
    """A stream over bytes that belong to somebody else."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        target = memoryview(buffer).cast("B")
        piece = self._content[self._at : self._at + len(target)]
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            text = "negative seek position"
            raise ValueError(text)
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at


def _stream(content: memoryview) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_View(content), 1 << 16))


def _content(attachment: Attachment) -> bytes:
    try:
        return attachment.read()
    except OSError as error:
        raise ParseFailed(f"An attachment cannot be read: {error.strerror}") from None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _flat(params: Mapping[str, str]) -> list[str]:
    return [part for pair in params.items() for part in pair]


def _headers(lists: object) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(values) for name, *values in map(_strings, _bounded(lists))})


def _file_name(value: object) -> str:
    name = _string(value)
    if name in {".", ".."} or not _NOT_IN_NAMES.isdisjoint(name):
        raise ValueError
    return name


def _notice(code: str, text: str, *params: str) -> Notice:
    return Notice(code, text, MappingProxyType(dict(zip(params[::2], params[1::2], strict=True))))


def _string(value: object) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _string(value)


def _bounded(values: object) -> list[Any]:
    if type(values) is not list or len(values) > MAX_LIST:
        raise TypeError
    return values


def _strings(values: object) -> tuple[str, ...]:
    return tuple(map(_string, _bounded(values)))


def _date(value: object) -> datetime:
    date = datetime.fromisoformat(_string(value))
    if date.tzinfo is None:
        raise ValueError
    return date
