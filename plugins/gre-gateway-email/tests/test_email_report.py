"""The report for a mail that could not be delivered after all, and mails that nobody may answer."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from gre_gateway_email.mail.auto_submitted import is_automatic
from gre_gateway_email.mail.dsn import read_report
from gre_gateway_email.mail.report import Failure, failure_report
from gre_gateway_email.mail.typed_address import escaped, unescaped
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
FAILURE = Failure(
    sender="bob@example.net",
    recipient="juliet@example.org",
    reason="The user's server did not take the message for four days.",
    status="4.4.7",
    arrived_at=datetime(2026, 11, 19, 9, 0, tzinfo=UTC),
    message_id="m1@example.net",
    envelope_id="QQ1",
    original_recipient="rfc822;j@example.org",
)


def test_the_report_has_the_form_of_the_standard():
    raw = failure_report(FAILURE, NOW, host="mail.example.org")
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["from"] == "Mail Delivery System <mailer-daemon@example.org>"
    assert mail["to"] == "bob@example.net"
    assert mail["auto-submitted"] == "auto-replied"
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    words, status, returned = mail.iter_parts()
    assert [part.get_content_type() for part in (words, status, returned)] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    whole, one = status.get_payload()
    assert whole["original-envelope-id"] == "QQ1"
    assert whole["reporting-mta"] == "dns; mail.example.org"
    assert whole["arrival-date"] == "Thu, 19 Nov 2026 09:00:00 +0000"
    assert one["final-recipient"] == "rfc822; juliet@example.org"
    assert one["original-recipient"] == "rfc822;j@example.org"
    assert (one["action"], one["status"]) == ("failed", "4.4.7")
    assert returned.get_payload() == "Message-ID: <m1@example.net>\r\n"
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) < 998


def test_our_own_reader_understands_it_and_nobody_answers_it():
    raw = failure_report(FAILURE, NOW)
    report = read_report(raw)
    assert (report.envelope_id, report.message_id, report.failed) == ("QQ1", "m1@example.net", True)
    assert is_automatic(raw, "bob@example.net")


def test_what_is_not_known_is_left_out():
    raw = failure_report(
        replace(FAILURE, message_id="", envelope_id="", original_recipient="", status="x"), NOW
    )
    assert b"Original-" not in raw
    assert b"References" not in raw
    assert b"Status: 5.0.0\r\n" in raw
    assert read_report(raw).recipients[0].recipient == "juliet@example.org"


@given(
    st.text(max_size=60),
    st.sampled_from(["\r\nX-Injected: 1", "\r\n\r\nX", "\n", "\0", "\u2028X-Injected: 1"]),
)
def test_nothing_that_a_stranger_chose_begins_a_field_or_a_part(text, attack):
    bad = text + attack + text
    plain = failure_report(replace(FAILURE, message_id="", envelope_id=""), NOW)
    raw = failure_report(
        replace(FAILURE, message_id=bad, envelope_id=bad, reason=bad, original_recipient=bad), NOW
    )
    fields = [line for line in raw.split(b"\r\n") if line.lower().startswith(b"x-injected")]
    assert fields == []
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert abs(raw.count(b"\r\n\r\n") - plain.count(b"\r\n\r\n")) <= 1


UNAL = "\u00fcnal@example.net"


def test_a_sender_beyond_ascii_gets_a_report_in_utf_8():
    """RFC 6533, section 5: with the addresses as they are written."""
    raw = failure_report(
        replace(
            FAILURE,
            sender=UNAL,
            recipient="\u00e9va@example.org",
            original_recipient="utf-8;\\x{E9}va@example.org",
        ),
        NOW,
    )
    mail = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
    assert f"To: <{UNAL}>\r\n".encode() in raw
    assert mail.get_param("report-type") == "global-delivery-status"
    parts = list(mail.iter_parts())
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global-headers",
    ]
    assert all(part["content-transfer-encoding"] == "8bit" for part in (mail, *parts))
    assert "Final-Recipient: utf-8; \u00e9va@example.org\r\n".encode() in raw
    (one,) = read_report(raw).recipients
    assert (one.recipient, one.original_recipient) == ("\u00e9va@example.org", "\u00e9va@example.org")
    assert is_automatic(raw, UNAL)


def test_a_recipient_beyond_ascii_is_escaped_for_a_sender_in_ascii():
    """RFC 6533, section 3: such a report goes through any mail system."""
    raw = failure_report(replace(FAILURE, recipient="\u00e9va+x@example.org"), NOW)
    assert raw.isascii()
    assert b"Content-Type: message/delivery-status\r\n" in raw
    assert b"Final-Recipient: utf-8; \\x{E9}va\\x{2B}x@example.org\r\n" in raw
    assert read_report(raw).recipients[0].recipient == "\u00e9va+x@example.org"


def test_a_domain_beyond_ascii_needs_no_utf_8():
    raw = failure_report(
        replace(FAILURE, sender="bob@b\u00fccher.example", recipient="juliet@b\u00fccher.example"), NOW
    )
    assert raw.isascii()
    assert b"To: <bob@xn--bcher-kva.example>\r\n" in raw
    assert b"From: Mail Delivery System <mailer-daemon@xn--bcher-kva.example>\r\n" in raw
    assert b"Final-Recipient: rfc822; juliet@xn--bcher-kva.example\r\n" in raw


@given(st.text(max_size=40))
def test_escaped_addresses_come_back(text):
    assert unescaped(escaped(text)) == text
    assert set(escaped(text)) <= set(map(chr, range(0x21, 0x7F))) - set("+=")


@pytest.mark.parametrize(
    "text", ["\\x{}", "\\x{D800}", "\\x{110000}", "\\x{FFFFFFFF}", "\\x{zz}", "\\x", "\\x{41"]
)
def test_what_is_no_escaped_character_stays(text):
    assert unescaped(text) == text


AUTOMATIC = {
    "auto-replied": b"Auto-Submitted: auto-replied\r\n",
    "auto-generated with a comment": b"auto-submitted: auto-generated (failure)\r\n",
    "a list": b"List-Id: <l.example.net>\r\n",
    "bulk": b"Precedence: bulk\r\n",
    "a report": b"Content-Type: multipart/report; report-type=delivery-status\r\n",
    "too large a header": b"X: y\r\n" * 2000,
}


@pytest.mark.parametrize("name", AUTOMATIC)
def test_mails_of_programs_are_not_answered(name):
    assert is_automatic(b"From: b@example.net\r\n" + AUTOMATIC[name] + b"\r\nx", "b@example.net")


def test_the_null_sender_and_roles_are_not_answered():
    mail = b"From: b@example.net\r\n\r\nx"
    for sender in ("", "mailer-daemon@x.example", "owner-list@x.example", "list-request@x.example"):
        assert is_automatic(mail, sender)


@pytest.mark.parametrize("extra", [b"", b"Auto-Submitted: no\r\n", b"Auto-Submitted: No; x=y\r\n"])
def test_mails_of_people_are(extra):
    assert not is_automatic(b"From: b@example.net\r\n" + extra + b"\r\nx", "b@example.net")
