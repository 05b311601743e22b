"""From stanza to stored mail, each once: repetitions, Message-IDs, who may send, and how much."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.carriers.pgp_mime import PgpMime
from gre_gateway_email.relaying.composing import message_id
from gre_gateway_email.store import User

from gre_core.errors import BadEncrypted, Refused, StoreError
from gre_core.gateway import LATER


@pytest.fixture
def text(kit):
    return base64.b64encode(kit.openpgp_message()).decode()


async def test_an_encrypted_message_becomes_a_mail_and_the_receipt_comes_when_the_relay_has_it(
    desk, kit, text
):
    desk.header = "addr=juliet@example.org; keydata=\r\n AAAA"
    desk.relay.gate.clear()
    assert await desk.outbound.encrypted(kit.relayed(text)) is LATER
    await desk.tried(1)
    assert desk.answers.confirmed == []
    desk.relay.gate.set()
    (mail,) = await desk.confirmed(1)
    assert (mail.user_full, mail.stanza_id, mail.kind) == ("juliet@localhost/r", "id-1", "encrypted")
    ((sender, recipients, content),) = desk.relay.mails
    assert (sender, recipients) == ("juliet@example.org", ("bob@example.net",))
    parsed = message_from_bytes(content)
    assert parsed["Message-ID"] == "<id-1@example.org>"
    assert parsed["Autocrypt"].startswith("addr=juliet@example.org")
    assert PgpMime().unwrap(content).body.text == text
    assert desk.events.seen == ["taken out encrypted", "relayed"]


async def test_when_it_returns_the_mail_is_stored(desk, kit, text):
    desk.relay.gate.clear()
    await desk.outbound.encrypted(kit.relayed(text))
    (mail,) = await desk.waiting()
    assert mail.recipients == ("bob@example.net",)
    assert mail.message_id == "id-1@example.org"


async def test_one_mail_for_several_recipients_that_shows_no_blind_copy(desk, kit, text):
    await desk.outbound.encrypted(
        kit.relayed(text, to="bob@example.net carol@example.net", bcc="dave@example.net")
    )
    await desk.confirmed(1)
    ((_, recipients, mail),) = desk.relay.mails
    assert recipients == ("bob@example.net", "carol@example.net", "dave@example.net")
    assert message_from_bytes(mail, policy=policy.default)["To"] == "bob@example.net, carol@example.net"
    assert b"dave" not in mail


async def test_a_mail_of_blind_copies_only(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text, to="", bcc="dave@example.net"))
    await desk.confirmed(1)
    ((_, recipients, mail),) = desk.relay.mails
    assert recipients == ("dave@example.net",)
    assert message_from_bytes(mail)["To"] == "undisclosed-recipients:;"
    assert b"dave" not in mail


async def test_the_same_origin_id_to_others_is_another_mail(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.outbound.encrypted(kit.relayed(text, to="dave@example.net"))
    await desk.outbound.encrypted(kit.relayed(text, to="dave@example.net"))
    await desk.confirmed(2)
    assert {recipients for _, recipients, _ in desk.relay.mails} == {
        ("bob@example.net",),
        ("dave@example.net",),
    }
    assert len({message_from_bytes(mail)["Message-ID"] for *_, mail in desk.relay.mails}) == 1


async def test_a_resent_stanza_is_answered_and_not_mailed_twice(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.confirmed(1)
    assert await desk.outbound.encrypted(kit.relayed(text)) is None, "the receipt goes out at once"
    await desk.restart()
    assert await desk.outbound.encrypted(kit.relayed(text)) is None, "also after a restart"
    assert len(desk.relay.mails) == 1
    assert await desk.outbound.encrypted(kit.relayed(text, id_="id-2")) is LATER
    await desk.confirmed(1)
    assert len(desk.relay.mails) == 2


async def test_a_stanza_that_comes_twice_at_once_is_mailed_once(desk, kit, text):
    desk.relay.gate.clear()
    answers = await asyncio.gather(*(desk.outbound.encrypted(kit.relayed(text)) for _ in range(5)))
    assert answers == [LATER] * 5
    desk.relay.gate.set()
    await desk.confirmed(1)
    await desk.quiet()
    assert len(desk.relay.mails) == 1
    assert len(desk.answers.confirmed) == 1, "the first one's answer serves all"


async def test_the_answer_goes_to_whom_the_message_came_from_last(desk, kit, text):
    desk.relay.gate.clear()
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.tried(1)
    await desk.outbound.encrypted(replace(kit.relayed(text), user_full="juliet@localhost/new"))
    desk.relay.gate.set()
    (mail,) = await desk.confirmed(1)
    assert mail.user_full == "juliet@localhost/new"


async def test_a_refusal_is_told_and_not_remembered(desk, kit, text):
    desk.relay.refuse = Refused("no such user", condition="item-not-found", error_type="cancel")
    assert await desk.outbound.encrypted(kit.relayed(text)) is LATER
    ((mail, error),) = await desk.refused(1)
    assert (mail.stanza_id, error.condition) == ("id-1", "item-not-found")
    assert await desk.gone()
    desk.relay.refuse = None
    assert await desk.outbound.encrypted(kit.relayed(text)) is LATER
    await desk.confirmed(1)


async def test_an_id_that_a_client_counts_anew_loses_no_message(desk, kit, text):
    other = base64.b64encode(kit.openpgp_message(seed=2)).decode()
    await desk.outbound.encrypted(kit.relayed(text, id_="1", origin=False))
    await desk.outbound.encrypted(kit.relayed(other, id_="1", origin=False))
    await desk.confirmed(2)
    await desk.outbound.encrypted(kit.relayed(text, id_="1", origin=False))
    assert len(desk.relay.mails) == 2


async def test_messages_without_any_id_are_all_mailed_with_new_message_ids(desk, kit, text):
    for _ in range(2):
        await desk.outbound.encrypted(kit.relayed(text, id_=None))
    await desk.confirmed(2)
    ids = {message_from_bytes(mail)["Message-ID"] for _, _, mail in desk.relay.mails}
    assert len(ids) == 2


async def test_garbage_is_not_even_stored(desk, kit):
    for bad in ("hello there", base64.b64encode(b"plain words").decode()):
        with pytest.raises(BadEncrypted):
            await desk.outbound.encrypted(kit.relayed(bad))
    assert await desk.gone()


async def test_a_pair_without_carrier_is_refused(desk, kit, text):
    await desk.restart(carriers=Carriers([]))
    with pytest.raises(Refused) as refused:
        await desk.outbound.encrypted(kit.relayed(text))
    assert (refused.value.condition, refused.value.error_type) == ("not-acceptable", "modify")


async def test_a_database_that_is_away_is_told_to_the_user(desk, kit, text, monkeypatch):
    async def away(_mail):
        raise StoreError("away")

    monkeypatch.setattr(desk.store.outbox, "add", away)
    with pytest.raises(Refused) as refused:
        await desk.outbound.encrypted(kit.relayed(text))
    assert refused.value.error_type == "wait"
    assert desk.relay.mails == []
    assert desk.events.seen == ["refused out internal-server-error"]


async def test_a_plain_message_becomes_a_mail(desk, kit):
    message = kit.plain(
        "Grüße & <b>\nvon\r\nJuliet", "Ein\r\nBcc: eve@example.net \N{GREEK SMALL LETTER ALPHA}"
    )
    assert await desk.outbound.plain(message) is LATER
    await desk.confirmed(1)
    ((_, recipients, mail),) = desk.relay.mails
    assert recipients == ("bob@example.net",)
    parsed = message_from_bytes(mail, policy=policy.default)
    assert parsed.get_content().rstrip() == "Grüße & <b>\r\nvon\r\nJuliet"
    assert parsed["Subject"] == "Ein Bcc: eve@example.net α"
    assert parsed["Bcc"] is None
    assert parsed["Message-ID"] == "<id-2@example.org>"
    assert mail.isascii()
    assert mail.count(b"\n") == mail.count(b"\r\n")
    assert await desk.outbound.plain(message) is None


# -- who may send, and how much ----------------------------------------------------------------------


async def test_strangers_and_blocked_users_are_refused(desk, kit, text):
    await desk.store.users.put(User("juliet@localhost", ("juliet@example.org",), blocked=True))
    with pytest.raises(Refused, match="blocked") as refused:
        await desk.outbound.encrypted(kit.relayed(text))
    assert refused.value.condition == "forbidden"
    await desk.store.users.remove("juliet@localhost")
    with pytest.raises(Refused) as refused:
        await desk.outbound.encrypted(kit.relayed(text))
    assert refused.value.condition == "registration-required"
    assert await desk.gone()


async def test_a_user_who_wants_only_encryption_sends_nothing_plain(desk, kit, text):
    await desk.store.users.put(User("juliet@localhost", ("juliet@example.org",), encrypted_only=True))
    with pytest.raises(Refused) as refused:
        await desk.outbound.plain(kit.plain("Hi"))
    assert (refused.value.condition, refused.value.error_type) == ("policy-violation", "modify")
    assert await desk.outbound.encrypted(kit.relayed(text)) is LATER


async def test_too_many_messages_in_an_hour_are_refused_and_repetitions_are_not(desk, kit, text):
    await desk.restart(messages=2)
    for number in (1, 2):
        await desk.outbound.encrypted(kit.relayed(text, id_=f"m{number}"))
    await desk.confirmed(2)
    with pytest.raises(Refused, match="Try again in about 60 minutes") as refused:
        await desk.outbound.encrypted(kit.relayed(text, id_="m3"))
    assert (refused.value.condition, refused.value.error_type) == ("policy-violation", "wait")
    assert await desk.outbound.encrypted(kit.relayed(text, id_="m1")) is None
    assert len(desk.relay.mails) == 2


async def test_what_was_refused_or_repeated_does_not_count(desk, kit, text):
    await desk.restart(messages=2)
    for _ in range(5):
        await desk.outbound.encrypted(kit.relayed(text, id_="same"))
    await desk.outbound.encrypted(kit.relayed(text, id_="other"))
    await desk.confirmed(2)


async def test_a_full_queue_refuses_new_messages_and_answers_old_ones(desk, kit, text):
    desk.relay.gate.clear()
    await desk.restart(queue=1)
    await desk.outbound.encrypted(kit.relayed(text, id_="m1"))
    with pytest.raises(Refused) as refused:
        await desk.outbound.encrypted(kit.relayed(text, id_="m2"))
    assert (refused.value.condition, refused.value.error_type) == ("resource-constraint", "wait")
    assert await desk.outbound.encrypted(kit.relayed(text, id_="m1")) is LATER


class Fetches:
    """A writer of plain mails that counts what it would fetch."""

    def __init__(self, desk):
        self.count, self.size = 0, 10
        self.gate = asyncio.Event()
        self.gate.set()
        desk.outbound._write = self

    async def __call__(self, message, envelope):
        self.count += 1
        await self.gate.wait()
        return b"x" * self.size


async def test_nothing_is_fetched_for_a_plain_message_that_comes_again(desk, kit):
    fetches = Fetches(desk)
    fetches.gate.clear()
    desk.relay.gate.clear()
    first = [asyncio.ensure_future(desk.outbound.plain(kit.plain("Hi"))) for _ in range(3)]
    await asyncio.sleep(0)
    fetches.gate.set()
    assert await asyncio.gather(*first) == [LATER] * 3
    desk.relay.gate.set()
    await desk.confirmed(1)
    await desk.gone()
    assert await desk.outbound.plain(kit.plain("Hi")) is None
    assert (fetches.count, len(desk.relay.mails)) == (1, 1)
    assert not desk.outbound._plain


async def test_nothing_is_fetched_beyond_the_limits(desk, kit):
    await desk.restart(messages=2, size=1000)
    fetches = Fetches(desk)
    fetches.size = 900
    assert await desk.outbound.plain(kit.plain("Hi", id_="m1")) is LATER
    with pytest.raises(Refused, match="bytes in an hour") as refused:
        await desk.outbound.plain(kit.plain("Hi", id_="m2"))
    assert (refused.value.condition, refused.value.error_type) == ("policy-violation", "wait")
    for number in range(5):
        with pytest.raises(Refused, match="messages in an hour"):
            await desk.outbound.plain(kit.plain("Hi", id_=f"more{number}"))
    assert fetches.count == 2, "what was fetched in vain counts"
    desk.relay.gate.clear()
    await desk.restart(queue=0)
    fetches = Fetches(desk)
    with pytest.raises(Refused, match="Too many messages wait"):
        await desk.outbound.plain(kit.plain("Hi", id_="m3"))
    assert fetches.count == 0


async def test_what_cannot_be_written_does_not_count(desk, kit):
    await desk.restart(messages=1)

    async def fail(message, envelope):
        raise Refused("OMEMO")

    write, desk.outbound._write = desk.outbound._write, fail
    for _ in range(3):
        with pytest.raises(Refused, match="OMEMO"):
            await desk.outbound.plain(kit.plain("Hi"))
    desk.outbound._write = write
    assert await desk.outbound.plain(kit.plain("Hi")) is LATER


async def test_who_stops_takes_nothing_more(desk, kit, text):
    desk.outbound.close()
    with pytest.raises(Refused) as refused:
        await desk.outbound.encrypted(kit.relayed(text))
    assert refused.value.error_type == "wait"
    assert await desk.gone()


# -- Message-IDs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin_id", ["abc-123", "0f" * 20, "a.b", "x" * 200])
def test_the_message_id_is_the_origin_id_at_the_domain(origin_id):
    assert message_id(origin_id, "juliet@example.org") == f"{origin_id}@example.org"


@pytest.mark.parametrize(
    "origin_id", ["a b", "a\r\nX: y", "<x>", "a@b", ".a", "a..b", "ä", "x" * 201, "", "\0"]
)
def test_origin_ids_that_are_no_message_ids_are_hashed(origin_id):
    made = message_id(origin_id, "juliet@example.org")
    left, _, domain = made.partition("@")
    assert domain == "example.org"
    assert len(left) == 64
    assert left.isalnum()
    assert made == message_id(origin_id, "juliet@example.org")
