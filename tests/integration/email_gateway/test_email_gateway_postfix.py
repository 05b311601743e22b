"""The gateway behind a real Postfix: what is refused while the sender is there, what bounces, what is reported."""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes

import pytest

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
GRE = "{urn:xmpp:gre:0}"
CLIENT = "{jabber:client}"
PLAIN = b"From: bob@example.net\r\nTo: juliet@example.org\r\nMessage-ID: <p1@example.net>\r\nSubject: x\r\n\r\nhello\r\n"


@pytest.fixture
def server_class():
    """One XMPP server is enough here: these tests are about mail."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


async def send(port, mail, *, sender="bob@example.net", to="juliet@example.org", options=()):
    """Hand a mail over from outside; give the last answer, which is an error or not."""

    def dialogue():
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
            smtp.ehlo("mail.example.net")
            code, text = smtp.mail(sender, options)
            for each in [to] if isinstance(to, str) else to:
                if code // 100 == 2:
                    code, text = smtp.rcpt(each)
            if code // 100 == 2:
                code, text = smtp.data(mail)
            return f"{code} {text.decode()}"

    return await asyncio.to_thread(dialogue)


async def until(condition, what):
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(what)


@pytest.mark.parametrize("before_queue", [False, True], ids=["lmtp", "before the queue"])
async def test_an_unknown_recipient_is_refused_while_its_sender_is_there(
    mail_system, juliet, far, kit, before_queue
):
    system = await mail_system(before_queue=before_queue)
    port = system.postfix.port
    data = kit.openpgp(2000)
    assert (await send(port, kit.pgp_mime(data), to="nobody@example.org")).startswith("550 5.1.1")
    assert (await send(port, kit.pgp_mime(data), to="x@example.com")).startswith("454 4.7.1")
    assert (await send(port, kit.pgp_mime(data))).startswith("250")
    got = await juliet.until(f"{GRE}encrypted")
    assert got.get("from") == BOB
    assert kit.b64decode(got.findtext(f"{GRE}encrypted")) == data
    assert system.postfix.queued == []
    assert far.mails.empty()


async def test_before_the_queue_everything_is_refused_while_its_sender_is_there(
    mail_system, juliet, far, kit
):
    system = await mail_system(
        before_queue=True, extra="[policy]\nencrypted_only = true", message_size_limit="1048576"
    )
    port = system.postfix.port
    own = b"Received: by example.org (gre-email-gateway) with XMPP id 1; Mon, 23 Nov 2026 09:00:00 +0000\r\n"
    assert (await send(port, PLAIN)).startswith("523 5.7.10")
    assert (await send(port, PLAIN, to=["romeo@example.org", "juliet@example.org"])).startswith("523 5.7.10")
    assert (await send(port, own * 2 + kit.pgp_mime(kit.openpgp()))).startswith("554 5.4.6")
    assert (await send(port, PLAIN, options=["SIZE=60000000"])).startswith("552")
    assert (
        await send(
            port,
            b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=x\r\n\r\nx\r\n',
        )
    ).startswith("554 5.6.0")
    assert (await send(port, kit.pgp_mime(kit.openpgp()))).startswith("250")
    await juliet.until(f"{GRE}encrypted")
    assert system.postfix.queued == []
    assert far.mails.empty()


async def test_behind_the_queue_a_refused_mail_comes_back_as_a_bounce(mail_system, juliet, far):
    """Which is why a gateway that refuses plain words belongs before the queue."""
    system = await mail_system(extra="[policy]\nencrypted_only = true")
    assert (await send(system.postfix.port, PLAIN)).startswith("250")
    sender, to, mail = await far.next()
    assert (sender, to) == ("", ["bob@example.net"])
    assert b"523 5.7.10" in mail


async def test_behind_the_queue_each_recipient_has_an_answer_of_their_own(
    mail_system, juliet, far, connect, kit
):
    """RFC 2033, section 4.2: one takes the mail, the other one comes back."""
    system = await mail_system()
    romeo = kit.Juliet(await connect("romeo", "orchard"))
    await juliet.choose(encrypted_only="true")
    assert (
        await send(system.postfix.port, PLAIN, to=["juliet@example.org", "romeo@example.org"])
    ).startswith("250")
    body = await romeo.until(f"{CLIENT}body")
    assert body.findtext(f"{CLIENT}body") == "hello"
    sender, to, report = await far.next()
    assert (sender, to) == ("", ["bob@example.net"])
    per_recipient = [
        part
        for part in message_from_bytes(report).walk()
        if part.get("Final-Recipient") or part.get("Original-Recipient")
    ]
    (failed,) = per_recipient
    assert "juliet@example.org" in failed["Final-Recipient"]
    assert failed["Status"] == "5.7.10"
    assert far.mails.empty()
    await until(lambda: not system.postfix.queued, "Postfix keeps a mail.")


async def test_what_no_mail_may_have_is_refused_or_mended_while_its_sender_is_there(mail_system, juliet, far):
    system = await mail_system()
    assert (await send(system.postfix.port, PLAIN + b"a\0b\r\n")).startswith("550 5.7.1 disallowed")
    assert (await send(system.postfix.port, PLAIN + b"a\rb\r\n")).startswith("250")
    body = await juliet.until(f"{CLIENT}body")
    assert body.findtext(f"{CLIENT}body") == "hello\na b"
    assert system.postfix.queued == []
    assert far.mails.empty()


async def test_a_bounce_of_a_far_server_is_an_error_for_the_right_message(mail_system, juliet, far, kit):
    far.unknown["bob@example.net"] = "550 5.1.1 <bob@example.net>: no such user here"
    await mail_system()
    juliet.send(kit.message(kit.openpgp(seed=1), to="eve\\40example.net@mail.localhost", id_="fine"))
    juliet.send(kit.message(kit.openpgp(seed=2), id_="lost"))
    receipts = {(await juliet.until("{urn:xmpp:receipts}received"))[0].get("id") for _ in range(2)}
    assert receipts == {"fine", "lost"}  # the relay took both
    error = await juliet.until(f"{CLIENT}error")
    assert (error.get("from"), error.get("id"), error.get("type")) == (BOB, "lost", "error")
    type_, condition, text = kit.error_of(error)
    assert (type_, condition) == ("cancel", "item-not-found")
    assert "no such user here" in text
    (_, to, mail) = await far.next()
    assert to == ["eve@example.net"]
    trace = mail.partition(b"\r\nDate: ")[0]
    assert b"(gre-email-gateway)" in trace
    assert b"localhost/" not in trace
    await asyncio.sleep(1)
    assert juliet.inbox.empty()


async def test_a_mail_that_waited_too_long_is_an_error_that_says_so(mail_system, juliet, far, kit):
    far.unknown["bob@example.net"] = "450 4.2.0 greylisted for ever"
    await mail_system(maximal_queue_lifetime="1s")
    juliet.send(kit.message(kit.openpgp(), id_="late"))
    error = await juliet.until(f"{CLIENT}error")
    assert (error.get("id"), kit.error_of(error)[0]) == ("late", "cancel")
    assert "greylisted for ever" in kit.error_of(error)[2]


async def test_an_error_of_the_users_client_becomes_one_report_with_what_the_sender_asked_for(
    mail_system, juliet, far, kit
):
    juliet.announce(*kit.CONFIRMING)
    system = await mail_system()
    await juliet.seen()
    assert (await send(system.postfix.port, kit.pgp_mime(kit.openpgp()), options=["ENVID=QQ314"])).startswith(
        "250"
    )
    await juliet.refuse(f"{GRE}encrypted")
    sender, to, report = await far.next()
    assert (sender, to) == ("", ["bob@example.net"])
    assert b"Original-Envelope-Id: QQ314\r\n" in report
    assert b"Final-Recipient: rfc822; juliet@example.org\r\n" in report
    assert b"Action: failed\r\n" in report
    assert b"Auto-Submitted: auto-replied\r\n" in report
    await asyncio.sleep(2)
    assert far.mails.empty()


async def test_nobody_answers_the_null_sender_or_a_program(mail_system, juliet, far, kit):
    juliet.announce(*kit.CONFIRMING)
    system = await mail_system()
    await juliet.seen()
    automatic = b"Auto-Submitted: auto-generated\r\n" + PLAIN
    for mail, sender in ((PLAIN, ""), (automatic, "bob@example.net")):
        assert (await send(system.postfix.port, mail, sender=sender)).startswith("250")
        await juliet.refuse(f"{CLIENT}body")
    await asyncio.sleep(3)
    assert far.mails.empty()
    assert system.postfix.queued == []


async def test_addresses_beyond_ascii_go_both_ways(mail_system, juliet, far):
    system = await mail_system()
    unal = "\u00fcnal@example.net"
    mail = f"From: {unal}\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nhello\r\n".encode()

    def dialogue():
        with smtplib.SMTP("127.0.0.1", system.postfix.port, timeout=30) as smtp:
            smtp.ehlo("mail.example.net")
            smtp.sendmail(unal, ["juliet@example.org"], mail, ["SMTPUTF8", "BODY=8BITMIME"])

    await asyncio.to_thread(dialogue)
    got = await juliet.until(f"{CLIENT}body")
    assert got.get("from") == "\u00fcnal\\40example.net@mail.localhost"
    juliet.send(f"<message to='{got.get('from')}' id='u1' type='chat'><body>hello</body></message>")
    sender, to, mail = await far.next()
    assert (sender, to) == ("juliet@example.org", [unal])
    assert f"To: {unal}\r\n".encode() in mail


async def test_a_mail_that_postfix_has_twice_comes_once(mail_system, juliet, far):
    """A server that died after it queued a mail, and before it said so, gets it again: two are on their way."""
    system = await mail_system()
    for _ in range(2):
        assert (await send(system.postfix.port, PLAIN)).startswith("250")
        await until(lambda: not system.postfix.queued, "Postfix keeps mails")
        await asyncio.sleep(1.1)  # so that Postfix writes down another time
    await send(system.postfix.port, PLAIN.replace(b"p1", b"p2").replace(b"hello", b"another"))
    said = []
    while not said or said[-1] != "another":
        said.append((await juliet.until(f"{CLIENT}body")).findtext(f"{CLIENT}body"))
    assert said == ["hello", "another"]
    assert far.mails.empty()


SMUGGLING = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n",
    b"\x00\r\n.\n", b"\r\r\n.\r\r\n", b"\n\n.\n", b"\r\n.\r\r\n",
]  # fmt: skip


@pytest.mark.parametrize("before_queue", [False, True], ids=["lmtp", "before the queue"])
async def test_a_lax_postfix_and_the_gateway_agree_where_a_mail_ends(mail_system, juliet, before_queue):
    """A Postfix that takes bare LF as a line end sees a second mail in some; what it sees as one never becomes two."""
    system = await mail_system(
        before_queue=before_queue, smtpd_forbid_bare_newline="no", smtpd_forbid_unauth_pipelining="no"
    )
    hidden = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<juliet@example.org>\r\nDATA\r\nSubject: hidden\r\n\r\nevil\r\n.\r\n"
    seen = 0
    for number, end in enumerate(SMUGGLING):
        reader, writer = await asyncio.open_connection("127.0.0.1", system.postfix.port)
        writer.write(
            b"EHLO mail.example.net\r\nMAIL FROM:<bob@example.net>\r\nRCPT TO:<juliet@example.org>\r\nDATA\r\n"
        )
        await asyncio.sleep(0.05)
        # The same mail twice within a second would be one.
        writer.write(PLAIN + end + hidden.replace(b"hidden", b"hidden %d" % number) + b"QUIT\r\n")
        async with asyncio.timeout(30):
            said = (await reader.read()).decode()
        # After the first mail's end: an answer for it, and four for each that Postfix sees behind it.
        seen += said.partition("354 ")[2].count("354 ")
        writer.close()
    await until(lambda: not system.postfix.queued, "Postfix keeps mails")
    assert (await send(system.postfix.port, PLAIN.replace(b"hello", b"the last one"))).startswith("250")
    evil = 0
    while (got := await juliet.until(f"{CLIENT}body")).findtext(f"{CLIENT}body") != "the last one":
        evil += got.get("from").startswith("evil")
    assert 0 < evil == seen


@pytest.mark.parametrize("before_queue", [False, True], ids=["lmtp", "before the queue"])
async def test_no_mail_hides_in_another_on_the_way_in(mail_system, juliet, before_queue):
    system = await mail_system(before_queue=before_queue)
    hidden = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<juliet@example.org>\r\nDATA\r\nSubject: hidden\r\n\r\nevil\r\n.\r\n"
    for port in (system.postfix.port, system.gateway.lmtp_port):
        for end in SMUGGLING:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            lmtp = port == system.gateway.lmtp_port and not before_queue
            writer.write(
                (b"LHLO" if lmtp else b"EHLO") + b" mail.example.net\r\nMAIL FROM:<bob@example.net>\r\n"
                b"RCPT TO:<juliet@example.org>\r\nDATA\r\n"
            )
            await asyncio.sleep(0.05)
            writer.write(PLAIN + end + hidden + b"QUIT\r\n")
            async with asyncio.timeout(30):
                await reader.read()
            writer.close()
    await until(lambda: not system.postfix.queued, "Postfix keeps mails")
    assert (await send(system.postfix.port, PLAIN.replace(b"hello", b"the last one"))).startswith("250")
    while True:
        got = await juliet.until(f"{CLIENT}body")
        assert got.get("from") in {BOB, f"mailer-daemon\\40example.org@{DOMAIN}"}
        if got.findtext(f"{CLIENT}body") == "the last one":
            break


@pytest.mark.parametrize("bare_newline", ["normalize", "no"])
async def test_no_mail_hides_in_another_on_the_way_out(mail_system, juliet, far, bare_newline):
    await mail_system(smtpd_forbid_bare_newline=bare_newline)
    for end in ("\n.\n", "\n.\n.\n", ".", "\n..\n", "&#13;.&#13;", "&#13;\n.&#13;\n"):
        text = f"before{end}MAIL FROM:&lt;evil@example.org&gt;\nRCPT TO:&lt;bob@example.net&gt;\nDATA\nSubject: x\n\nevil{end}"
        juliet.send(
            f"<message to='{BOB}' type='chat'><subject>a&#13;\nX-Evil: 1&#13;\n&#13;\n.</subject><body>{text}</body></message>"
        )
        sender, to, mail = await far.next()
        assert (sender, to) == ("juliet@example.org", ["bob@example.net"])
        header = mail.partition(b"\r\n\r\n")[0]
        assert b"\nX-Evil" not in header
        assert mail.count(b"\n") == mail.count(b"\r\n") == mail.count(b"\r")
    await asyncio.sleep(1)
    assert far.mails.empty()
