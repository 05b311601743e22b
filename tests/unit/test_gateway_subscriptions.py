"""What a gateway keeps of rosters: in memory, bounded, and what stanzas change about it."""

from __future__ import annotations

import pytest

from gre_core.slixmpp import subscriptions
from gre_core.slixmpp.subscriptions import NOTHING, Ledger, MemorySubscriptions, Subscription

GATE = "g"
SEEN = Subscription(sees=True)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> MemorySubscriptions:
    monkeypatch.setattr(subscriptions, "MOST", 10)
    monkeypatch.setattr(subscriptions, "MOST_OF_ONE", 4)
    return MemorySubscriptions()


async def of(memory: MemorySubscriptions, user: str) -> list[str]:
    return list((await memory.of([user]))[user])


async def test_the_memory_of_who_sees_whom_is_bounded(small: MemorySubscriptions) -> None:
    for number in range(9):
        await small.note("a@x", f"c{number}@g", SEEN)
    assert await of(small, "a@x") == ["c0@g", "c1@g", "c2@g", "c3@g"]
    await small.note("a@x", "c1@g", NOTHING)
    await small.note("a@x", "never@g", NOTHING)
    for user in ("b@x", "c@x", "d@x"):
        for number in range(3):
            await small.note(user, f"c{number}@g", SEEN)
    assert await of(small, "a@x") == [], "seen longest ago"
    assert len(await of(small, "d@x")) == 3
    await small.forget("d@x")
    assert await of(small, "d@x") == []
    for number in range(4):
        await small.note("e@x", f"c{number}@g", SEEN)
    assert await of(small, "b@x"), "what was forgotten counts no more"
    assert await small.leftovers() == ()


async def test_a_contact_is_forgotten_when_nothing_is_between_the_two_and_a_no_to_the_gateway_is_not() -> (
    None
):
    ledger = Ledger(MemorySubscriptions(), GATE)
    assert await ledger.change("A@x/r", "C@g/r", sees=True) == NOTHING
    assert await ledger.change("a@x", "c@g", agreed=True) == SEEN
    assert await ledger.of(["A@X"]) == [{"c@g": Subscription(sees=True, agreed=True)}]
    await ledger.change("a@x", "c@g", sees=False)
    assert await ledger.of(["a@x"]) == [{"c@g": Subscription(sees=False, agreed=True)}]
    await ledger.change("a@x", "c@g", agreed=False)
    assert await ledger.of(["a@x"]) == [{}]
    await ledger.change("a@x", GATE, agreed=False)
    assert await ledger.of(["a@x", "b@x"]) == [{GATE: Subscription(agreed=False)}, {}]


async def test_contacts_of_a_gateway_that_had_another_name_are_not_used() -> None:
    memory = MemorySubscriptions()
    for contact in ("c@old", "old", "c@g", GATE):
        await memory.note("a@x", contact, SEEN)
    assert list((await Ledger(memory, GATE).of(["a@x"]))[0]) == ["c@g", GATE]
