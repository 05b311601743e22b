"""From the outbox to the relay: what is tried again, what is given up, and what a stop or a kill leaves behind."""

from __future__ import annotations

import asyncio
import base64
import random

import pytest
from gre_gateway_email.mail.relay import unreachable
from gre_gateway_email.relaying import background
from gre_gateway_email.relaying import sending as module
from gre_gateway_email.relaying.backoff import pause
from gre_gateway_email.store import OutboundMail

from gre_core.errors import Refused, StoreError

BUSY = Refused("The relay is busy.", condition="recipient-unavailable", error_type="wait")
NEVER = Refused("No such user.", condition="item-not-found", error_type="cancel")
HOUR = 3600.0


@pytest.fixture
def text(kit):
    return base64.b64encode(kit.openpgp_message()).decode()


def report(now, **changes):
    fields = {
        "id": "report-1", "key": b"r" * 32, "user": "juliet@localhost", "user_full": "", "stanza_id": "",
        "stanza_to": "", "stanza_type": "", "wants_receipt": False, "sender": "", "recipients": ("bob@example.net",),
        "message_id": "", "mail": b"Subject: Undelivered\r\n\r\n.\r\n", "kind": "report", "created_at": now, "next_at": now,
    }  # fmt: skip
    return OutboundMail(**(fields | changes))


async def test_what_cannot_be_sent_now_is_tried_again_and_then_confirmed(desk, kit, text):
    desk.relay.refuse = BUSY
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.tried(1)
    (mail,) = await desk.until(lambda mails: mails and mails[0].attempts == 1)
    assert desk.clock.now < mail.next_at <= desk.clock.now + 30 * 1.25
    assert mail.reason == "The relay is busy."
    assert desk.answers.refusals == [], "the user hears nothing of delays"
    desk.relay.refuse = None
    desk.pass_time(40)
    await desk.confirmed(1)
    assert await desk.gone()
    assert desk.events.seen == ["taken out encrypted", "retried out", "relayed"]


async def test_the_pauses_grow_up_to_the_longest_and_vary(desk):
    random.seed(1)
    retry = desk.config.retry
    assert 22 < pause(retry, 0) < 38
    assert 45 <= pause(retry, 1) <= 75
    assert 2700 <= pause(retry, 50) <= 4500
    assert pause(retry, 10**9) <= 4500
    assert len({pause(retry, 3) for _ in range(10)}) > 5


async def test_after_a_day_the_user_is_told_and_the_mail_is_a_dead_letter(desk, kit, text):
    desk.relay.refuse = BUSY
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.until(lambda mails: mails and mails[0].attempts == 1)
    desk.pass_time(25 * HOUR)
    ((mail, error),) = await desk.refused(1)
    assert mail.stanza_id == "id-1"
    assert error.error_type == "cancel"
    assert "1 day" in error.text
    assert "The relay is busy." in error.text
    (dead,) = await desk.until_dead(1)
    assert dead.reason == "The relay is busy."
    desk.relay.refuse = None
    assert await desk.store.dead.replay(dead.id)
    desk.sending.wake()
    await desk.confirmed(1)


async def test_an_error_waits_for_the_stream(desk, kit, text):
    desk.answers.up = False
    desk.relay.refuse = NEVER
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.until(lambda mails: mails and mails[0].attempts == 1)
    assert desk.answers.refusals == []
    desk.answers.up = True
    desk.pass_time(40)
    await desk.refused(1)
    assert await desk.gone()


async def test_a_relay_that_is_away_is_asked_now_and_then_and_no_mail_is_late_by_it(
    desk, kit, text, monkeypatch
):
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.02)
    desk.sending._pause = 0.02
    desk.relay.refuse = unreachable()
    for number in range(30):
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))
    await desk.tried(10)
    assert all(mail.attempts == 0 for mail in await desk.waiting()), "that is not the fault of a mail"
    desk.relay.refuse = None
    await desk.confirmed(30)
    assert len(desk.relay.mails) == 30


async def test_of_a_relay_that_stays_away_users_are_told_in_the_end(desk, kit, text, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.02)
    desk.relay.refuse = unreachable()
    for number in range(20):
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))
    await desk.tried(1)
    desk.pass_time(25 * HOUR)
    await desk.refused(20)
    await desk.until_dead(20)


async def test_a_mail_that_breaks_the_dialogue_does_not_hold_up_the_others(desk, kit, text):
    desk.relay.refuse_if = lambda mail: ValueError("boom") if b"<bad@" in mail else None
    await desk.outbound.encrypted(kit.relayed(text, id_="bad"))
    await desk.outbound.encrypted(kit.relayed(text, id_="good"))
    (mail,) = await desk.confirmed(1)
    assert mail.stanza_id == "good"
    (left,) = await desk.until(lambda mails: mails and mails[0].attempts == 1)
    assert left.stanza_id == "bad"


async def test_a_start_goes_on_with_what_waits(desk, kit, text):
    desk.relay.gate.clear()
    for number in range(60):
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))
    await desk.kill()
    assert len(await desk.waiting()) == 60
    desk.relay.gate.set()
    await desk.restart()
    await desk.confirmed(60)
    assert await desk.gone()


async def test_a_mail_that_was_put_off_goes_soon_after_a_start(desk, kit, text):
    desk.relay.refuse = BUSY
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.until(lambda mails: mails and mails[0].attempts == 1)
    desk.relay.refuse = None
    await desk.restart()
    await desk.confirmed(1)


@pytest.mark.parametrize(
    "jump", [-20 * 365 * 24 * HOUR, -HOUR, HOUR], ids=["20 years back", "1 h back", "1 h on"]
)
async def test_a_clock_that_was_wrong_loses_nothing(desk, kit, text, jump):
    desk.relay.refuse = BUSY
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.until(lambda mails: mails and mails[0].attempts == 1)
    desk.relay.refuse = None
    desk.clock.now += jump
    await desk.restart()
    await desk.confirmed(1)


async def test_more_than_memory_holds_is_sent_from_the_database(desk, kit, text, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    monkeypatch.setattr(module, "PAGE", 4)
    await desk.restart()
    desk.relay.gate.clear()
    for number in range(50):
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))
    assert len(desk.sending._feed.held) <= 10
    desk.relay.gate.set()
    await desk.confirmed(50)
    assert len(desk.relay.mails) == 50, "each once"


async def test_each_is_sent_once_however_new_and_stored_ones_mix(desk, kit, text, monkeypatch):
    monkeypatch.setattr(module, "MOST", 8)
    monkeypatch.setattr(module, "PAGE", 3)
    await desk.restart()

    async def send(number):
        await asyncio.sleep(random.Random(number).random() / 5)
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))

    await asyncio.gather(*(send(number) for number in range(150)))
    await desk.confirmed(150)
    await desk.quiet()
    assert len(desk.relay.mails) == 150


async def test_a_mail_that_was_sent_is_not_sent_again_while_the_database_is_away(
    desk, kit, text, monkeypatch
):
    monkeypatch.setattr(background, "STORE_PAUSE", 0.01)
    sent, calls = desk.store.outbox.sent, []

    async def away(mail):
        calls.append(mail)
        if len(calls) < 4:
            raise StoreError("away")
        await sent(mail)

    monkeypatch.setattr(desk.store.outbox, "sent", away)
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.tried(1)
    assert desk.answers.confirmed == [], "no receipt before it is written"
    await desk.confirmed(1)
    assert len(desk.relay.mails) == 1


async def test_reports_are_sent_and_nobody_is_told(desk):
    await desk.store.outbox.add(report(desk.clock.now))
    desk.sending.wake()
    await desk.until(lambda mails: not mails)
    assert desk.relay.mails[0][0] == ""
    for number, refusal in enumerate((NEVER, BUSY), start=1):
        desk.relay.refuse = refusal
        await desk.store.outbox.add(
            report(desk.clock.now - 25 * HOUR, id=f"r{number}", key=bytes([number] * 32))
        )
        desk.sending.wake()
        await desk.until(lambda mails: not mails)
    assert (desk.answers.confirmed, desk.answers.refusals) == ([], [])
    dead = await desk.store.dead.all()
    assert {letter.reason for letter in dead} == {NEVER.text, BUSY.text}, "the operator sees who was not told"


async def test_a_stop_lets_finish_what_is_under_way_and_leaves_the_rest(desk, kit, text):
    desk.relay.gate.clear()
    for number in range(10):
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))
    await desk.tried(2)
    stopping = asyncio.create_task(desk.sending.stop(10))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    desk.relay.gate.set()
    await stopping
    assert len(desk.relay.mails) == 2
    assert len(desk.answers.confirmed) == 2
    assert len(await desk.waiting()) == 8


async def test_a_stop_does_not_wait_for_ever(desk, kit, text):
    desk.relay.gate.clear()
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.tried(1)
    await desk.sending.stop(0.05)
    assert len(await desk.waiting()) == 1


async def test_mails_go_with_an_envelope_id(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.confirmed(1)
    assert desk.relay.envelope_ids == ["for id-1"]
