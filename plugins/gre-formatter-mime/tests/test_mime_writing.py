"""Header fields cannot be injected, nothing of the sender's machine leaks, failures are told."""

from __future__ import annotations

import email
import getpass
import io
import re
import socket
import time
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header, make_header
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gre_core.api import Attachment, DataForm, Message, Recipient
from gre_core.errors import FormatFailed

if TYPE_CHECKING:
    from pathlib import Path

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import OpenJob, SealJob

EVIL = st.text(st.sampled_from("\r\n\0\x0b\x85\u2028 :;,@<>\"'=?()[]\\aX-é"), max_size=40) | st.sampled_from(
    [
        "a\r\nBcc: eve@x.example",
        "a\nX-Evil: 1",
        "a\r\n\r\nbody",
        'a"; name="b',
        "a\0b",
        "=?utf-8?B?DQpYLUV2aWw6IDE=?=",
        "<a>\r\n <b>",
    ]
)
KNOWN = {
    "from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "hp-outer", "mime-version",
    "content-type", "content-transfer-encoding", "content-disposition", "content-id",
}  # fmt: skip


@given(
    where=st.sampled_from(
        [
            "subject",
            "to",
            "cc",
            "in_reply_to",
            "references",
            "sender",
            "recipient",
            "origin",
            "domain",
            "outer",
            "outer_name",
            "name",
            "type",
            "cid",
        ]
    ),
    evil=EVIL,
)
@example(where="subject", evil="a\r\nBcc: eve@x.example")
@example(where="name", evil='x"\r\nX-Evil: 1')
@example(where="to", evil="a,b@x.example")
@example(where="sender", evil='"a b"@x.example')
@settings(max_examples=500, deadline=None)
def test_nothing_can_be_injected(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, where: str, evil: str
) -> None:
    """Either the message is refused, or it has the very fields and parts that it should have."""
    file = Attachment.from_bytes("a.txt", "text/plain", b"x")
    message = Message(
        "text", subject="s", to=("a@x.example",), in_reply_to="a@b", references=("a@b",), attachments=(file,)
    )
    job = seal_job
    match where:
        case "subject":
            message = replace(message, subject=evil)
        case "to" | "cc" | "references":
            message = replace(message, **{where: ("ok@x.example", evil)})  # type: ignore[arg-type]
        case "in_reply_to":
            message = replace(message, in_reply_to=evil)
        case "sender":
            job = replace(job, data=DataForm(evil))
        case "recipient":
            message = replace(message, to=())
            job = replace(job, recipients=(Recipient("x@y", evil),))
        case "origin":
            job = replace(job, origin_id=evil)
        case "domain":
            job = replace(
                job, data=replace(job.data, fields={"{urn:xmpp:gre:formatter:mime:0}domain": (evil,)})
            )
        case "outer":
            job = replace(job, outer={"Subject": evil})
        case "outer_name":
            job = replace(job, outer={evil: "x"})
        case "name":
            message = replace(message, attachments=(replace(file, name=evil),))
        case "type":
            message = replace(message, attachments=(replace(file, media_type=evil),))
        case _:
            message = replace(message, attachments=(replace(file, content_id=evil),))
    try:
        payload = mime.format(message, job)
    except FormatFailed:
        return
    assert payload.isascii()
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", payload)
    mail = email.message_from_bytes(payload, policy=policy.compat32)
    assert {name.lower() for part in mail.walk() for name in part} <= KNOWN
    assert len(list(mail.walk())) == 3
    for name in ("From", "To", "Subject", "Message-ID", "Content-Type", "References"):
        assert len(mail.get_all(name, [])) <= 1
    read = mime.parse(payload, open_job)
    assert len(read.attachments) == 1
    assert all(char not in (read.subject or "") for char in "\r\n\0")
    assert set(read.headers) <= {"hp-outer"}


@pytest.mark.parametrize(
    "address",
    ["", "a", "@x", "a@", "a,b@x.org", "a b@x.org", '"a"@x.org', "a@x.org\r\nBcc: b@x.org", "a@b@c", "a@x..org", "a@-x.org",
     "jülie@x.org", "a@bücher.example", "<a@x.org>", "a@x.org ", "a@[127.0.0.1]", ".a@x.org", "a\0@x.org", "x" * 65 + "@x.org", "a@" + "x." * 130 + "org"],
)  # fmt: skip
def test_what_is_no_address_is_refused(mime: MimeFormatter, seal_job: SealJob, address: str) -> None:
    with pytest.raises(FormatFailed, match="not an address that mail can carry"):
        mime.format(Message("x", to=(address,)), seal_job)
    with pytest.raises(FormatFailed, match="not an address that mail can carry"):
        mime.format(Message("x"), replace(seal_job, data=DataForm(address)))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message("x", subject="s" * 2001), "Shorten it"),
        (Message("x", in_reply_to="a b"), "cannot stand in In-Reply-To"),
        (Message("x", references=("é",)), "cannot stand in References"),
        (Message("x", to=("a@x.org",) * 1001), "at most 1000"),
        (Message("half a \ud83d pair"), "surrogate"),
        (Message("x", subject="half a \ud83d pair"), "surrogate"),
        (Message("x", attachments=(Attachment.from_bytes("a", "image", b""),)), "not a media type"),
        (Message("x", attachments=(Attachment.from_bytes("a", "image/png;x", b""),)), "not a media type"),
        (Message("x", attachments=(Attachment.from_bytes("a", "image/png", b"", content_id="a b"),)), "Content-ID"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_with_a_reason(
    mime: MimeFormatter, seal_job: SealJob, message: Message, text: str
) -> None:
    with pytest.raises(FormatFailed, match=text) as caught:
        mime.format(message, seal_job)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("origin_id", ["", "a b", "a@b", "é", "a\r\nb", "<a>", "x" * 201, ".a"])
def test_an_origin_id_that_is_no_id_is_refused(
    mime: MimeFormatter, seal_job: SealJob, origin_id: str
) -> None:
    with pytest.raises(FormatFailed, match="origin-id"):
        mime.format(Message("x"), replace(seal_job, origin_id=origin_id))


def test_a_date_without_a_zone_is_refused(mime: MimeFormatter, seal_job: SealJob) -> None:
    with pytest.raises(FormatFailed, match="time zone"):
        mime.format(Message("x"), replace(seal_job, date=datetime(2026, 1, 1)))  # noqa: DTZ001 - the point


def test_a_file_that_is_gone_is_told_without_its_path(
    mime: MimeFormatter, seal_job: SealJob, tmp_path: Path
) -> None:
    path = tmp_path / "secret-plan.pdf"
    path.write_bytes(b"x")
    message = Message("x", attachments=(Attachment.from_path(path),))
    path.unlink()
    with pytest.raises(FormatFailed, match="No such file") as caught:
        mime.format(message, seal_job)
    assert "secret" not in caught.value.text


def test_a_message_as_attachment_is_never_base64(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob
) -> None:
    for content, verbatim in [
        (b"Subject: a\r\n\r\nb\r\n", True),
        (b"Subject: a\n\nb\n", False),
        ("Subject: é\r\n\r\nb".encode(), False),
        (b"Subject: a\r\n\r\n" + b"b" * 999, False),
        (b"Subject: a\r\n\r\n\0", False),
    ]:
        message = Message("see", attachments=(Attachment.from_bytes("m.eml", "message/rfc822", content),))
        payload = mime.format(message, seal_job)
        mail = email.message_from_bytes(payload, policy=policy.default)
        kinds = [(part.get_content_type(), part.get("Content-Transfer-Encoding")) for part in mail.walk()]
        assert (
            ("message/rfc822", "7bit") in kinds
            if verbatim
            else ("application/octet-stream", "base64") in kinds
        )
        assert not [cte for kind, cte in kinds if kind == "message/rfc822" and cte == "base64"]
        read = mime.parse(payload, open_job)
        assert read.attachments == message.attachments
        assert read.attachments[0].read() == content


def test_nothing_of_the_machine_leaks(
    mime: MimeFormatter, seal_job: SealJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        path = tmp_path / "plan.bin"
        path.write_bytes(b"\x01\x02")
        message = Message(
            "text", "<p>html</p>", "subject",
            (Attachment.from_path(path), Attachment.from_path(path, name=str(path)), Attachment.from_path(path, name=f"C:{path}")),
        )  # fmt: skip
        zone = timezone(timedelta(hours=5, minutes=45))
        payload = mime.format(message, replace(seal_job, date=seal_job.date.astimezone(zone)))
    finally:
        monkeypatch.undo()
        time.tzset()
    lower = payload.lower()
    assert b"Date: Mon, 23 Nov 2026 17:04:09 +0000\r\n" in payload
    assert payload.count(b"17:04:09") == 1
    for leak in (
        socket.gethostname(), getpass.getuser() + "@", str(tmp_path), tmp_path.name, "kathmandu", "+05", "user-agent", "x-mailer",
        "python", "gre", "localhost", seal_job.account,
    ):  # fmt: skip
        assert leak.lower().encode() not in lower, leak
    assert payload.count(b'filename="plan.bin"') == 3


def test_boundaries_are_random_and_all_else_is_not(mime: MimeFormatter, seal_job: SealJob) -> None:
    message = Message("text", "<p>html</p>")
    one, two = (mime.format(message, seal_job) for _ in range(2))
    boundary = re.compile(rb"=_[0-9a-f]{32}")
    assert set(boundary.findall(one)).isdisjoint(boundary.findall(two))
    assert boundary.sub(b"", one) == boundary.sub(b"", two)
    assert mime.format(Message("x"), seal_job) == mime.format(Message("x"), seal_job)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", "7bit"),
        ("a\n\n..\n>From you", "7bit"),
        ("a" * 78, "7bit"),
        ("a" * 79, "quoted-printable"),
        ("a ", "quoted-printable"),
        ("a\t", "quoted-printable"),
        ("a \nb", "quoted-printable"),
        ("From me", "quoted-printable"),
        ("a\nFrom me", "quoted-printable"),
        ("a\0", "quoted-printable"),
        ("Caf\u00e9 at nine, then?", "quoted-printable"),
        ("Привет", "base64"),
        ("日本語 " * 1000, "base64"),
    ],
)
def test_the_transfer_encoding_is_as_light_as_can_be(
    mime: MimeFormatter, seal_job: SealJob, text: str, encoding: str
) -> None:
    mail = email.message_from_bytes(mime.format(Message(text), seal_job), policy=policy.compat32)
    assert mail["Content-Transfer-Encoding"] == encoding
    content = mail.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().replace("\r\n", "\n").removesuffix("\n") == text


def test_no_reader_sees_a_subject_of_several_lines(mime: MimeFormatter, seal_job: SealJob) -> None:
    for subject in ("a\r\nBcc: eve@x.example", "é\r\nBcc: eve@x.example", "é\0\x85\u2028"):
        mail = email.message_from_bytes(
            mime.format(Message("x", subject=subject), seal_job), policy=policy.compat32
        )
        shown = str(make_header(decode_header(mail["Subject"])))
        assert len(shown.splitlines()) == 1
        assert not any(unicodedata.category(char) == "Cc" for char in shown)


def test_a_long_thread_is_trimmed_to_its_first_and_last_ids(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob
) -> None:
    thread = tuple(f"{number}@x.example" for number in range(500))
    read = mime.parse(mime.format(Message("x", references=thread), seal_job), open_job)
    assert read.references == (thread[0], *thread[-199:])


def test_the_date_is_in_utc_whatever_zone_the_job_has(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob
) -> None:
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    read = mime.parse(mime.format(Message("x"), replace(seal_job, date=moment)), open_job)
    assert read.date == moment
    assert read.date is not None
    assert read.date.tzinfo is UTC


def test_format_to_writes_what_format_gives(mime: MimeFormatter, seal_job: SealJob) -> None:
    sink = io.BytesIO()
    mime.format_to(Message("x", subject="y"), seal_job, sink)
    assert sink.getvalue() == mime.format(Message("x", subject="y"), seal_job)
