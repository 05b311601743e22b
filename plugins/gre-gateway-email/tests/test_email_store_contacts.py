"""Which contacts are in rosters: kept, bounded, erased, and found when their user is gone."""

from __future__ import annotations

import pytest
from gre_gateway_email.store import contacts as module
from gre_gateway_email.store import open_store
from gre_gateway_email.store.records import Contact, User

JULIET, ROMEO = "juliet@localhost", "romeo@localhost"
BOB = r"bob\40example.net@mail.localhost"
GATE = "mail.localhost"


@pytest.fixture
async def people(database_url):
    store = await open_store(database_url)
    for name in ("juliet", "romeo"):
        await store.users.put(User(f"{name}@localhost", (f"{name}@example.org",)))
    yield store
    await store.close()


async def test_contacts_are_kept_changed_and_removed(people):
    seen = Contact(JULIET, BOB, sees=True)
    own = Contact(JULIET, GATE, sees=True, agreed=False)
    for contact in (seen, own, Contact(ROMEO, BOB, agreed=True)):
        await people.contacts.put(contact)
    assert list(await people.contacts.of([JULIET])) == [seen, own]
    assert [each.user for each in await people.contacts.of([JULIET, "nobody@x", ROMEO])] == [
        JULIET,
        JULIET,
        ROMEO,
    ]
    assert list(await people.contacts.of([])) == []
    changed = Contact(JULIET, BOB, sees=False, agreed=True)
    await people.contacts.put(changed)
    await people.contacts.remove(JULIET, GATE)
    assert list(await people.contacts.of([JULIET])) == [changed]
    await people.contacts.forget(JULIET)
    assert [each.user for each in await people.contacts.of([JULIET, ROMEO])] == [ROMEO]


async def test_forget_erases_them_and_counts_them(people):
    await people.contacts.put(Contact(JULIET, BOB, sees=True))
    await people.contacts.put(Contact(ROMEO, BOB, sees=True))
    assert await people.forget(JULIET) == 3, "registration, address, contact"
    assert [each.user for each in await people.contacts.of([JULIET, ROMEO])] == [ROMEO]


async def test_of_strangers_nothing_is_kept(people):
    await people.contacts.put(Contact("eve@localhost", BOB, sees=True))
    assert list(await people.contacts.of(["eve@localhost"])) == []
    assert list(await people.contacts.leftovers()) == []


async def test_nobody_fills_the_disk(people, monkeypatch):
    monkeypatch.setattr(module, "MAX_OF_USER", 3)
    for number in range(5):
        await people.contacts.put(Contact(JULIET, f"c{number}@{GATE}", sees=True))
    assert len(await people.contacts.of([JULIET])) == 3
    await people.contacts.put(Contact(JULIET, f"c0@{GATE}", sees=True, agreed=True))
    assert (await people.contacts.of([JULIET]))[0].agreed, "what is there can be changed"


async def test_who_left_the_operators_file_is_found(people):
    await people.users.sync_config([("boss@example.org", "boss@localhost")])
    await people.contacts.put(Contact("boss@localhost", BOB, sees=True))
    assert list(await people.contacts.leftovers()) == []
    await people.users.sync_config([])
    assert list(await people.contacts.leftovers()) == ["boss@localhost"]
