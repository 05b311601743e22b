"""What was handled is remembered over sessions, and damage leads to too much rather than too little."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gre_core.archive import Place
from gre_core.handled import KEY, MAX_FAILED, MAX_FAILURES, MAX_RECENT, SKEW, Handled, Mark
from gre_core.model import Direction
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import run

NOW = datetime(2026, 11, 5, tzinfo=UTC)
FIRST = NOW - timedelta(days=7)
PEER = "bob@mail.example.net"


def mark(id_: str | None, archive_id: str | None = None, direction: Direction = Direction.RECEIVED) -> Mark:
    return Mark(direction, PEER, id_, archive_id)


def test_a_device_that_never_looked_begins_at_the_given_time() -> None:
    assert run(Handled(MemoryStore()).place(FIRST)) == Place(None, FIRST)


def test_a_message_is_known_by_either_of_its_names() -> None:
    handled = Handled(MemoryStore())
    run(handled.add(mark("m1", "a1")))
    assert run(handled.knows(mark("m1")))
    assert run(handled.knows(mark(None, "a1")))
    assert not run(handled.knows(mark("m2", "a2")))
    assert not run(handled.knows(mark(None)))
    assert not run(handled.knows(mark("a1", "m1"))), "the names are not mixed"


def test_the_same_id_of_another_peer_or_direction_is_another_message() -> None:
    handled = Handled(MemoryStore())
    run(handled.add(mark("m1")))
    assert not run(handled.knows(mark("m1", direction=Direction.SENT)))
    assert not run(handled.knows(Mark(Direction.RECEIVED, "eve@mail.example.net", "m1")))


def test_the_place_moves_only_when_nothing_before_it_is_open_and_survives() -> None:
    store = MemoryStore()
    handled = Handled(store)
    run(handled.add(mark("m1", "a1"), NOW, move=True))
    run(handled.add(mark("m2", "a2"), NOW))
    again = Handled(store)
    assert run(again.place(FIRST)) == Place("a1", NOW - SKEW)
    assert run(again.knows(mark("m2")))
    run(again.passed("a3", None))
    assert run(Handled(store).place(FIRST)) == Place("a3", NOW - SKEW)


def test_an_archive_that_was_empty_is_read_from_then_on() -> None:
    store = MemoryStore()
    handled = Handled(store)
    assert not handled.complete
    run(handled.caught_up(NOW))
    assert handled.complete
    assert run(Handled(store).place(FIRST)) == Place(None, NOW - SKEW)
    assert not Handled(store).complete


def test_only_the_latest_are_remembered() -> None:
    handled = Handled(MemoryStore())
    for number in range(MAX_RECENT + 1):
        run(handled.add(mark(str(number))))
    assert not run(handled.knows(mark("0")))
    assert run(handled.knows(mark("1")))


def test_a_message_that_always_fails_is_passed_over() -> None:
    store = MemoryStore()
    outcomes = [run(Handled(store).failed("a1")) for _ in range(MAX_FAILURES)]
    assert outcomes == [False] * (MAX_FAILURES - 1) + [True]
    assert not run(Handled(store).failed("a2")), "another one is counted anew"


def test_each_message_that_fails_is_counted_by_itself() -> None:
    store = MemoryStore()
    for _ in range(MAX_FAILURES - 1):
        assert not any(run(Handled(store).failed(name)) for name in ("a1", "a2"))
    assert all(run(Handled(store).failed(name)) for name in ("a1", "a2"))
    handled = Handled(store)
    for number in range(MAX_FAILED + 1):
        run(handled.failed(f"b{number}"))
    assert len(json.loads(run(store.get(KEY)) or b"")["failed"]) == MAX_FAILED


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"[]", b"null", b"\xff", b'{"after": 5, "since": "x", "recent": []}', b'{"recent": 7}',
        b'{"failed": []}', b'{"failed": {"a": "b"}}', b"[" * 10_000,
    ],
)  # fmt: skip
def test_damage_leads_back_to_the_beginning(value: bytes) -> None:
    store = MemoryStore()
    run(store.put(KEY, value))
    handled = Handled(store)
    assert run(handled.place(FIRST)) == Place(None, FIRST)
    run(handled.add(mark("m1", "a1"), NOW, move=True))
    assert run(Handled(store).place(FIRST)).after == "a1"
