"""At the door for mail: what is refused within the dialogue, what is stored, held and announced."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from gre_gateway_email.mail import identity
from gre_gateway_email.mail.door import MailOptions, RecipientOptions
from gre_gateway_email.mail.envelope_id import envelope_id
from gre_gateway_email.relaying import inbound as inbound_module
from gre_gateway_email.relaying.composing import message_id
from gre_gateway_email.relaying.inbound import REPORT
from gre_gateway_email.relaying.words import so_large
from gre_gateway_email.store import OutboundMail, User

from gre_core.errors import StoreError

PLAIN = b"Subject: Hi\r\n\r\nSoft! what light\r\n"
STORED = "250 2.1.5 Stored"


@pytest.fixture
def mail(kit, scripted_mail):
    return scripted_mail(kit.openpgp_message())


async def test_users_are_known_by_their_addresses_in_any_case(post):
    assert await post.inbound.recipient("JULIET@example.org") == "250 2.1.5 OK"
    assert await post.inbound.recipient("j@example.org") == "250 2.1.5 OK"
    for nobody in ("nobody@example.org", "juliet@example.com", ""):
        assert (await post.inbound.recipient(nobody)).startswith("550 5.1.1")


async def test_blocked_users_get_nothing(post, mail):
    await post.store.users.put(User("romeo@elsewhere", ("romeo@example.org",), blocked=True))
    assert (await post.inbound.recipient("romeo@example.org")).startswith("550 5.7.1")
    assert (await post.mail(mail, to=("romeo@example.org",)))[0].startswith("550 5.7.1")
    assert await post.left() == []


async def test_senders_that_cannot_be_contacts_are_refused(post):
    assert await post.inbound.sender("bob@example.net") == "250 2.1.0 OK"
    assert await post.inbound.sender("") == "250 2.1.0 OK"
    assert (await post.inbound.sender('"bob b"@example.net')).startswith("553 5.1.7")
    assert (await post.inbound.sender("bob@[127.0.0.1]")).startswith("553 5.1.7")
    assert post.events.seen == ["refused in 5.1.7"] * 2


async def test_an_encrypted_mail_is_stored_and_delivered(post, mail, kit):
    assert await post.mail(mail) == [STORED]
    ((message, content),) = await post.sent(1)
    assert (message.user, message.sender, message.kind) == (
        "juliet@localhost",
        "bob@example.net",
        "encrypted",
    )
    assert (message.formatter, message.encrypter) == tuple(map(str, kit.pair))
    assert content == kit.body_of(kit.openpgp_message()).text
    assert await post.gone()
    assert post.events.seen == ["taken in encrypted", "delivered"]
    assert post.taken == [(["juliet@localhost"], "bob@example.net", mail)]


async def test_what_stood_around_the_encrypted_part_is_stored_with_it(post, mail):
    post.courier.connected = False
    await post.mail(
        mail.replace(b"=_gre-gateway--", b"=_gre-gateway\r\n\r\nmylist mailing list\r\n--=_gre-gateway--")
    )
    await post.restart()
    post.courier.connected = True
    post.delivery.connected()
    ((message, _),) = await post.sent(1)
    assert message.notes == ("list-footer",)


async def test_a_mail_for_several_users_is_stored_for_each_in_one_commit(post, mail):
    replies = await post.mail(mail, to=("juliet@example.org", "nobody@example.org", "romeo@example.org"))
    assert [reply[:3] for reply in replies] == ["250", "550", "250"]
    await post.sent(2)
    assert {message.user for message, _ in post.courier.sent} == {"juliet@localhost", "romeo@elsewhere"}
    assert len({message.id for message, _ in post.courier.sent}) == 2
    assert set(post.courier.pings) == {"localhost", "elsewhere"}
    assert post.taken[0][0] == ["juliet@localhost", "romeo@elsewhere"]


async def test_two_addresses_of_one_user_are_one_message(post, mail):
    assert await post.mail(mail, to=("juliet@example.org", "j@example.org")) == [STORED] * 2
    await post.sent(1)
    assert await post.gone()
    assert len(post.courier.sent) == 1


async def test_where_there_is_one_answer_nothing_is_stored_when_one_is_refused(post, mail):
    options = MailOptions(one_answer=True)
    replies = await post.mail(mail, to=("juliet@example.org", "nobody@example.org"), options=options)
    assert [reply[:9] for reply in replies] == ["550 5.1.1"] * 2
    assert await post.left() == []
    assert post.courier.sent == []


async def test_plain_mail_under_encrypted_only_is_refused(post, mail):
    await post.restart(encrypted_only=True)
    assert (await post.mail(PLAIN))[0].startswith("523 5.7.10")
    assert await post.left() == []
    assert await post.mail(mail) == [STORED]


async def test_each_user_may_be_stricter_and_answers_for_others_stay(post, mail):
    await post.store.users.put(User("romeo@elsewhere", ("romeo@example.org",), encrypted_only=True))
    to = ("romeo@example.org", "juliet@example.org")
    refused, stored = await post.mail(PLAIN, to=to)
    assert refused.startswith("523 5.7.10")
    assert stored == STORED
    assert await post.mail(mail, to=to) == [STORED] * 2
    await post.sent(3)


async def test_plain_mail_is_delivered_otherwise(post):
    assert await post.mail(PLAIN) == [STORED]
    ((message, content),) = await post.sent(1)
    assert (message.kind, message.subject, content) == ("plain", "Hi", "Soft! what light")


async def test_the_author_of_a_mail_from_a_list_stands_in_its_text(post):
    mail = b"From: Alice <alice@example.net>\r\nSubject: Hi\r\n\r\nSoft!"
    assert await post.mail(mail, sender="list-bounces@example.net") == [STORED]
    ((message, content),) = await post.sent(1)
    assert message.sender == "list-bounces@example.net"
    assert content == (
        "[The mail says that it is from Alice <alice@example.net>. It was sent by list-bounces@example.net, and an "
        "answer goes there.]\n\nSoft!"
    )


async def test_an_encrypted_report_is_refused(post, mail):
    assert (await post.mail(mail, sender=""))[0].startswith("554")


# -- too large for a stanza --------------------------------------------------------------------------


async def test_what_is_too_large_for_a_stanza_is_held_and_announced_once(post, scripted_mail, kit):
    await post.restart(max_encrypted=2000)
    large = scripted_mail(kit.openpgp_message(30_000))
    for _ in range(3):
        assert await post.mail(large) == [STORED]
    ((notice, text),) = await post.sent(1)
    (held,) = await post.until(lambda left: len(left) == 1)
    assert (held.state, held.kind, held.size) == ("held", "encrypted", 40_012)
    assert held.expires_at == post.clock.now + 7 * 86_400
    assert (notice.kind, notice.sender) == ("notice", ""), "the gateway speaks, not the contact"
    assert "39 KB from bob@example.net" in text
    assert "cannot be fetched yet" in text
    assert "until 2027-01-22" in text
    await post.restart(max_encrypted=2000)
    assert await post.mail(large) == [STORED]
    assert len(post.courier.sent) == 1


async def test_a_held_mail_that_nobody_fetched_expires_visibly_for_both(post, scripted_mail, kit):
    await post.restart(max_encrypted=2000)
    await post.mail(scripted_mail(kit.openpgp_message(30_000)))
    await post.until(lambda left: len(left) == 1)
    post.clock.now += 8 * 86_400
    await post.giving_up._sweep(())
    await post.giving_up._sweep(())
    (notice, text) = (await post.sent(2))[1]
    assert notice.kind == "notice"
    assert "not kept any longer" in text
    assert "Its sender is told so." in text
    (report,) = [one for one in await post.store.queue("waiting") if isinstance(one, OutboundMail)]
    assert (report.kind, report.sender, report.recipients) == ("report", "", ("bob@example.net",))
    assert post.reported == 1
    assert len(post.courier.sent) == 2
    assert post.events.seen.count("dead in") == 1


@pytest.mark.parametrize(("size", "in_loop"), [(1_000, True), (300_000, False)])
async def test_a_large_mail_is_taken_apart_beside_the_event_loop(post, monkeypatch, size, in_loop):
    threads = []

    def unwrap(carriers, sender, content):
        threads.append(threading.current_thread() is threading.main_thread())

    monkeypatch.setattr("gre_gateway_email.relaying.inbound.unwrap", unwrap)
    content = b"From: bob@example.net\r\n\r\n" + b"x" * size
    await post.mail(content)
    assert threads == [in_loop]


async def test_plain_text_that_is_too_long_is_refused(post):
    await post.restart(max_encrypted=2000)
    (reply,) = await post.mail(b"\r\n" + b"<" * 400)
    assert reply.startswith("552 5.3.4"), "what grows by escaping counts as it grows"
    assert await post.left() == []


@pytest.mark.parametrize(("size", "words"), [(1, "1 bytes"), (200_000, "195 KB"), (60_000_000, "57.2 MB")])
def test_sizes_in_words(size, words):
    assert so_large(size) == words


# -- refused for other reasons -----------------------------------------------------------------------

BAD = {
    "damaged": b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\n\xffhello\r\n--b--\r\n",
    "200 KB of header": b"X: " + b"y" * 200_000 + b"\r\n\r\nx",
    "too many fields": b"A: b\r\n" * 5000 + b"\r\nx",
}


@pytest.mark.parametrize("name", BAD)
async def test_unreadable_mails_are_refused_in_ascii_on_one_line(post, name):
    (reply,) = await post.mail(BAD[name])
    assert reply.startswith("554 5.6.0")
    assert reply.isascii()
    assert reply.isprintable()
    assert await post.left() == []


async def test_a_database_that_is_away_puts_the_mail_off(post, mail, monkeypatch):
    async def away(*_):
        raise StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(post.store.inbox, "add", away)
        assert (await post.mail(mail, to=("juliet@example.org", "romeo@example.org"))) == [
            "451 4.3.0 The gateway's database does not answer, try again later"
        ] * 2
    with monkeypatch.context() as patch:
        patch.setattr(post.store.users, "by_address", away)
        assert (await post.inbound.recipient("juliet@example.org")).startswith("451 4.3.0")
    assert await post.mail(mail) == [STORED]


async def test_a_full_queue_puts_the_mail_off(post, mail):
    post.courier.connected = False
    await post.restart(queue=1)
    assert await post.mail(mail) == [STORED]
    assert (await post.mail(PLAIN))[0].startswith("452 4.3.1")


async def test_a_user_with_too_much_waiting_gets_no_more_and_others_do(post, mail):
    post.courier.connected = False
    await post.restart(waiting=2)
    assert await post.mail(PLAIN) == [STORED]
    assert await post.mail(PLAIN + b"2") == [STORED]
    assert (await post.inbound.recipient("juliet@example.org")).startswith("452 4.2.2")
    answers = await post.mail(mail, to=("juliet@example.org", "romeo@example.org"))
    assert answers[0].startswith("452 4.2.2")
    assert answers[1] == STORED


async def test_the_bytes_that_wait_count_as_well(post, mail):
    post.courier.connected = False
    await post.restart(waiting_size=3000)
    assert await post.mail(mail) == [STORED]
    assert (await post.mail(b"\r\n" + b"x" * 3000))[0].startswith("452 4.2.2")


async def test_a_mail_that_comes_again_is_stored_once(post, mail):
    post.courier.connected = False
    for _ in range(3):
        assert await post.mail(mail) == [STORED]
    assert await asyncio.gather(*(post.mail(PLAIN) for _ in range(3))) == [[STORED]] * 3
    assert len(await post.left()) == 2
    post.courier.connected = True
    post.delivery.connected()
    assert await post.gone()
    assert await post.mail(mail) == [STORED], "it was delivered before"
    assert len(post.courier.sent) == 2


TRACE = (
    b"Received: from mx.example.net by mx.example.org with ESMTP id 94002352344;\r\n Mon, 2 Nov 2026 10:00:%02d +0000\r\n"
    b"Authentication-Results: mx.example.org; dkim=pass header.d=example.net (%d ms)\r\n"
)


@pytest.mark.parametrize("plain", [False, True])
async def test_a_mail_that_a_server_on_its_way_had_twice_is_stored_once(post, mail, plain):
    mail = b"Message-ID: <one@example.net>\r\n" + (PLAIN if plain else mail)
    assert await post.mail(TRACE % (1, 1) + mail) == [STORED]
    await post.sent(1)
    assert await post.mail(TRACE % (2, 2) + mail) == [STORED]
    assert await post.gone()
    assert await post.mail(TRACE % (3, 3) + mail) == [STORED]
    assert len(post.courier.sent) == 1
    assert post.events.seen.count("repeated in") == 2


async def test_nobody_can_use_up_the_message_id_of_a_mail_to_come(post):
    forged = b"Message-ID: <one@example.net>\r\nFrom: bob@example.net\r\nSubject: %s\r\n\r\n%s\r\n"
    for words in ((b"Hi", b"forged"), (b"Hi", b"true"), (b"Ho", b"true")):
        await post.mail(forged % words)
    assert len(await post.sent(3)) == 3


async def test_without_a_message_id_mails_that_look_the_same_are_two(post):
    for second in (1, 2):
        await post.mail(TRACE % (second, second) + b"Subject: disk full\r\n\r\n/home\r\n")
    assert len(await post.sent(2)) == 2


async def test_the_files_of_a_plain_mail_that_comes_again_are_uploaded_once(post):
    read, reads = post.inbound._read, []

    async def count(users, content):
        reads.append(users)
        return await read(users, content)

    post.inbound._read = count
    for _ in range(2):
        assert await post.mail(b"Subject: Hi\r\n\r\nlook") == [STORED]
    await post.sent(1)
    await post.gone()
    both = ("juliet@example.org", "romeo@example.org")
    assert await post.mail(b"Subject: Hi\r\n\r\nlook", to=both) == [STORED, STORED]
    assert reads == [["juliet@localhost"], ["romeo@elsewhere"]]
    assert [message.user for message, _ in await post.sent(2)] == ["juliet@localhost", "romeo@elsewhere"]
    assert post.events.seen.count("repeated in") == 2


async def test_what_fails_after_the_mail_was_stored_changes_no_answer(post, mail, monkeypatch):
    async def broken(*_):
        raise ValueError("boom")

    monkeypatch.setattr(post.inbound, "_taken", broken)
    assert await post.mail(mail) == [STORED]


async def test_the_key_that_comes_with_a_mail_is_kept_before_the_mail_is_delivered(post, mail, monkeypatch):
    """Otherwise a client that answers at once asks for the key, and is told that there is none."""
    happened = []

    async def keep(*_):
        await asyncio.sleep(0)
        happened.append("key")

    monkeypatch.setattr(post.inbound, "_taken", keep)
    monkeypatch.setattr(post.delivery, "push", lambda *_: happened.append("delivery"))
    assert await post.mail(mail) == [STORED]
    assert happened == ["key", "delivery"]


# -- reports of mail systems -------------------------------------------------------------------------


def dsn(action="failed", *, to="bob@example.net", envid="", message_id="", status="5.1.1"):
    original = f"Original-Envelope-Id: {envid}\r\n" if envid else ""
    return (
        "From: MAILER-DAEMON@example.net\r\nTo: juliet@example.org\r\nSubject: Returned\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nplain words\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n{original}\r\n"
        f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 no such mailbox\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\n\r\n--b--\r\n"
    ).encode()


def sent_mail(now):
    return OutboundMail(
        "o1", b"k" * 32, "juliet@localhost", "juliet@localhost/r", "m1", "bob\\40example.net@mail.localhost", "chat",
        wants_receipt=True, sender="juliet@example.org", recipients=("bob@example.net",), message_id="m1@example.org",
        mail=b"x", created_at=now, next_at=now,
    )  # fmt: skip


async def test_a_report_with_our_envelope_id_is_an_error_on_the_message(post):
    token = envelope_id(post.SECRET, "m1", "juliet@localhost")
    assert await post.mail(dsn(envid=token), sender="") == [STORED]
    ((message, text),) = await post.sent(1)
    assert (message.kind, message.subject, message.sender) == ("error", "m1", "bob@example.net")
    assert message.notes == ("item-not-found",)
    assert "no such mailbox" in text
    assert await post.mail(dsn(envid=token), sender="") == [STORED]
    assert await post.gone()
    assert len(post.courier.sent) == 1, "once"


async def test_a_report_about_a_message_to_several_comes_from_the_gateway(post):
    token = envelope_id(post.SECRET, "m1", "juliet@localhost", several=True)
    await post.mail(dsn(envid=token), sender="")
    ((message, text),) = await post.sent(1)
    assert (message.kind, message.subject, message.sender) == ("error", "m1", "")
    assert "bob@example.net" in text


async def test_a_report_with_a_message_id_that_was_sent_is_an_error_on_the_message(post):
    mail = sent_mail(post.clock.now)
    await post.store.outbox.add(mail)
    await post.store.outbox.sent(mail)
    await post.mail(dsn(message_id="m1@example.org"), sender="")
    ((message, _),) = await post.sent(1)
    assert (message.kind, message.subject, message.sender) == ("error", "m1", "bob@example.net")


async def test_a_report_that_is_quicker_than_our_note_names_the_stanza(post):
    """While the mail is here, its stanza is known; afterwards the origin-id is all that is left of it."""
    mail = replace(sent_mail(post.clock.now), stanza_id="stanza-7", message_id="origin-7@example.org")
    await post.store.outbox.add(mail)
    await post.mail(dsn(message_id="origin-7@example.org"), sender="")
    await post.store.outbox.sent(mail)
    await post.mail(dsn(message_id="origin-7@example.org", status="5.2.1"), sender="")
    assert [message.subject for message, _ in await post.sent(2)] == ["stanza-7", "origin-7"]


async def test_a_mail_is_read_once_however_many_it_is_for(post, monkeypatch):
    reports, digests = [], []
    monkeypatch.setattr(inbound_module, "read_report", lambda content: reports.append(content))
    monkeypatch.setattr(
        identity, "digest", lambda root, true=identity.digest: digests.append(root.raw) or true(root)
    )
    both = ("juliet@example.org", "romeo@example.org")
    content = dsn()
    assert await post.mail(content, sender="", to=both) == [STORED] * 2
    assert reports == [content]
    assert digests.count(content) == 1


@pytest.mark.parametrize("origin_id", [None, "caf\u00e9 \u2028"])
async def test_a_report_on_a_message_without_a_usable_id_comes_in_words(post, origin_id):
    left = message_id(origin_id, "juliet@example.org")
    mail = replace(sent_mail(post.clock.now), message_id=left)
    await post.store.outbox.add(mail)
    await post.store.outbox.sent(mail)
    await post.mail(dsn(message_id=left), sender="")
    ((message, _),) = await post.sent(1)
    assert (message.kind, message.sender) == ("plain", "mailer-daemon@example.org")


async def test_several_recipients_of_one_mail_fare_differently(post):
    """Each that failed is told on the message, each under its own name; the late one in words, and good news not."""
    token = envelope_id(post.SECRET, "m1", "juliet@localhost", several=True)
    blocks = "".join(
        f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n\r\n"
        for to, action, status in (
            ("good@example.net", "delivered", "2.0.0"),
            ("gone@example.net", "failed", "5.1.1"),
            ("full@example.net", "failed", "5.2.2"),
            ("late@example.net", "delayed", "4.4.1"),
        )
    ).encode()
    report = dsn(envid=token)
    start, end = report.index(b"Final-Recipient"), report.index(b"--b\r\nContent-Type: text/rfc822-headers")
    await post.mail(report[:start] + blocks + report[end:], sender="")
    sent = await post.sent(3)
    errors = {message.notes[0]: text for message, text in sent if message.kind == "error"}
    assert errors.keys() == {"item-not-found", "resource-constraint"}
    assert "gone@example.net" in errors["item-not-found"]
    assert "full@example.net" in errors["resource-constraint"]
    assert {message.subject for message, _ in sent if message.kind == "error"} == {"m1"}
    assert [message.sender for message, _ in sent if message.kind == "plain"] == ["mailer-daemon@example.org"]


@pytest.mark.parametrize(
    "report",
    [
        dsn(),
        dsn(message_id="m1@example.org", to="eve@example.net"),
        dsn(message_id="never@example.org"),
        dsn(envid=envelope_id(b"another secret!!", "m1", "juliet@localhost")),
        dsn(envid=envelope_id(b"s" * 32, "m1", "romeo@elsewhere")),
        dsn("delayed", envid=envelope_id(b"s" * 32, "m1", "juliet@localhost"), status="4.4.1"),
        PLAIN,
    ],
    ids=["no id", "another recipient", "never sent", "forged", "of another user", "delayed", "no report"],
)
async def test_what_cannot_be_told_to_be_ours_or_is_late_comes_from_the_mailer_daemon(post, report):
    mail = sent_mail(post.clock.now)
    await post.store.outbox.add(mail)
    await post.store.outbox.sent(mail)
    assert await post.mail(report, sender="") == [STORED]
    ((message, text),) = await post.sent(1)
    assert (message.kind, message.sender) == ("plain", "mailer-daemon@example.org")
    assert text.startswith(REPORT)
    assert not message.wants_report


async def test_a_report_of_success_is_swallowed(post):
    token = envelope_id(post.SECRET, "m1", "juliet@localhost")
    assert await post.mail(dsn("delivered", envid=token, status="2.0.0"), sender="") == [STORED]
    assert await post.left() == []
    assert post.courier.sent == []


async def test_words_of_strangers_pass_no_policy_that_promises_encryption(post):
    await post.restart(encrypted_only=True)
    await post.mail(PLAIN, sender="")
    ((_, text),) = await post.sent(1)
    assert text == REPORT


async def test_what_is_wanted_to_be_reported_is_stored_with_the_message(post, mail):
    post.courier.connected = False
    options = MailOptions(
        envelope_id="E-1",
        recipients={"romeo@example.org": RecipientOptions(wants_report=False)},
    )
    await post.mail(mail, to=("juliet@example.org", "romeo@example.org"), options=options)
    await post.mail(b"Auto-Submitted: auto-replied\r\n" + PLAIN)
    await post.mail(PLAIN, sender="")
    found = {(one.user, one.kind, one.sender): one for one in await post.left()}
    juliet = found["juliet@localhost", "encrypted", "bob@example.net"]
    assert (juliet.wants_report, juliet.envelope_id, juliet.message_id) == (True, "E-1", "x@example.net")
    assert not found["romeo@elsewhere", "encrypted", "bob@example.net"].wants_report
    assert not found["juliet@localhost", "plain", "bob@example.net"].wants_report, "an automatic mail"
    assert not found["juliet@localhost", "plain", "mailer-daemon@example.org"].wants_report
