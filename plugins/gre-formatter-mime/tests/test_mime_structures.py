"""Payloads with more than one layer: what counts as the message, and what a reader is told of the rest."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from gre_formatter_mime import limits
from gre_formatter_mime.remote_content import would_load

from gre_core.api import Message, SignedPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import OpenJob

    Read = Callable[[str], Message]


@pytest.fixture(scope="module", params=["LF", "CRLF", "stream"])
def read(request: pytest.FixtureRequest, mime: MimeFormatter, open_job: OpenJob) -> Read:
    """Read a mail that is written with LF here."""

    def read_it(mail: str) -> Message:
        raw = mail.encode()
        if request.param == "LF":
            return mime.parse(raw, open_job)
        raw = raw.replace(b"\n", b"\r\n")
        return (
            mime.parse(raw, open_job)
            if request.param == "CRLF"
            else mime.parse_from(io.BytesIO(raw), open_job)
        )

    return read_it


def codes(message: Message) -> list[str]:
    return [notice.code for notice in message.notices]


def files(message: Message) -> list[str]:
    return [attachment.name for attachment in message.attachments]


# -- RFC 3156, section 6.1 -------------------------------------------------------------------------

SIGNED = (
    'Content-Type: multipart/signed; micalg=pgp-sha256; protocol="application/pgp-signature"; boundary=s\n\n'
    "preamble\n--s\nContent-Type: text/plain\nFrom: juliet@capulet.example\nSubject: inner\n\nhello \n\nthere\n\n"
    "--s\nContent-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN PGP SIGNATURE-----\n--s--\n"
)


def test_a_signed_part_inside_is_handed_on_byte_by_byte(read: Read) -> None:
    message = read(SIGNED)
    assert message.signed == SignedPart(
        b"Content-Type: text/plain\r\nFrom: juliet@capulet.example\r\nSubject: inner\r\n\r\nhello \r\n\r\nthere\r\n",
        b"-----BEGIN PGP SIGNATURE-----",
        "application/pgp-signature",
    )
    assert (message.text, message.subject, message.claimed_sender) == (
        "hello \n\nthere\n", "inner", "juliet@capulet.example",
    )  # fmt: skip
    assert (message.attachments, codes(message)) == ((), [])


def test_fields_around_the_signed_part_do_not_count(read: Read) -> None:
    """Whoever encrypts a signed part to somebody else writes them."""
    around = "From: eve@x.example\nTo: you@x.example\nSubject: outer\nDate: Mon, 23 Nov 2026 17:04:09 +0000\nAutocrypt: x\n"
    message = read(around + SIGNED)
    assert (message.subject, message.claimed_sender, message.to, message.date) == (
        "inner", "juliet@capulet.example", (), None,
    )  # fmt: skip
    assert (dict(message.headers), codes(message)) == ({}, [])
    bare = read(around + SIGNED.replace("From: juliet@capulet.example\nSubject: inner\n", ""))
    assert (bare.subject, bare.claimed_sender, bare.to, bare.date, dict(bare.headers)) == (
        "outer",
        None,
        (),
        None,
        {},
    )
    assert codes(bare) == ["unsigned-fields"]
    assert bare.signed is not None


def test_an_encoded_signature_is_decoded(read: Read) -> None:
    message = read(
        SIGNED.replace(
            "name=signature.asc\n", "name=signature.asc\nContent-Transfer-Encoding: base64\n"
        ).replace("-----BEGIN PGP SIGNATURE-----", "LS0tLS1CRUdJTg==")
    )
    assert message.signed is not None
    assert message.signed.signature == b"-----BEGIN"


@pytest.mark.parametrize(
    ("mail", "code"),
    [
        (SIGNED.replace("--s--", "--s\n\nfooter\n--s--"), "partly-signed"),
        (f"Content-Type: multipart/mixed; boundary=list\nFrom: a@b\n\n--list\n{SIGNED}--list\n\nfooter\n--list--\n", "partly-signed"),
        (f"Content-Type: multipart/mixed; boundary=list\nFrom: a@b\n\n--list\n{SIGNED}--list--\n", "partly-signed"),
        (SIGNED.replace("application/pgp-signature", "application/pkcs7-signature"), "smime-inside"),
    ],
    ids=["three parts", "a footer of a list", "wrapped", "S/MIME"],
)  # fmt: skip
def test_a_signature_that_does_not_cover_all_is_no_judgement_and_stays_a_file(
    read: Read, mail: str, code: str
) -> None:
    message = read(mail)
    assert message.signed is None
    assert files(message) == ["signature.asc"]
    assert message.text.startswith("hello \n\nthere\n")
    assert code in codes(message)


def test_a_signature_beside_nothing_signed_stays_a_file(read: Read) -> None:
    message = read(SIGNED.replace("multipart/signed", "multipart/mixed"))
    assert (message.signed, files(message)) == (None, ["signature.asc"])


def test_a_signed_part_that_is_too_large_is_not_copied(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gre_formatter_mime.content.MAX_SIGNED", 20)
    message = read(SIGNED)
    assert (message.signed, files(message), codes(message)) == (
        None,
        ["signature.asc"],
        ["partly-signed"],
    )
    assert limits.MAX_SIGNED <= limits.MAX_PAYLOAD


# -- wrapped messages, older styles ----------------------------------------------------------------

WRAPPED = (
    "Content-Type: message/rfc822; forwarded=no\n\n"
    "From: juliet@capulet.example\nSubject: real\nMIME-Version: 1.0\nContent-Type: text/plain\n\nThe text.\n"
)


@pytest.mark.parametrize("head", ["", "; forwarded=no", '; Forwarded="no"'])
def test_a_message_that_was_wrapped_whole(read: Read, head: str) -> None:
    """The header protection of RFC 8551 (RFC 9788, section 4.10)."""
    message = read(WRAPPED.replace("; forwarded=no", head))
    assert (message.text, message.subject, message.claimed_sender) == (
        "The text.",
        "real",
        "juliet@capulet.example",
    )
    assert (message.attachments, set(message.hidden)) == ((), {"from", "subject"})


def test_a_wrapped_message_inside_a_signed_part(read: Read) -> None:
    head, _, tail = SIGNED.partition("Content-Type: text/plain\n")
    message = read(f"{head}{WRAPPED}\n--s\n{tail.partition('--s' + chr(10))[2]}")
    assert (message.text, message.subject) == ("The text.\n", "real")
    assert message.signed is not None
    assert codes(message) == []


@pytest.mark.parametrize(
    "mail",
    [
        WRAPPED.replace("forwarded=no", "forwarded=yes"),
        WRAPPED.replace("forwarded=no", 'hp="cipher"'),
        WRAPPED.replace("text/plain", 'text/plain; hp="cipher"'),
        WRAPPED.replace("text/plain", "multipart/encrypted; boundary=x"),
        "From: nurse@capulet.example\n" + WRAPPED,
        WRAPPED.replace("From: juliet@capulet.example\nSubject: real\n", ""),
        WRAPPED.replace("forwarded=no\n", "forwarded=no\nContent-Transfer-Encoding: base64\n"),
    ],
)
def test_a_forwarded_message_is_an_attachment(read: Read, mail: str) -> None:
    message = read(mail)
    assert message.claimed_sender != "juliet@capulet.example"
    assert [each.media_type for each in message.attachments] == ["message/rfc822"]


COPY = (
    'Subject: real\nContent-Type: multipart/mixed; boundary=x; protected-headers="v1"\n\n--x\n'
    'Content-Type: text/rfc822-headers; protected-headers="v1"\nContent-Disposition: inline\n\nSubject: real\n\n'
    "--x\nContent-Type: text/plain\n\nThe text.\n--x--\n"
)


@pytest.mark.parametrize("kind", ["text/rfc822-headers", "text/plain"])
def test_the_older_copy_of_protected_fields_is_not_shown(read: Read, kind: str) -> None:
    message = read(COPY.replace("text/rfc822-headers", kind))
    assert (message.text, message.subject, message.attachments) == ("The text.", "real", ())


def test_fields_that_stand_in_the_copy_alone_are_read(read: Read) -> None:
    message = read(COPY.removeprefix("Subject: real\n"))
    assert (message.text, message.subject, codes(message)) == ("The text.", "real", [])


@pytest.mark.parametrize(
    ("mail", "shown"),
    [
        (COPY.replace("Subject: real\n\n", "Subject: other\n\n"), True),
        (COPY.replace("Subject: real\n\n", "Subject: real\n\nwords\n"), True),
        (COPY.replace('x; protected-headers="v1"', "x"), True),
        (COPY.replace('headers; protected-headers="v1"', "headers"), True),
        (COPY.replace("--x\n", "--x\n\nfirst\n--x\n", 1), True),
        (COPY, False),
    ],
    ids=["says more", "has a text", "root unmarked", "part unmarked", "not the first", "a copy"],
)
def test_what_is_no_copy_does_not_vanish(read: Read, mail: str, shown: bool) -> None:
    assert bool(read(mail).attachments) == shown
    plain = read(mail.replace("text/rfc822-headers", "text/plain"))
    assert ("Subject:" in plain.text) == shown


LEGACY = (
    'Subject: real\nContent-Type: multipart/alternative; boundary=x; hp="cipher"\n\n'
    "--x\nContent-Type: text/plain; hp-legacy-display=1\n\nSubject: real\nTo: a@b\n folded\n\nThe text.\n"
    '--x\nContent-Type: text/html; hp-legacy-display="1"\n\n<html><body>'
    '<div class="header-protection-legacy-display"><pre>Subject: real</pre></div><p>The text.</p></body></html>\n--x--\n'
)


def test_legacy_display_is_not_shown(read: Read) -> None:
    message = read(LEGACY)
    assert message.text == "The text."
    assert message.html == "<html><body><p>The text.</p></body></html>"


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (LEGACY.replace('; hp="cipher"', ""), "Subject: real\nTo: a@b\n folded\n\nThe text."),
        (LEGACY.replace("; hp-legacy-display=1", ""), "Subject: real\nTo: a@b\n folded\n\nThe text."),
        (LEGACY.replace("hp-legacy-display=1", "hp-legacy-display=0"), "Subject: real\nTo: a@b\n folded\n\nThe text."),
        (LEGACY.replace("Subject: real\nTo: a@b\n folded\n", "Dear Romeo\n"), "Dear Romeo\n\nThe text."),
        (LEGACY.replace(" folded\n\n", " folded\n"), "Subject: real\nTo: a@b\n folded\nThe text."),
        (LEGACY.replace("multipart/alternative", "multipart/mixed"), "The text.\nSubject: real"),
    ],
    ids=["no header protection", "not marked", "marked with 0", "no fields", "no empty line", "the first part"],
)  # fmt: skip
def test_what_is_no_legacy_display_is_shown(read: Read, mail: str, text: str) -> None:
    assert read(mail).text.startswith(text)


def test_a_legacy_display_in_a_part_that_is_not_the_main_body_is_shown(read: Read) -> None:
    message = read(
        'Subject: s\nContent-Type: multipart/mixed; boundary=x; hp="cipher"\n\n--x\n\none\n'
        "--x\nContent-Type: text/plain; hp-legacy-display=1\n\nSubject: a\n\ntwo\n--x--\n"
    )
    assert message.text == "one\nSubject: a\n\ntwo"


def test_a_marked_div_behind_text_is_shown(read: Read) -> None:
    html = 'words <div class="header-protection-legacy-display">more words</div>'
    message = read(f'Subject: s\nContent-Type: text/html; hp="cipher"; hp-legacy-display=1\n\n{html}\n')
    assert message.html == html


# -- header fields ---------------------------------------------------------------------------------


def test_hidden_fields_are_those_that_differ_outside(read: Read) -> None:
    fields = (
        "From: Juliet <j@x.example>\nTo: a@x.example,\n b@x.example\nCc: c@x.example\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n"
        "Message-ID: <1@x>\nKeywords: plan\n"
    )
    outside = (
        "HP-Outer: From: j@x.example\nHP-Outer: To:  a@x.example, b@x.example\nHP-Outer: subject: [...]\n"
        "HP-Outer: message-id: <1@x>\n"
    )
    kind = 'Content-Type: text/plain; hp="{}"\n\nx\n'
    assert read(fields + outside + kind.format("cipher")).hidden == ("from", "cc", "subject", "keywords")
    everything = ("from", "to", "cc", "subject", "keywords", "message-id")
    assert read(fields + outside + kind.format("clear")).hidden == everything
    assert read(fields + outside + "\nx\n").hidden == everything
    shown = outside.replace("[...]", "=?utf-8?B?R3LDvMOfZQ==?=")
    assert "subject" not in read(fields + shown + kind.format("cipher")).hidden


@pytest.mark.parametrize(
    ("fields", "sender", "code"),
    [
        ("From: a@x.example\n", "a@x.example", []),
        ("From: a@x.example, A <A@x.example>\n", "a@x.example", []),
        ("From: a@x.example, b@x.example\n", "a@x.example", ["several-senders"]),
        ("From: a@x.example\nFrom: b@x.example\n", "a@x.example", ["several-senders"]),
        ("From: The boss\n", None, ["unreadable-sender"]),
        ("From:\n", None, []),
        ("From : <@relay.example:a@x.example>\n", "a@x.example", []),
        ("From: a@x.example\nSubject: 1\nSubject: 2\nDate: x\nDate: y\n", "a@x.example", ["repeated-fields"]),
        ("X-Other: 1\n", None, ["no-inner-header"]),
    ],
)
def test_what_the_header_cannot_be_trusted_for_is_told(
    read: Read, fields: str, sender: str | None, code: list[str]
) -> None:
    message = read(f"{fields}Content-Type: text/plain\n\nx\n")
    assert (message.claimed_sender, codes(message)) == (sender, code)


# -- a second encryption (EFAIL) -------------------------------------------------------------------


def test_what_is_encrypted_twice_is_a_file_and_never_beside_the_text(read: Read) -> None:
    inner = (
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=e\n\n--e\n'
        "Content-Type: application/pgp-encrypted\n\nVersion: 1\n--e\nContent-Type: text/html\n\n<img src='http://x.example/\n--e--\n"
    )
    for mail in (
        f"From: a@x.example\n{inner}",
        f"From: a@x.example\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\nhello\n--m\n{inner}\n--m--\n",
    ):
        message = read(mail)
        assert message.html is None
        assert [each.media_type for each in message.attachments] == ["application/pgp-encrypted", "text/html"]
        assert codes(message) == ["encrypted-inside"]
    assert codes(read("From: a@x.example\nContent-Type: application/pkcs7-mime\n\nMII\n")) == ["smime-inside"]


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="http://x.example/a.png">', "<img src=//x.example/a>", "<IMG\nSRC = 'https://x.example'>", "<img/src=http:x>",
        '<img src="&#104;ttp://x.example">', '<img src="ht\ttp://x">', '<img src="http://x.example/', '<img alt="<" src=http://x>',
        '<img srcset="cid:a 1x, http://x.example 2x">', '<body background="http://x.example">', '<video poster="http://x">',
        '<table background=" http://x">', '<input type=image src="http://x">', '<a ping="http://x" href="http://y">y</a>',
        '<link rel=stylesheet href="http://x">', "<script>fetch('http://x')</script>", '<iframe srcdoc="<img src=http://x>">',
        '<object data="http://x">', "<embed src=x>", '<base href="http://x">', '<form action="http://x">', "<button formaction=http://x>",
        '<meta http-equiv="refresh" content="0; url=http://x">', '<meta http-equiv="&#114;efresh" content="0; url=http://x">',
        "<style>@import 'http://x';</style>", '<p style="background:url(http://x)">', '<p style="background: URL( \'http://x\' )">',
        "<style>p{background:\\75 rl(http://x)}</style>", '<p style="background:&#117;rl(http://x)">', '<p style="background:u\\rl(http://x)">',
        '<p style="background:image-set(\'http://x\' 1x)">', "<style>p{background:url/**/(http://x)}</style>",
        '<svg><image href="http://x"/></svg>', '<svg><use xlink:href="http://x#a"/></svg>', '<svg:image href="http://x">',
        '<v:imagedata src="http://x">', '<html manifest="http://x">', "<img src=a.png>", "x" * 1_000_000 + " " * 100_000,
    ],
)  # fmt: skip
def test_html_that_would_load_something_is_told(mime: MimeFormatter, open_job: OpenJob, markup: str) -> None:
    assert would_load(markup)
    message = mime.parse(b"From: a@x.example\nContent-Type: text/html\n\n" + markup.encode(), open_job)
    assert codes(message) == ["remote-content"]
    assert message.html == markup.rstrip("\n")


@pytest.mark.parametrize(
    "markup",
    [
        "<p>hello</p>", '<a href="http://x.example">x</a>', '<img src="cid:a@b">', "<img src='cid:a'>", "<img src=cid:a>", '<img src="">',
        '<img src="data:image/png;base64,AAAA">', '<p style="background:url(cid:a)">', "<style>p{background:url('data:image/gif;x')}</style>",
        '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">', "<style>v\\:* {behavior:url(#default#VML);}</style>",
        '<a href="https://x.example/?src=1&data=2">x</a>', "<basefont>", "a source: http://x.example", '<svg><path d="M0"/></svg>', "",
        '<p style="font-family: &quot;Segoe UI&quot;">a &amp; b</p>', '<img data-src="http://x.example" src="cid:a">',
    ],
)  # fmt: skip
def test_html_that_loads_nothing_is_not(markup: str) -> None:
    assert not would_load(markup)
