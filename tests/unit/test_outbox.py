"""What was sent and not yet confirmed."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

import pytest

from gre_core import wire
from gre_core.errors import LocalProtocolError, StoreError
from gre_core.outbox import CONFIRMED_SECONDS, MAX_CONFIRMED, DamagedEntry, Outbox, SendState, Sent
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import run

BOB = "bob@mail.example.net"


def stanza(text: str = "x") -> Element:
    return wire.build_plain(BOB, text, text)


def filled(store: MemoryStore, *ids: str) -> Outbox:
    outbox = Outbox(store)
    for each in ids:
        run(outbox.add(each, BOB, stanza(each)))
    return outbox


def pending(outbox: Outbox) -> list[str]:
    return [sent.id for sent in run(outbox.pending())]


def test_order_is_kept_over_a_restart_and_beyond_it() -> None:
    store = MemoryStore()
    ids = [f"{number}" for number in range(12, 0, -1)]
    filled(store, *ids)
    again = Outbox(store)
    run(again.add("last", BOB, stanza()))
    assert pending(again) == pending(Outbox(store)) == [*ids, "last"]


def test_a_stanza_comes_back_as_it_was() -> None:
    outbox = Outbox(filled_store := MemoryStore())
    run(outbox.add("1", BOB, stanza("ünïcödé <&>")))
    assert tostring(run(Outbox(filled_store).stanza("1"))) == tostring(stanza("ünïcödé <&>"))


def test_settling_takes_it_out_for_good() -> None:
    store = MemoryStore()
    outbox = filled(store, "1", "2")
    sent = run(outbox.settle("1", BOB, SendState.REFUSED, error="no", condition="gone"))
    assert sent is not None
    assert (sent.state, sent.error, sent.condition) == (SendState.REFUSED, "no", "gone")
    assert run(outbox.settle("1", BOB, SendState.RELAYED)) is None
    assert pending(outbox) == pending(Outbox(store)) == ["2"]


@pytest.mark.parametrize(
    "peer", ["eve@mail.example.net", "eve@evil.example", "evil.example", "example.net", ""]
)
def test_strangers_settle_nothing(peer: str) -> None:
    outbox = filled(MemoryStore(), "1")
    assert run(outbox.settle("1", peer, SendState.RELAYED)) is None
    assert pending(outbox) == ["1"]


@pytest.mark.parametrize("peer", [BOB, "mail.example.net", None])
def test_the_recipient_its_gateway_and_we_ourselves_settle(peer: str | None) -> None:
    assert run(filled(MemoryStore(), "1").settle("1", peer, SendState.RELAYED)) is not None


def test_attempts_are_counted() -> None:
    outbox = filled(MemoryStore(), "1")
    run(outbox.attempted("1"))
    sent = run(outbox.attempted("1"))
    assert sent is not None
    assert (sent.attempts, sent.state) == (2, SendState.QUEUED)
    assert run(outbox.attempted("unknown")) is None


def test_an_id_is_used_once() -> None:
    outbox = filled(MemoryStore(), "1")
    with pytest.raises(LocalProtocolError):
        run(outbox.add("1", BOB, stanza()))
    run(outbox.settle("1", None, SendState.SENT))
    run(outbox.add("1", BOB, stanza()))


@pytest.mark.parametrize(
    ("value", "to"),
    [
        (b"", ""),
        (b"no json\n<x/>", ""),
        (b"[]\n<x/>", ""),
        (b'{"id": "a"}\n<x/>', ""),
        (b"\xff\xfe\n", ""),
        (b'{"id": "a", "to": "bob@mail.example.net"}\n<broken', BOB),
        (b'{"id": "a", "to": "bob@mail.example.net"}', BOB),
    ],
)
def test_a_damaged_entry_is_listed_and_spoils_nothing(value: bytes, to: str) -> None:
    store = MemoryStore()
    filled(store, "1")
    run(store.put("outbox/000000000002", value))
    outbox = Outbox(store)
    run(outbox.add("3", BOB, stanza()))
    listed = run(outbox.pending())
    assert [sent.id for sent in listed][::2] == ["1", "3"]
    assert listed[1].to == to
    with pytest.raises(DamagedEntry):
        run(outbox.stanza(listed[1].id))
    run(outbox.settle(listed[1].id, None, SendState.REFUSED))
    assert pending(Outbox(store)) == ["1", "3"]


def test_a_foreign_key_and_a_vanished_value_spoil_nothing() -> None:
    class Vanishing(MemoryStore):
        async def get(self, key: str, /) -> bytes | None:
            return None if key == "outbox/gone" else await super().get(key)

    store = Vanishing()
    run(store.put("outbox/gone", b"x"))
    run(store.put("outbox/not-a-number", b"x"))
    outbox = filled(store, "1")
    assert pending(outbox) == ["outbox/not-a-number", "1"]


def test_what_is_not_there_cannot_be_sent() -> None:
    with pytest.raises(DamagedEntry):
        run(Outbox(MemoryStore()).stanza("unknown"))


class FailingStore(MemoryStore):
    failing = False

    async def put(self, key: str, value: bytes, /) -> None:
        if self.failing:
            raise StoreError("full")
        await super().put(key, value)

    async def delete(self, key: str, /) -> None:
        if self.failing:
            raise StoreError("read-only")
        await super().delete(key)


def test_when_the_store_fails_memory_and_store_agree() -> None:
    store = FailingStore()
    outbox = filled(store, "1")
    store.failing = True
    with pytest.raises(StoreError):
        run(outbox.add("2", BOB, stanza()))
    with pytest.raises(StoreError):
        run(outbox.settle("1", BOB, SendState.RELAYED))
    assert pending(outbox) == pending(Outbox(store)) == ["1"]


def test_nothing_of_the_stanza_shows() -> None:
    outbox = Outbox(MemoryStore())
    sent = run(outbox.add("1", BOB, wire.build_plain(BOB, "1", "secret")))
    assert "secret" not in repr((sent, outbox))


# -- what the network gives back after it was confirmed ------------------------------------------------------------------


def bounce(outbox: Outbox, stanza_id: str = "1", peer: str = BOB) -> object:
    return run(
        outbox.settle(stanza_id, peer, SendState.REFUSED, error="No mailbox.", condition="item-not-found")
    )


@pytest.mark.parametrize("state", [SendState.RELAYED, SendState.SENT])
def test_a_message_that_was_confirmed_can_come_back_once_also_after_a_restart(state: SendState) -> None:
    store = MemoryStore()
    run(filled(store, "1").settle("1", BOB, state))
    sent = bounce(outbox := Outbox(store))
    assert isinstance(sent, Sent)
    assert (sent.state, sent.to, sent.error, sent.condition) == (
        SendState.REFUSED,
        BOB,
        "No mailbox.",
        "item-not-found",
    )
    assert sent.recipients == (BOB,)
    assert bounce(outbox) is None
    assert bounce(Outbox(store)) is None


def test_what_was_refused_or_never_sent_does_not_come_back() -> None:
    outbox = filled(MemoryStore(), "1")
    bounce(outbox)
    assert bounce(outbox) is None
    assert bounce(outbox, "another") is None


def test_strangers_give_nothing_back_and_a_receipt_changes_nothing() -> None:
    outbox = filled(MemoryStore(), "1")
    run(outbox.settle("1", BOB, SendState.RELAYED))
    for stranger in ("eve@mail.example.net", "eve@evil.example", ""):
        assert bounce(outbox, peer=stranger) is None
    assert run(outbox.settle("1", BOB, SendState.RELAYED)) is None
    assert bounce(outbox, peer="mail.example.net") is not None


def test_what_is_remembered_is_bounded_in_number_and_time() -> None:
    now = [1_000_000.0]
    store = MemoryStore()
    outbox = Outbox(store, lambda: now[0])
    for number in range(MAX_CONFIRMED + 5):
        run(outbox.add(str(number), BOB, stanza()))
        run(outbox.settle(str(number), BOB, SendState.RELAYED))
    assert bounce(outbox, "4") is None
    assert bounce(outbox, "5") is not None
    now[0] += CONFIRMED_SECONDS + 1
    run(outbox.add("new", BOB, stanza()))
    run(outbox.settle("new", BOB, SendState.RELAYED))
    assert bounce(outbox, "6") is None
    assert bounce(outbox, "new") is not None


@pytest.mark.parametrize("value", [b"", b"rubbish", b"{}", b"[1]", b'[["1"]]', b'[["1", 2, 3, 4, "x"]]'])
def test_damaged_memory_spoils_nothing(value: bytes) -> None:
    store = MemoryStore()
    run(store.put("outbox-confirmed", value))
    outbox = filled(store, "1")
    assert run(outbox.settle("1", BOB, SendState.RELAYED)) is not None
    assert bounce(outbox) is not None


def test_a_store_that_fails_to_remember_costs_no_receipt() -> None:
    class Full(MemoryStore):
        async def put(self, key: str, value: bytes) -> None:
            if key == "outbox-confirmed":
                raise StoreError("full")
            await super().put(key, value)

    sent = run(filled(Full(), "1").settle("1", BOB, SendState.RELAYED))
    assert sent is not None
    assert sent.state is SendState.RELAYED


def test_nothing_of_a_confirmed_message_is_kept_but_ids() -> None:
    store = MemoryStore()
    run(filled(store, "1").settle("1", BOB, SendState.RELAYED))
    value = run(store.get("outbox-confirmed"))
    assert value is not None
    assert b"<message" not in value
