"""Header protection when composing (RFC 9788): what is inside, what is said of the outside, and what is refused."""

from __future__ import annotations

import email
import io
import re
from dataclasses import replace
from email import policy
from typing import TYPE_CHECKING

import pytest
from gre_formatter_mime.padding import padded, padme
from gre_formatter_mime.wishes import NAMESPACE
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gre_core.api import Attachment, Message, Recipient
from gre_core.errors import FormatFailed

if TYPE_CHECKING:
    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import OpenJob, SealJob

KEY = "mDMEX" + "A1b+" * 300 + "=="
AUTOCRYPT = f"addr=romeo@mail.montague.example; prefer-encrypt=mutual; keydata={KEY}"


def wish(job: SealJob, **options: str) -> SealJob:
    """A job with options of this formatter."""
    return replace(
        job, options={f"{{{NAMESPACE}}}{name.replace('_', '-')}": value for name, value in options.items()}
    )


def outer(payload: bytes) -> dict[str, str]:
    mail = email.message_from_bytes(payload, policy=policy.compat32)
    fields = [str(value).split(":", 1) for value in mail.get_all("HP-Outer", [])]
    assert len({name for name, _ in fields}) == len(fields)
    return {name: " ".join(value.split()) for name, value in fields}


def test_what_the_gateway_shows_is_told_and_nothing_else(mime: MimeFormatter, seal_job: SealJob) -> None:
    """The fixed header of the mail gateway: From, To, Message-ID and a subject in disguise; Date is its clock."""
    job = replace(seal_job, recipients=(*seal_job.recipients, Recipient("n", "nurse@capulet.example")))
    message = Message("x", subject="secret", cc=("c@x.example",), in_reply_to="a@b", references=("a@b",))
    payload = mime.format(message, job)
    root = email.message_from_bytes(payload, policy=policy.compat32)
    assert outer(payload) == {
        "From": "romeo@mail.montague.example",
        "To": "juliet@capulet.example, nurse@capulet.example",
        "Message-ID": "<5d2f6c1a9a0e4b57@mail.montague.example>",
        "Subject": "[...]",
    }
    assert (root.get_param("hp"), root.get_param("protected-headers")) == ("cipher", "v1")
    assert root["Message-ID"] == outer(payload)["Message-ID"]


@pytest.mark.parametrize("chosen", ["", "baseline", "shy", "none"])
def test_every_policy_hides_the_subject_that_the_gateway_hides(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, chosen: str
) -> None:
    job = wish(seal_job, header_confidentiality=chosen)
    payload = mime.format(Message("x", subject="secret", in_reply_to="a@b"), job)
    assert outer(payload)["Subject"] == "[...]"
    read = mime.parse(payload, open_job)
    assert read.subject == "secret"
    assert set(read.hidden) == {"subject", "date", "in-reply-to"}


@pytest.mark.parametrize(
    ("shown", "allowed"),
    [
        ({"Subject": "secret"}, {"none"}),
        ({"SUBJECT": " Secret "}, {"none"}),
        ({"Keywords": "plan"}, {"none"}),
        ({"Comments": "plan"}, {"none"}),
        ({"Subject": "[...]"}, {"none", "baseline", "shy"}),
        ({"Subject": "Encrypted message"}, {"none", "baseline", "shy"}),
        ({"In-Reply-To": "<a@b>"}, {"none", "baseline", "shy"}),
        ({"From": "Romeo <romeo@mail.montague.example>"}, {"none", "baseline"}),
        ({"To": "a@x.example, Ann <b@x.example>"}, {"none", "baseline"}),
        ({"To": "a@x.example, b@x.example"}, {"none", "baseline", "shy"}),
        ({"Cc": "a@x.example (Ann)"}, {"none", "baseline"}),
        ({"Date": "Mon, 23 Nov 2026 17:04:09 +0100"}, {"none", "baseline"}),
        ({"Date": "Mon, 23 Nov 2026 17:04:09 +0000"}, {"none", "baseline", "shy"}),
        ({"Date": "Mon, 23 Nov 2026 17:04:09 GMT (UTC)"}, {"none", "baseline", "shy"}),
    ],
)
def test_a_host_that_would_show_more_than_the_policy_allows_is_refused(
    mime: MimeFormatter, seal_job: SealJob, shown: dict[str, str], allowed: set[str]
) -> None:
    message = Message("x", subject="secret", in_reply_to="a@b")
    for chosen in ("none", "baseline", "shy"):
        job = wish(replace(seal_job, outer=shown), header_confidentiality=chosen)
        if chosen in allowed:
            assert {name.lower() for name in outer(mime.format(message, job))} == {
                name.lower() for name in shown if name != "Date"
            }
            continue
        with pytest.raises(FormatFailed, match=f"field {next(iter(shown))} outside.*{chosen}") as caught:
            mime.format(message, job)
        assert "secret" not in caught.value.text


@pytest.mark.parametrize("name", ["header_confidentiality", "padding"])
@pytest.mark.parametrize("value", ["strict", "NONE", "none ", "x" * 500])
def test_an_option_that_does_not_exist_is_refused(
    mime: MimeFormatter, seal_job: SealJob, name: str, value: str
) -> None:
    with pytest.raises(FormatFailed, match=r"does not exist\. Use one of these: .*none") as caught:
        mime.format(Message("x"), wish(seal_job, **{name: value}))
    assert len(caught.value.text) < 250


def test_options_of_others_and_unknown_ones_are_ignored(mime: MimeFormatter, seal_job: SealJob) -> None:
    job = replace(seal_job, options={"{urn:x}padding": "y", f"{{{NAMESPACE}}}colour": "red"})
    assert mime.format(Message("x"), job) == mime.format(Message("x"), seal_job)


@pytest.mark.parametrize("chosen", ["none", "baseline"])
def test_an_answer_keeps_hidden_what_was_hidden(mime: MimeFormatter, seal_job: SealJob, chosen: str) -> None:
    """RFC 9788, section 6.1. What a mail cannot be delivered without is excepted."""
    message = Message("x", subject="Re: secret", in_reply_to="a@b", references=("a@b",))
    everything = ("from", "to", "subject", "in-reply-to", "references", "message-id", "date")
    job = wish(seal_job, header_confidentiality=chosen)
    for shown in ({"Subject": "Re: secret"}, {"In-Reply-To": "<a@b>"}, {"References": "<a@b>"}):
        with pytest.raises(FormatFailed, match="was confidential in the message that you answer"):
            mime.format(replace(message, hidden=everything), replace(job, outer=shown))
    for harmless in ({"Subject": "[...]"}, {"To": "juliet@capulet.example"}, {}):
        mime.format(replace(message, hidden=everything), replace(job, outer=harmless))
    if chosen == "none":
        mime.format(message, replace(job, outer={"Subject": "Re: secret", "References": "<a@b>"}))


def test_protected_fields_stand_at_the_root(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob
) -> None:
    """Autocrypt 1.1: long key data is folded, never turned into encoded words; other readers find it unharmed."""
    gossip = AUTOCRYPT.replace("romeo@mail", "nurse@mail")
    fields = (("Autocrypt", AUTOCRYPT), ("Autocrypt-Gossip", gossip), ("Chat-Topic", "Grüße\r\nX-Evil: 1"))
    payload = mime.format(Message("x", "<p>x</p>"), replace(seal_job, protected=fields))
    head, _, body = payload.partition(b"\r\n\r\n")
    assert b"keydata" not in body
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert b"=?" not in b"".join(re.findall(rb"Autocrypt.*?(?=\r\n\S)", head, re.DOTALL))
    mail = email.message_from_bytes(payload, policy=policy.default)
    assert mail["X-Evil"] is None
    read = mime.parse(payload, open_job)
    for name, value in fields[:2]:
        found = mail.get_all(name, [])
        assert [re.sub(r"\s", "", str(each)) for each in found] == [value.replace(" ", "")]
        assert [each.replace(" ", "") for each in read.headers[name.lower()]] == [value.replace(" ", "")]
    assert read.headers["chat-topic"] == ("Grüße  X-Evil: 1",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("From", "a@x.example"), ("subject", "x"), ("HP-Outer", "Subject: x"), ("Content-Type", "text/html"), ("Bcc", "a@x.example"),
        ("MIME-Version", "1.0"), ("A B", "x"), ("A:B", "x"), ("", "x"), ("A\r\nB", "x"), ("É", "x"),
        ("Autocrypt", "addr=é@x.example"), ("Autocrypt", "addr=" + "a" * 1200), ("X-Long", "x" * 70_000),
    ],
)  # fmt: skip
def test_a_protected_field_that_cannot_be_is_refused(
    mime: MimeFormatter, seal_job: SealJob, name: str, value: str
) -> None:
    with pytest.raises(FormatFailed):
        mime.format(Message("x"), replace(seal_job, protected=((name, value),)))


# -- padding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "next_one"),
    [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (15, 16), (16, 16), (17, 18), (1000, 1024), (1025, 1088), (10**6, 1015808)],
)  # fmt: skip
def test_padme_lengths(length: int, next_one: int) -> None:
    assert padme(length) == next_one


@given(st.integers(0, 2**40))
def test_padme_grows_and_costs_at_most_12_percent(length: int) -> None:
    size = padme(length)
    assert length <= size <= length * 1.12 + 1
    assert padme(size) == size
    assert padme(length + 1) >= size


@given(st.integers(0, 5000) | st.integers(600_000, 3_000_000))
@example(1022)
@example(1021)
@example(1086)
@settings(deadline=None)
def test_what_is_filled_up_has_a_padme_length_and_whole_lines(length: int) -> None:
    whole = b"".join(padded([b"x" * length])) + b"\r\n"
    assert padme(len(whole)) == len(whole)
    assert len(whole) in {padme(length + 2), padme(length + 4)}
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", whole)
    assert max(map(len, whole[length:].split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "message",
    [
        Message("short"),
        Message(""),
        Message("Grüße\n" * 100),
        Message("ends with a line\n"),
        Message("x", "<p>x</p>", "subject"),
        Message(
            "x", attachments=(Attachment.from_bytes("a.bin", "application/octet-stream", bytes(300_000)),)
        ),
    ],
)
def test_a_padded_message_reads_as_if_it_were_not(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, message: Message
) -> None:
    job = wish(seal_job, padding="padme")
    sink = io.BytesIO()
    mime.format_to(message, job, sink)
    plain = mime.parse(mime.format(message, seal_job), open_job)
    for payload in (mime.format(message, job), sink.getvalue()):
        assert padme(len(payload)) == len(payload)
        assert payload.isascii()
        read = mime.parse(payload, open_job)
        assert read == plain
        assert read.notices == ()
        assert [each.read() for each in read.attachments] == [each.read() for each in message.attachments]
        mail = email.message_from_bytes(payload, policy=policy.default)
        assert mail.get_content_maintype() == "multipart"
        assert mail.get_param("hp") == "cipher"


@given(st.text(max_size=2000))
@settings(deadline=None)
def test_padded_lengths_are_padme_lengths_whatever_the_text(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, text: str
) -> None:
    try:
        payload = mime.format(Message(text), wish(seal_job, padding="padme"))
    except FormatFailed:
        return
    assert padme(len(payload)) == len(payload)
    assert (
        mime.parse(payload, open_job).text == mime.parse(mime.format(Message(text), seal_job), open_job).text
    )


def test_padding_is_off_unless_it_is_wished(mime: MimeFormatter, seal_job: SealJob) -> None:
    assert mime.format(Message("x"), wish(seal_job, padding="none")) == mime.format(Message("x"), seal_job)
    assert b"multipart" not in mime.format(Message("x"), seal_job)
