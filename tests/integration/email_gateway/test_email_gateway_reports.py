"""Reports to and about addresses beyond ASCII, through a real Postfix (RFC 6531, RFC 6533)."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
import sqlite3

import pytest

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

UNAL = "\u00fcnal@example.net"
UNAL_JID = "\u00fcnal\\40example.net@mail.localhost"
ORCPT = "ORCPT=rfc822;alias@example.com"
CLIENT = "{jabber:client}"
MAIL = f"From: {UNAL}\r\nTo: juliet@example.org\r\nMessage-ID: <u1@example.net>\r\nSubject: x\r\n\r\nhello\r\n".encode()


@pytest.fixture
def server_class():
    """One XMPP server is enough here: these tests are about mail."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


async def send(port, mail, sender, *, lmtp=False):
    """Hand a mail over with SMTPUTF8."""

    def dialogue():
        with (smtplib.LMTP if lmtp else smtplib.SMTP)("127.0.0.1", port, timeout=30) as smtp:
            smtp.ehlo_or_helo_if_needed()
            smtp.sendmail(
                sender, ["juliet@example.org"], mail, ["SMTPUTF8", "BODY=8BITMIME", "ENVID=E1"], [ORCPT]
            )

    await asyncio.to_thread(dialogue)


async def test_a_sender_beyond_ascii_gets_the_report(mail_system, juliet, far, kit):
    juliet.announce(*kit.CONFIRMING)
    system = await mail_system(smtputf8_enable="yes")
    await juliet.seen()
    await send(system.postfix.port, MAIL, UNAL)
    await juliet.refuse(f"{CLIENT}body")
    sender, to, raw = await far.next()
    assert (sender, to) == ("", [UNAL])
    mail = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "global-delivery-status"
    assert f"To: <{UNAL}>\r\n".encode() in raw
    assert b"Original-Envelope-Id: E1\r\n" in raw
    assert b"Original-Recipient: rfc822;alias@example.com\r\n" in raw
    assert b"Final-Recipient: rfc822; juliet@example.org\r\n" in raw
    assert raw.count(b"Auto-Submitted: auto-replied\r\n") == 1


async def test_a_report_that_the_relay_cannot_carry_is_seen_by_the_operator(mail_system, juliet, far, kit):
    """A relay without SMTPUTF8 takes no such address in any form: so it is a dead letter, and tells why."""
    juliet.announce(*kit.CONFIRMING)
    system = await mail_system(smtputf8_enable="no")
    await juliet.seen()
    await send(system.gateway.lmtp_port, MAIL, UNAL, lmtp=True)
    await juliet.refuse(f"{CLIENT}body")

    def letters():
        with sqlite3.connect(system.gateway.state / "gateway.db") as database:
            return database.execute("SELECT kind, reason FROM outbox WHERE state = 'dead'").fetchall()

    async with asyncio.timeout(60):
        while not (found := letters()):
            await asyncio.sleep(0.1)
    ((kind, reason),) = found
    assert kind == "report"
    assert "SMTPUTF8" in reason
    assert far.mails.empty()


async def test_a_bounce_of_an_address_beyond_ascii_is_an_error_for_the_right_message(
    mail_system, juliet, far
):
    """Postfix then writes message/global-delivery-status."""
    far.unknown[UNAL] = "550 5.1.1 no such user here"
    await mail_system(smtputf8_enable="yes")
    juliet.send(
        f"<message to='{UNAL_JID}' id='lost' type='chat'><body>hello</body>"
        "<request xmlns='urn:xmpp:receipts'/></message>"
    )
    error = await juliet.until(f"{CLIENT}error")
    assert (error.get("from"), error.get("id")) == (UNAL_JID, "lost")
    text = error.find(f"{CLIENT}error").findtext("{urn:ietf:params:xml:ns:xmpp-stanzas}text")
    assert "no such user here" in text
    assert UNAL in text
