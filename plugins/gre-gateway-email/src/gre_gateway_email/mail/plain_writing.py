"""Makes an unencrypted mail of a text and files: 7bit, CRLF, names in every script (RFC 2183, RFC 2231)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from email.header import Header
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pybase64

from gre_gateway_email.mail.addresses import address_list, on_the_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_gateway_email.carrier import Envelope

MAX_SUBJECT: Final = 1000
_SECTION: Final = 60
"""Characters in one section of a long parameter (RFC 2231, section 3)."""

_SIGNS: Final = _SECTION // 3
"""As many percent-encoded bytes."""

_PLAIN_TEXT: Final = re.compile(r"(?!From )[\t -~]{0,76}(?<![ \t])(?:\n(?!From )[\t -~]{0,76}(?<![ \t]))*")
_PLAIN_SUBJECT: Final = re.compile(r"[!-~]{0,60}(?: [!-~]{1,60})*")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_. ()+-]{1,50}")
_COMPOSITE: Final = ("message/", "multipart/")


@dataclass(frozen=True, slots=True)
class File:
    """A file for a mail.

    Arguments:
        name: safe to save.
        media_type: of the right shape, without parameters but for ``charset`` of a text.
        content: all of it.
    """

    name: str = field(repr=False)
    media_type: str
    content: bytes = field(repr=False)


def write_plain(
    text: str,
    subject: str | None,
    envelope: Envelope,
    *,
    files: Sequence[File] = (),
    in_reply_to: str | None = None,
    references: Sequence[str] = (),
) -> bytes:
    """Make a mail.

    Arguments:
        text: with LF or CRLF.
        subject: or None.
        envelope: who, to whom, when.
        files: attached in this order.
        in_reply_to: Message-ID of the mail that this one answers or corrects, without angle brackets.
        references: Message-IDs of the conversation, the oldest first, without angle brackets.
    """
    head = (
        f"Date: {format_datetime(envelope.date)}\r\n"
        f"From: {on_the_wire(envelope.sender)}\r\n"
        f"To: {address_list(envelope.recipients)}\r\n"
        f"Message-ID: <{envelope.message_id}>\r\n"
    )
    if in_reply_to:
        head += f"In-Reply-To: <{in_reply_to}>\r\n"
    if references:
        head += "References:{}\r\n".format("\r\n".join(f" <{each}>" for each in references))
    head += f"Subject: {_encoded(subject)}\r\nMIME-Version: 1.0\r\n"
    body = _text_part(text)
    if not files:
        return head.encode("utf-8") + body
    boundary = f"=_{secrets.token_hex(16)}"  # nobody can know it and put it into a text
    pieces = [head.encode("utf-8"), f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()]
    for part in (body, *map(_file_part, files)):
        pieces += [f"--{boundary}\r\n".encode(), part, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _text_part(text: str) -> bytes:
    text = text.replace("\r\n", "\n")
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    if _PLAIN_TEXT.fullmatch(text):
        return f"{head}7bit\r\n\r\n".encode() + text.replace("\n", "\r\n").encode() + b"\r\n"
    raw = text.replace("\n", "\r\n").encode("utf-8", "replace")
    return f"{head}base64\r\n\r\n".encode() + _base64(raw)


def _file_part(file: File) -> bytes:
    # What a message or a multipart is encoded in is fixed (RFC 2046, section 5.2.1).
    kind = "application/octet-stream" if file.media_type.startswith(_COMPOSITE) else file.media_type
    head = (
        f"Content-Type: {kind}\r\nContent-Disposition: attachment{_filename(file.name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode("ascii") + _base64(file.content)


def _base64(content: bytes) -> bytes:
    return pybase64.encodebytes(content).replace(b"\n", b"\r\n")


def _filename(name: str) -> str:
    """Write the parameter, in sections when it is long (RFC 2231, section 4.1)."""
    if _PLAIN_NAME.fullmatch(name):
        return f';\r\n filename="{name}"'
    encoded = f"utf-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    if len(encoded) <= _SECTION:
        return f";\r\n filename*={encoded}"
    signs = re.findall("%..|.", encoded)
    sections = ["".join(signs[at : at + _SIGNS]) for at in range(0, len(signs), _SIGNS)]
    return "".join(f";\r\n filename*{number}*={section}" for number, section in enumerate(sections))


def _encoded(subject: str | None) -> str:
    line = " ".join((subject or "").encode("utf-8", "replace").decode().split())[:MAX_SUBJECT]
    # What looks like an encoded word would be read as one, and a long word would make a line that is too long.
    plain = _PLAIN_SUBJECT.fullmatch(line) is not None and "=?" not in line
    return Header(line, "us-ascii" if plain else "utf-8", header_name="Subject").encode(linesep="\r\n")
