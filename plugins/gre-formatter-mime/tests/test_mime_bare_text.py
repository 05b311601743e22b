"""Inline PGP encrypts a text, not a mail: it opens as that text, with a notice, and loses no line."""

from __future__ import annotations

from io import BytesIO

import pytest
from gre_formatter_mime import bare_text as module
from gre_formatter_mime.formatter import MimeFormatter
from gre_formatter_mime.parse import parse_source
from gre_formatter_mime.source import BytesSource, StreamSource

from gre_core.errors import ParseFailed

TEXTS = {
    "one line": (b"Meet me in the garden", "Meet me in the garden"),
    "several lines": (b"Hello Juliet,\r\n\r\nmeet me\r\n", "Hello Juliet,\n\nmeet me"),
    "a first line with a colon": (b"Note: the garden\n\nat nine", "Note: the garden\n\nat nine"),
    "nothing but lines with a colon": (b"Where: garden\r\nWhen: nine\r\n", "Where: garden\nWhen: nine"),
    "UTF-8": ("Grüße".encode(), "Grüße"),
    "Latin-1": ("Grüße".encode("latin-1"), "Grüße"),
    "an old line end": (b"a\rb", "a\nb"),
    "HTML": (b"<p>Meet me</p>", "<p>Meet me</p>"),
}


@pytest.mark.parametrize("source", [BytesSource, lambda raw: StreamSource(BytesIO(raw))])
@pytest.mark.parametrize("name", TEXTS)
def test_a_payload_without_header_is_a_text(name, source):
    raw, text = TEXTS[name]
    message = parse_source(source(raw))
    assert message.text == text
    assert [notice.code for notice in message.notices] == ["no-inner-header"]
    assert message.claimed_sender is None
    assert message.html is None
    assert not message.headers


@pytest.mark.parametrize(
    "raw",
    [b"", b"%PDF-1.4\n\x00\x01", b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08", b"\xff\x00"],
)
def test_what_is_no_text_either_is_no_message(raw):
    with pytest.raises(ParseFailed, match="no header fields"):
        parse_source(BytesSource(raw))


def test_a_text_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_TEXT", 10)
    assert parse_source(BytesSource(b"x" * 10)).text == "x" * 10
    with pytest.raises(ParseFailed, match="no header fields"):
        parse_source(BytesSource(b"x" * 11))


@pytest.mark.parametrize(
    "header",
    [b"Subject: x", b"From: bob@example.net", b"Content-Type: text/plain", b"MIME-Version: 1.0", b"TO: x"],
)
def test_one_field_of_a_mail_makes_a_mail(header):
    message = MimeFormatter().parse(header + b"\r\n\r\nhello", None)
    assert message.text == "hello"
