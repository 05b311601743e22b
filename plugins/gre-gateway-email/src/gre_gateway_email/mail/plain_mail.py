"""Unencrypted mails, both ways: for people whose client or correspondent has no encryption."""

from __future__ import annotations

import binascii
import codecs
import re
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.addresses import address_list
from gre_gateway_email.mail.html_text import text_of

if TYPE_CHECKING:
    from gre_gateway_email.carrier import Envelope

MAX_DEPTH: Final = 8
MAX_PARTS: Final = 100
MAX_SUBJECT: Final = 1000
MAX_HTML: Final = 512 * 1024
MAX_NAMES: Final = 10

_COLUMNS: Final = 76
_SIGNATURES: Final = frozenset({"application/pgp-signature", "application/pkcs7-signature"})
_ODD_CODECS: Final = frozenset(
    {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"}
)
# What XML 1.0 cannot hold (section 2.2), and lone surrogates.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class PlainMail:
    """What a chat can show of a mail.

    Arguments:
        text: the text, with a note about what is left out.
        subject: or ``""``.
    """

    text: str = field(repr=False)
    subject: str = field(repr=False)


def read_plain(mail: bytes) -> PlainMail:
    """Read the text of a mail, which may be hostile.

    Raises:
        Unreadable: its header is beyond the bounds.
    """
    root = mime_scan.read(mail)
    walk = _Walk()
    walk.visit(root, 0)
    text = "\n\n".join(piece for piece in walk.texts if piece.strip())
    note = walk.note()
    if note:
        text = f"{text}\n\n[{note}]" if text else f"[{note}]"
    return PlainMail(clean(text or "[The mail has no text.]"), clean(_decoded(root.first("subject"))))


def write_plain(text: str, subject: str | None, envelope: Envelope) -> bytes:
    """Make a mail of a text: 7bit, CRLF, base64 of UTF-8."""
    body = binascii.b2a_base64(
        text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace"), newline=False
    )
    lines = b"\r\n".join([body[at : at + _COLUMNS] for at in range(0, len(body), _COLUMNS)])
    head = (
        f"Date: {format_datetime(envelope.date)}\r\n"
        f"From: {envelope.sender}\r\n"
        f"To: {address_list(envelope.recipients)}\r\n"
        f"Message-ID: <{envelope.message_id}>\r\n"
        f"Subject: {_encoded(subject)}\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "\r\n"
    )
    return head.encode("ascii") + lines + b"\r\n"


def clean(text: str) -> str:
    """Replace what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


class _Walk:
    """Collects texts and what is left out."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.left_out: list[str] = []
        self._parts = 0

    def visit(self, part: mime_scan.Entity, depth: int) -> None:
        kind, parameters = mime_scan.structured(part.first("content-type", "text/plain"))
        disposition, named = mime_scan.structured(part.first("content-disposition"))
        self._parts += 1
        boundary = mime_scan.boundary_of(parameters)
        if kind.startswith("multipart/") and boundary and depth < MAX_DEPTH and self._parts <= MAX_PARTS:
            self._visit_parts(part, kind, boundary, depth)
        elif kind in {"text/plain", "text/html"} and disposition != "attachment" and self._parts <= MAX_PARTS:
            self.texts.append(_text(part, kind, parameters))
        elif kind not in _SIGNATURES:
            self.left_out.append(_decoded(named.get("filename") or parameters.get("name") or kind))

    def _visit_parts(self, part: mime_scan.Entity, kind: str, boundary: str, depth: int) -> None:
        try:
            parts = part.parts(boundary, MAX_PARTS)
        except mime_scan.Unreadable as error:
            self.left_out.append(f"a part that {error}")
            return
        if kind == "multipart/alternative" and parts:
            parts = [_best(parts)]
        for inner in parts:
            self.visit(inner, depth + 1)

    def note(self) -> str:
        """Say what is left out, so that nothing is lost without a word."""
        if not self.left_out:
            return ""
        names = ", ".join(" ".join(name.split())[:80] for name in self.left_out[:MAX_NAMES])
        more = ", ..." if len(self.left_out) > MAX_NAMES else ""
        count = len(self.left_out)
        noun, verb = ("attachment", "was") if count == 1 else ("attachments", "were")
        return f"{count} {noun} {verb} not delivered: {names}{more}. Only encrypted files are passed on."


def _best(parts: list[mime_scan.Entity]) -> mime_scan.Entity:
    kinds = [mime_scan.structured(part.first("content-type", "text/plain"))[0] for part in parts]
    for wanted in ("text/plain", "text/html"):
        if wanted in kinds:
            return parts[kinds.index(wanted)]
    return parts[-1]


def _text(part: mime_scan.Entity, kind: str, parameters: dict[str, str]) -> str:
    content = part.content()
    if kind == "text/html":
        text = text_of(_decode(content[:MAX_HTML], parameters.get("charset", "")))
        return text if len(content) <= MAX_HTML else f"{text}\n[The rest of this HTML mail is left out.]"
    return _decode(content, parameters.get("charset", "")).strip("\r\n")


def _decode(content: bytes, charset: str) -> str:
    try:
        codec = codecs.lookup(charset.strip() or "utf-8").name
        if codec not in _ODD_CODECS:
            return content.decode(codec, "replace")
    except (LookupError, ValueError):
        pass
    return content.decode("utf-8", "replace")


def _decoded(value: str) -> str:
    """Undo encoded words (RFC 2047)."""
    try:
        return str(make_header(decode_header(value[:MAX_SUBJECT])))
    except (HeaderParseError, LookupError, ValueError):
        return value[:MAX_SUBJECT]


def _encoded(subject: str | None) -> str:
    line = " ".join((subject or "").split())[:MAX_SUBJECT]
    return Header(line, "utf-8" if not line.isascii() else "us-ascii", header_name="Subject").encode(
        linesep="\r\n"
    )
