"""Reports of mail systems: those of the standard, those written for people, and what only looks like one."""

from __future__ import annotations

import email
import re
import time

import pytest
from gre_gateway_email.mail.dsn import read_report
from hypothesis import given
from hypothesis import strategies as st

NOT_MAIL = {
    # Notices of services, and of a list that refuses a member: no mail system wrote them.
    "lhost-amazonses-10.eml",
    "lhost-amazonses-12.eml",
    "lhost-fml-02.eml",
    "lhost-kddi-02.eml",
}
BOUNCES = {"dsn_relayed.eml", "badbound.msg"}
FIELDS = re.compile(rb"^(?:final|original)-recipient:", re.IGNORECASE | re.MULTILINE)

STANDARD = b"""\
From: MAILER-DAEMON@mx.example.net
To: juliet@example.org
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I am sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: TOKEN-1
Arrival-Date: Mon, 23 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822; bob@example.net
Original-Recipient: rfc822;robert@example.net
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <bob@example.net>: no
 such user

Final-Recipient: rfc822; eve@example.net
Action: delayed
Status: 4.4.1

--b
Content-Type: text/rfc822-headers

From: juliet@example.org
Message-ID: <m1@example.org>

--b--
"""

WORDS = b"""\
From: MAILER-DAEMON@mx.example.net
To: juliet@example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<bob@example.net>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

Return-Path: <juliet@example.org>
Message-ID: <m1@example.org>
To: bob@example.net
"""


def crlf(mail: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", mail)


def bounces(folder):
    """All real bounces, with their names; not the abuse reports and vacation notes among them."""
    for file in sorted(folder.iterdir()):
        if not file.name.startswith(("arf-", "rfc3834-")):
            yield file.name, file.read_bytes()


@pytest.mark.parametrize("change", [bytes, crlf])
def test_a_report_of_the_standard_says_everything(change):
    report = read_report(change(STANDARD))
    assert (report.envelope_id, report.message_id, report.standard) == ("TOKEN-1", "m1@example.org", True)
    bob, eve = report.recipients
    assert (bob.action, bob.status, bob.temporary) == ("failed", "5.1.1", False)
    assert (bob.recipient, bob.original_recipient) == ("bob@example.net", "robert@example.net")
    assert bob.diagnostic == "550 5.1.1 <bob@example.net>: no such user"
    assert (eve.action, eve.status, eve.recipient, eve.temporary) == (
        "delayed",
        "4.4.1",
        "eve@example.net",
        True,
    )
    assert report.failed


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_good_news_is_no_failure(action):
    mail = STANDARD.replace(b"Action: failed", b"Action: " + action.encode()).replace(b"5.1.1", b"2.0.0")
    report = read_report(mail)
    assert report.recipients[0].action == action
    assert not report.failed


def test_words_are_read_when_there_is_no_form():
    report = read_report(WORDS)
    (bob,) = report.recipients
    assert (bob.action, bob.status, bob.recipient) == ("failed", "5.1.1", "bob@example.net")
    assert (report.message_id, report.standard) == ("m1@example.org", False)
    assert "User unknown" in bob.diagnostic


def test_a_warning_is_no_failure():
    mail = WORDS.replace(b"failure notice", b"Warning: message delayed 24 hours").replace(
        b"This is a permanent error; I've given up. Sorry it didn't work out.", b"I will keep trying."
    )
    assert [one.action for one in read_report(mail).recipients] == ["delayed"]


NO_REPORTS = {
    "a person": WORDS.replace(b"MAILER-DAEMON@mx.example.net", b"Bob <bob@example.net>"),
    "a forwarded bounce": WORDS.replace(b"failure notice", b"Fwd: failure notice"),
    "an answer to one": WORDS.replace(b"failure notice", b"Re: failure notice"),
    "a vacation note": b"From: Bob <bob@example.net>\nSubject: Undeliverable? No: out of office\n"
    b"Auto-Submitted: auto-replied\nMessage-ID: <x@y>\n\nI could not be delivered of work. 550 5.1.1\n",
    "a vacation note of a daemon": b"From: postmaster@example.net\nSubject: Out of Office: delivery failure\n"
    b"\nYour mail to bob@example.net could not be delivered to my eyes\n",
    "a postmaster who writes": b"From: postmaster@example.net\nSubject: Dinner\n\nSee bob@example.net\n",
    "a read receipt": b"From: postmaster@example.net\nSubject: Not read: delivery failure\n"
    b'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\n\n--b\n\n'
    b"could not be delivered to bob@example.net\n--b\nContent-Type: message/disposition-notification\n\n"
    b"Final-Recipient: rfc822;bob@example.net\nDisposition: automatic-action; deleted\n\n--b--\n",
    "an attached bounce": b'From: bob@example.net\nContent-Type: multipart/mixed; boundary="z"\n\n--z\n\nSee!\n'
    b"--z\nContent-Type: message/rfc822\n\n" + STANDARD + b"\n--z--\n",
    "a form without a recipient": STANDARD.replace(b"Final-Recipient", b"X-A")
    .replace(b"Original-Recipient", b"X-B")
    .replace(b"Action", b"X-C")
    .replace(b"MAILER-DAEMON", b"bob"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_REPORTS)
def test_what_only_looks_like_a_report_is_none(name):
    assert read_report(NO_REPORTS[name]) is None


def test_every_bounce_of_the_corpus_in_the_standard_form_is_understood(corpora):
    """Compared with what the standard library reads of the same part."""
    read = 0
    for name, mail in bounces(corpora / "sisimai-bounces/maildir/bsd"):
        if not FIELDS.search(mail):
            continue
        report = read_report(mail)
        assert report is not None, name
        assert report.standard, name
        read += 1
        expected = [
            str(block["action"]).lower()
            for part in email.message_from_bytes(mail).walk()
            if part.get_content_type() == "message/delivery-status"
            for block in part.get_payload()
            if block["final-recipient"] and block["action"]
        ]
        if expected and name != "rfc3464-35.eml":  # whose boundary the standard library does not find
            got = [one.action for one in report.recipients]
            assert {each[:4] for each in expected} == {each[:4] for each in got}, name
    assert read >= 170


def test_nearly_every_bounce_of_the_corpus_is_understood(corpora):
    """The others are notices of services; only where the original was not returned is there no Message-ID."""
    lost, without_recipient, without_id, count = set(), [], [], 0
    for name, mail in bounces(corpora / "sisimai-bounces/maildir/bsd"):
        report = read_report(mail)
        count += 1
        if report is None:
            lost.add(name)
            continue
        if not all(one.recipient or one.original_recipient for one in report.recipients):
            without_recipient.append(name)
        if not report.message_id and len(re.findall(rb"(?im)^[> ]*message-id:\s*<", mail)) > 1:
            without_id.append(name)
    assert count >= 300
    assert lost <= NOT_MAIL
    assert without_id == []
    assert len(without_recipient) <= 1, without_recipient


@pytest.mark.parametrize("folder", ["dos", "mac"])
def test_line_ends_do_not_matter(corpora, folder):
    """``mac`` has bare CR, which no mail has when it arrives here."""
    for name, mail in bounces(corpora / f"sisimai-bounces/maildir/{folder}"):
        report, other = read_report(crlf(mail)), read_report(crlf(mail).replace(b"\r\n", b"\n"))
        assert report == other, name


def test_vacation_notes_and_abuse_reports_of_the_corpus_are_none(corpora):
    folder = corpora / "sisimai-bounces/maildir/bsd"
    others = [file for file in folder.iterdir() if file.name.startswith(("arf-", "rfc3834-"))]
    others.append(corpora / "sisimai-bounces/maildir/not/is-not-bounce-01.eml")
    assert len(others) > 10
    for file in others:
        assert read_report(file.read_bytes()) is None, file.name


def test_no_ordinary_mail_of_the_corpora_is_a_report(corpora):
    count = 0
    for folder in ("deltachat-core", "mime4j", "stalwart-mail-parser", "autocrypt-spec"):
        for file in (corpora / folder).rglob("*"):
            if file.suffix not in {".eml", ".msg"} or "ndn" in file.name or file.name in BOUNCES:
                continue
            count += 1
            assert read_report(file.read_bytes()) is None, file
    assert count > 200


DELTACHAT = {
    "dsn_relayed.eml": ("relayed", "anon_2@gmx.at", "8b7b1a9d0c8cc588c7bcac47f5687634@posteo.de"),
    "gmail_ndn.eml": (
        "failed",
        "assidhfaaspocwaeofi@gmail.com",
        "CABXKi8zruXJc_6e4Dr087H5wE7sLp+u250o0N2q5DdjF_r-8wg@mail.gmail.com",
    ),
    "gmail_ndn_group.eml": (
        "failed",
        "assidhfaaspocwaeofi@gmail.com",
        "CADWx9Cs32Wa7Gy-gM0bvbq54P_FEHe7UcsAV=yW7sVVW=fiMYQ@mail.gmail.com",
    ),
    "gmx_ndn.eml": ("failed", "snaerituhaeirns@gmail.com", "9c9c2a32-056b-3592-c372-d7e8f0bd4bc2@gmx.de"),
    "ndn_with_attachment.eml": ("failed", "bob@example.org", "Mr.I6Da6dXcTel.TroC5J3uSDH@example.org"),
    "posteo_ndn.eml": (
        "failed",
        "hanerthaertidiuea@gmx.de",
        "04422840-f884-3e37-5778-8192fe22d8e1@posteo.de",
    ),
    "testrun_ndn.eml": ("failed", "hcksocnsofoejx@five.chat", "Mr.A7pTA5IgrUA.q4bP41vAJOp@testrun.org"),
    "testrun_ndn_2.eml": ("failed", "bob@example.org", "Mr.5xqflwt0YFv.IXDFfHauvWx@testrun.org"),
    "tiscali_ndn.eml": ("failed", "shenauithz@testrun.org", "Mr.un2NYERi1RM.lbQ5F9q-QyJ@tiscali.it"),
    "yahoo_ndn.eml": (
        "failed",
        "haeclirth.sinoenrat@yahoo.com",
        "1680295672.3657931.1591783872936@mail.yahoo.com",
    ),
}


@pytest.mark.parametrize("name", DELTACHAT)
def test_the_bounces_of_another_project(corpora, name):
    action, recipient, message_id = DELTACHAT[name]
    report = read_report((corpora / f"deltachat-core/test-data/message/{name}").read_bytes())
    assert (report.recipients[0].action, report.recipients[0].recipient) == (action, recipient)
    assert report.message_id == message_id


HOSTILE = {
    "deep": b"".join(
        b'Content-Type: multipart/report; boundary="%d"\n\n--%d\n' % (depth, depth) for depth in range(5000)
    ),
    "many parts": b'From: postmaster@x.y\nContent-Type: multipart/report; boundary="b"\n\n' + b"--b\n\nx\n" * 200_000,
    "many recipients": STANDARD.replace(
        b"Final-Recipient: rfc822; eve@example.net", b"Final-Recipient: rfc822; a@b.c\nAction: failed\n\n" * 100_000
    ),
    "a large form": STANDARD.replace(b"no\n such user", b"x" * 5_000_000),
    "many fields": STANDARD.replace(b"Status: 4.4.1", b"Status: 4.4.1\n" * 100_000),
    "many addresses": WORDS.replace(b"<bob@example.net>", b"a@b.cc " * 1_000_000),
    "one long word": WORDS.replace(b"<bob@example.net>", b"a" * 5_000_000),
    "dots and ats": WORDS.replace(b"<bob@example.net>", b".@" * 2_000_000),
    "spaces": WORDS.replace(b"<bob@example.net>", b"\n \t" * 2_000_000),
    "digits": WORDS.replace(b"<bob@example.net>", b"5.5.5." * 1_000_000),
    "dashes": WORDS.replace(b"<bob@example.net>", b"-\n--" * 1_000_000),
    "tags": b"From: postmaster@x.y\nSubject: undeliverable\nContent-Type: text/html\n\n" + b"<p <!-- " * 500_000,
    "a long ID": STANDARD.replace(b"<m1@", b"<" + b"m" * 3_000_000),
    "NUL": WORDS.replace(b"failure notice", b"failure\0notice").replace(b"bob", b"b\0b"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_reports_cost_little_and_give_bounded_values(name):
    began = time.process_time()
    report = read_report(HOSTILE[name])
    assert time.process_time() - began < 3
    if report is not None:
        assert len(report.recipients) <= 100
        assert len(report.message_id) <= 998
        for one in report.recipients:
            assert len(one.diagnostic) <= 300
            assert all(len(text) <= 998 for text in (one.recipient, one.original_recipient))
            assert one.diagnostic.isprintable()


@given(st.binary(max_size=300), st.integers(0, len(STANDARD)), st.integers(0, 80), st.booleans())
def test_damaged_reports_never_raise(junk, at, cut, words):
    mail = WORDS if words else STANDARD
    report = read_report(mail[:at] + junk + mail[at + cut :])
    assert report is None or report.recipients
