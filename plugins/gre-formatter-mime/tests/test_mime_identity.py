"""What is formatted is read again as it was."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gre_core.api import Attachment, Message
from gre_core.mime_text.file_names import safe_name
from gre_core.mime_text.html_text import text_of_html

if TYPE_CHECKING:
    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import OpenJob, SealJob

CHARACTERS = st.characters(exclude_categories=["Cs"])
AWKWARD = [
    "\n", "\r\n", "\r", " ", "  \n", "\t\n", ".\n", "..\n", "From ", "\nFrom ", ">From ", "=", "=\n", "=20", "--", "--=_",
    "-- \n", "\0", "\x0b", "\x0c", "\x1c", "\x7f", "\x85", "\u2028", "\ufeff", "a" * 76, "a" * 77, "a" * 79, "a" * 1100,
    "é", "é" * 80, "日本語", "😀", "<p>", "&amp;", "Content-Type: text/html\n", "\n\n",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(AWKWARD) | st.text(CHARACTERS, max_size=90), max_size=12).map("".join)
SUBJECTS = (
    st.none()
    | st.text(CHARACTERS, max_size=200)
    | st.sampled_from(["", " ", " a", "a  b", "=?utf-8?Q?a?=", "x" * 300])
)
NAMES = st.text(CHARACTERS, max_size=60) | st.sampled_from(
    [
        "plan.pdf",
        "Ďáblův plán.pdf",
        "計画.txt",
        "خطة.doc",
        "योजना.odt",
        "👩‍🚀.png",
        'a "quoted" one.txt',
        "it's; 100%.txt",
        "x" * 300 + ".png",
        "é" * 100,
    ]
)
TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789.+-", min_size=1, max_size=20).filter(
    lambda text: text[0] != "."
)
TYPES = st.builds(
    "{}/{}".format, st.sampled_from(["image", "application", "video", "text", "x-own"]), TOKEN
) | st.sampled_from(
    [
        "text/plain",
        "text/html",
        "text/csv; charset=utf-16",
        "message/rfc822",
        "message/partial",
        "multipart/mixed",
        "text/calendar",
    ]
)
IDS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="<>"), min_size=1, max_size=120
)
CONTENTS = st.binary(max_size=400) | st.sampled_from(
    [
        b"",
        b"Subject: inner\r\n\r\nBody\r\n",
        b"Subject: inner\n\nBody\n",
        b"--=_x\r\n",
        b"x" * 57,
        b"\r\n" * 5,
        b"a" * 2000,
    ]
)
ATTACHMENTS = st.builds(
    lambda name, kind, content, inline, cid: Attachment.from_bytes(name, kind, content, inline=inline, content_id=cid),
    NAMES, TYPES, CONTENTS, st.booleans(), st.none() | IDS,
)  # fmt: skip
ADDRESSES = st.lists(
    st.sampled_from(["juliet@capulet.example", "o'nurse+x@capulet.example", "a.b@x.org"]), max_size=40
).map(tuple)
MESSAGES = st.builds(
    Message,
    text=TEXTS,
    html=st.none() | TEXTS,
    subject=SUBJECTS,
    attachments=st.lists(ATTACHMENTS, max_size=4).map(tuple),
    to=ADDRESSES,
    cc=ADDRESSES,
    in_reply_to=st.none() | IDS,
    references=st.lists(IDS, max_size=30).map(tuple),
)


def lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def expected(message: Message, job: SealJob) -> Message:
    """Say what the documentation promises: see "What comes out as it went in" in the README."""
    html = None if message.html is None else lf(message.html)
    own = [attachment for attachment in message.attachments if attachment.inline and attachment.content_id]
    order = (
        own + [each for each in message.attachments if each not in own]
        if html is not None
        else message.attachments
    )
    return Message(
        text=lf(message.text) or (text_of_html(html) if html else ""),
        html=html,
        subject=None
        if message.subject is None
        else re.sub("[\0-\x1f\x7f-\x9f\u2028\u2029]", " ", message.subject),
        attachments=tuple(
            replace(each, name=safe_name(each.name, each.media_type.partition(";")[0])) for each in order
        ),
        to=message.to or tuple(recipient.legacy_id for recipient in job.recipients),
        cc=message.cc,
        claimed_sender=job.data.sender_id,
        message_id=f"{job.origin_id}@mail.montague.example",
        in_reply_to=message.in_reply_to,
        references=message.references,
        date=job.date,
    )


def contents(message: Message) -> list[bytes]:
    return [attachment.read() for attachment in message.attachments]


@given(message=MESSAGES)
@example(message=Message())
@example(message=Message(html=""))
@example(message=Message(text="\n"))
@example(message=Message(text="From me\nFrom you\n.\n \n\t", subject=""))
@settings(max_examples=200, deadline=None)
def test_format_then_parse_is_the_identity(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, message: Message
) -> None:
    want = expected(message, seal_job)
    read = mime.parse(mime.format(message, seal_job), open_job)
    assert read == want
    assert contents(read) == contents(want)


@given(message=MESSAGES)
@settings(max_examples=60, deadline=None)
def test_the_same_through_streams(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, message: Message
) -> None:
    stream = io.BytesIO()
    mime.format_to(message, seal_job, stream)
    read = mime.parse_from(stream, open_job)
    want = expected(message, seal_job)
    assert read == want
    assert contents(read) == contents(want)


@given(message=MESSAGES)
@settings(max_examples=60, deadline=None)
def test_what_was_read_can_be_sent_again(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, message: Message
) -> None:
    once = mime.parse(mime.format(message, seal_job), open_job)
    twice = mime.parse(mime.format(once, seal_job), open_job)
    assert twice == once
    assert contents(twice) == contents(once)


@pytest.mark.parametrize("size", [57 * 8192 - 1, 57 * 8192, 57 * 8192 + 1, 3_000_000])
def test_attachments_of_several_blocks(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, size: int
) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    message = Message(
        "see there", attachments=(Attachment.from_bytes("a.bin", "application/octet-stream", content),)
    )
    payload = mime.format(message, seal_job)
    for read in (mime.parse(payload, open_job), mime.parse_from(io.BytesIO(payload), open_job)):
        assert read.attachments == message.attachments
        assert read.attachments[0].read() == content


def test_a_huge_text(mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob) -> None:
    message = Message("Wherefore art thou Romeo? " * 100_000 + "é\n" * 300_000)
    assert mime.parse(mime.format(message, seal_job), open_job).text == message.text


def test_the_domain_of_the_message_id_comes_from_the_gateway(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob
) -> None:
    var = "{urn:xmpp:gre:formatter:mime:0}domain"
    for values, domain in [
        (("relay.example",), "relay.example"),
        (("relay.example", "other.example"), "relay.example"),
        ((), "mail.montague.example"),
        (("no domain\r\nX: y",), "mail.montague.example"),
        (("-a.example",), "mail.montague.example"),
    ]:
        job = replace(seal_job, data=replace(seal_job.data, fields={var: values}))
        assert mime.parse(mime.format(Message("x"), job), open_job).message_id == f"5d2f6c1a9a0e4b57@{domain}"
