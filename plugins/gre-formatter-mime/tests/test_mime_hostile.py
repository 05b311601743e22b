"""Payloads that are made to hurt: bounded in time and memory, and nothing but ParseFailed ever escapes."""

from __future__ import annotations

import io
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from gre_formatter_mime import limits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gre_core.errors import ParseFailed
from gre_core.mime_text.html_text import text_of_html

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import Message, OpenJob

MB = 1 << 20


def nested(depth: int) -> bytes:
    """Multiparts within each other."""
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level)
        for level in range(depth)
    )
    return (
        head
        + b"Content-Type: text/plain\r\n\r\ncore\r\n"
        + b"".join(b"--b%d--\r\n" % level for level in reversed(range(depth)))
    )


def mixed(body: bytes, boundary: bytes = b"x") -> bytes:
    return b"Content-Type: multipart/mixed; boundary=" + boundary + b"\n\n" + body


HOSTILE: dict[str, Callable[[], bytes]] = {
    "3,000 nested parts": lambda: nested(3000),
    "3,000 nested parts of one boundary": lambda: b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 3000,
    "30 nested parts around 8 MB": lambda: nested(30).replace(b"core", b"core" * 2 * MB),
    "nested messages": lambda: b"Content-Type: message/rfc822\n\n" * 100_000,
    "1,500,000 parts": lambda: mixed(b"--x\n" * 1_500_000),
    "100,000 parts": lambda: mixed(b"--x\n\n" * 100_000),
    "lines like delimiters": lambda: mixed(b"--x\n\n" + b"--xx\n" * 1_000_000),
    "delimiters without an end": lambda: mixed(b"--x" * 2_000_000),
    "empty boundary": lambda: b'Content-Type: multipart/mixed; boundary=""\n\n' + b"--\n" * MB,
    "huge boundary": lambda: mixed(b"--x\n\n", b"x" * 100_000),
    "200 KB Content-Type of parameters": lambda: b"Content-Type: text/plain" + b"; a=b" * 40_000 + b"\n\nx",
    "184 KB Content-Type of semicolons": lambda: b"Content-Type: text/plain" + b";" * 184_000 + b"\n\nx",
    "184 KB Content-Type of spaces": lambda: b"Content-Type: text/plain;" + b" " * 184_000 + b"x\n\nx",
    "300 Content-Types of spaces": lambda: mixed((b"--x\nContent-Type: text/plain;" + b" " * 16_000 + b"x\n\n\n") * 300),
    "184 KB Content-Type of names": lambda: b"Content-Type: text/plain; " + b"a " * 92_000 + b"\n\nx",
    "184 KB Content-Type of quotes": lambda: b"Content-Type: text/plain; a=" + b'"\\' * 92_000 + b"\n\nx",
    "184 KB Content-Type of sections": lambda: b"Content-Type: text/plain"
    + b"".join(b"; name*%d*=%%41" % number for number in range(12_000))
    + b"\n\nx",
    "400 KB of encoded words": lambda: b"Subject: " + b"=?utf-8?Q?a?= " * 30_000 + b"\n\nx",
    "400 KB of unfinished words": lambda: b"Subject: " + b"=?utf-8?Q?" * 40_000 + b"\n\nx",
    "400 KB of question marks": lambda: b"Subject: " + b"=?" * 200_000 + b"\n\nx",
    "20,000 addresses": lambda: b"To: " + b", ".join(b"a%d@x.org" % number for number in range(20_000)) + b"\n\nx",
    "400 KB of comments": lambda: b"From: " + b"(" * 200_000 + b")" * 200_000 + b" a@x.org\n\nx",
    "400 KB of quotes": lambda: b"From: " + b'"\\' * 200_000 + b"\n\nx",
    "400 KB of angles": lambda: b"From: " + b"<" * 400_000 + b"\n\nx",
    "400 KB of signs": lambda: b"From: " + b"a@" * 200_000 + b"\n\nx",
    "400 KB of ids": lambda: b"References: " + b"<a@b> " * 60_000 + b"\n\nx",
    "400 KB of unfinished ids": lambda: b"References: " + b"<" + b"a" * 400_000 + b"\n\nx",
    "400 KB of folds": lambda: b"Subject: a" + b"\n " * 200_000 + b"\n\nx",
    "400 KB date": lambda: b"Date: " + b"1 " * 200_000 + b"\n\nx",
    "2 MB header": lambda: b"X-A: b\n" * 300_000 + b"\nx",
    "2 MB header line": lambda: b"X-A: " + b"b" * 2 * MB + b"\n\nx",
    "header of bare CR": lambda: b"Subject: a\r" * 40_000 + b"\n\nx",
    "NUL everywhere": lambda: b"Subject: \0a\0\nContent-Type: text/\0plain\n\n\0" + b"\0" * MB,
    "4 MB of broken base64": lambda: b"Content-Transfer-Encoding: base64\n\n" + b"A=!\xff" * MB,
    "4 MB of broken quoted-printable": lambda: b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=\n= " * MB,
    "4 MB of broken uuencode": lambda: b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n" + b"M\xff\n" * MB,
    "2 MB of flowed lines": lambda: b"Content-Type: text/plain; format=flowed\n\n" + b"> \n" * 700_000,
    "utf-7": lambda: b"Content-Type: text/plain; charset=utf-7\n\n" + b"+AAA" * MB,
    "punycode": lambda: b"Content-Type: text/plain; charset=punycode\n\n" + b"a-9" * MB,
    "4 MB of open tags": lambda: b"Content-Type: text/html\n\n" + b"<a " * MB,
    "4 MB of comments": lambda: b"Content-Type: text/html\n\n" + b"<!--" * MB,
    "4 MB of declarations": lambda: b"Content-Type: text/html\n\n" + b"<![x" * MB,
    "4 MB of links": lambda: b"Content-Type: text/html\n\n" + b'<a href="' * (MB // 2),
    "4 MB of references": lambda: b"Content-Type: text/html\n\n" + b"&#" * 2 * MB,
    "4 MB of scripts": lambda: b"Content-Type: text/html\n\n" + b"<script>" * (MB // 2),
    "4 MB of legacy display": lambda: b"Content-Type: text/html; hp-legacy-display=1\n\n" + b"<div class=" * (MB // 3),
    "1 MB of style comments": lambda: b"Content-Type: text/html\n\n" + b"/*" * (MB * 9 // 20),
    "1 MB of style escapes": lambda: b"Content-Type: text/html\n\n" + b"\\7" * (MB * 9 // 20),
    "1 MB of style addresses": lambda: b"Content-Type: text/html\n\n" + b"url(  " * (MB * 9 // 60) + b"&",
    "1 MB of sources": lambda: b"Content-Type: text/html\n\n" + b" src = cid:" * (MB * 9 // 110),
    "1 MB of spaces in a source": lambda: b"Content-Type: text/html\n\n src" + b" " * (MB * 9 // 10),
    "1 MB of prefixes": lambda: b"Content-Type: text/html\n\n" + b"<a:" * (MB * 9 // 30),
    "60 KB of legacy fields": lambda: b"Content-Type: text/plain; hp=cipher; hp-legacy-display=1\n\n" + b"a:\n " * 15_000,
    "2,000 hidden fields": lambda: b"HP-Outer: Comments: a\nComments: b\n" * 990 + b"Content-Type: text/plain; hp=cipher\n\n",
    "signed parts in each other": lambda: b"Content-Type: multipart/signed; boundary=b\n\n--b\n" * 3000,
    "8 MB signed": lambda: b"Content-Type: multipart/signed; boundary=b\n\n--b\n\n" + b"a\n" * 4 * MB + b"--b\nContent-Type: application/pgp-signature\n\n--b--",
    "wrapped messages": lambda: b"Content-Type: message/rfc822\nFrom: a@b\n\n" * 10_000,
    "1 MB of base64 blocks": lambda: b"Content-Transfer-Encoding: base64\n\n" + b"QQ==" * (MB // 4),
    "a mbox line without an end": lambda: b"From " * MB,
}  # fmt: skip


def read(
    mime: MimeFormatter, open_job: OpenJob, source: bytes | io.BytesIO
) -> tuple[Message, list[bytes]] | None:
    """Read a payload with all its attachments; None when it is refused."""
    try:
        message = (
            mime.parse(source, open_job) if isinstance(source, bytes) else mime.parse_from(source, open_job)
        )
    except ParseFailed:
        return None
    return message, [attachment.read() for attachment in message.attachments]


@pytest.mark.parametrize("name", HOSTILE)
def test_bounded_in_time(mime: MimeFormatter, open_job: OpenJob, name: str) -> None:
    payload = HOSTILE[name]()
    began = time.process_time()
    for source in (payload, io.BytesIO(payload)):
        read(mime, open_job, source)
    # Ten times what a slow machine needs; quadratic work on some 100 KB takes longer than this anywhere.
    assert time.process_time() - began < 3 + 15 * len(payload) / MB


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("3,000 nested parts", "nested deeper than 30"),
        ("100,000 parts", "more than 1000 parts"),
        ("lines like delimiters", "look like"),
        ("2 MB header", "larger than 524288 bytes"),
        ("2 MB header line", "larger than 524288 bytes"),
    ],
)
def test_what_is_beyond_the_bounds_is_refused_with_a_reason(
    mime: MimeFormatter, open_job: OpenJob, name: str, text: str
) -> None:
    with pytest.raises(ParseFailed, match=text):
        mime.parse(HOSTILE[name](), open_job)


def test_what_is_within_the_bounds_is_read(mime: MimeFormatter, open_job: OpenJob) -> None:
    assert mime.parse(nested(limits.MAX_DEPTH), open_job).text == "core"
    with pytest.raises(ParseFailed):
        mime.parse(nested(limits.MAX_DEPTH + 1), open_job)
    files = b"--x\nContent-Disposition: attachment\n\n"
    assert (
        len(mime.parse(mixed(files * (limits.MAX_PARTS - 1)), open_job).attachments) == limits.MAX_PARTS - 1
    )
    with pytest.raises(ParseFailed):
        mime.parse(mixed(files * limits.MAX_PARTS), open_job)
    addresses = mime.parse(HOSTILE["20,000 addresses"](), open_job).to
    assert len(addresses) == limits.MAX_ADDRESSES
    assert addresses[0] == "a0@x.org"
    assert len(mime.parse(HOSTILE["400 KB of ids"](), open_job).references) == limits.MAX_REFERENCES


def test_a_long_content_type_still_has_its_first_parameters(mime: MimeFormatter, open_job: OpenJob) -> None:
    payload = b"Content-Type: multipart/mixed; boundary=x" + b"; a=b" * 40_000 + b"\n\n--x\n\ntext\n--x--\n"
    assert mime.parse(payload, open_job).text == "text"


def test_memory_stays_near_the_size_of_the_payload(mime: MimeFormatter, open_job: OpenJob) -> None:
    for name in (
        "1,500,000 parts",
        "lines like delimiters",
        "20,000 addresses",
        "2 MB header",
        "NUL everywhere",
    ):
        payload = HOSTILE[name]()
        tracemalloc.start()
        read(mime, open_job, payload)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * len(payload) + 4 * MB, name


def test_text_beyond_the_bounds_becomes_attachments(mime: MimeFormatter, open_job: OpenJob) -> None:
    text = b"x" * (limits.MAX_TEXT // 3)
    message = mime.parse(mixed((b"--x\n\n" + text + b"\n") * 5 + b"--x--\n"), open_job)
    assert len(message.text) == 3 * len(text) + 2
    assert [attachment.size for attachment in message.attachments] == [len(text)] * 2
    (whole,) = mime.parse(mixed(text * 4), open_job).attachments
    assert (whole.media_type, whole.size) == ("text/plain", 4 * len(text))


def test_of_a_huge_html_the_beginning_becomes_text(mime: MimeFormatter, open_job: OpenJob) -> None:
    message = mime.parse(b"Content-Type: text/html\n\n" + b"<p>word</p>" * 200_000, open_job)
    assert message.html is not None
    assert len(message.html) == 11 * 200_000
    assert message.text.startswith("word\n\nword")
    assert message.text.endswith("\n\n[...]")
    assert len(message.text) < limits.MAX_REFLOWED


def test_a_payload_that_is_too_large_is_refused(
    mime: MimeFormatter, open_job: OpenJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gre_formatter_mime.source.MAX_PAYLOAD", 100)
    monkeypatch.setattr("gre_formatter_mime.source.MAX_STREAM", 200)
    assert mime.parse(b"Subject: x\n\n", open_job).subject == "x"
    with pytest.raises(ParseFailed, match="at most 100"):
        mime.parse(b"Subject: x\n\n" + b"y" * 100, open_job)
    assert mime.parse_from(io.BytesIO(b"Subject: x\n\n" + b"y" * 100), open_job).subject == "x"
    with pytest.raises(ParseFailed, match="at most 200"):
        mime.parse_from(io.BytesIO(b"Subject: x\n\n" + b"y" * 200), open_job)


PIECES = st.sampled_from(
    [
        b"Content-Type: ", b"multipart/mixed", b"multipart/alternative", b"multipart/related", b"multipart/signed",
        b"multipart/digest", b"text/html", b"message/rfc822", b"; boundary=x", b'; boundary="x"', b"; charset=", b"utf-16",
        b"; name*0*=", b"; filename*=", b"utf-8''%", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable",
        b"x-uuencode", b"Content-Disposition: attachment", b"Content-ID: <a>", b"Subject: ", b"=?utf-8?B?", b"?=", b"From: ",
        b"<", b">", b"(", b'"', b"Date: ", b"\n", b"\n\n", b"\r\n", b"\r", b"\0", b"\n--x\n", b"--x--", b"--x", b" ", b"\t",
        b"=", b"&#", b"<!--", b"begin 644 a\n", b"; hp-legacy-display=1", b"; format=flowed",
    ]
)  # fmt: skip
SOUP = st.lists(PIECES | st.binary(max_size=12), max_size=60).map(b"".join)


@given(SOUP)
@example(b"")
@example(b"\r")
@example(b"Date: Mon, 23 Nov 2026 17:04:09 +2460\n\n")
@settings(max_examples=1000, deadline=None)
def test_only_parse_failed_escapes(mime: MimeFormatter, open_job: OpenJob, payload: bytes) -> None:
    in_memory, from_stream = (read(mime, open_job, source) for source in (payload, io.BytesIO(payload)))
    if b"\n" in payload:  # else line ends of a bare CR are mended, which a stream cannot
        assert in_memory == from_stream


@given(st.text(st.sampled_from("<>!-&#;'\"/ ab\nscript"), max_size=200))
@settings(max_examples=300, deadline=None)
def test_text_of_html_takes_anything(markup: str) -> None:
    text_of_html(markup)
