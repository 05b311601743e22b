"""Unencrypted mails: what a chat shows of them, and that nothing is left out without a word."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from gre_gateway_email.carrier import Envelope
from gre_gateway_email.mail.authorship import author_note
from gre_gateway_email.mail.mime_scan import Unreadable, read
from gre_gateway_email.mail.plain_reading import SIGNED, SMIME, read_plain
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
    assert mail.shown(()) == mail.text


def test_the_plain_alternative_is_taken():
    assert read_plain(built("plain", html="<p>rich</p>")).text == "plain"


def test_html_alone_becomes_text():
    raw = crlf("Content-Type: text/html; charset=utf-8\n\n<p>Hello <b>Juliet</b></p><script>evil()</script>")
    assert read_plain(raw).text == "Hello Juliet"


def names(mail: bytes) -> list[str]:
    return [each.name for each in read_plain(mail).files]


def test_files_that_do_not_come_are_named():
    mail = read_plain(built(files=[("rose.png", b"x"), ("thörn.png", b"y")]))
    assert mail.text == "Hello"
    assert [(each.name, each.media_type, each.content()) for each in mail.files] == [
        ("rose.png", "image/png", b"x"),
        ("thörn.png", "image/png", b"y"),
    ]
    both = "Hello\n\n[2 attachments were not delivered: rose.png, thörn.png. There is no room.]"
    assert mail.shown(mail.files, "There is no room.") == both
    assert mail.shown(mail.files[:1]) == "Hello\n\n[1 attachment was not delivered: rose.png.]"
    assert mail.shown(()) == "Hello"


def test_many_files_are_counted():
    mail = read_plain(built(files=[(f"{n}.png", b"x") for n in range(30)]))
    assert "[30 attachments were not delivered: 0.png, " in mail.shown(mail.files)
    assert mail.shown(mail.files).endswith("9.png, ....]")


def test_an_empty_mail_says_so():
    for mail in (b"", b"\r\n"):
        assert read_plain(mail).shown(()) == "[The mail has no text.]"


def test_files_without_a_text_need_no_words():
    mail = crlf("Content-Type: image/png; name=rose.png\nContent-Transfer-Encoding: base64\n\neA==\n")
    (rose,) = read_plain(mail).files
    assert (rose.name, rose.content()) == ("rose.png", b"x")
    assert read_plain(mail).shown(()) == ""


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\Windows\\\\evil.exe"', "evil.exe"),
        ("attachment; filename*=utf-8''evil%E2%80%AEfdp.exe", "evilfdp.exe"),
        ("attachment; filename*=iso-8859-1''th%F6rn.png", "thörn.png"),
        ("attachment; filename*0*=utf-8''%E6%97%A5; filename*1*=%E6%9C%AC; filename*2=.txt", "日本.txt"),
        ('attachment; filename="=?utf-8?b?0YDQvtC30LA=?="', "роза"),
        ("attachment; filename*=utf-8''it's", "it's"),
        ("attachment; filename*=plain.txt", "plain.txt"),
        ('attachment; filename=""', "attachment.png"),
        ("attachment; filename=" + "x" * 1900 + ".png", None),
        ("attachment; filename*=utf-8''a%00%01b", "ab"),
    ],
)  # fmt: skip
def test_names_are_safe(header, name):
    (found,) = names(crlf(f"Content-Type: image/png\nContent-Disposition: {header}\n\nx"))
    assert found == name if name else len(found) <= 255


def test_odd_media_types_become_octets():
    (file,) = read_plain(crlf("Content-Type: <evil>/x y; name=a.b\n\nx")).files
    assert file.media_type == "application/octet-stream"


def test_pictures_in_the_other_alternative_are_not_lost():
    raw = crlf(
        "Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\nlook\n"
        "--a\nContent-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/html\n\n<p>look</p>\n"
        "--m\nContent-Type: image/png; name=rose.png\n\nx\n--m--\n"
        "--a\nContent-Type: text/calendar; name=ball.ics\n\nBEGIN:VCALENDAR\n--a--\n"
    )
    assert read_plain(raw).text == "look"
    assert names(raw) == ["rose.png", "ball.ics"]


def test_flowed_lines_are_joined_and_quotes_stay():
    raw = crlf(
        "Content-Type: text/plain; format=flowed\n\nO Romeo, \nRomeo\n> deny thy \n> father\n>> x\n-- \nJ"
    )
    assert read_plain(raw).text == "O Romeo, Romeo\n> deny thy father\n>> x\n-- \nJ"
    raw = raw.replace(b"flowed", b"flowed; delsp=yes")
    assert read_plain(raw).text.startswith("O Romeo,Romeo\n")


@pytest.mark.parametrize("size", [100, 1000])
def test_a_damaged_file_keeps_what_can_be_read(size):
    content = bytes(range(256)) * 4
    damaged = base64.encodebytes(content)[:size] + b"="
    (file,) = read_plain(
        b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + damaged
    ).files
    assert content.startswith(file.content())
    assert len(file.content()) > size // 2


def test_a_signed_mail_shows_its_text():
    raw = crlf(
        "Content-Type: multipart/signed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsigned\n"
        "--b\nContent-Type: application/pgp-signature\n\nxyz\n--b--\n"
    )
    assert read_plain(raw).text == f"signed\n\n{SIGNED}", "what is left out is said, and nothing is claimed"
    assert names(raw) == []


@pytest.mark.parametrize("kind", ["application/pkcs7-mime", "application/x-pkcs7-mime"])
def test_what_only_smime_can_read_is_a_file_and_says_so(kind):
    raw = crlf(f"Content-Type: {kind}; smime-type=signed-data; name=smime.p7m\n\nMIIB")
    assert read_plain(raw).text == SMIME
    assert names(raw) == ["smime.p7m"]


@pytest.mark.parametrize(
    ("plain", "text"), [(" \n\t\n", "rich"), ("plain", "plain"), ("\n" * 5000 + "late", "late")]
)
def test_an_empty_alternative_is_not_the_text(plain, text):
    raw = crlf(
        f"Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\n{plain}\n"
        "--a\nContent-Type: text/html\n\n<p>rich</p>\n--a--\n"
    )
    assert read_plain(raw).text == text


def test_an_invitation_is_a_file_with_the_words_around_it():
    raw = crlf(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\n"
        "Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\nCome!\n"
        "--a\nContent-Type: text/calendar; method=REQUEST; name=ball.ics\n\nBEGIN:VCALENDAR\n--a--\n"
        "--m\nContent-Type: application/ics; name=invite.ics\n\nBEGIN:VCALENDAR\n--m--\n"
    )
    assert read_plain(raw).text == "Come!"
    assert names(raw) == ["ball.ics", "invite.ics"]
    alone = crlf("Content-Type: text/calendar; name=ball.ics\n\nBEGIN:VCALENDAR\n")
    assert (read_plain(alone).text, names(alone)) == ("", ["ball.ics"])


def test_pictures_of_an_html_mail_are_files_and_a_forwarded_mail_is_one():
    raw = crlf(
        "Content-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<p>A <img src=cid:1> rose</p>\n"
        "--r\nContent-Type: image/png; name=rose.png\nContent-Id: <1>\nContent-Disposition: inline\n\nx\n"
        "--r\nContent-Type: message/rfc822; name=old.eml\n\nSubject: old\n\nold text\n--r--\n"
    )
    assert read_plain(raw).text == "A rose"
    assert names(raw) == ["rose.png", "old.eml"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Bob <bob@example.net>", None),
        ('"Bob, the builder" <BOB@example.net>', None),
        ("", None),
        ("Alice <alice@example.net>", "Alice <alice@example.net>"),
        ("=?utf-8?q?=C3=84?= <alice@example.net>", "Ä <alice@example.net>"),
        ("Bob <bob@example.net>, Eve <eve@example.net>", "Bob <bob@example.net>, Eve <eve@example.net>"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}Alice <alice@example.net>", "\ufffdAlice <alice@example.net>"),
        ("not an address", "not an address"),
        ("a@b, " * 5000, "..."),
    ],
)
def test_who_wrote_what_another_sent_is_said(said, shown):
    note = author_note(read(f"From: {said}\r\n\r\n".encode()), "bob@example.net")
    if shown is None:
        assert note == ""
    else:
        assert shown in note
        assert note.endswith("It was sent by bob@example.net, and an answer goes there.]")
        assert len(note) < 400


@pytest.mark.parametrize(
    ("charset", "content", "expected"),
    [
        ("iso-8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("windows-1252", b"\x93x\x94", "“x”"),
        ("koi8-r", b"\xf0", "П"),
        ("no-such-charset", "ä".encode(), "ä"),
        ("", b"\xff", "ÿ"),
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
    raw = "Subject: a\0b\r\n\r\na\0b\x1bd\uffffe\tf\r\ng\rh".encode()
    assert read_plain(raw).text == "a\ufffdb\ufffdd\ufffde\tf\ng\nh"
    assert read_plain(raw).subject == "a\ufffdb"


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
    "huge character references": b"Content-Type: text/html\r\n\r\n&#" + b"9" * 5000 + b";",
    "10,000 attachments": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" * 10_000,
    "a million empty parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\n" * 1_000_000,
    "a million false delimiters": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--bx\n" * 1_000_000,
    "60 MB of text": b"Content-Type: text/plain\r\n\r\n" + b"x" * 60_000_000,
    "60 MB of base64 text": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b"eHh4\r\n" * 10_000_000,
    "unknown charsets": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"".join(b"--b\r\nContent-Type: text/plain; charset=x%d\r\n\r\nx\r\n" % n for n in range(90)),
    "encoded words": b"Subject: " + b"=?utf-8?q?=41?= " * 3000 + b"\r\n\r\nx",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_are_read_in_time(name):
    started = time.process_time()
    read_plain(HOSTILE[name]).shown(())
    # Ten times what a slow machine needs; quadratic work on a megabyte takes longer than this anywhere.
    assert time.process_time() - started < 10


def test_parts_beyond_the_limit_are_counted():
    mail = read_plain(HOSTILE["10,000 attachments"])
    assert len(mail.files) == 99
    assert "9,901 further parts" in mail.shown(())


def test_a_header_beyond_the_bounds_is_refused():
    with pytest.raises(Unreadable, match="header longer than"):
        read_plain(b"X: " + b"y" * 200_000 + b"\r\n\r\n")


def test_all_mails_of_the_corpora_can_be_shown(corpora):
    for path in corpora.rglob("*.eml"):
        try:
            mail = read_plain(path.read_bytes())
        except Unreadable:
            continue
        assert mail.shown(mail.files)
        (mail.shown(mail.files) + mail.subject).encode()
        for file in mail.files:
            file.content()
            assert file.name


def test_out_long_text_keeps_its_lines_short():
    envelope = Envelope("a@example.org", ("b@example.net",), "x@example.org", datetime.now(UTC))
    raw = write_plain("word " * 5000, "long " * 300, envelope)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    parsed = message_from_bytes(raw, policy=policy.default)
    assert parsed.get_content() == "word " * 5000
    assert len(parsed["Subject"]) <= 1000


def test_out_files_come_back_byte_for_byte_with_their_names():
    files = [
        File("rose.png", "image/png", bytes(range(256)) * 300),
        File("Grüße an Olivia.pdf", "application/pdf", b"%PDF"),
        File("日本語" * 20 + ".txt", "text/plain; charset=utf-8", "語".encode()),
        File("empty", "application/octet-stream", b""),
        File('qu"ote\\.txt', "message/rfc822", b"x"),
    ]
    envelope = Envelope("a@example.org", ("b@example.net",), "x@example.org", datetime.now(UTC))
    raw = write_plain(
        "Look", "s", envelope, files=files, in_reply_to="y@example.net", references=["z@z", "y@example.net"]
    )
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    parsed = message_from_bytes(raw, policy=policy.default)
    assert not parsed.defects
    assert parsed["In-Reply-To"] == "<y@example.net>"
    assert parsed["References"] == "<z@z> <y@example.net>"
    assert parsed.get_body().get_content().strip() == "Look"
    found = list(parsed.iter_attachments())
    assert [part.get_filename() for part in found] == [file.name for file in files]
    assert [part.get_payload(decode=True) for part in found] == [file.content for file in files]
    kinds = [
        "image/png",
        "application/pdf",
        "text/plain",
        "application/octet-stream",
        "application/octet-stream",
    ]
    assert [part.get_content_type() for part in found] == kinds
    back = read_plain(raw)
    assert [each.content() for each in back.files] == [file.content for file in files]


@pytest.mark.parametrize(
    "text", ["", "x", "From here", "a \nb", "x" * 90, "ä", "a\n\n.\n-- \nx", "\n", "a\r\nb"]
)
def test_out_each_text_comes_back(text):
    envelope = Envelope("a@example.org", ("b@example.net",), "x@example.org", datetime.now(UTC))
    raw = write_plain(text, None, envelope)
    assert raw.isascii()
    assert b"\nFrom here" not in raw
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert read_plain(raw).text.strip("\n") == text.replace("\r", "").strip("\n")


def test_out_text_with_lone_surrogates_does_not_raise():
    envelope = Envelope("a@example.org", ("b@example.net",), "x@example.org", datetime.now(UTC))
    assert b"From: a@example.org" in write_plain("x\ud800y", None, envelope)
