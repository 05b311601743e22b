"""The MIME reader: from memory and from a stream, its attachments, and the way through a worker process."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_formatter_mime import limits
from gre_formatter_mime.formatter import MimeFormatter

from gre_core.api import (
    Attachment,
    DataForm,
    Direction,
    Message,
    OpenJob,
    Recipient,
    SealJob,
    encrypter,
    formatter,
)
from gre_core.errors import ParseFailed
from gre_core.message_codec import decode_message, encode_message

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "mime"

_MIME: Final = MimeFormatter()
_OPEN: Final = OpenJob(
    "romeo@montague.example",
    "j@mail.montague.example",
    Direction.RECEIVED,
    formatter("mime"),
    encrypter("openpgp"),
)
_SEAL: Final = SealJob(
    account="romeo@montague.example",
    recipients=(Recipient("j@mail.montague.example", "juliet@capulet.example"),),
    data=DataForm("romeo@mail.montague.example"),
    formatter=formatter("mime"),
    encrypter=encrypter("openpgp"),
    origin_id="5d2f6c1a",
    date=datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC),
)
_HEAD: Final = (
    b"From: a@x.example\nTo: G: b@x.example, <@r:c@x.example>;\nSubject: =?utf-8?B?w6k=?= =?l1?q?=E9?=\n"
)


def seeds() -> Iterator[bytes]:
    """Give mails of every structure that is treated in a way of its own."""
    picture = Attachment.from_bytes("b\u00e9.png", "image/png", b"\x89PNG", inline=True, content_id="a@b")
    yield _MIME.format(Message("Hello", subject="s", in_reply_to="a@b", references=("a@b",)), _SEAL)
    yield _MIME.format(Message("Gr\u00fc\u00dfe", "<p>\u65e5<img src='cid:a@b'>", "s", (picture,)), _SEAL)
    yield _HEAD + (
        b"Date: Mon, 23 Nov 2026 17:04:09 +0100 (CET)\nHP-Outer: Subject: [...]\nAutocrypt: addr=a@x; keydata=AA\n BB\n"
        b"Message-ID: <1@x>\nReferences: <0@x>\n <1@x>\nContent-Type: text/plain; hp=cipher; hp-legacy-display=1;\n"
        b" format=flowed; delsp=yes; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
        b"Subject: s\n\na =\n=E9 \n> b \n-- \nc\n"
    )
    yield _HEAD + (
        b"Content-Type: multipart/mixed; boundary=x; protected-headers=v1\n\npre\n--x\n"
        b"Content-Type: text/rfc822-headers; protected-headers=v1\n\nSubject: s\n\n--x\n"
        b"Content-Type: multipart/alternative; boundary=y\n\n--y\n\nplain\n--y\nContent-Type: text/html; charset=utf-16\n"
        b"Content-Transfer-Encoding: base64\n\nPABiAD4A\n--y--\n--x\nContent-Type: application/pdf; name*0*=utf-8''%41; name*1=b\n"
        b"Content-Disposition: attachment; filename*=l1'de'%E9.pdf\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n#8V%T\n`\nend\n--x--\n"
    )
    yield (
        b"Content-Type: multipart/signed; protocol=application/pgp-signature; boundary=s\n\n--s\n"
        b"Content-Type: message/rfc822; forwarded=no\n\n" + _HEAD + b"\nhello\n--s\n"
        b"Content-Type: application/pgp-signature\nContent-Transfer-Encoding: base64\n\nAAAA\n--s--\n"
    )
    yield _HEAD + (
        b"Content-Type: multipart/encrypted; boundary=e\n\n--e\nContent-Type: application/pgp-encrypted\n\n--e\n\nx\n--e--\n"
    )
    yield _HEAD + (
        b"Content-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html; hp-legacy-display=1\n\n"
        b'<div class="header-protection-legacy-display">s</div><style>p{background:u\\72l(x)}</style><a href="https://x">&amp;&#65;</a>'
        b"<!-- c --><img src=cid:a><table><tr><td>1<li>\n--r\nContent-ID: <a>\nContent-Type: image/gif\n\nGIF\n--r--\n"
    )
    yield b"Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: 1\n\n1\n--d\nContent-Type: application/pkcs7-mime\n\n--d--"
    yield b"From me\nSubject: x\n no field\n\nbody"


def run(data: bytes) -> None:
    """Read it each way; what is read is the same, within its bounds, and nothing but our error comes out."""
    try:
        message = _MIME.parse(data, _OPEN)
    except ParseFailed:
        message = None
    if message is not None:
        _check(message, len(data))
        assert decode_message(encode_message(message)) == _with_sizes(message)
    if b"\n" not in data:
        return  # line ends of a bare CR are mended in memory only
    try:
        streamed = _MIME.parse_from(io.BytesIO(data), _OPEN)
    except ParseFailed:
        assert message is None
        return
    assert message == streamed
    assert message.signed == streamed.signed
    assert message.notices == streamed.notices
    assert message.hidden == streamed.hidden
    for one, other in zip(message.attachments, streamed.attachments, strict=True):
        assert one.read() == other.read()


def _with_sizes(message: Message) -> Message:
    files = tuple(replace(one, size=len(one.read())) for one in message.attachments)
    return replace(message, attachments=files)


def _check(message: Message, size: int) -> None:
    assert len(message.attachments) <= limits.MAX_PARTS
    assert len(message.to) <= limits.MAX_ADDRESSES
    assert len(message.references) <= limits.MAX_REFERENCES
    assert len(message.text) <= 8 * size + 4096
    assert "\r" not in message.text
    assert not set(message.subject or "") & set("\r\n\0")
    for attachment in message.attachments:
        assert attachment.name
        assert not set(attachment.name) & set("/\\\0\r\n")
        assert attachment.size is None or attachment.size >= len(attachment.read())
