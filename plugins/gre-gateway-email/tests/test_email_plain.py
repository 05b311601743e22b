"""Unencrypted mails: what a chat shows of them, and that nothing is left out without a word."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from gre_gateway_email.carrier import Envelope
from gre_gateway_email.mail.mime_scan import Unreadable
from gre_gateway_email.mail.plain_reading import read_plain
from gre_gateway_email.mail.plain_writing import File, write_plain


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def built(text="Hello", *, html=None, files=(), subject="Greetings") -> bytes:
    mail = EmailMessage()
    mail["Subject"] = subject
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    for name, content in files:
        mail.add_attachment(content, maintype="image", subtype="png", filename=name)
    return mail.as_bytes(policy=policy.SMTP)


def test_text_and_subject():
    mail = read_plain(built("Grüße\naus Verona", subject="Ä Brief"))
    assert mail.text == "Grüße\naus Verona"
    assert mail.subject == "Ä Brief"
    assert "Verona" not in repr(mail)


def test_the_plain_alternative_is_taken():
    assert read_plain(built("plain", html="<p>rich</p>")).text == "plain"


def test_html_alone_becomes_text():
    raw = crlf("Content-Type: text/html; charset=utf-8\n\n<p>Hello <b>Juliet</b></p><script>evil()</script>")
    assert read_plain(raw).text == "Hello Juliet"


def test_attachments_are_named():
    text = read_plain(built(files=[("rose.png", b"x"), ("thörn.png", b"y")])).text
    assert text.startswith("Hello\n\n[2 attachments were not delivered: rose.png, thörn.png.")
    assert "1 attachment was not" in read_plain(built(files=[("rose.png", b"x")])).text


def test_many_attachments_are_counted():
    text = read_plain(built(files=[(f"{n}.png", b"x") for n in range(30)])).text
    assert "30 attachments were not delivered" in text
    assert "9.png, ..." in text


def test_an_empty_mail_says_so():
    assert read_plain(b"").text == "[The mail has no text.]"
    assert read_plain(b"\r\n").text == "[The mail has no text.]"


def test_a_signed_mail_shows_its_text():
    raw = crlf(
        "Content-Type: multipart/signed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsigned\n"
        "--b\nContent-Type: application/pgp-signature\n\nxyz\n--b--\n"
    )
    assert read_plain(raw).text == "signed"


@pytest.mark.parametrize(
    ("charset", "content", "expected"),
    [
        ("iso-8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("windows-1252", b"\x93x\x94", "“x”"),
        ("koi8-r", b"\xf0", "П"),
        ("no-such-charset", "ä".encode(), "ä"),
        ("", b"\xff", "\ufffd"),
        ("base64", b"eA==", "eA=="),
        ("idna", b"xn--" + b"a" * 100, "xn--" + "a" * 100),
        ("punycode", b"abc-", "abc-"),
        ("x" * 5000, b"x", "x"),
        ("utf-8\0", b"x", "x"),
    ],
    ids=str,
)
def test_charsets(charset, content, expected):
    raw = f'Content-Type: text/plain; charset="{charset}"\r\n\r\n'.encode() + content
    assert read_plain(raw).text == expected


def test_what_xml_cannot_hold_is_replaced():
    assert clean("a\0b\x1bc\ud800d\uffffe\tf\r\ng\rh") == "a\ufffdb\ufffdc\ufffdd\ufffde\tf\ng\nh"


@pytest.mark.parametrize(
    "subject", ["=?utf-8?q?a", "=?utf-8?b?!!!?=", "=?x-none?q?abc?=", "=?utf-8?q?" + "=00" * 900]
)
def test_odd_subjects_do_not_raise(subject):
    found = read_plain(f"Subject: {subject}\r\n\r\nx".encode())
    assert found.text == "x"
    assert "\0" not in found.subject


def nested(depth: int) -> bytes:
    lines = []
    for level in range(depth):
        lines += [f"Content-Type: multipart/mixed; boundary=b{level}x", "", f"--b{level}x"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", "deep", ""]).encode()


def test_a_few_levels_are_read():
    assert read_plain(nested(5)).text == "deep"


HOSTILE = {
    "3,000 nested parts": nested(3000),
    "3,000 parts side by side": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 3000,
    "parts of parts": (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 90
    ),
    "1 MB of open tags": b"Content-Type: text/html\r\n\r\n" + b"<a " * 300_000,
    "1 MB of comments": b"Content-Type: text/html\r\n\r\n" + b"<!--" * 250_000,
    "1 MB of scripts": b"Content-Type: text/html\r\n\r\n" + b"<script>" * 130_000,
    "1 MB of angles": b"Content-Type: text/html\r\n\r\n" + b"<" * 1_000_000,
    "1 MB of entities": b"Content-Type: text/html\r\n\r\n" + b"&amp" * 250_000,
    "1 MB of spaces": b"Content-Type: text/html\r\n\r\n" + b" \n" * 500_000,
    "encoded words": b"Subject: " + b"=?utf-8?q?=41?= " * 3000 + b"\r\n\r\nx",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_are_read_in_time(name):
    started = time.process_time()
    read_plain(HOSTILE[name])
    # Ten times what a slow machine needs; quadratic work on a megabyte takes longer than this anywhere.
    assert time.process_time() - started < 20


def test_a_header_beyond_the_bounds_is_refused():
    with pytest.raises(Unreadable, match="header longer than"):
        read_plain(b"X: " + b"y" * 200_000 + b"\r\n\r\n")


def test_all_mails_of_the_corpora_can_be_shown(corpora):
    for path in corpora.rglob("*.eml"):
        try:
            mail = read_plain(path.read_bytes())
        except Unreadable:
            continue
        assert mail.text
        (mail.text + mail.subject).encode()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b", "a\nb"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("a &lt; b &amp;&nbsp;c", "a < b & c"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<style>p{}</style>x<!-- y -->z", "xz"),
        ("<SCRIPT>a<b</SCRIPT>x", "x"),
        ("x<script>never ends", "x"),
        ("x<!-- never ends", "x"),
        ("x<a href='never ends", "x"),
        ("<title>t</title><body>x", "x"),
        ("a\n  b", "a b"),
        ("", ""),
    ],
)
def test_text_of_html(html, text):
    assert text_of(html) == text


def test_out_long_text_keeps_its_lines_short():
    envelope = Envelope("a@example.org", ("b@example.net",), "x@example.org", datetime.now(UTC))
    raw = write_plain("word " * 5000, "long " * 300, envelope)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    parsed = message_from_bytes(raw, policy=policy.default)
    assert parsed.get_content() == "word " * 5000
    assert len(parsed["Subject"]) <= 1000


def test_out_text_with_lone_surrogates_does_not_raise():
    envelope = Envelope("a@example.org", ("b@example.net",), "x@example.org", datetime.now(UTC))
    assert b"From: a@example.org" in write_plain("x\ud800y", None, envelope)
