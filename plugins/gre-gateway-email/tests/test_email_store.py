"""The store: what it keeps, what it answers, and what is left when a message is through."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from gre_gateway_email.store import AddressTaken, HarvestedKey, InboundMessage, OutboundMail, User, open_store
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from gre_core.errors import StoreError

DAY = 86_400.0
JULIET = User("juliet@localhost", ("Juliet@example.org", "j@example.org"), registered_at=1.0)
ROMEO = User("romeo@localhost", ("romeo@example.org",), encrypted_only=True, registered_at=2.0)


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


def mail(name: str = "m1", **changes) -> OutboundMail:
    return replace(
        OutboundMail(
            id=name,
            key=b"key of " + name.encode(),
            user=JULIET.jid,
            user_full="juliet@localhost/r",
            stanza_id="s1",
            stanza_to="bob\\40example.net@mail.localhost",
            stanza_type="chat",
            wants_receipt=True,
            sender="juliet@example.org",
            recipients=("bob@example.net", "carol@example.net"),
            message_id=f"{name}@example.org",
            mail=b"From: juliet\r\n\r\nsecret\x00\xff\r\n",
            created_at=100.0,
            next_at=100.0,
        ),
        **changes,
    )


def message(name: str = "i1", **changes) -> InboundMessage:
    return replace(
        InboundMessage(
            id=name,
            user=JULIET.jid,
            address="juliet@example.org",
            sender="bob@example.net",
            kind="plain",
            subject="Grüße 🎉",
            notes=("list-footer",),
            files=("https://example.org/a.png",),
            size=5,
            wants_report=True,
            envelope_id="env",
            message_id="x@example.net",
            received_at=100.0,
            next_at=100.0,
            expires_at=500.0,
        ),
        **changes,
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def store(database_url, clock):
    store = await open_store(database_url, clock)
    yield store
    await store.close()


async def dump(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, past the store."""
    engine = create_async_engine(
        url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
    )
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        found = {
            name: [tuple(row) for row in await connection.execute(text(f'SELECT * FROM "{name}"'))]
            for name in names
        }
    await engine.dispose()
    return found


# -- outbox ------------------------------------------------------------------------------------------


async def test_a_mail_comes_back_as_it_was(store):
    assert await store.outbox.add(mail()) == "new"
    (back,) = await store.outbox.due(100.0, 10)
    assert back == mail(size=len(mail().mail))


async def test_a_mail_is_stored_once_and_remembered_when_it_was_sent(store, database_url):
    assert await store.outbox.is_known(mail().key) == "new"
    answers = await asyncio.gather(*(store.outbox.add(mail(f"m{n}", key=b"one")) for n in range(5)))
    assert sorted(answers) == ["new", "waiting", "waiting", "waiting", "waiting"]
    assert await store.outbox.is_known(b"one") == "waiting"
    (kept,) = await store.outbox.due(100.0, 10)
    await store.outbox.sent(kept)
    await store.outbox.sent(kept)
    assert await store.outbox.is_known(b"one") == "done"
    assert await store.outbox.add(mail("other", key=b"one")) == "done"
    assert await store.outbox.was_sent(JULIET.jid, kept.message_id, "BOB@example.net")
    assert not await store.outbox.was_sent(ROMEO.jid, kept.message_id, "bob@example.net")
    assert not await store.outbox.was_sent(JULIET.jid, kept.message_id, "eve@example.net")


async def test_a_report_that_is_quicker_than_the_note_finds_its_mail(store):
    await store.outbox.add(mail())
    assert await store.outbox.was_sent(JULIET.jid, mail().message_id, "Bob@example.net")


async def test_a_refused_mail_may_be_sent_again(store):
    await store.outbox.add(mail())
    await store.outbox.refused(mail())
    assert await store.outbox.add(mail("again", key=mail().key)) == "new"


async def test_mails_are_due_in_their_order_and_at_their_time(store):
    for name, when in (("b", 200.0), ("a", 100.0), ("c", 300.0)):
        await store.outbox.add(mail(name, next_at=when))
    assert await store.outbox.next_at() == 100.0
    assert [each.id for each in await store.outbox.due(250.0, 10)] == ["a", "b"]
    assert [each.id for each in await store.outbox.due(250.0, 1)] == ["a"]
    assert [each.id for each in await store.outbox.due(250.0, 1, exclude=["a"])] == ["b"]
    await store.outbox.later(mail("a"), 900.0, "451 later")
    assert [each.id for each in await store.outbox.due(250.0, 10)] == ["b"]
    (tried,) = [each for each in await store.outbox.due(901.0, 10) if each.id == "a"]
    assert (tried.attempts, tried.reason, tried.next_at) == (1, "451 later", 900.0)


async def test_a_clock_that_was_set_back_lets_nothing_sleep_for_years(store):
    await store.outbox.add(mail(next_at=1e9))
    await store.inbox.add([(message(next_at=1e9), b"x")])
    for box in (store.outbox, store.inbox):
        assert not await box.due(100.0, 10)
        assert len(await box.due(1e9, 10)) == 1
    await store.wake(160.0)
    for box in (store.outbox, store.inbox):
        assert not await box.due(100.0, 10)
        assert len(await box.due(160.0, 10)) == 1


async def test_a_dead_mail_can_be_seen_sent_again_or_dropped(store, clock):
    await store.outbox.add(mail())
    await store.outbox.later(mail(), 150.0, "x")
    await store.outbox.bury(mail(), "550 no")
    assert not await store.outbox.due(1e12, 10)
    (dead,) = await store.dead.all()
    assert (dead.state, dead.reason, dead.mail) == ("dead", "550 no", b"")
    assert dead.size == len(mail().mail)
    assert await store.dead.replay("m1")
    assert not await store.dead.replay("m1")
    (back,) = await store.outbox.due(clock.time, 10)
    assert (back.attempts, back.reason, back.created_at) == (0, "", clock.time)
    assert not await store.dead.drop("m1")
    await store.outbox.bury(mail(), "550 no")
    assert await store.dead.drop("m1")
    assert not await store.dead.all()


async def test_a_dead_mail_gives_way_when_its_user_sends_it_again(store):
    await store.outbox.add(mail())
    await store.outbox.bury(mail(), "too old")
    assert await store.outbox.is_known(mail().key) == "new"
    assert await store.outbox.add(mail("again", key=mail().key)) == "new"
    assert [each.id for each in await store.queue()] == ["again"]


# -- inbox -------------------------------------------------------------------------------------------


async def test_a_message_comes_back_as_it_was_with_its_content_apart(store):
    assert await store.inbox.add([(message(), b"hello"), (message("i2", user=ROMEO.jid), b"\x00")]) == (
        "new",
        "new",
    )
    assert await store.inbox.get("i1") == message()
    assert await store.inbox.get("i9") is None
    assert await store.inbox.content("i2") == b"\x00"
    assert await store.inbox.content("i9") is None
    assert [each.id for each in await store.inbox.due(100.0, 10, exclude=["i1"])] == ["i2"]
    assert await store.inbox.waiting_of(JULIET.jid) == (1, 5)
    assert await store.inbox.waiting_of("nobody@localhost") == (0, 0)


async def test_what_arrived_is_not_delivered_again(store):
    await store.inbox.add([(message(), b"hello")])
    assert await store.inbox.add([(message(), b"hello"), (message("i2"), b""), (message("i2"), b"")]) == (
        "waiting",
        "new",
        "waiting",
    )
    await store.inbox.arrived(["i1", "unknown"])
    await store.inbox.arrived([])
    assert await store.inbox.add([(message(), b"hello")]) == ("done",)
    assert await store.inbox.get("i1") is None


async def test_messages_expire_also_those_that_are_held(store):
    await store.inbox.add([(message(), b""), (message("i2", state="held", expires_at=400.0), b"")])
    await store.inbox.later("i1", 600.0, "busy")
    assert await store.inbox.next_at() == 400.0
    assert [each.id for each in await store.inbox.due(700.0, 10)] == ["i1"]
    assert [each.id for each in await store.inbox.expired(450.0, 10)] == ["i2"]
    assert [each.id for each in await store.inbox.expired(500.0, 10)] == ["i2", "i1"]


async def test_a_dead_message_leaves_exactly_one_report(store, clock):
    await store.inbox.add([(message(), b"hello")])
    report = mail("report", user="", kind="report")
    await store.inbox.bury("i1", "gone", report)
    await store.inbox.bury("i1", "gone", replace(report, id="second", key=b"second"))
    await store.inbox.bury("unknown", "gone", replace(report, id="third", key=b"third"))
    assert [each.id for each in await store.outbox.due(1e12, 10)] == ["report"]
    assert not await store.inbox.expired(1e12, 10)
    assert await store.dead.replay("i1")
    (back,) = await store.inbox.due(clock.time, 10)
    assert back.expires_at == clock.time + 400.0
    assert await store.inbox.content("i1") == b"hello"


# -- users -------------------------------------------------------------------------------------------


async def test_users_are_found_by_jid_and_address(store):
    await store.users.put(JULIET)
    await store.users.put(ROMEO)
    for _ in range(2):  # from the database, and from memory
        assert await store.users.get(JULIET.jid) == JULIET
        assert await store.users.by_address("JULIET@EXAMPLE.ORG") == JULIET
        assert await store.users.by_address("nobody@example.org") is None
    assert [each async for each in store.users.all()] == [JULIET, ROMEO]
    assert await store.users.count() == 2


async def test_a_change_is_seen_at_once_by_whoever_made_it(store):
    assert await store.users.get(JULIET.jid) is None
    await store.users.put(JULIET)
    assert await store.users.get(JULIET.jid) == JULIET
    changed = replace(JULIET, blocked=True, addresses=("new@example.org",))
    await store.users.put(changed)
    assert await store.users.get(JULIET.jid) == changed
    assert await store.users.by_address("j@example.org") is None
    await store.users.remove(JULIET.jid)
    assert await store.users.by_address("new@example.org") is None
    assert await store.users.count() == 0


async def test_a_change_of_another_program_is_seen_soon(store, database_url, monkeypatch):
    assert await store.users.get(JULIET.jid) is None
    other = await open_store(database_url)
    await other.users.put(JULIET)
    assert await store.users.get(JULIET.jid) is None
    monkeypatch.setattr("gre_gateway_email.store.users.FRESH", 0.0)
    assert await store.users.get(JULIET.jid) == JULIET
    await other.close()


async def test_an_address_has_one_user(store):
    await store.users.put(JULIET)
    with pytest.raises(AddressTaken) as caught:
        await store.users.put(replace(ROMEO, addresses=("romeo@example.org", "JULIET@example.org")))
    assert "@" not in str(caught.value)
    assert await store.users.get(ROMEO.jid) is None
    assert await store.users.by_address("romeo@example.org") is None
    await store.users.put(replace(JULIET, addresses=("JULIET@example.org", "J@example.org")))


async def test_the_users_of_the_file_follow_the_file(store):
    own = replace(JULIET, jid="own@localhost", addresses=("own@example.org",))
    await store.users.put(own)
    pairs = [
        ("a@example.org", "a@localhost"),
        ("b@example.org", "b@localhost"),
        ("a2@example.org", "a@localhost"),
    ]
    assert await store.users.sync_config(pairs) == ()
    first = await store.users.get("a@localhost")
    assert first.from_config
    assert first.addresses == ("a@example.org", "a2@example.org")
    await store.users.put(replace(first, blocked=True))
    # An address goes from one to the other, and a user vanishes.
    gone = await store.users.sync_config(
        [("a@example.org", "a@localhost"), ("A2@example.org", "c@localhost")]
    )
    assert [user.jid for user in gone] == ["b@localhost"]
    assert (await store.users.get("a@localhost")).blocked
    assert (await store.users.by_address("a2@example.org")).jid == "c@localhost"
    assert await store.users.get("own@localhost") == own
    with pytest.raises(AddressTaken):
        await store.users.sync_config([("own@example.org", "a@localhost")])
    assert (await store.users.by_address("a2@example.org")).jid == "c@localhost"


# -- keys, secrets, counts ---------------------------------------------------------------------------


async def test_another_key_takes_the_place_but_never_of_one_that_is_authenticated(store):
    def key(data: bytes, seen: float, **more) -> HarvestedKey:
        values: dict[str, Any] = {"source": "autocrypt", "authenticated": False} | more
        return HarvestedKey(JULIET.jid, "bob@example.net", data, seen_at=seen, **values)

    async def kept() -> list[bytes]:
        return [each.data for each in await store.contact_keys.get(JULIET.jid, "BOB@example.net")]

    await store.contact_keys.put(key(b"1", 10))
    await store.contact_keys.put(key(b"2", 8, authenticated=True))
    assert await kept() == [b"2"]
    await store.contact_keys.put(key(b"3", 99))
    assert await kept() == [b"2"]
    await store.contact_keys.put(key(b"4", 9, source="gossip"))
    assert await kept() == [b"4", b"2"]
    assert not await store.contact_keys.get(ROMEO.jid, "bob@example.net")


async def test_nobody_fills_the_disk_with_keys(store, monkeypatch):
    from gre_gateway_email.store import contact_keys

    monkeypatch.setattr(contact_keys, "MAX_OF_USER", 3)

    def key(number: int, user: User = JULIET, **more) -> HarvestedKey:
        values: dict[str, Any] = {"source": "autocrypt", "authenticated": False, "seen_at": number} | more
        return HarvestedKey(user.jid, f"bob{number}@example.net", b"%d" % number, **values)

    async def kept(user: User) -> list[int]:
        return [n for n in range(9) if await store.contact_keys.get(user.jid, f"bob{n}@example.net")]

    await store.contact_keys.put(key(1, authenticated=True))
    await store.contact_keys.put(key(2, ROMEO))
    for number in range(3, 8):
        await store.contact_keys.put(key(number))
    await store.contact_keys.put(key(7, seen_at=70))
    assert await kept(JULIET) == [1, 6, 7]
    assert await kept(ROMEO) == [2]


async def test_a_secret_stays(store, database_url):
    first = await store.secret("recipients")
    assert len(first) == 32
    assert first == await store.secret("recipients") != await store.secret("other")
    other = await open_store(database_url)
    assert await other.secret("recipients") == first
    await other.close()


async def test_the_queue_is_counted_and_shown(store):
    await store.outbox.add(mail())
    await store.inbox.add(
        [(message(received_at=50.0), b""), (message("i2", state="held"), b""), (message("i3"), b"")]
    )
    await store.inbox.bury("i3", "no")
    outbound, inbound = await store.counts()
    assert (outbound.waiting, outbound.size, outbound.oldest_at) == (1, len(mail().mail), 100.0)
    assert (inbound.waiting, inbound.size, inbound.oldest_at, inbound.held, inbound.dead) == (
        1,
        5,
        50.0,
        1,
        1,
    )
    assert [each.id for each in await store.queue()] == ["i1", "m1", "i2", "i3"]
    assert [each.id for each in await store.queue("held")] == ["i2"]
    assert len(await store.queue(limit=2)) == 2


# -- what is left ------------------------------------------------------------------------------------


async def test_after_delivery_only_hashes_are_left(store, database_url):
    await store.outbox.add(mail())
    await store.outbox.sent(mail())
    await store.inbox.add([(message(), b"hello")])
    await store.inbox.arrived(["i1"])
    await store.close()
    tables = await dump(database_url)
    assert len(tables.pop("relayed")) == 4
    assert {name for name, rows in tables.items() if rows} == {"alembic_version", "secrets", "versions"}


async def test_forget_erases_all_of_a_user_and_nothing_of_another(store, database_url):
    for user in (JULIET, ROMEO):
        await store.users.put(user)
        for number in range(3):
            name = f"{user.jid}{number}"
            await store.outbox.add(mail(name, user=user.jid, user_full=f"{user.jid}/r"))
            await store.inbox.add([(message(name, user=user.jid), b"x")])
        await store.outbox.sent(mail(f"{user.jid}0", user=user.jid))
        await store.inbox.arrived([f"{user.jid}0"])
        await store.outbox.bury(mail(f"{user.jid}1", user=user.jid), "no")
        await store.contact_keys.put(HarvestedKey(user.jid, "bob@example.net", b"k", "autocrypt", False, 1))
    await store.users.get(JULIET.jid)
    # user, 2 addresses, 2 mails, 2 messages, 1 key, 3 hashes of a mail, 1 of a message
    assert await store.forget(JULIET.jid) == 12
    assert await store.forget(JULIET.jid) == 0
    assert await store.users.get(JULIET.jid) is None
    # What was under way when it was forgotten leaves nothing behind.
    await store.outbox.sent(mail(f"{JULIET.jid}2"))
    await store.inbox.arrived([f"{JULIET.jid}2"])
    assert await store.outbox.is_known(mail(f"{ROMEO.jid}0").key) == "done"
    await store.close()
    tables = await dump(database_url)
    assert "juliet@localhost" not in repr(tables)
    counts = {"users": 1, "addresses": 1, "outbox": 2, "inbox": 2, "contact_keys": 1, "relayed": 4}
    assert {name: len(tables[name]) for name in counts} == counts


async def test_old_hashes_and_dead_letters_go(store, clock):
    await store.outbox.add(mail())
    await store.outbox.sent(mail())
    await store.inbox.add([(message(), b""), (message("i2"), b"")])
    await store.inbox.bury("i1", "no")
    clock.time += 5 * DAY
    await store.inbox.bury("i2", "no")
    await store.prune(7 * DAY, 7 * DAY)
    assert await store.outbox.is_known(mail().key) == "done"
    assert len(await store.dead.all()) == 2
    clock.time += 3 * DAY
    await store.prune(7 * DAY, 7 * DAY)
    assert await store.outbox.is_known(mail().key) == "new"
    assert [each.id for each in await store.dead.all()] == ["i2"]


async def test_what_no_database_holds_as_text_does_not_stop_the_others(store):
    strange = mail("strange", recipients=("a\0b@example.net", "\ud800"), reason="\0\udfff" + "x" * 5000)
    results = await asyncio.gather(
        store.outbox.add(strange),
        store.outbox.add(mail("long", stanza_id="x" * 100_000)),
        store.outbox.add(mail("good")),
        return_exceptions=True,
    )
    assert isinstance(results[1], StoreError)
    assert (results[0], results[2]) == ("new", "new")
    (back,) = [each for each in await store.outbox.due(100.0, 10) if each.id == "strange"]
    assert back.recipients == strange.recipients
    assert back.reason.startswith("\ufffd?x")
    assert len(back.reason) == 2000
