"""A message as the pieces of a MIME entity.

The structure, outermost first; what a message does not have is left out::

    multipart/mixed                  attachments
      multipart/alternative          text beside HTML
        text/plain
        multipart/related            what the HTML shows
          text/html
          image/png                  inline, with content id
      application/pdf                attachment
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from gre_core.errors import FormatFailed
from gre_core.mime_text.file_names import safe_name
from gre_core.mime_text.html_text import text_of_html
from gre_formatter_mime import headers_write as write
from gre_formatter_mime.limits import HARD_LINE
from gre_formatter_mime.padding import padded
from gre_formatter_mime.protection import outer_fields
from gre_formatter_mime.transfer import encode_stream, encode_text
from gre_formatter_mime.wishes import NAMESPACE, Padding, wishes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gre_core.api import Attachment, Message, SealJob
    from gre_formatter_mime.wishes import Confidentiality

ORIGINAL_TYPE: Final = "x-original-type"
"""Parameter that keeps the type of a message or multipart that had to travel as application/octet-stream."""

_PROTECTED: Final = ';\r\n hp="cipher"; protected-headers="v1"\r\n'
_NOT_7BIT_LINES: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


class _Entity(NamedTuple):
    media_type: str
    """The value of Content-Type, with its parameters."""
    fields: str
    """The other Content fields, each with CRLF."""
    body: Iterable[bytes]


def compose(message: Message, job: SealJob) -> Iterator[bytes]:
    """Give the pieces of the MIME entity of a message, in order. Attachments are read while they are due.

    Raises:
        FormatFailed: see :meth:`gre_formatter_mime.formatter.MimeFormatter.format`.
    """
    wishes = wishes_of(job)
    try:
        head = _message_fields(message, job, wishes.confidentiality)
        root = _root(message)
        if wishes.padding is Padding.PADME:
            if not root.media_type.startswith("multipart/"):
                root = _multipart("mixed", [root])
            yield from padded(_pieces(head, root))
        else:
            yield from _pieces(head, root)
        yield b"\r\n"
    except UnicodeEncodeError:
        # Not chained: that error holds the text of the message.
        raise FormatFailed("The message has half of a surrogate pair, which is no text; remove it") from None


def _pieces(head: str, root: _Entity) -> Iterator[bytes]:
    yield f"{head}Content-Type: {root.media_type}{_PROTECTED}{root.fields}\r\n".encode("ascii")
    yield from root.body


def _message_fields(message: Message, job: SealJob, policy: Confidentiality) -> str:
    """Give the header fields that are protected (RFC 9788) and MIME-Version."""
    sender = write.address(job.data.sender_id, "the sender")
    to = message.to or tuple(recipient.legacy_id for recipient in job.recipients)
    fields = [write.fold("From", (sender,))]
    if to:
        fields.append(write.addresses("To", to))
    if message.cc:
        fields.append(write.addresses("Cc", message.cc))
    if message.subject is not None:
        fields.append(write.subject(message.subject))
    domain = _domain(job, sender)
    fields += (write.date(job.date), write.message_id(job.origin_id, domain))
    if message.in_reply_to:
        fields.append(write.ids("In-Reply-To", (message.in_reply_to,)))
    if message.references:
        fields.append(write.ids("References", message.references))
    fields += (write.protected(name, value) for name, value in job.protected)
    # The outer Date is the gateway's clock, which we do not know.
    outer = outer_fields(message, job, policy, sender, domain)
    fields += (write.outer_field(name, value) for name, value in outer.items() if name.lower() != "date")
    fields.append("MIME-Version: 1.0\r\n")
    return "".join(fields)


def message_id(job: SealJob) -> str:
    """Give the Message-ID that a message will have, without angle brackets.

    Raises:
        FormatFailed: the origin-id cannot be part of one.
    """
    return write.new_id(job.origin_id, _domain(job, job.data.sender_id))


def _domain(job: SealJob, sender: str) -> str:
    """Give the right part of the Message-ID: what the gateway says, or the domain of the sender."""
    values = job.data.values(NAMESPACE, "domain")
    return values[0] if values and write.is_domain(values[0]) else sender.rpartition("@")[2]


def _root(message: Message) -> _Entity:
    text, html = message.text, message.html
    if html is None:
        if not message.attachments:
            return _text(text, "plain")
        return _mixed(_text(text, "plain"), message.attachments)
    shown = [attachment for attachment in message.attachments if attachment.inline and attachment.content_id]
    others = [
        attachment for attachment in message.attachments if not (attachment.inline and attachment.content_id)
    ]
    rich = _text(html, "html")
    if shown:
        rich = _multipart("related", [rich, *map(_attachment, shown)], ';\r\n type="text/html"')
    both = _multipart("alternative", [_text(text or text_of_html(html), "plain"), rich])
    return _mixed(both, others) if others else both


def _mixed(first: _Entity, attachments: Sequence[Attachment]) -> _Entity:
    return _multipart("mixed", [first, *map(_attachment, attachments)])


def _text(text: str, subtype: str) -> _Entity:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    encoding, body = encode_text(text)
    return _Entity(f"text/{subtype}; charset=utf-8", f"Content-Transfer-Encoding: {encoding}\r\n", (body,))


def _multipart(subtype: str, parts: Sequence[_Entity], parameters: str = "") -> _Entity:
    # 128 random bits collide with no content, and "=_" stands in neither base64 nor quoted-printable.
    boundary = f"=_{secrets.token_hex(16)}"
    return _Entity(
        f'multipart/{subtype};\r\n boundary="{boundary}"{parameters}', "", _multipart_body(parts, boundary)
    )


def _multipart_body(parts: Sequence[_Entity], boundary: str) -> Iterator[bytes]:
    line_end = ""
    for part in parts:
        head = f"{line_end}--{boundary}\r\nContent-Type: {part.media_type}\r\n{part.fields}\r\n"
        yield head.encode("ascii")
        yield from part.body
        line_end = "\r\n"
    yield f"\r\n--{boundary}--".encode("ascii")


def _attachment(attachment: Attachment) -> _Entity:
    kind, parameters = write.media_type(attachment.media_type)
    name = safe_name(attachment.name, kind)
    disposition = "inline" if attachment.inline else "attachment"
    fields = f"Content-Disposition: {disposition}{write.parameter('filename', name)}\r\n"
    if attachment.content_id:
        fields = write.content_id(attachment.content_id) + fields
    if kind.startswith(("message/", "multipart/")):
        return _composite(attachment, kind, fields)
    return _Entity(kind + parameters, f"{fields}Content-Transfer-Encoding: base64\r\n", _encoded(attachment))


def _composite(attachment: Attachment, kind: str, fields: str) -> _Entity:
    """Write a message as an attachment.

    Base64 is forbidden for it (RFC 2046, section 5.2.1). When its bytes cannot travel as they are, or would
    be taken for a part of our own structure, it travels as application/octet-stream, and our reader
    restores its type.
    """
    content = _read(attachment)
    longest = max(map(len, content.split(b"\r\n")))
    if (
        kind.startswith("message/")
        and content.isascii()
        and longest <= HARD_LINE
        and not _NOT_7BIT_LINES.search(content)
    ):
        return _Entity(kind, f"{fields}Content-Transfer-Encoding: 7bit\r\n", (content,))
    return _Entity(
        f'application/octet-stream;\r\n {ORIGINAL_TYPE}="{kind}"',
        f"{fields}Content-Transfer-Encoding: base64\r\n",
        _encoded(attachment),
    )


def _open(attachment: Attachment) -> BinaryIO:
    try:
        return attachment.open()
    except OSError as error:
        raise _unreadable(error) from error


def _read(attachment: Attachment) -> bytes:
    with _open(attachment) as stream:
        try:
            return stream.read()
        except OSError as error:
            raise _unreadable(error) from error


def _encoded(attachment: Attachment) -> Iterator[bytes]:
    with _open(attachment) as stream:
        pieces = encode_stream(stream)
        while True:
            try:
                piece = next(pieces, None)
            except OSError as error:
                raise _unreadable(error) from error
            if piece is None:
                return
            yield piece


def _unreadable(error: OSError) -> FormatFailed:
    # Without the path: it is the sender's, and the text of an error may end up in a log.
    return FormatFailed(
        f"An attachment cannot be read ({error.strerror or type(error).__name__}). Attach it again"
    )
