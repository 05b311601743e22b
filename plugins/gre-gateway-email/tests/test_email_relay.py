"""The way out: a relay that takes, refuses, hangs, breaks off or is away."""

from __future__ import annotations

import asyncio
import re
import socket
import time

import pytest
from gre_gateway_email.mail import relay as module
from gre_gateway_email.mail.relay import Relay
from gre_gateway_email.mail.smtp_dialogue import Broken, Dialogue, Extensions, Letter

from gre_core.errors import Refused

MAIL = b"Subject: x\r\n\r\n.leading dot\r\nhello\r\n"


@pytest.fixture
async def relay(scripted_relay, kit):
    made = Relay(kit.smtp_settings(scripted_relay.port, timeout=0.5))
    yield made
    await made.close()


async def send(relay, *recipients):
    await relay.send("juliet@example.org", recipients or ("bob@example.net",), MAIL)


async def test_a_mail_arrives_as_it_is(relay, scripted_relay):
    await send(relay, "bob@example.net", "eve@example.net")
    assert scripted_relay.mails == [("juliet@example.org", ["bob@example.net", "eve@example.net"], MAIL)]


async def test_every_mail_has_a_trace_that_names_nobody(relay, scripted_relay):
    await send(relay)
    await send(relay)
    await relay.send("", ["bob@example.net"], MAIL.replace(b"x", b"y"))
    first, second, third = (trace.decode() for trace in scripted_relay.traces)
    assert re.fullmatch(
        r"Received: by example\.org \(gre-email-gateway\) with XMPP id [0-9a-f]{16};\r\n \w+, .* \+0000\r\n",
        first,
    )
    assert first.partition(";")[0] == second.partition(";")[0] != third.partition(";")[0]
    assert third.startswith("Received: by localhost ")
    assert "juliet" not in first + third


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"a\0b", b"\n.\r\n", b"\r.\r", b"x\r\r\n"])
async def test_broken_line_ends_never_leave(relay, scripted_relay, bad):
    with pytest.raises(Refused) as refused:
        await relay.send("juliet@example.org", ["bob@example.net"], MAIL + bad + b"\r\n")
    assert (refused.value.error_type, refused.value.condition) == ("cancel", "internal-server-error")
    assert scripted_relay.connections == 0


async def test_a_mail_without_a_last_line_end_gets_one(relay, scripted_relay):
    await relay.send("juliet@example.org", ["bob@example.net"], MAIL + b"end\r\n.")
    assert scripted_relay.mails[0][2] == MAIL + b"end\r\n.\r\n"


@pytest.mark.parametrize(
    ("recipient", "mail"),
    [("\u00fcnal@example.net", MAIL), ("bob@example.net", b"From: \xc3\xbc@example.org\r\n\r\nx\r\n")],
)
async def test_without_smtputf8_the_user_is_told(relay, scripted_relay, recipient, mail):
    with pytest.raises(Refused) as refused:
        await relay.send("juliet@example.org", [recipient], mail)
    assert (refused.value.error_type, refused.value.condition) == ("cancel", "not-acceptable")
    assert "SMTPUTF8" in refused.value.text
    assert scripted_relay.mails == []
    await send(relay)  # over the same connection
    assert scripted_relay.connections == 1


async def test_a_domain_beyond_ascii_needs_nothing(relay, scripted_relay):
    await send(relay, "bob@b\u00fccher.example")
    assert scripted_relay.mails[0][1] == ["bob@xn--bcher-kva.example"]


async def test_connections_are_kept_and_limited(relay, scripted_relay):
    for _ in range(5):
        await send(relay)
    assert scripted_relay.connections == 1
    await asyncio.gather(*(send(relay) for _ in range(20)))
    assert scripted_relay.connections <= 2
    assert len(scripted_relay.mails) == 25


async def test_a_kept_connection_that_the_relay_closed_is_replaced(relay, scripted_relay):
    await send(relay)
    scripted_relay.hang_up()
    await send(relay)
    assert len(scripted_relay.mails) == 2
    assert scripted_relay.connections == 2


async def test_old_connections_are_not_used(relay, scripted_relay, monkeypatch):
    monkeypatch.setattr(module, "KEPT_IDLE", -1.0)
    await send(relay)
    await send(relay)
    assert scripted_relay.connections == 2


REFUSALS = {
    "4xx at MAIL": ("MAIL", "451 4.3.0 queue file write error", "wait", "recipient-unavailable"),
    "5xx at MAIL": ("MAIL", "554 5.7.1 sender not allowed", "cancel", "not-acceptable"),
    "too large at MAIL": ("MAIL", "552 5.3.4 too big", "modify", "policy-violation"),
    "login needed": ("MAIL", "530 5.7.0 authentication required", "wait", "internal-server-error"),
    "4xx at RCPT": ("RCPT", "450 4.2.0 greylisted", "wait", "recipient-unavailable"),
    "421 at RCPT": ("RCPT", "421 4.3.2 shutting down", "wait", "recipient-unavailable"),
    "5xx at RCPT": ("RCPT", "550 5.1.1 no such user", "cancel", "item-not-found"),
    "4xx at DATA": ("DATA", "452 4.3.1 out of disk", "wait", "recipient-unavailable"),
    "5xx at DATA": ("DATA", "554 5.6.0 spam", "cancel", "not-acceptable"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_become_errors_with_the_relays_words(relay, scripted_relay, name):
    step, answer, error_type, condition = REFUSALS[name]
    scripted_relay.answers[step] = [answer]
    with pytest.raises(Refused) as refused:
        await send(relay)
    assert (refused.value.error_type, refused.value.condition) == (error_type, condition)
    assert answer in refused.value.text
    assert scripted_relay.mails == []
    await send(relay)  # the next one goes through
    assert len(scripted_relay.mails) == 1


async def test_one_refused_recipient_refuses_the_mail_for_all_and_is_named(relay, scripted_relay):
    scripted_relay.answers["RCPT"] = ["250 2.1.5 ok", "550 5.1.1 no such user", "450 4.2.0 greylisted"]
    with pytest.raises(Refused) as refused:
        await send(relay, "bob@example.net", "nobody@example.net", "dave@example.net", "eve@example.net")
    assert (refused.value.error_type, refused.value.condition) == ("cancel", "item-not-found")
    assert "nobody@example.net (550 5.1.1 no such user)" in refused.value.text
    assert "dave@example.net (450 4.2.0 greylisted)" in refused.value.text
    assert "bob@example.net" not in refused.value.text
    assert "eve@example.net" not in refused.value.text
    assert scripted_relay.mails == []
    await send(relay, "bob@example.net", "eve@example.net")
    assert scripted_relay.mails == [("juliet@example.org", ["bob@example.net", "eve@example.net"], MAIL)]


async def test_recipients_that_are_refused_for_now_may_be_tried_again(relay, scripted_relay):
    scripted_relay.answers["RCPT"] = ["250 2.1.5 ok", "450 4.2.0 greylisted"]
    with pytest.raises(Refused, match="Nobody got the message") as refused:
        await send(relay, "bob@example.net", "eve@example.net")
    assert refused.value.error_type == "wait"
    assert scripted_relay.mails == []


async def test_many_refused_recipients_are_counted(relay, scripted_relay):
    names = [f"u{number}@example.net" for number in range(7)]
    scripted_relay.answers["RCPT"] = ["550 no"] * 7
    with pytest.raises(Refused, match=r"u4@example\.net .*2 more"):
        await send(relay, *names)


async def test_a_relay_that_closes_among_the_recipients(relay, scripted_relay):
    scripted_relay.answers["RCPT"] = ["421 4.3.2 shutting down"]
    with pytest.raises(Refused, match=r"bob@example\.net") as refused:
        await send(relay, "bob@example.net", "eve@example.net")
    assert refused.value.error_type == "wait"
    assert scripted_relay.mails == []


async def test_a_relay_that_hangs_is_given_up_in_time(relay, scripted_relay):
    scripted_relay.answers["DATA"] = ["hang", "hang"]
    started = time.perf_counter()
    results = await asyncio.gather(*(send(relay) for _ in range(10)), return_exceptions=True)
    assert time.perf_counter() - started < 8, "who waits behind a hanging relay waits only once"
    assert all(isinstance(each, Refused) and each.error_type == "wait" for each in results)
    assert {each.condition for each in results} == {"remote-server-timeout"}
    assert "did not answer in time" in results[0].text


async def test_a_relay_that_breaks_off_is_not_asked_twice(relay, scripted_relay):
    scripted_relay.answers["DATA"] = ["close"]
    with pytest.raises(Refused, match="ended the connection") as refused:
        await send(relay)
    assert refused.value.error_type == "wait"
    assert scripted_relay.mails == []


async def test_a_relay_that_is_away(kit):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    relay = Relay(kit.smtp_settings(port))
    with pytest.raises(Refused, match="cannot reach") as refused:
        await send(relay)
    assert (refused.value.error_type, refused.value.condition) == ("wait", "remote-server-timeout")
    with pytest.raises(Refused, match="cannot reach"):
        await relay.check()


async def one_answer_server(answer: bytes):
    async def talk(_reader, writer):
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "answer",
    [b"", b"554 5.7.1 go away\r\n", b"rubbish\r\n", b"\xff" * 50_000],
    ids=["nothing", "refusal", "rubbish", "bytes"],
)
async def test_a_relay_that_does_not_speak_smtp(kit, answer):
    server = await one_answer_server(answer[:100_000])
    relay = Relay(kit.smtp_settings(server.sockets[0].getsockname()[1], timeout=1.0))
    with pytest.raises(Refused) as refused:
        await send(relay)
    assert refused.value.error_type == "wait"
    server.close()


async def test_the_words_of_the_relay_are_short_and_on_one_line(relay, scripted_relay):
    scripted_relay.answers["DATA"] = ["550-first\r\n550 \x07" + "x" * 1000]
    with pytest.raises(Refused) as refused:
        await send(relay)
    assert refused.value.text.isprintable()
    assert len(refused.value.text) < 400


class Stub(asyncio.Transport):
    """A connection that goes nowhere."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    abort = close

    def set_protocol(self, protocol):
        self.protocol = protocol


@pytest.fixture
def stub():
    transport = Stub()
    return transport, Dialogue(transport, timeout=1.0, extensions=Extensions(pipelining=True, size=True))


async def test_commands_go_out_at_once_where_the_relay_allows_it(stub):
    transport, dialogue = stub
    task = asyncio.create_task(
        dialogue.send(Letter("a@example.org", ("b@example.net", "c@example.net"), MAIL))
    )
    await asyncio.sleep(0)
    assert transport.written == (
        b"MAIL FROM:<a@example.org> SIZE=35\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n"
    )
    for byte in b"250 OK\r\n250-more\r\n250 lines\r\n251 will forward\r\n35":
        dialogue.data_received(bytes([byte]))
    await asyncio.sleep(0)
    assert b"Subject" not in transport.written
    dialogue.data_received(b"4 go on\r\n")
    await asyncio.sleep(0.01)
    assert transport.written.endswith(b"Subject: x\r\n\r\n..leading dot\r\nhello\r\n.\r\n")
    dialogue.data_received(b"250 OK\n")
    await task
    assert dialogue.usable


DSN = {
    "a mail": (
        Letter("a@example.org", ("b+c=d@example.net", "e@example.net"), MAIL, "x+y.z-1_"),
        (
            b"MAIL FROM:<a@example.org> RET=HDRS ENVID=x+2By.z-1_\r\n"
            b"RCPT TO:<b+c=d@example.net> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bc+3Dd@example.net\r\n"
            b"RCPT TO:<e@example.net> NOTIFY=FAILURE,DELAY ORCPT=rfc822;e@example.net\r\n"
        ),
    ),
    "a report": (
        Letter("", ("b@example.net",), MAIL),
        b"MAIL FROM:<> RET=HDRS\r\nRCPT TO:<b@example.net> NOTIFY=NEVER ORCPT=rfc822;b@example.net\r\n",
    ),
    "beyond ASCII": (
        Letter("a@example.org", ("\u00fc@example.net",), MAIL, "x", smtputf8=True),
        (
            b"MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x\r\n"
            b"RCPT TO:<\xc3\xbc@example.net> NOTIFY=FAILURE,DELAY ORCPT=utf-8;\\x{FC}@example.net\r\n"
        ),
    ),
}


@pytest.mark.parametrize("name", DSN)
async def test_reports_are_asked_for_where_the_relay_gives_them(name):
    letter, commands = DSN[name]
    transport = Stub()
    dialogue = Dialogue(
        transport, timeout=1.0, extensions=Extensions(pipelining=True, dsn=True, smtputf8=True)
    )
    task = asyncio.create_task(dialogue.send(letter))
    await asyncio.sleep(0)
    dialogue.data_received(b"250 OK\r\n" * (1 + len(letter.recipients)) + b"354 go\r\n")
    await asyncio.sleep(0.01)
    dialogue.data_received(b"250 OK\r\n")
    await task
    assert bytes(transport.written).partition(b"DATA\r\n")[0] == commands


async def test_a_first_line_with_a_dot_is_stuffed(stub):
    transport, dialogue = stub
    task = asyncio.create_task(dialogue.send(Letter("a@example.org", ("b@example.net",), b".\r\n")))
    await asyncio.sleep(0)
    dialogue.data_received(b"250 OK\r\n250 OK\r\n354 go\r\n")
    await asyncio.sleep(0.01)
    assert transport.written.endswith(b"DATA\r\n..\r\n.\r\n")
    dialogue.data_received(b"250 OK\r\n")
    await task


async def test_what_the_relay_says_out_of_turn_makes_the_connection_unusable(stub):
    _, dialogue = stub
    assert dialogue.usable
    dialogue.data_received(b"421 4.4.2 timeout\r\n")
    assert not dialogue.usable


@pytest.mark.parametrize(
    "said",
    [b"rubbish\r\n", b"2\xb2\xb2 x\r\n", b"x" * 70_000, b"250-x\r\n" * 70_000],
    ids=["words", "digits", "no line", "no end"],
)
async def test_a_relay_that_talks_rubbish_is_hung_up_on(stub, said):
    transport, dialogue = stub
    task = asyncio.create_task(dialogue.send(Letter("a@example.org", ("b@example.net",), MAIL)))
    await asyncio.sleep(0)
    dialogue.data_received(said)
    assert transport.closed
    with pytest.raises(Broken) as broken:
        await task
    assert not broken.value.began


async def test_check_connects_and_leaves(relay, scripted_relay):
    await relay.check()
    assert scripted_relay.connections == 1
