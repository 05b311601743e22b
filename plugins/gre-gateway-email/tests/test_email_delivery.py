"""From the inbox to the user's client: what proves that a message has arrived, and what happens when it does not."""

from __future__ import annotations

import asyncio
import random

import pytest
from gre_gateway_email.mail.door import MailOptions, RecipientOptions
from gre_gateway_email.mail.dsn import read_report
from gre_gateway_email.relaying import deciding as deciding_module
from gre_gateway_email.relaying import delivery as module
from gre_gateway_email.relaying import dispatch as dispatch_module
from gre_gateway_email.relaying import leaving as leaving_module
from gre_gateway_email.relaying import proofs as proofs_module
from gre_gateway_email.relaying import receipts as receipts_module
from gre_gateway_email.relaying.clock import SteadyClock
from gre_gateway_email.relaying.words import for_so_long
from gre_gateway_email.store import InboundMessage, OutboundMail, User

from gre_core.errors import InvalidAddress, PeerError, PeerTimeout, Refused, StoreError

PLAIN = b"Subject: Hi\r\n\r\nSoft! what light\r\n"
STORED = "250 2.1.5 Stored"
AWAY = PeerError("away", condition="service-unavailable", error_type="cancel")
LATER = PeerError("later", condition="remote-server-timeout", error_type="wait")
GONE = PeerError("gone", condition="not-allowed", peer_text="you are blocked")
DAY = 86_400.0


@pytest.fixture
def mail(kit, scripted_mail):
    return scripted_mail(kit.openpgp_message())


async def only(post):
    (message,) = await post.left()
    return message


async def a_while():
    for _ in range(20):
        await asyncio.sleep(0.005)


async def test_without_receipts_a_later_ping_on_the_same_stream_is_the_proof(post, mail):
    post.courier.gate.clear()
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    assert len(await post.left()) == 1, "not before the ping was answered"
    post.courier.gate.set()
    assert await post.gone()
    assert not post.delivery._feed.held


async def test_an_error_answer_to_the_ping_is_an_answer(post, mail):
    post.courier.ping_error = PeerError("no", condition="service-unavailable")
    await post.mail(mail)
    assert await post.gone()


async def test_a_server_that_cannot_be_reached_proves_nothing(post, mail):
    post.courier.ping_error = PeerError("no", condition="remote-server-not-found")
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    assert len(await post.left()) == 1


async def test_a_ping_without_answer_proves_nothing_and_is_sent_again(post, mail, monkeypatch):
    monkeypatch.setattr(proofs_module, "AGAIN", 0.01)
    post.courier.ping_error = PeerTimeout("no")
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    assert len(await post.left()) == 1
    post.courier.ping_error = None
    assert await post.gone()


async def test_with_receipts_the_receipt_is_the_proof(post, mail):
    post.courier.receipts = True
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    message = await only(post)
    await post.delivery.receipt(message.id, "romeo@elsewhere")
    await post.delivery.receipt("another", "juliet@localhost")
    await a_while()
    assert len(await post.left()) == 1, "only the user's own receipt counts"
    await post.delivery.receipt(message.id, "juliet@localhost")
    assert await post.gone()
    assert post.events.seen == ["taken in encrypted", "delivered"]


async def test_a_receipt_that_comes_late_is_found_in_the_database(post, mail, monkeypatch):
    monkeypatch.setattr(receipts_module, "SOON", 0.01)
    post.courier.receipts = True
    await post.mail(mail)
    await post.until(lambda left: left and left[0].next_at > post.clock.now)
    assert not post.delivery._feed.held, "it takes no memory while it waits"
    await post.delivery.receipt((await only(post)).id, "juliet@localhost")
    assert await post.gone()
    assert len(post.courier.sent) == 1


async def test_a_receipt_that_never_comes_is_not_waited_for_for_ever(post, mail, monkeypatch):
    monkeypatch.setattr(receipts_module, "SOON", 0.01)
    post.courier.receipts = True
    await post.mail(mail)
    await post.until(lambda left: left and left[0].next_at > post.clock.now)
    post.pass_time(3601)
    assert await post.gone()
    assert len(post.courier.sent) == 1


async def test_after_a_new_connection_a_message_without_receipt_is_sent_again(post, mail, monkeypatch):
    monkeypatch.setattr(receipts_module, "SOON", 0.01)
    post.courier.receipts = True
    await post.mail(mail)
    await post.until(lambda left: left and left[0].next_at > post.clock.now)
    post.delivery.connected()
    post.pass_time(3601)
    await post.sent(2)
    assert len({message.id for message, _ in post.courier.sent}) == 1


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(receipts_module, "BACK", 0.05)


@pytest.mark.parametrize("soon", [0.01, 5.0], ids=["parked", "in memory"])
async def test_what_was_lost_with_a_client_is_sent_again_when_its_user_comes_back(
    post, mail, monkeypatch, hasty, soon
):
    monkeypatch.setattr(receipts_module, "SOON", soon)
    post.courier.receipts = True
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    post.courier.receipts = False
    post.delivery.user_left("juliet@localhost")
    await a_while()
    assert len(await post.left()) == 1
    post.courier.receipts = True
    post.delivery.user_came("juliet@localhost")
    await post.sent(2)
    assert len({message.id for message, _ in post.courier.sent}) == 1
    await a_while()
    assert len(await post.left()) == 1, "the receipt is awaited for this one, too"
    await post.delivery.receipt((await only(post)).id, "juliet@localhost")
    assert await post.gone()


async def test_receipts_for_what_the_server_had_kept_are_waited_for_before_it_is_sent_again(
    post, mail, hasty
):
    post.courier.receipts = True
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    message = await only(post)
    post.delivery.user_left("juliet@localhost")
    post.delivery.user_came("juliet@localhost")
    await post.delivery.receipt(message.id, "juliet@localhost")
    assert await post.gone()
    await asyncio.sleep(0.1)
    assert len(post.courier.sent) == 1


async def test_what_came_after_the_user_was_back_is_not_sent_again(post, mail, hasty):
    post.courier.receipts = True
    post.delivery.user_came("juliet@localhost")
    await post.mail(mail)
    await post.sent(1)
    await asyncio.sleep(0.15)
    assert len(post.courier.sent) == 1


async def test_a_ping_proves_nothing_of_a_client_that_left_before_the_answer(post, mail, hasty):
    """The server may have written the message to a dead connection, and answered the ping afterwards."""
    post.courier.gate.clear()
    await post.mail(mail)
    await post.sent(1)
    post.delivery.user_left("juliet@localhost")
    post.courier.gate.set()
    await a_while()
    assert len(await post.left()) == 1
    post.delivery.user_came("juliet@localhost")
    await post.sent(2)
    assert await post.gone(), "now a ping is the proof, as its client gives no receipts"


async def test_a_client_that_does_not_say_what_it_can_do_may_be_lost_with_what_it_got(
    post, mail, monkeypatch, hasty
):
    """It hangs, perhaps: what was written to it is not forgotten before it is gone, and is sent again."""
    monkeypatch.setattr(deciding_module, "PAUSE", 0.01)
    post.courier.receipts = None
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    assert len(await post.left()) == 1
    post.delivery.user_left("juliet@localhost")
    post.courier.receipts = False
    await a_while()
    assert len(await post.left()) == 1
    post.delivery.user_came("juliet@localhost")
    await post.sent(2)
    assert await post.gone()


async def test_a_client_that_never_says_what_it_can_do_is_one_whose_receipt_is_awaited(
    post, mail, monkeypatch
):
    monkeypatch.setattr(deciding_module, "PATIENCE", 0.01)
    monkeypatch.setattr(deciding_module, "PAUSE", 0.01)
    monkeypatch.setattr(receipts_module, "SOON", 0.01)
    post.courier.receipts = None
    await post.mail(mail)
    await post.until(lambda left: left and left[0].next_at > post.clock.now)
    post.pass_time(3601)
    assert await post.gone()
    assert len(post.courier.sent) == 1


async def test_what_cannot_be_found_out_is_not_forgotten(post, mail, monkeypatch):
    monkeypatch.setattr(receipts_module, "SOON", 0.01)

    async def gives_receipts(_user):
        raise RuntimeError

    post.courier.gives_receipts = gives_receipts
    await post.mail(mail)
    await post.until(lambda left: left and left[0].next_at > post.clock.now)


async def test_one_client_that_hangs_holds_up_nobody_else(post, scripted_mail, kit):
    asked, answer = [], post.courier.gives_receipts

    async def gives_receipts(user):
        asked.append(user)
        if user == "nurse@localhost":
            await asyncio.sleep(3600)
        return await answer(user)

    post.courier.gives_receipts = gives_receipts
    await post.store.users.put(User("nurse@localhost", ("nurse@example.org",)))
    await post.mail(scripted_mail(kit.openpgp_message()), to=["nurse@example.org"])
    await post.until(lambda left: asked)
    await post.mail(scripted_mail(kit.openpgp_message(seed=2)))
    await post.sent(2)
    await post.until(lambda left: [message.user for message in left] == ["nurse@localhost"])


async def test_what_is_asked_of_an_old_stream_proves_nothing_on_the_next(post, mail):
    answer = asyncio.get_running_loop().create_future()

    async def gives_receipts(_user):
        return await asyncio.shield(answer)

    post.courier.gives_receipts = gives_receipts
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    post.courier.gate.clear()
    post.delivery.connected()
    answer.set_result(False)
    await post.sent(2)
    await a_while()
    assert len(await post.left()) == 1


async def test_of_a_user_whose_data_were_erased_nothing_is_awaited(post, mail, hasty):
    post.courier.receipts = True
    await post.mail(mail)
    await post.sent(1)
    await a_while()
    await post.store.forget("juliet@localhost")
    post.delivery.forget("juliet@localhost")
    post.delivery.user_came("juliet@localhost")
    await asyncio.sleep(0.15)
    assert len(post.courier.sent) == 1
    assert not post.delivery._receipts._users


async def test_a_receipt_is_awaited_as_long_as_the_user_is_away(post, mail, monkeypatch):
    monkeypatch.setattr(receipts_module, "SOON", 0.01)
    post.courier.receipts = True
    await post.mail(mail)
    await post.until(lambda left: left and left[0].next_at > post.clock.now)
    post.courier.receipts = False
    post.delivery.user_left("juliet@localhost")
    for _ in range(3):
        post.pass_time(3601)
        await post.until(lambda left: left and left[0].next_at > post.clock.now)
    assert len(post.courier.sent) == 1


async def test_a_receipt_that_comes_while_its_message_is_parked_counts(post, mail, monkeypatch):
    monkeypatch.setattr(receipts_module, "SOON", 0.01)
    post.courier.receipts = True
    later, begun, go = post.store.inbox.later, asyncio.Event(), asyncio.Event()

    async def slow(*arguments):
        begun.set()
        await go.wait()
        await later(*arguments)

    monkeypatch.setattr(post.store.inbox, "later", slow)
    await post.mail(mail)
    await begun.wait()
    await post.delivery.receipt(post.courier.sent[0][0].id, "juliet@localhost")
    go.set()
    assert await post.gone()


async def test_after_a_new_connection_what_is_left_is_sent_again_with_the_same_id(post, mail):
    post.courier.gate.clear()
    await post.mail(mail)
    await post.sent(1)
    post.delivery.connected()
    await post.sent(2)
    assert len({message.id for message, _ in post.courier.sent}) == 1
    post.courier.gate.set()
    assert await post.gone()


async def test_an_answer_to_a_ping_of_the_old_stream_proves_nothing(post, mail):
    post.courier.gate.clear()
    await post.mail(mail)
    await post.sent(1)
    post.courier.connected = False
    post.delivery.connected()  # a new stream, on which nothing was sent yet
    post.courier.gate.set()
    await a_while()
    assert len(await post.left()) == 1


async def test_what_waits_while_the_stream_is_down_goes_out_afterwards(post, mail):
    post.courier.connected = False
    await post.mail(mail)
    await a_while()
    assert post.courier.sent == []
    post.courier.connected = True
    post.delivery.connected()
    await post.sent(1)


async def test_a_stream_that_breaks_while_sending_loses_nothing(post, mail):
    post.courier.send_error = PeerTimeout("down")
    await post.mail(mail)
    await a_while()
    assert len(await post.left()) == 1
    post.courier.send_error = None
    post.delivery.connected()
    assert await post.gone()


async def test_a_restart_delivers_what_was_acknowledged_in_its_order(post, mail):
    post.courier.connected = False
    await post.mail(mail)
    post.clock.now += 1
    await post.mail(PLAIN)
    await post.restart()
    post.courier.connected = True
    post.delivery.connected()
    await post.sent(2)
    assert [message.kind for message, _ in post.courier.sent] == ["encrypted", "plain"]


async def test_many_messages_need_few_pings(post):
    post.courier.connected = False
    for number in range(250):
        await post.mail(b"\r\n%d" % number)
    post.courier.connected = True
    post.delivery.connected()
    assert await post.gone()
    assert len(post.courier.sent) == 250
    assert len(post.courier.pings) < 60


async def test_more_than_memory_holds_is_delivered_each_once(post, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    monkeypatch.setattr(module, "PAGE", 4)
    await post.restart()

    async def mail(number):
        await asyncio.sleep(random.Random(number).random() / 5)
        assert await post.mail(b"\r\n%d" % number) == [STORED]

    await asyncio.gather(*(mail(number) for number in range(150)))
    assert len(post.delivery._feed.held) <= 20
    assert await post.gone()
    assert len(post.courier.sent) == 150


# -- what comes back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [LATER, AWAY], ids=["wait", "the user is away and the server keeps nothing"]
)
async def test_some_errors_lead_to_another_try(post, mail, error):
    post.courier.receipts = True
    await post.mail(mail)
    for attempt in (1, 2, 3):
        await post.sent(attempt)
        message = await only(post)
        await post.delivery.refused(message.id, "juliet@localhost", error)
        (put_off,) = await post.until(lambda left, n=attempt: left and left[0].attempts == n)
        assert put_off.reason == error.condition
        assert post.clock.now + 20 < put_off.next_at
        post.pass_time(put_off.next_at - post.clock.now + 1)
    await post.sent(4)
    assert len({message.id for message, _ in post.courier.sent}) == 1
    await post.delivery.receipt(message.id, "juliet@localhost")
    assert await post.gone()


async def test_other_errors_make_a_dead_letter_and_one_report(post, mail):
    post.courier.receipts = True
    original = RecipientOptions(original="rfc822;alias@example.org")
    await post.mail(mail, options=MailOptions(envelope_id="E-1", recipients={"juliet@example.org": original}))
    await post.sent(1)
    await a_while()
    message = await only(post)
    await post.delivery.refused(message.id, "romeo@elsewhere", GONE)
    await a_while()
    assert len(await post.left()) == 1, "only the user's own address counts"
    for _ in range(2):
        await post.delivery.refused(message.id, "juliet@localhost", GONE)
    (dead,) = await post.dead()
    assert dead.reason == "not-allowed: you are blocked"
    (report,) = [one for one in await post.store.queue("waiting") if isinstance(one, OutboundMail)]
    assert (report.sender, report.recipients, report.kind) == ("", ("bob@example.net",), "report")
    assert post.reported == 1
    (whole,) = await post.store.outbox.due(post.clock.now, 9)
    read = read_report(whole.mail)
    assert (read.envelope_id, read.message_id) == ("E-1", "x@example.net")
    assert read.recipients[0].recipient == "juliet@example.org"
    assert read.recipients[0].original_recipient == "alias@example.org"
    assert b"you are blocked" not in whole.mail, "what was said to us is not for the sender"


async def test_who_wants_no_report_gets_none(post, mail):
    post.courier.receipts = True
    await post.mail(b"Auto-Submitted: auto-generated\r\n" + PLAIN)
    await post.sent(1)
    await post.delivery.refused((await only(post)).id, "juliet@localhost", GONE)
    await post.dead()
    assert await post.store.queue("waiting") == []


async def test_what_cannot_be_delivered_for_days_is_given_up_with_one_report(post, mail):
    post.courier.connected = False
    await post.mail(mail)
    post.clock.now += 4 * DAY
    await post.giving_up._sweep(())
    assert len(await post.left()) == 1
    post.clock.now += 2 * DAY
    await post.giving_up._sweep(())
    await post.dead()
    (report,) = await post.store.outbox.due(post.clock.now, 9)
    assert b"within 5 days" in report.mail
    assert b"Status: 4.4.7" in report.mail
    await post.giving_up._sweep(())
    assert post.reported == 1


async def test_what_is_under_way_does_not_expire(post, mail):
    post.courier.receipts = True
    await post.mail(mail)
    await post.sent(1)
    post.clock.now += 6 * DAY
    await post.giving_up._sweep(post.delivery._feed.held)
    assert len(await post.left()) == 1


async def test_a_message_that_cannot_be_sent_at_all_is_kept_dead(post, mail):
    post.courier.send_error = InvalidAddress("no JID")
    await post.mail(mail)
    (dead,) = await post.dead()
    assert dead.reason.endswith("no JID")


async def test_a_dead_letter_can_be_sent_again(post, mail):
    post.courier.send_error = InvalidAddress("no JID")
    await post.mail(mail)
    (dead,) = await post.dead()
    post.courier.send_error = None
    assert await post.store.dead.replay(dead.id)
    post.delivery.wake()
    await post.sent(1)
    assert await post.gone()


async def test_what_only_a_client_can_be_told_waits_for_one(post):
    message = InboundMessage(
        "e1", "juliet@localhost", "juliet@example.org", "bob@example.net", "error", subject="m1",
        received_at=post.clock.now, next_at=post.clock.now, expires_at=post.clock.now + DAY,
    )  # fmt: skip
    post.courier.send_error = Refused("nobody there", condition="recipient-unavailable", error_type="wait")
    await post.store.inbox.add([(message, b"It came back.")])
    post.delivery.wake()
    await post.until(lambda left: left and left[0].attempts == 1)
    post.courier.send_error = None
    await a_while()
    assert post.courier.sent == []
    post.delivery.user_came("romeo@elsewhere")
    post.delivery.user_came("juliet@localhost")
    ((sent, content),) = await post.sent(1)
    assert (sent.id, content) == ("e1", "It came back.")
    assert await post.gone()


async def test_a_bounce_that_no_client_was_there_to_be_told_of_is_told_in_words(post):
    """After a day by a message that the server keeps; a client that comes later can still mark its own message."""
    error = InboundMessage(
        "e1", "juliet@localhost", "juliet@example.org", "bob@example.net", "error", subject="m1",
        notes=("item-not-found",), received_at=post.clock.now, next_at=post.clock.now, expires_at=post.clock.now + DAY,
    )  # fmt: skip
    nobody = Refused("nobody there", condition="recipient-unavailable", error_type="wait")
    post.courier.refuse_kind = {"error": nobody}
    await post.store.inbox.add([(error, b"It came back.")])
    post.delivery.wake()
    await post.until(lambda left: left and left[0].attempts == 1)
    post.clock.now += DAY + 1
    for _ in range(2):
        await post.giving_up._sweep(())
    ((notice, words),) = await post.sent(1)
    assert (notice.kind, notice.user) == ("notice", "juliet@localhost")
    assert "It came back." in words
    assert "2027-01-15" in words, "when"
    await post.until(lambda left: [one.kind for one in left] == ["error"] and left[0].attempts == 1)
    post.courier.refuse_kind = {}
    post.delivery.user_came("juliet@localhost")
    (_, (late, said)) = await post.sent(2)
    assert (late.kind, late.subject, late.notes[0], said) == (
        "error",
        "m1",
        "item-not-found",
        "It came back.",
    )
    assert await post.gone()
    await post.giving_up._sweep(())
    assert len(post.courier.sent) == 2


async def test_a_bounce_that_no_client_ever_marks_ends_where_the_operator_sees_it(post):
    error = InboundMessage(
        "e1", "juliet@localhost", "juliet@example.org", "bob@example.net", "error", subject="m1",
        received_at=post.clock.now, next_at=post.clock.now, expires_at=post.clock.now + DAY,
    )  # fmt: skip
    nobody = Refused("nobody there", condition="recipient-unavailable", error_type="wait")
    post.courier.refuse_kind = {"error": nobody}
    await post.store.inbox.add([(error, b"It came back.")])
    for days in (1, 4):
        post.clock.now += days * DAY + 1
        await post.giving_up._sweep(())
        await a_while()
    (dead,) = await post.dead()
    assert "told in words" in dead.reason
    assert post.reported == 0
    assert [message.kind for message, _ in post.courier.sent] == ["notice"]


# -- hardship ----------------------------------------------------------------------------------------


async def test_a_database_that_is_away_when_a_message_arrived_costs_no_second_delivery(
    post, mail, monkeypatch
):
    monkeypatch.setattr(leaving_module, "STORE_PAUSE", 0.01)
    arrived, calls = post.store.inbox.arrived, []

    async def away(ids):
        calls.append(list(ids))
        if len(calls) < 4:
            raise StoreError("away")
        await arrived(ids)

    monkeypatch.setattr(post.store.inbox, "arrived", away)
    await post.mail(mail)
    assert await post.gone()
    assert len(post.courier.sent) == 1


async def test_a_database_that_is_away_when_content_is_read_delays_the_message(post, mail, monkeypatch):
    monkeypatch.setattr(dispatch_module, "STORE_PAUSE", 0.01)
    post.courier.connected = False
    await post.mail(mail)
    content, calls = post.store.inbox.content, []

    async def away(message_id):
        calls.append(message_id)
        if len(calls) < 4:
            raise StoreError("away")
        return await content(message_id)

    monkeypatch.setattr(post.store.inbox, "content", away)
    post.courier.connected = True
    post.delivery.connected()
    await post.sent(1)
    assert await post.gone()


async def test_messages_of_a_user_who_was_forgotten_go_nowhere(post, mail):
    post.courier.connected = False
    await post.mail(mail)
    await post.store.forget("juliet@localhost")
    post.courier.connected = True
    post.delivery.connected()
    await a_while()
    assert post.courier.sent == []


@pytest.mark.parametrize(
    "jump", [-20 * 365 * DAY, -3600.0, 3600.0], ids=["20 years back", "1 h back", "1 h on"]
)
async def test_a_clock_that_was_wrong_loses_nothing(post, mail, jump):
    post.courier.receipts = True
    await post.mail(mail)
    await post.sent(1)
    await post.delivery.refused((await only(post)).id, "juliet@localhost", AWAY)
    await post.until(lambda left: left and left[0].attempts == 1)
    post.clock.now += jump
    await post.restart()
    await post.sent(2)


def test_the_clock_of_the_gateway_does_not_jump():
    wall, passed = [1_800_000_000.0], [5.0]
    clock = SteadyClock(lambda: wall[0], lambda: passed[0])
    assert clock() == 1_800_000_000.0
    wall[0] = 0.0
    passed[0] += 10
    assert clock() == 1_800_000_010.0


def test_times_in_words():
    assert for_so_long(5 * DAY) == "5 days"
    assert for_so_long(3600) == "1 hour"
    assert for_so_long(90) == "90 seconds"
