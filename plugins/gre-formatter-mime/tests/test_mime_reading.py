"""What other mail programs write is read as they meant it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from gre_formatter_mime.addresses import addresses
from gre_formatter_mime.headers_read import date

from gre_core.errors import ParseFailed
from gre_core.mime_text.flowed import unflow
from gre_core.mime_text.html_text import text_of_html

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import Message, OpenJob

    Read = Callable[[str | bytes], Message]


@pytest.fixture(scope="module", params=["LF", "CRLF", "CR"])
def read(request: pytest.FixtureRequest, mime: MimeFormatter, open_job: OpenJob) -> Read:
    """Read a mail that is written with LF here, with every line end there is."""
    line_end = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}[request.param]

    def read_it(mail: str | bytes) -> Message:
        raw = mail.encode() if isinstance(mail, str) else mail
        return mime.parse(raw.replace(b"\n", line_end), open_job)

    return read_it


def test_header_fields(read: Read) -> None:
    message = read(
        'From: "Capulet, Juliet" <juliet@capulet.example>\n'
        "To: =?utf-8?Q?Rom=C3=A9o?= <romeo@montague.example>, (his friend) mercutio@escalus.example\n"
        "CC: Servants: peter@capulet.example, samson@capulet.example;\n"
        "Subject: =?iso-8859-1?q?Gr=FC=DFe?= =?utf-8?b?IGF1cyA=?=\n =?utf-8?b?VmVyb25h?= (again)\n"
        "Date: Fri, 14 Jun 2024 19:13:14 -0400 (EDT)\n"
        "message-id: <1@capulet.example>\n"
        "In-Reply-To: <2@montague.example> <3@montague.example>\n"
        "References: <0@montague.example>\n <2@montague.example> (and so on)\n"
        "Autocrypt: addr=juliet@capulet.example; keydata=AAAA\n BBBB\n"
        "Reply-To: nurse@capulet.example\n"
        "X-Two: 1\nX-Two: 2\n\n"
        "Art thou not Romeo?\n"
    )  # fmt: skip
    assert message.claimed_sender == "juliet@capulet.example"
    assert message.to == ("romeo@montague.example", "mercutio@escalus.example")
    assert message.cc == ("peter@capulet.example", "samson@capulet.example")
    assert message.subject == "Grüße aus Verona (again)"
    assert message.date == datetime(2024, 6, 14, 19, 13, 14, tzinfo=timezone(-timedelta(hours=4)))
    assert message.message_id == "1@capulet.example"
    assert message.in_reply_to == "2@montague.example"
    assert message.references == ("0@montague.example", "2@montague.example")
    assert dict(message.headers) == {
        "autocrypt": ("addr=juliet@capulet.example; keydata=AAAA BBBB",),
        "reply-to": ("nurse@capulet.example",),
        "x-two": ("1", "2"),
    }
    assert message.text == "Art thou not Romeo?"


def test_a_payload_without_message_fields_names_nobody(read: Read) -> None:
    message = read("Content-Type: text/plain\n\nhello\n")
    assert (message.claimed_sender, message.subject, message.date, message.message_id) == (
        None,
        None,
        None,
        None,
    )
    assert (message.to, message.cc, message.references) == ((), (), ())
    assert message.text == "hello"


def test_of_two_fields_the_first_counts(read: Read) -> None:
    message = read("From: a@x.example\nFrom: b@x.example\nSubject: one\nSubject: two\nDate: x\n\n")
    assert message.claimed_sender == "a@x.example"
    assert message.subject == "one"
    assert message.date is None


def test_a_line_that_is_no_field_begins_the_body(read: Read) -> None:
    message = read("Subject: s\nDear Romeo,\n\nhow are you?\n")
    assert message.subject == "s"
    assert message.text == "Dear Romeo,\n\nhow are you?"


def test_what_is_no_mail_is_refused(mime: MimeFormatter, open_job: OpenJob) -> None:
    for payload in (b"", b"\x89PNG\r\n\x1a\n", b"hello\x00"):
        with pytest.raises(ParseFailed, match="no mail"):
            mime.parse(payload, open_job)


def test_an_empty_header_section_is_one(read: Read) -> None:
    assert read("\nhello\n").text == "hello"


def test_a_character_that_is_split_between_two_encoded_words(read: Read) -> None:
    assert (
        read("Subject: =?utf-8?Q?Gr=C3?=\n =?utf-8?Q?=BC=C3=9Fe?= =?utf-8?B?IQ==?=\n\n").subject == "Grüße!"
    )


def test_raw_8bit_fields(mime: MimeFormatter, open_job: OpenJob) -> None:
    message = mime.parse("Subject: Grüße\nX-Old: caf".encode() + b"\xe9\n\n", open_job)
    assert message.subject == "Grüße"
    assert message.headers["x-old"] == ("café",)


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("utf-8", "Grüße".encode()),
        ("ISO-8859-1", "Grüße".encode("latin-1")),
        ("iso-8859-1", "“Grüße”".encode("cp1252")),
        ("us-ascii", "Grüße".encode()),
        ("us-ascii", "Grüße".encode("latin-1")),
        ("x-unknown", "Grüße".encode()),
        ("unknown-8bit", "Grüße".encode("cp1252")),
        ("koi8-r", "Привет".encode("koi8-r")),
        ("koi8-u", "Привіт".encode("koi8-u")),
        ("Shift_JIS", "日本語".encode("shift-jis")),
        ("iso-2022-jp", "日本語".encode("iso-2022-jp")),
        ("gb2312", "朱镕基".encode("gb18030")),
        ("big5", "計劃".encode("big5")),
        ("ks_c_5601-1987", "한국어".encode("cp949")),
        ("windows-1256", "خطة".encode("cp1256")),
        ("utf-16", "Grüße".encode("utf-16")),
    ],
)
def test_charsets(mime: MimeFormatter, open_job: OpenJob, charset: str, raw: bytes) -> None:
    from base64 import b64encode

    want = {"Grüße", "“Grüße”", "Привет", "Привіт", "日本語", "朱镕基", "計劃", "한국어", "خطة"}
    head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\nSubject: =?{charset}?B?".encode()
    message = mime.parse(head + b64encode(raw) + b"?=\n\n" + b64encode(raw), open_job)
    assert message.text in want
    assert message.subject == message.text


@pytest.mark.parametrize(
    "charset",
    ["idna", "punycode", "rot13", "hex", "zlib", "unicode_escape", "../x", "x" * 900, "", "\0", "undefined"],
)
def test_what_is_no_charset_does_no_harm(mime: MimeFormatter, open_job: OpenJob, charset: str) -> None:
    assert (
        mime.parse(f'Content-Type: text/plain; charset="{charset}"\n\na\\x41 é'.encode(), open_job).text
        == "a\\x41 é"
    )


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("7bit", "a=3D\n", "a=3D"),
        ("8bit", "é\n", "é"),
        ("BINARY", "é", "é"),
        ("quoted-printable", "a=3Db=\nc =C3=A9=\n\n", "a=bc é"),
        ("Quoted-Printable ", "broken =XY =\n", "broken =XY "),
        ("base64", "w6kg\nw6k=\n", "é é"),
        ("base64", "w6k", "é"),
        ("base64", "w6k!!=-=\n-- \nfooter", "é"),
        ("base64", "w6k= ignored\n", "é"),
        ("base64", "w6k=\n-- \nfooter\n", "é"),
        ("base64", "w6k=\nw6k=\nw6kg\nIA==IQ==\n", "ééé  !"),
        ("base64", "w6kgw6k", "é é"),
        ("x-uuencode", "begin 644 a.txt\n#8V%T\n`\nend\n", "cat"),
        ("rot13", "as it is\n", "as it is"),
    ],
)
def test_transfer_encodings(
    mime: MimeFormatter, open_job: OpenJob, encoding: str, body: str, text: str
) -> None:
    raw = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}".encode()
    assert mime.parse(raw, open_job).text.rstrip("\n") == text


def test_format_flowed(read: Read) -> None:
    message = read(
        "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=no\n\n"
        "It is the east, \nand Juliet is the sun.\n"
        "> Arise, fair sun, \n> and kill\n>> the moon\n"
        " From far\n"
        "-- \nRomeo\n"
    )  # fmt: skip
    assert message.text == (
        "It is the east, and Juliet is the sun.\n> Arise, fair sun, and kill\n>> the moon\nFrom far\n-- \nRomeo"
    )
    assert unflow("日本 \n語", delete_space=True) == "日本語"
    assert unflow("", delete_space=False) == ""
    assert unflow("a\n\nb\n", delete_space=False) == "a\n\nb\n"


MIXED = """\
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: text/plain

one
--outer
Content-Type: image/png
Content-Transfer-Encoding: base64
Content-Disposition: inline; filename=a.png

iVBORw==
--outer
Content-Type: text/html

<b>two</b>
--outer
Content-Type: text/plain; name=notes.txt

three
--outer--
epilogue
"""


def test_pieces_in_a_row_are_all_shown(read: Read) -> None:
    message = read(MIXED)
    assert message.text == "one\ntwo"
    assert message.html == "<pre>one</pre>\n<b>two</b>"
    assert [(each.name, each.media_type, each.inline, each.read()) for each in message.attachments] == [
        ("a.png", "image/png", True, b"\x89PNG"),
        ("notes.txt", "text/plain", False, b"three"),
    ]


@pytest.mark.parametrize(
    "cut", ["--outer--\nepilogue\n", "\n--outer--\nepilogue\n", "epilogue\n", "--\nepilogue\n"]
)
def test_a_missing_end_is_no_loss(read: Read, cut: str) -> None:
    message = read(MIXED.removesuffix(cut))
    assert message.text == "one\ntwo"
    assert message.attachments[-1].read().rstrip() == b"three"


def test_a_multipart_without_delimiters_is_shown_as_it_is(read: Read) -> None:
    assert read("Content-Type: multipart/mixed\n\nhello\n").text == "hello\n"
    assert read("Content-Type: multipart/mixed; boundary=x\n\nhello\n").text == "hello\n"


def test_a_boundary_that_begins_like_the_outer_one(read: Read) -> None:
    message = read(
        'Content-Type: multipart/mixed; boundary="a"\n\n--a\nContent-Type: multipart/alternative; boundary="a-b"\n\n'
        "--a-b\nContent-Type: text/plain\n\nplain\n--a-b\nContent-Type: text/html\n\n<i>html</i>\n--a-b--\n--a--\n"
    )
    assert (message.text, message.html) == ("plain", "<i>html</i>")


def test_the_last_alternative_of_each_kind_counts(read: Read) -> None:
    message = read(
        "Content-Type: multipart/alternative; boundary=x\n\n--x\n\nplain\n--x\nContent-Type: text/html\n\n<p>1</p>\n"
        "--x\nContent-Type: multipart/related; boundary=y\n\n--y\nContent-Type: text/html\n\n<p>2</p>\n"
        "--y\nContent-Type: image/gif; name=dot.gif\nContent-ID: <dot@x>\n\nGIF\n--y--\n"
        "--x\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--x--\n"
    )
    assert (message.text, message.html) == ("plain", "<p>2</p>")
    assert [(each.name, each.inline, each.content_id) for each in message.attachments] == [
        ("dot.gif", True, "dot@x"),
        ("attachment.ics", False, None),
    ]


def test_html_alone_gets_a_text(read: Read) -> None:
    message = read("Content-Type: text/html\n\n<style>p{}</style><p>a &amp; b<br>c<ul><li>d</ul>\n")
    assert message.html == "<style>p{}</style><p>a &amp; b<br>c<ul><li>d</ul>"
    assert message.text == "a & b\nc\n\n* d"


def test_text_of_html() -> None:
    assert (
        text_of_html('see <a href="https://x.example/?a=1&amp;b">this</a>')
        == "see this <https://x.example/?a=1&b>"
    )
    assert text_of_html('<a href="https://x.example">https://x.example</a>') == "https://x.example"
    assert text_of_html('<a href="javascript:alert(1)">this</a>') == "this"
    assert text_of_html("a<!-- <p>no</p> -->b<script>if (a < b) {}</script>c") == "abc"
    assert text_of_html("1 < 2 <b>and</b> <3") == "1 < 2 and <3"
    assert text_of_html("<table><tr><td>a</td><td>b</td></tr><tr><td>c") == "a b\nc"
    assert text_of_html("&#" + "9" * 10_000 + ";x") == "\ufffdx"
    assert text_of_html("") == ""


def test_messages_are_attachments(read: Read) -> None:
    message = read(
        "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: one\n\nfirst\n"
        "--x\nContent-Type: message/rfc822; name=two.eml\n\nSubject: two\n\nsecond\n--x--\n"
    )
    assert message.text == ""
    assert [(each.name, each.media_type) for each in message.attachments] == [
        ("attachment.eml", "message/rfc822"),
        ("two.eml", "message/rfc822"),
    ]
    assert message.attachments[1].read().splitlines() == [b"Subject: two", b"", b"second"]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("filename=plan.pdf", "plan.pdf"),
        ('filename="the \\"plan\\".pdf"', 'the "plan".pdf'),
        ("filename=the plan.pdf; size=3", "the plan.pdf"),
        ("filename*=utf-8'de'Pl%C3%A4ne.pdf", "Pläne.pdf"),
        ("filename*=iso-8859-1''Pl%E4ne.pdf", "Pläne.pdf"),
        ("filename*0*=utf-8''Pl%C3; filename*1*=%A4ne; filename*2=.pdf", "Pläne.pdf"),
        ('filename*1="b.pdf"; filename*0="a"', "ab.pdf"),
        ('filename*0="a"; filename*2="c"', "a"),
        ("filename=fallback.pdf; filename*=utf-8''Pl%C3%A4ne.pdf", "Pläne.pdf"),
        ('filename="=?utf-8?Q?Pl=C3=A4ne.pdf?="', "Pläne.pdf"),
        ('filename="../../etc/passwd"', "passwd"),
        ('filename="C:\\\\Users\\\\x\\\\plan.pdf"', "plan.pdf"),
        ("filename*=utf-8''exe.%E2%80%AEfdp", "exe.fdp"),
        ('filename="aux.txt"', "_aux.txt"),
        ('filename=""', "attachment.pdf"),
        ('filename="unfinished.pdf', "unfinished.pdf"),
        ("filename*9999999999999999999999=x; filename=y.pdf", "y.pdf"),
    ],
)
def test_file_names(read: Read, parameters: str, name: str) -> None:
    message = read(
        f"Content-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n--x\nContent-Type: application/pdf\n"
        f"Content-Disposition: attachment; {parameters}\n\n%PDF\n--x--\n"
    )
    assert [each.name for each in message.attachments] == [name]


def test_a_forgotten_semicolon(read: Read) -> None:
    message = read("Content-Type: multipart/mixed\n\tboundary=x\n\n--x\n\ntext\n--x--\n")
    assert message.text == "text"


def test_a_text_file_keeps_the_charset_that_it_needs(read: Read) -> None:
    message = read(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n"
        "--x\nContent-Type: text/csv; charset=ISO-8859-1; header=present\nContent-Disposition: attachment\n\na;b\n"
        "--x\nContent-Type: text/csv; charset=UTF-8\nContent-Disposition: attachment\n\na;b\n--x--\n"
    )
    assert [each.media_type for each in message.attachments] == ["text/csv; charset=iso-8859-1", "text/csv"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a@x.org", ["a@x.org"]),
        ("<a@x.org>", ["a@x.org"]),
        ("A <a@x.org>, b@x.org", ["a@x.org", "b@x.org"]),
        ('"a, <b@x.org>" <c@x.org>', ["c@x.org"]),
        ("a@x.org (who (really) is b@x.org), c@x.org", ["a@x.org", "c@x.org"]),
        ("Sad :( <a@x.org>, b@x.org", ["a@x.org", "b@x.org"]),
        ("undisclosed-recipients:;", []),
        ("G: a@x.org, B <b@x.org>; c@x.org", ["a@x.org", "b@x.org", "c@x.org"]),
        ("<@relay.org,@r2.org:a@x.org>", ["a@x.org"]),
        ('"john doe"@x.org', ['"john doe"@x.org']),
        ("jülie@bücher.example", ["jülie@bücher.example"]),
        ("nobody, root@, @x.org, a@b@c, a b@x.org", []),
        ("a@x.org <b@x.org>", ["b@x.org"]),
        ("a\0@x.org, \u202ea@x.org, b@x.org", ["b@x.org"]),
        ("", []),
        ('"', []),
        ("<", []),
        ("((((", []),
    ],
)
def test_addresses(value: str, found: list[str]) -> None:
    assert list(addresses([value])) == found


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("Mon, 23 Nov 2026 17:04:09 +0000", datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC)),
        ("23 nov 2026 17:04 +0530", datetime(2026, 11, 23, 11, 34, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 17:04:60 +0000", datetime(2026, 11, 23, 17, 4, 59, tzinfo=UTC)),
        ("Mon, 23 Nov 26 17:04:09 GMT", datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 17:04:09 -0000", datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 17:04:09", datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC)),
        ("Mon, 31 Feb 2026 17:04:09 +0000", None),
        ("Mon, 23 Nov 0000 17:04:09 +0000", None),
        ("Mon, 23 Nov 2026 17:04:09 +9999", None),
        ("Mon, 23 Foo 2026 17:04:09 +0000", None),
        ("99999999999999999999", None),
        ("1 Jan 99999999999999999999 00:00:00 +0000", None),
        ("x" * 1000, None),
        ("", None),
    ],
)
def test_dates(value: str, want: datetime | None) -> None:
    assert date(value) == want


REPORT = (
    "From: romeo@montague.example\n"
    "Content-Type: multipart/report; report-type={}; boundary=b\n"
    "\n"
    "--b\n\nThe message was displayed.\n"
    "--b\nContent-Type: message/{}\n\nDisposition: manual-action/MDN-sent-automatically; displayed\n"
    "--b--\n"
)


@pytest.mark.parametrize(
    ("kind", "codes"), [("disposition-notification", ["read-receipt"]), ("delivery-status", [])]
)
def test_a_read_receipt_is_told_from_what_a_person_wrote(read: Read, kind: str, codes: list[str]) -> None:
    message = read(REPORT.format(kind, kind))
    assert message.text.strip() == "The message was displayed."
    assert [notice.code for notice in message.notices] == codes
