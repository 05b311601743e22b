"""The door for mail, over real sockets: LMTP answers per recipient, and nothing smuggles."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

import pytest
from aiosmtpd.smtp import SMTP
from gre_gateway_email.config import Listen
from gre_gateway_email.mail import listener as module
from gre_gateway_email.mail import smtp_session as session
from gre_gateway_email.mail.listener import Listener

SETTINGS = Listen("lmtp", "127.0.0.1", 0, 100_000, 3)


class Recorder:
    """A door that takes every mail, and answers per recipient by its name."""

    def __init__(self):
        self.mails = []
        self.fail = False

    async def sender(self, address):
        return "553 5.1.7 no" if address.startswith("bad") else "250 2.1.0 OK"

    async def recipient(self, address):
        return "550 5.1.1 unknown" if address.startswith("nobody") else "250 2.1.5 OK"

    async def mail(self, sender, recipients, content, options):
        self.options = options
        if self.fail:
            raise RuntimeError("broken door")
        self.mails.append((sender, recipients, content))
        return ["452 4.3.1 full" if to.startswith("full") else "250 2.1.5 Stored" for to in recipients]


@pytest.fixture
def door():
    return Recorder()


@pytest.fixture
async def lmtp(door, kit):
    async for dialogue in serve(SETTINGS, door, kit, "LHLO"):
        yield dialogue


@pytest.fixture
async def smtp(door, kit):
    async for dialogue in serve(replace(SETTINGS, protocol="smtp"), door, kit, "EHLO"):
        yield dialogue


async def serve(settings, door, kit, greeting):
    listener = Listener(settings, door)
    await listener.start()
    dialogue = await kit.open_dialogue(listener.port)
    dialogue.greeted = await dialogue.say(f"{greeting} mx.example.org")
    yield dialogue
    await dialogue.close()
    await listener.stop()


async def envelope(dialogue, *recipients, sender="bob@example.net"):
    assert (await dialogue.say(f"MAIL FROM:<{sender}>")).startswith("250")
    for recipient in recipients or ("juliet@example.org",):
        assert (await dialogue.say(f"RCPT TO:<{recipient}>")).startswith("250")


async def test_lmtp_announces_size_and_pipelining(lmtp):
    assert "SIZE 100000" in lmtp.greeted
    assert "PIPELINING" in lmtp.greeted
    assert "8BITMIME" in lmtp.greeted
    assert "SMTPUTF8" in lmtp.greeted
    assert "DSN" in lmtp.greeted
    assert "STARTTLS" not in lmtp.greeted
    assert "AUTH" not in lmtp.greeted
    assert (await lmtp.say("EHLO x")).startswith("500")
    assert (await lmtp.say("HELO x")).startswith("500")


async def test_lmtp_answers_once_for_each_recipient(lmtp, door):
    await envelope(lmtp, "juliet@example.org", "full@example.org", "romeo@example.org")
    assert (await lmtp.say("DATA")).startswith("354")
    lmtp.send(b"Subject: x\r\n\r\nhello\r\n.\r\n")
    assert [await lmtp.reply() for _ in range(3)] == [
        "250 2.1.5 Stored",
        "452 4.3.1 full",
        "250 2.1.5 Stored",
    ]
    assert (await lmtp.say("NOOP")).startswith("250")
    assert door.mails == [
        (
            "bob@example.net",
            ("juliet@example.org", "full@example.org", "romeo@example.org"),
            b"Subject: x\r\n\r\nhello\r\n",
        )
    ]


async def test_smtp_answers_once_and_puts_off_what_is_not_stored_for_all(smtp, door):
    await envelope(smtp, "juliet@example.org", "full@example.org")
    assert (await smtp.say("DATA")).startswith("354")
    assert await smtp.say(b"x\r\n.") == "452 4.3.1 full"
    assert (await smtp.say("NOOP")).startswith("250")
    assert (await smtp.say("LHLO x")).startswith("500")


async def test_unknown_recipients_are_refused_at_once(lmtp, door):
    assert (await lmtp.say("MAIL FROM:<bob@example.net>")).startswith("250")
    assert await lmtp.say("RCPT TO:<nobody@example.org>") == "550 5.1.1 unknown"
    assert (await lmtp.say("DATA")).startswith("503")
    assert (await lmtp.say("RCPT TO:<juliet@example.org>")).startswith("250")


async def test_senders_are_checked_and_the_null_sender_is_one(lmtp, door):
    assert await lmtp.say("MAIL FROM:<bad@example.net>") == "553 5.1.7 no"
    assert (await lmtp.say("RCPT TO:<juliet@example.org>")).startswith("503")
    assert (await lmtp.say("MAIL FROM:<>")).startswith("250")
    assert (await lmtp.say("RCPT TO:<juliet@example.org>")).startswith("250")
    await lmtp.say("DATA")
    assert (await lmtp.say(b"x\r\n.")).startswith("250")
    assert door.mails[0][0] == ""


async def test_too_many_recipients_are_put_off(lmtp):
    await envelope(lmtp, "a@example.org", "b@example.org", "c@example.org")
    assert (await lmtp.say("RCPT TO:<d@example.org>")).startswith("452 4.5.3")


async def test_too_large_mails_are_refused_by_announcement_and_by_content(lmtp, door):
    assert (await lmtp.say("MAIL FROM:<bob@example.net> SIZE=100001")).startswith("552")
    await envelope(lmtp, "juliet@example.org", "romeo@example.org")
    await lmtp.say("DATA")
    lmtp.send(b"x" * 70 + b"\r\n" + (b"y" * 998 + b"\r\n") * 3000 + b".\r\n")
    assert [(await lmtp.reply())[:9] for _ in range(2)] == ["552 5.3.4", "552 5.3.4"]
    assert door.mails == []
    assert (await lmtp.say("NOOP")).startswith("250")


async def test_a_mail_of_exactly_the_limit_is_taken(lmtp, door):
    await envelope(lmtp)
    await lmtp.say("DATA")
    lmtp.send(b"x" * 99_998 + b"\r\n.\r\n")
    assert (await lmtp.reply()).startswith("250")
    assert len(door.mails[0][2]) == 100_000


CONTENTS = {
    "empty": (b".\r\n", b""),
    "one empty line": (b"\r\n.\r\n", b"\r\n"),
    "stuffed dots": (b"..\r\n...x\r\ny.\r\n.z\r\n.\r\n", b".\r\n..x\r\ny.\r\nz\r\n"),
    "8 bit": (b"\xc3\xa4\xff\r\n.\r\n", b"\xc3\xa4\xff\r\n"),
    "a long line": (b"x" * 50_000 + b"\r\n.\r\n", b"x" * 50_000 + b"\r\n"),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("piece", [1, 3, 100_000], ids=["bytes", "threes", "whole"])
async def test_content_arrives_as_it_was_sent(lmtp, door, name, piece):
    sent, expected = CONTENTS[name]
    if piece < 100 < len(sent):
        piece *= 1000
    await envelope(lmtp)
    await lmtp.say("DATA")
    for at in range(0, len(sent), piece):
        lmtp.send(sent[at : at + piece])
        await asyncio.sleep(0)
    assert (await lmtp.reply()).startswith("250")
    assert door.mails[0][2] == expected


SMUGGLED = {
    "LF dot LF": b"x\n.\nMAIL FROM:<eve@example.net>\r\nRCPT TO:<juliet@example.org>\r\nDATA\r\nevil\r\n.\r\n",
    "LF dot CRLF": b"x\n.\r\ny\r\n.\r\n",
    "CRLF dot LF": b"x\r\n.\ny\r\n.\r\n",
    "CR dot CRLF": b"x\r.\r\ny\r\n.\r\n",
    "CR dot CR": b"x\r.\ry\r\n.\r\n",
    "CRLF dot CR": b"x\r\n.\ry\r\n.\r\n",
    "bare LF": b"x\ny\r\n.\r\n",
    "bare CR": b"x\ry\r\n.\r\n",
    "CR CRLF": b"x\r\r\n.\r\n",
    "NUL": b"x\0y\r\n.\r\n",
    "CRLF NUL dot CRLF": b"x\r\n\0.\r\nMAIL FROM:<eve@example.net>\r\n.\r\n",
    "CRLF dot NUL CRLF": b"x\r\n.\0\r\nMAIL FROM:<eve@example.net>\r\n.\r\n",
    "CRLF dot CR CRLF": b"x\r\n.\r\r\nMAIL FROM:<eve@example.net>\r\n.\r\n",
    "at the start": b".\nMAIL FROM:<eve@example.net>\r\n.\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
@pytest.mark.parametrize("piece", [1, 2, 1000], ids=["bytes", "twos", "whole"])
async def test_mails_with_bare_line_ends_are_refused_whole(lmtp, door, name, piece):
    await envelope(lmtp)
    await lmtp.say("DATA")
    for at in range(0, len(SMUGGLED[name]), piece):
        lmtp.send(SMUGGLED[name][at : at + piece])
        await asyncio.sleep(0)
    assert (await lmtp.reply()).startswith("554 5.6.0")
    assert (await lmtp.say("NOOP")).startswith("250"), "something was taken for a command"
    assert door.mails == []


async def test_commands_may_be_sent_ahead(lmtp, door):
    lmtp.send(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<juliet@example.org>\r\nDATA\r\n")
    assert [(await lmtp.reply())[:3] for _ in range(3)] == ["250", "250", "354"]
    lmtp.send(b"one\r\n.\r\nMAIL FROM:<b@example.net>\r\nRCPT TO:<juliet@example.org>\r\nDATA\r\n")
    assert [(await lmtp.reply())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    lmtp.send(b"two\r\n.\r\nQUIT\r\n")
    assert [(await lmtp.reply())[:3] for _ in range(2)] == ["250", "221"]
    assert [(sender, content) for sender, _, content in door.mails] == [
        ("a@example.net", b"one\r\n"),
        ("b@example.net", b"two\r\n"),
    ]


async def test_a_broken_door_is_a_temporary_failure_for_each_recipient(lmtp, door):
    door.fail = True
    await envelope(lmtp, "juliet@example.org", "romeo@example.org")
    await lmtp.say("DATA")
    lmtp.send(b"x\r\n.\r\n")
    assert [(await lmtp.reply())[:9] for _ in range(2)] == ["451 4.3.0", "451 4.3.0"]
    assert "broken" not in await lmtp.say("NOOP")


async def test_a_connection_that_breaks_within_a_mail_delivers_nothing(lmtp, door):
    await envelope(lmtp)
    await lmtp.say("DATA")
    lmtp.send(b"half a mail\r\n")
    await lmtp.close()
    await asyncio.sleep(0.05)
    assert door.mails == []


async def test_addresses_beyond_ascii_need_smtputf8(lmtp, door):
    assert (await lmtp.say("MAIL FROM:<\u00e4@example.net>")).startswith("553 5.6.7")
    assert (await lmtp.say(b"MAIL FROM:<\xe4@example.net> SMTPUTF8")).startswith("553 5.6.7")
    assert (await lmtp.say("MAIL FROM:<a\u0308@example.net> SMTPUTF8")).startswith("250")
    assert (await lmtp.say("RCPT TO:<\u00fc@example.org> ORCPT=utf-8;\u00f6@example.org")).startswith("250")
    await lmtp.say("DATA")
    assert (await lmtp.say(b"x\r\n.")).startswith("250")
    assert door.mails[0][:2] == ("\u00e4@example.net", ("\u00fc@example.org",))
    assert door.options.smtputf8
    assert door.options.of("\u00fc@example.org").original == "utf-8;\u00f6@example.org"


async def test_what_the_sender_wants_to_know_is_handed_on(lmtp, door):
    await lmtp.say("MAIL FROM:<bob@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=a+2Bb AUTH=<>")
    for rcpt in (
        "a@x.org> NOTIFY=NEVER",
        "b@x.org> NOTIFY=DELAY,FAILURE ORCPT=rfc822;o+40x.org",
        "c@x.org> notify=success",
        "d@x.org>",
    ):
        assert (await lmtp.say(f"RCPT TO:<{rcpt}")).startswith("250" if "d@" not in rcpt else "452")
    await lmtp.say("DATA")
    lmtp.send(b"x\r\n.\r\n")
    for _ in range(3):
        await lmtp.reply()
    options = door.options
    assert (options.envelope_id, options.smtputf8, options.one_answer) == ("a+b", False, False)
    assert [options.of(f"{name}@x.org").wants_report for name in "abcd"] == [False, True, False, True]
    assert options.of("b@x.org").original == "rfc822;o@x.org"


async def test_smtp_says_that_it_has_one_answer(smtp, door):
    await envelope(smtp)
    await smtp.say("DATA")
    await smtp.say(b"x\r\n.")
    assert door.options.one_answer


BAD_MAIL = {
    "FROM:<bob@example.net> SIZE=100001": "552 5.3.4",
    "FROM:<bob@example.net> SIZE=99999999999999999999": "552 5.3.4",
    "FROM:<bob@example.net> SIZE=-1": "501",
    "FROM:<bob@example.net> SIZE": "501",
    "FROM:<bob@example.net> SIZE=1 SIZE=2": "501",
    "FROM:<bob@example.net> BODY=BINARYMIME": "501",
    "FROM:<bob@example.net> RET=ALL": "501",
    "FROM:<bob@example.net> ENVID=a+zz": "501",
    "FROM:<bob@example.net> ENVID=a+0D+0A": "501",
    "FROM:<bob@example.net> ENVID=" + "x" * 101: "501",
    "FROM:<bob@example.net> SMTPUTF8=1": "501",
    "FROM:<bob@example.net> XVERP": "555",
    "FROM:<bob@example.net> REQUIRETLS": "555",
    "FROM:<bob@example.net>SIZE=1": "501",
    "FROM:bob@example.net": "501",
    "FROM:<bob@example.net": "501",
    "FROM:<bob\x01@example.net>\x02": "501",
    "FROM:": "501",
    "": "501",
    "TO:<bob@example.net>": "501",
    'FROM:<"' + "a" * 300: "501",
}


@pytest.mark.parametrize("argument", BAD_MAIL, ids=[str(n) for n in range(len(BAD_MAIL))])
async def test_parameters_that_are_not_understood_are_refused(lmtp, argument):
    assert (await lmtp.say(f"MAIL {argument}".strip())).startswith(BAD_MAIL[argument])
    assert (await lmtp.say("RCPT TO:<juliet@example.org>")).startswith("503")
    assert (await lmtp.say("MAIL FROM:<bob@example.net> SIZE=100000")).startswith("250")


@pytest.mark.parametrize(
    "argument",
    ["TO:<>", "TO:<a@x.org> NOTIFY=NEVER,DELAY", "TO:<a@x.org> NOTIFY", "TO:<a@x.org> ORCPT=x", "TO:<a@x.org> X=1",
     "TO:a@x.org", "TO:<a@x.org> ORCPT=rfc822;a+0A"],
)  # fmt: skip
async def test_recipients_that_are_not_understood_are_refused(lmtp, argument):
    await lmtp.say("MAIL FROM:<bob@example.net>")
    assert (await lmtp.say(f"RCPT {argument}"))[:3] in {"501", "555"}
    assert (await lmtp.say("DATA")).startswith("503")


async def test_a_recipient_is_only_asked_for(lmtp, door):
    """As Postfix does to verify one."""
    await envelope(lmtp, sender="")
    assert (await lmtp.say("RSET")).startswith("250")
    assert (await lmtp.say("RCPT TO:<juliet@example.org>")).startswith("503")
    await lmtp.say("QUIT")
    assert door.mails == []


async def test_who_the_users_are_is_told_to_nobody(lmtp):
    assert (await lmtp.say("VRFY juliet@example.org")).startswith("252")
    assert (await lmtp.say("VRFY nobody@example.org")).startswith("252")
    assert (await lmtp.say("EXPN list")).startswith("502")
    assert (await lmtp.say("AUTH PLAIN AHgAeQ==")).startswith("502")
    assert (await lmtp.say("STARTTLS")).startswith("502")


async def test_a_command_without_end_costs_no_memory(lmtp):
    for _ in range(200):
        lmtp.send(b"MAIL FROM:<" + b"a" * 65536)
    assert (await lmtp.say(">")).startswith("500")
    assert (await lmtp.say("NOOP")).startswith("250")
    assert (await lmtp.say("MAIL FROM:<" + "a" * 1500 + "@x.org>")).startswith("500")


async def test_a_mail_that_takes_for_ever_is_given_up(lmtp, door, monkeypatch):
    monkeypatch.setattr(session, "DATA_SECONDS", 0.0)
    await envelope(lmtp)
    await lmtp.say("DATA")
    lmtp.send(b"x")
    assert (await lmtp.reply()).startswith("421")
    assert door.mails == []


async def test_who_says_nothing_is_hung_up_on_and_who_talks_is_not(door, kit, monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 3.0)
    listener = Listener(SETTINGS, door)
    await listener.start()
    dialogue = await kit.open_dialogue(listener.port)
    began = time.monotonic()
    while time.monotonic() < began + 4:
        assert (await dialogue.say("NOOP")).startswith("250")
        await asyncio.sleep(0.1)
    assert len(listener.connections) == 1, "it talked all the time"
    async with asyncio.timeout(60):
        while listener.connections:
            await asyncio.sleep(0.05)
    await dialogue.close()
    await listener.stop()


async def test_many_large_mails_at_once_are_put_off(door, kit, monkeypatch):
    """What is received at the same time is bounded, not only each mail."""
    monkeypatch.setattr(module, "ROOM", 0)
    listener = Listener(SETTINGS, door)
    await listener.start()
    assert listener.room == 2 * SETTINGS.max_size
    half = b"x" * 90_000 + b"\r\n"
    senders = [await kit.open_dialogue(listener.port) for _ in range(4)]
    for dialogue in senders:
        await dialogue.say("LHLO mx.example.org")
        await envelope(dialogue)
        await dialogue.say("DATA")
        dialogue.send(half)
    async with asyncio.timeout(10):
        while listener.held < 2 * len(half):
            await asyncio.sleep(0.01)
    for dialogue in senders:
        dialogue.send(b"y\r\n.\r\n")
    replies = sorted([(await dialogue.reply())[:9] for dialogue in senders])
    assert replies[0] == "250 2.1.5"
    assert replies[-1] == "452 4.3.1"
    assert len(door.mails) == sum(reply.startswith("250") for reply in replies)
    assert listener.held == 0
    await envelope(senders[0])
    await senders[0].say("DATA")
    senders[0].send(half)
    await senders[0].close()
    async with asyncio.timeout(10):
        while listener.held:
            await asyncio.sleep(0.01)
    assert listener.held == 0, "what a broken connection held is given back"
    for dialogue in senders[1:]:
        await dialogue.close()
    await listener.stop()


async def test_control_characters_stand_in_no_address(lmtp):
    for char in ("\0", "\x01", "\x7f", "\x0b"):
        assert (await lmtp.say(f"MAIL FROM:<a{char}b@example.net>")).startswith("501")
        await lmtp.say("MAIL FROM:<a@example.net>")
        assert (await lmtp.say(f"RCPT TO:<a{char}b@example.org>")).startswith("501")
        await lmtp.say("RSET")


async def test_chunks_are_not_announced_and_not_taken(lmtp):
    """BDAT (RFC 3030) would be a second way to end a mail."""
    assert "CHUNKING" not in lmtp.greeted
    await envelope(lmtp)
    assert (await lmtp.say("BDAT 5 LAST")).startswith("500")
    assert (await lmtp.say("hello")).startswith("500")


async def test_mails_that_go_round_in_circles_are_refused(lmtp, door):
    own = b"Received: by example.org (gre-email-gateway) with XMPP id 1;\r\n Mon, 23 Nov 2026 09:00:00 +0000\r\n"
    other = own.replace(b"example.org", b"example.net")
    loops = [own * 2, own + other + own, b"Received: x\r\n" * 101]
    fine = [own, own + other, b"Received: x\r\n" * 100, b"\r\n" + own * 2]
    for header in (*loops, *fine):
        await envelope(lmtp)
        await lmtp.say("DATA")
        reply = await lmtp.say(header + b"Subject: x\r\n\r\nhello\r\n.")
        assert reply[:9] == ("554 5.4.6" if header in loops else "250 2.1.5"), header[:200]
    assert len(door.mails) == len(fine)


async def test_connections_are_limited(door, kit, monkeypatch):
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)
    listener = Listener(SETTINGS, door)
    await listener.start()
    two = [await kit.open_dialogue(listener.port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    assert (await reader.readline()).startswith(b"421 4.3.2")
    assert await reader.read() == b""
    writer.close()
    for dialogue in two:
        await dialogue.close()
    await asyncio.sleep(0.05)
    await (await kit.open_dialogue(listener.port)).close()
    await listener.stop()


async def test_a_program_may_have_another_server_of_the_same_library(door, kit, caplog):
    """Its log and its limits are as they would be without ours, and of ours nothing stands in that log."""
    caplog.set_level(logging.DEBUG, logger="mail.log")
    loop = asyncio.get_running_loop()
    theirs = await loop.create_server(lambda: SMTP(object(), loop=loop), "127.0.0.1", 0)
    ours = Listener(SETTINGS, door)
    await ours.start()
    other = await kit.open_dialogue(theirs.sockets[0].getsockname()[1])
    dialogue = await kit.open_dialogue(ours.port)
    for each, hello in ((dialogue, "LHLO"), (other, "EHLO")):
        await each.say(f"{hello} mx.example.org")
        name = "ours" if each is dialogue else "theirs"
        await each.say(f"MAIL FROM:<{name}@example.net>")
        await each.say("WHAT")
    assert "MAIL FROM:<theirs@example.net>" in caplog.text
    assert "ours@example.net" not in caplog.text
    assert (await other.say("RCPT TO:<" + "a" * 600 + "@x.org>")) == "500 Command line too long"
    assert (await dialogue.say("RCPT TO:<" + "a" * 600 + "@x.org>")).startswith("501 5.1.7")
    assert (await dialogue.say("RCPT TO:<juliet@example.org> ORCPT=rfc822;" + "a" * 400)).startswith("250")
    for each in (other, dialogue):
        await each.close()
    await ours.stop()
    theirs.close()
    await theirs.wait_closed()
