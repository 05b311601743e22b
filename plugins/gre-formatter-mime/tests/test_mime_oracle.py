"""Python's ``email``, which shares no code with us, reads what we write; and what we write is strict."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from email import policy
from email.message import EmailMessage, MIMEPart
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gre_core.api import Attachment, Message
from gre_core.mime_text.file_names import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import SealJob

CHARACTERS = st.characters(exclude_categories=["Cs"])
PIECES = st.sampled_from(
    ["\n", "  \n", ".\n", "From ", "=", "a" * 90, "é" * 90, "\0", "\x7f", "--=_", "😀", "\t"]
)
TEXTS = st.lists(PIECES | st.text(CHARACTERS, max_size=60), max_size=10).map("".join)
# "email" folds white space of its own accord, and splits lines at characters that are no line ends in mail.
SUBJECTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=120)
NAMES = st.text(CHARACTERS, max_size=60) | st.sampled_from(
    ["計画.txt", "Ďáblův plán " * 8 + ".pdf", 'a "b" c.txt', "x" * 200]
)
CONTENTS = st.binary(max_size=300)
IDS = st.from_regex(r"\A[a-z0-9]{1,20}@[a-z]{1,20}\.example\Z")
ATTACHMENTS = st.lists(
    st.builds(
        lambda name, content, inline, cid: Attachment.from_bytes(name, "application/x-own", content, inline=inline, content_id=cid),
        NAMES, CONTENTS, st.booleans(), st.none() | IDS,
    ),
    max_size=4,
)  # fmt: skip
MESSAGES = st.builds(
    Message,
    text=TEXTS,
    html=st.none() | TEXTS,
    subject=SUBJECTS,
    attachments=ATTACHMENTS.map(tuple),
    in_reply_to=st.none() | IDS,
    references=st.lists(IDS, max_size=60).map(tuple),
)
OUTER = st.dictionaries(
    st.sampled_from(["Subject", "From", "To", "Message-ID", "Date", "X-Other"]),
    st.text(CHARACTERS, max_size=200),
    max_size=6,
)


def lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decoded(part: MIMEPart) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert part.get_content_charset() == "utf-8"
    return lf(content.decode())


def leaves(part: MIMEPart) -> Iterator[MIMEPart]:
    if part.is_multipart():
        for child in part.iter_parts():
            yield from leaves(child)
    else:
        yield part


@given(message=MESSAGES)
@settings(max_examples=100, deadline=None)
def test_the_standard_library_reads_it(mime: MimeFormatter, seal_job: SealJob, message: Message) -> None:
    mail = email.message_from_bytes(mime.format(message, seal_job), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert [defect for part in mail.walk() for defect in part.defects] == []
    assert str(mail["Subject"]) == message.subject
    assert mail["From"].addresses[0].addr_spec == "romeo@mail.montague.example"
    assert [each.addr_spec for each in mail["To"].addresses] == ["juliet@capulet.example"]
    assert mail["Date"].datetime == seal_job.date
    assert mail["Message-ID"] == "<5d2f6c1a9a0e4b57@mail.montague.example>"
    assert mail["In-Reply-To"] == (None if message.in_reply_to is None else f"<{message.in_reply_to}>")
    assert str(mail["References"] or "").split() == [f"<{each}>" for each in message.references]
    parts = list(leaves(mail))
    texts = [part for part in parts if part.get_content_type() == "text/plain"]
    assert len(texts) == 1
    if message.text or message.html is None:
        # A text that is the whole payload ends in a line end of its own, unless base64 hides it.
        alone = not mail.is_multipart() and mail["Content-Transfer-Encoding"] != "base64"
        assert decoded(texts[0]) == lf(message.text) + "\n" * alone
    if message.html is not None:
        assert [decoded(part) for part in parts if part.get_content_type() == "text/html"] == [
            lf(message.html)
        ]
    files = [part for part in parts if part.get_content_type() == "application/x-own"]
    assert sorted(
        (str(part.get_filename()), part.get_payload(decode=True), part.get_content_disposition())
        for part in files
    ) == sorted(
        (safe_name(each.name), each.read(), "inline" if each.inline else "attachment")
        for each in message.attachments
    )
    assert {str(part["Content-ID"]) for part in files if part["Content-ID"]} == {
        f"<{each.content_id}>" for each in message.attachments if each.content_id
    }


def shows_subject(message: Message, outer: dict[str, str]) -> bool:
    """Tell whether the outer header shows the subject, which is refused."""
    inside, outside = ((text or "").casefold().split() for text in (message.subject, outer.get("Subject")))
    return bool(message.subject) and inside == outside


@given(message=MESSAGES, outer=OUTER)
@settings(max_examples=100, deadline=None)
def test_every_line_is_7bit_short_and_ends_in_crlf(
    mime: MimeFormatter, seal_job: SealJob, message: Message, outer: dict[str, str]
) -> None:
    assume(not shows_subject(message, outer))
    payload = mime.format(message, replace(seal_job, outer=outer))
    assert payload.isascii()
    assert payload.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", payload)
    lines = payload.split(b"\r\n")
    assert max(map(len, lines)) <= 78
    header, _, body = payload.partition(b"\r\n\r\n")
    assert not re.search(rb"(?m)^[ \t]+\r?$", header)
    # RFC 3156, section 3: nothing that a relay on the way might change.
    assert not re.search(rb"(?m)[ \t]\r$|^From ", body)


@given(message=MESSAGES, outer=OUTER)
@settings(max_examples=50, deadline=None)
def test_only_the_fields_that_we_know_of_are_written(
    mime: MimeFormatter, seal_job: SealJob, message: Message, outer: dict[str, str]
) -> None:
    assume(not shows_subject(message, outer))
    mail = email.message_from_bytes(
        mime.format(message, replace(seal_job, outer=outer)), policy=policy.compat32
    )
    names = [name for name in mail.keys() if name != "HP-Outer"]  # noqa: SIM118 - it is no dict
    optional = {"In-Reply-To", "References", "Content-Transfer-Encoding"}
    assert [name for name in names if name not in optional] == [
        "From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    usual = {"From", "To", "Message-ID", "Subject"}  # when the host does not say
    told = {value.partition(":")[0] for value in mail.get_all("HP-Outer", [])}
    assert told == ({name for name in outer if name != "Date"} if outer else usual)


def test_the_payload_says_which_fields_are_protected(mime: MimeFormatter, seal_job: SealJob) -> None:
    references = " ".join(f"<{number:032}@capulet.example>" for number in range(20))
    job = replace(
        seal_job,
        outer={
            "From": "romeo@mail.montague.example",
            "To": "juliet@capulet.example",
            "Subject": "[...]",
            "Message-ID": "<5d2f6c1a9a0e4b57@mail.montague.example>",
            "Date": "Mon, 23 Nov 2026 17:04:09 +0000",
            "References": references,
        },
    )
    payload = mime.format(Message("hush", subject="The balcony"), job)
    mail = email.message_from_bytes(payload, policy=policy.default)
    assert mail.get_params() is not None
    assert mail["Content-Type"].params["hp"] == "cipher"
    assert mail["Content-Type"].params["protected-headers"] == "v1"
    assert mail["Subject"] == "The balcony"
    assert [str(value) for value in mail.get_all("HP-Outer", [])] == [
        "From: romeo@mail.montague.example",
        "To: juliet@capulet.example",
        "Subject: [...]",
        "Message-ID: <5d2f6c1a9a0e4b57@mail.montague.example>",
        f"References: {references}",
    ]
    assert b"=?utf-8?" not in payload


def test_the_structure_is_what_mail_programs_expect(mime: MimeFormatter, seal_job: SealJob) -> None:
    message = Message(
        text="plain",
        html='<img src="cid:seal@x">',
        attachments=(
            Attachment.from_bytes("letter.pdf", "application/pdf", b"%PDF"),
            Attachment.from_bytes("seal.png", "image/png", b"png", inline=True, content_id="seal@x"),
        ),
    )
    mail = email.message_from_bytes(mime.format(message, seal_job), policy=policy.default)
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/pdf",
    ]  # fmt: skip
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("html",))
    assert body is not None
    assert body.get_content() == '<img src="cid:seal@x">'
