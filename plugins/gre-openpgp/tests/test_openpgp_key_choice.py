"""Which keys are used, and when the user is asked: without any crypto."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gre_openpgp.autocrypt_state import effective_date, gossiped, heard
from gre_openpgp.contact_record import (
    MAX_KNOWN,
    AutocryptMemory,
    By,
    ContactRecord,
    KeyState,
    KnownKey,
    Seen,
    Source,
    WkdMemory,
    read_record,
    write_record,
)
from gre_openpgp.key_choice import Choice, TrustPolicy, choose, settle
from gre_openpgp.xep0373 import PublicKey

from gre_core.errors import StoreError

JID = "bob\\40mail.example@gateway.example"
NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
A, B, C = (letter * 40 for letter in "ABC")
XEP, WKD, AUTOCRYPT, GOSSIP = Source.XEP0373, Source.WKD, Source.AUTOCRYPT, Source.GOSSIP
ALL = frozenset({A, B, C})


def known(name: str, state: KeyState = KeyState.NEW, by: By = By.NOBODY, **more: Any) -> KnownKey:
    return KnownKey(PublicKey(name, name.encode()), state, by, **more)


def record(*keys: KnownKey, **more: Any) -> ContactRecord:
    return ContactRecord({key.fingerprint: key for key in keys}, **more)


def accepted(name: str, by: By = By.FIRST_USE) -> KnownKey:
    return known(name, KeyState.ACCEPTED, by)


def code(choice: Choice) -> str | None:
    return None if choice.question is None else choice.question.code


# -- the table of the module -----------------------------------------------------------------------


def test_a_pinned_key_and_no_other() -> None:
    pinned = record(known(A, KeyState.PINNED, By.USER), accepted(B))
    choice = choose(JID, pinned, {XEP: (B, C), WKD: (C,)}, ALL)
    assert (choice.use, choice.source, choice.question) == ((A,), Source.PINNED, None)
    assert choose(JID, pinned, {XEP: (B,)}, {B}).use == (), "no other, not even when it is unusable"


def test_first_use_takes_what_the_first_source_serves() -> None:
    keys = record(known(A), known(B))
    choice = choose(JID, keys, {XEP: (A, B)}, ALL)
    assert (choice.use, choice.source, choice.question, choice.by) == ((A, B), XEP, None, By.FIRST_USE)


@pytest.mark.parametrize(
    ("served", "source"),
    [
        ({XEP: (A,), WKD: (A,), AUTOCRYPT: (B,), GOSSIP: (C,)}, XEP),
        ({XEP: (), WKD: (A,), AUTOCRYPT: (B,), GOSSIP: (C,)}, WKD),
        ({XEP: (), WKD: (), AUTOCRYPT: (A,), GOSSIP: (C,)}, AUTOCRYPT),
        ({GOSSIP: (A,)}, GOSSIP),
    ],
)
def test_the_order_of_sources(served: Any, source: Source) -> None:
    choice = choose(JID, record(known(A), known(B), known(C)), served, ALL)
    assert (choice.use, choice.source, choice.question) == ((A,), source, None)


def test_unusable_and_blocked_keys_are_passed_over() -> None:
    keys = record(known(A), known(B, KeyState.BLOCKED, By.USER), known(C))
    assert choose(JID, keys, {XEP: (A, B), WKD: (C,)}, {B, C}).source is WKD
    assert choose(JID, keys, {XEP: (B,)}, ALL) == Choice()
    assert choose(JID, keys, {}, ALL) == Choice()


def test_the_same_keys_or_a_part_of_them() -> None:
    keys = record(accepted(A), accepted(B))
    assert code(choose(JID, keys, {XEP: (A, B)}, ALL)) is None
    less = choose(JID, keys, {XEP: (A,)}, ALL)
    assert (less.use, less.question) == ((A,), None)
    settled = settle(keys, less, {XEP: (A,)})
    assert settled.keys[B].state is KeyState.FORMER, "what went away counts no longer"
    assert code(choose(JID, settled, {XEP: (A, B)}, ALL)) == "key-added", "and asks when it comes back"


def test_further_and_other_keys_are_asked_about() -> None:
    keys = record(accepted(A), known(B))
    assert code(choose(JID, keys, {XEP: (A, B)}, ALL)) == "key-added"
    changed = choose(JID, keys, {XEP: (B,)}, ALL, note="Because.")
    assert changed.question is not None
    assert (changed.question.code, changed.question.before, changed.question.after) == ("key-changed", A, B)
    assert "Because." in changed.question.text
    settled = settle(keys, changed, {XEP: (B,)})
    assert (settled.keys[B].state, settled.keys[B].by) == (KeyState.ACCEPTED, By.ANSWER)
    assert settled.keys[A].state is KeyState.FORMER


# -- the gateway against others --------------------------------------------------------------------


@pytest.mark.parametrize("before", [record(known(A), known(B)), record(accepted(A), known(B))])
def test_the_gateway_alone_never_stands_against_the_domain(before: ContactRecord) -> None:
    choice = choose(JID, before, {XEP: (B,), WKD: (A,)}, ALL)
    assert choice.question is not None
    assert choice.question.code == "key-contradiction"
    assert "gateway" in choice.question.text
    assert "mail domain" in choice.question.text
    assert A in choice.question.text
    assert B in choice.question.text


def test_an_accepted_key_that_the_domain_denies_is_asked_about_once() -> None:
    keys, served = record(accepted(A), known(B)), {XEP: (A,), WKD: (B,)}
    choice = choose(JID, keys, served, ALL)
    assert code(choice) == "key-contradiction"
    settled = settle(keys, choice, served)
    assert settled.overruled == (B,)
    assert code(choose(JID, settled, served, ALL)) is None
    other = {XEP: (A,), WKD: (C,)}
    assert code(choose(JID, settled.with_keys([known(C)]), other, ALL)) == "key-contradiction"


def test_what_only_the_gateway_adds_is_left_out() -> None:
    keys, served = record(known(A), known(B)), {XEP: (B, A), WKD: (A,)}
    choice = choose(JID, keys, served, ALL)
    assert (choice.use, choice.left_out, choice.question, choice.by) == ((A,), (B,), None, By.CONFIRMED)
    settled = settle(keys, choice, served)
    assert settled.keys[B].state is KeyState.NEW
    assert choose(JID, settled, served, ALL).use == (A,)
    assert settled.keys[A].state is KeyState.ACCEPTED


def test_the_word_of_the_user_stands_above_the_domain() -> None:
    for mine in (known(A, KeyState.VERIFIED, By.USER), accepted(A, By.USER)):
        choice = choose(JID, record(mine, known(B)), {XEP: (A,), WKD: (B,)}, ALL)
        assert (choice.use, choice.question) == ((A,), None)


def test_a_verified_key_is_not_replaced_by_the_gateway() -> None:
    keys = record(known(A, KeyState.VERIFIED, By.USER), known(B))
    for policy in TrustPolicy:
        choice = choose(JID, keys, {XEP: (B,), WKD: (B,)}, ALL, policy)
        assert choice.question is not None
    choice = choose(JID, keys, {XEP: (B,)}, ALL)
    assert choice.question is not None
    assert choice.question.code == "key-contradiction"
    assert "you verified" in choice.question.text


def test_a_key_of_the_contacts_own_messages_is_not_replaced_by_the_gateway() -> None:
    state = AutocryptMemory(NOW, NOW, A, vouched=True)
    keys = record(accepted(A), known(B), autocrypt=state)
    choice = choose(JID, keys, {XEP: (B,), AUTOCRYPT: (A,)}, ALL)
    assert choice.question is not None
    assert choice.question.code == "key-contradiction"
    assert "Autocrypt" in choice.question.text


# -- policies --------------------------------------------------------------------------------------


def test_accept_when_confirmed_takes_what_an_independent_source_serves() -> None:
    keys, when = record(accepted(A), known(B)), TrustPolicy.WHEN_CONFIRMED
    taken = choose(JID, keys, {XEP: (B,), WKD: (B,)}, ALL, when)
    assert (taken.use, taken.question, taken.by) == ((B,), None, By.CONFIRMED)
    assert code(choose(JID, keys, {XEP: (B,)}, ALL, when)) == "key-changed", "nobody else says so"
    assert code(choose(JID, keys, {WKD: (B,)}, ALL, when)) == "key-changed", "the domain alone is one source"
    assert code(choose(JID, keys, {XEP: (B,), GOSSIP: (B,)}, ALL, when)) == "key-changed", (
        "gossip is no source"
    )
    vouched = record(accepted(A), known(B), autocrypt=AutocryptMemory(NOW, NOW, B, vouched=True))
    assert code(choose(JID, vouched, {XEP: (B,), AUTOCRYPT: (B,)}, ALL, when)) is None
    unproven = record(accepted(A), known(B), autocrypt=AutocryptMemory(NOW, NOW, B))
    assert code(choose(JID, unproven, {XEP: (B,), AUTOCRYPT: (B,)}, ALL, when)) == "key-changed"


def test_ask_asks_even_when_confirmed() -> None:
    assert code(choose(JID, record(accepted(A), known(B)), {XEP: (B,), WKD: (B,)}, ALL)) == "key-changed"


def test_always_ask_asks_at_the_first_use_and_then_no_more() -> None:
    always = TrustPolicy.ALWAYS_ASK
    for keys in (record(known(A)), record(accepted(A))):
        choice = choose(JID, keys, {XEP: (A,)}, ALL, always)
        assert code(choice) == "key-first-use"
        settled = settle(keys, choice, {XEP: (A,)})
        assert code(choose(JID, settled, {XEP: (A,)}, ALL, always)) is None


def test_names_of_policies() -> None:
    assert TrustPolicy.read("accept-when-confirmed") is TrustPolicy.WHEN_CONFIRMED
    assert TrustPolicy.read("") is TrustPolicy.read("nonsense") is TrustPolicy.ASK


# -- the record ------------------------------------------------------------------------------------


def test_a_record_survives_the_store() -> None:
    full = ContactRecord(
        {
            A: known(
                A, KeyState.VERIFIED, By.USER, sources={XEP: Seen(NOW, NOW), WKD: Seen(NOW, NOW)}, told=True
            ),
            B: known(B, KeyState.BLOCKED, By.USER, revoked=True),
        },
        WkdMemory("bob@mail.example", NOW, (A,), "keys"),
        AutocryptMemory(NOW, NOW, A, True, True, NOW, B),
        (C,),
    )
    assert read_record(write_record(full), JID) == full
    assert read_record(None, JID) == ContactRecord()


def test_an_entry_of_an_earlier_version_is_accepted() -> None:
    raw = b'{"version": 1, "keys": [{"fingerprint": "%s", "date": "x", "data": "QUFB"}]}' % A.encode()
    (key,) = read_record(raw, JID).keys.values()
    assert (key.fingerprint, key.state, key.key.date) == (A, KeyState.ACCEPTED, "x")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"version": 2}', b'{"version": 2, "keys": [{}]}', b"\xff"]
)
def test_a_damaged_entry_is_no_first_use(raw: bytes) -> None:
    with pytest.raises(StoreError, match="damaged"):
        read_record(raw, JID)


def test_the_number_of_remembered_keys_is_bounded() -> None:
    full = record(accepted("F" * 40), known("E" * 40, revoked=True))
    for number in range(MAX_KNOWN + 10):
        when = NOW + timedelta(days=number)
        full = full.with_keys([known(f"{number:040d}", sources={XEP: Seen(when, when)})])
    assert len(full.keys) == MAX_KNOWN
    assert {"F" * 40, "E" * 40, f"{MAX_KNOWN + 9:040d}"} <= full.keys.keys()


def test_dates_of_sources_are_kept_to_a_day() -> None:
    key = known(A).seen(XEP, NOW)
    assert key.seen(XEP, NOW + timedelta(hours=23)) is key
    later = key.seen(XEP, NOW + timedelta(days=2))
    assert later.sources[XEP] == Seen(NOW, NOW + timedelta(days=2))


# -- Autocrypt Level 1, section 5.2 ----------------------------------------------------------------


def test_autocrypt_an_older_message_changes_nothing() -> None:
    state = heard(AutocryptMemory(), NOW, A, mutual=True, vouched=True)
    assert heard(state, NOW - timedelta(seconds=1), B, mutual=False, vouched=True) == state
    assert heard(state, NOW + timedelta(seconds=1), B, mutual=False, vouched=True).fingerprint == B


def test_autocrypt_a_message_without_header_only_moves_last_seen() -> None:
    state = heard(AutocryptMemory(), NOW, A, mutual=True, vouched=True)
    later = heard(state, NOW + timedelta(days=1), "", mutual=False, vouched=True)
    assert (later.fingerprint, later.mutual, later.changed) == (A, True, NOW)
    assert later.last_seen == NOW + timedelta(days=1)


def test_autocrypt_no_date_lies_in_the_future() -> None:
    future, past = NOW + timedelta(days=9), NOW - timedelta(days=9)
    assert effective_date(future, None, NOW) == NOW
    assert effective_date(future, past, NOW) == past
    assert effective_date(past, None, NOW) == past
    assert effective_date(None, past, NOW) == past
    assert effective_date(None, None, NOW) == NOW


def test_autocrypt_gossip_is_ordered_too() -> None:
    state = gossiped(AutocryptMemory(), NOW, A)
    assert gossiped(state, NOW - timedelta(seconds=1), B) == state
    assert (state.fingerprint, state.gossip_fingerprint) == ("", A)
