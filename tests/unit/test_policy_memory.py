"""The memory of what each gateway and contact had."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from gre_core.errors import PolicyChanged
from gre_core.model import Question, Signature, Verdict
from gre_core.namespaces import encrypter, formatter
from gre_core.negotiation import Agreement, Offer
from gre_core.policy import VALID, Memory, Policy
from gre_core.ports import refuse
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import run, say_yes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gre_core.ports import Decide

GATEWAY = "mail.example.net"
CONTACT = "bob\\40example.com@mail.example.net"
OFFER = Offer(True, False, frozenset(), frozenset())
ONLY = Offer(True, True, frozenset(), frozenset())


def agreement(enc: str = "openpgp", version: int = 0, fmt: str = "mime") -> Agreement:
    return Agreement(formatter(fmt), encrypter(enc, version), "")


def question(work: Coroutine[object, object, object]) -> Question:
    with pytest.raises(PolicyChanged) as caught:
        run(work)
    assert caught.value.params["peer"] == caught.value.question.peer
    return caught.value.question


def seen_only(memory: Memory) -> None:
    run(memory.see_offer(GATEWAY, ONLY))


def had_pair(memory: Memory) -> None:
    run(memory.require_pair(CONTACT, agreement("openpgp", 1), Policy()))


def had_sender(memory: Memory) -> None:
    memory._decide = say_yes
    run(memory.require_sender_id(GATEWAY, CONTACT, "juliet@a.example"))
    memory._decide = refuse


def nothing(_memory: Memory) -> None:
    pass


CASES: dict[str, tuple[Callable[[Memory], None], Callable[[Memory], Coroutine[object, object, object]]]] = {
    "confirm-sender-id": (nothing, lambda m: m.require_sender_id(GATEWAY, CONTACT, "juliet@a.example")),
    "sender-id-changed": (had_sender, lambda m: m.require_sender_id(GATEWAY, CONTACT, "juliet@b.example")),
    "pair-weaker": (had_pair, lambda m: m.require_pair(CONTACT, agreement(), Policy())),
    "encrypted-only-withdrawn": (seen_only, lambda m: m.require_plain(GATEWAY, CONTACT)),
    "plain-after-encrypted": (had_pair, lambda m: m.require_plain(GATEWAY, CONTACT)),
}


@pytest.mark.parametrize("code", CASES)
def test_every_question_is_asked_and_a_no_is_final(code: str) -> None:
    prepare, doing = CASES[code]
    memory = Memory(MemoryStore(), refuse)
    prepare(memory)
    asked = question(doing(memory))
    assert asked.code == code
    assert asked.text.rstrip().endswith("?")
    assert question(doing(memory)) == asked


@pytest.mark.parametrize("code", CASES)
def test_every_question_survives_a_restart(code: str) -> None:
    prepare, doing = CASES[code]
    store = MemoryStore()
    prepare(Memory(store, refuse))
    assert question(doing(Memory(store, refuse))).code == code


@pytest.mark.parametrize("code", CASES)
def test_a_yes_of_the_user_is_enough(code: str) -> None:
    prepare, doing = CASES[code]
    memory = Memory(MemoryStore(), say_yes)
    prepare(memory)
    memory._decide = say_yes
    run(doing(memory))


@pytest.mark.parametrize("code", CASES)
def test_an_approval_counts_once(code: str) -> None:
    prepare, doing = CASES[code]
    store = MemoryStore()
    prepare(Memory(store, refuse))
    asked = question(doing(Memory(store, refuse)))
    run(Memory(store, refuse).approve(asked))
    run(doing(Memory(store, refuse)))
    assert not run(store.keys("approved/"))
    prepare(Memory(store, refuse)) if code != "sender-id-changed" else None
    if code in {"encrypted-only-withdrawn", "plain-after-encrypted", "pair-weaker"}:
        assert question(doing(Memory(store, refuse))) == asked
    else:
        run(doing(Memory(store, refuse)))  # the new value is pinned


def test_what_the_host_answers_must_be_true_itself() -> None:
    async def vague(_question: Question, /) -> bool:
        return "no"  # type: ignore[return-value]

    question(Memory(MemoryStore(), vague).require_sender_id(GATEWAY, CONTACT, "juliet@a.example"))


class SlowStore(MemoryStore):
    """Lets another task run while it reads, as a real database does."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] | None = None

    async def get(self, key: str, /) -> bytes | None:
        found = await super().get(key)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return found


def test_an_approval_counts_once_even_when_two_ask_at_a_time() -> None:
    store = SlowStore()
    memory = Memory(store, refuse)
    asked = Question("plain-after-encrypted", CONTACT, "Send?")
    run(memory.approve(asked))
    answers: list[bool] = []
    store.meanwhile = lambda: answers.append(run(memory.decide(asked)))
    answers.append(run(memory.decide(asked)))
    assert sorted(answers) == [False, True]


def test_after_the_word_encrypted_only_may_come_back_and_is_remembered_again() -> None:
    memory = Memory(MemoryStore(), say_yes)
    seen_only(memory)
    run(memory.require_plain(GATEWAY, CONTACT))
    assert run(memory.see_offer(GATEWAY, OFFER)) is None
    assert run(Memory(memory._store, refuse).see_offer(GATEWAY, OFFER)) is None  # also after a restart
    seen_only(memory)
    seen_only(memory)
    notice = run(memory.see_offer(GATEWAY, OFFER))
    assert notice is not None
    assert notice.code == "encrypted-only-withdrawn"
    assert notice.params == {"gateway": GATEWAY}


def test_nothing_is_asked_of_who_never_had_anything() -> None:
    run(Memory(MemoryStore(), refuse).require_plain(GATEWAY, CONTACT))
    assert run(Memory(MemoryStore(), refuse).see_offer(GATEWAY, OFFER)) is None


ORDERED = Policy(encrypters=("best", "good"), formatters=("nice",))


@pytest.mark.parametrize(
    ("before", "after", "policy", "asks"),
    [
        (agreement(version=0), agreement(version=1), Policy(), False),
        (agreement(version=1), agreement(version=0), Policy(), True),
        (agreement("openpgp"), agreement("age"), Policy(), True),
        (agreement("age"), agreement("openpgp"), Policy(), True),
        (agreement("good"), agreement("best"), ORDERED, False),
        (agreement("best"), agreement("good"), ORDERED, True),
        (agreement("other"), agreement("good"), ORDERED, False),
        (agreement("good"), agreement("other"), ORDERED, True),
        (agreement("best", 5), agreement("good", 9), ORDERED, True),
        (agreement(fmt="plain"), agreement(fmt="nice"), ORDERED, False),
        (agreement(fmt="nice"), agreement(fmt="plain"), ORDERED, True),
        (agreement("good", fmt="nice"), agreement("best", fmt="plain"), ORDERED, True),
        (agreement(), agreement(), Policy(), False),
    ],
)
def test_only_a_better_pair_needs_no_question(
    before: Agreement, after: Agreement, policy: Policy, asks: bool
) -> None:
    memory = Memory(MemoryStore(), refuse)
    run(memory.require_pair(CONTACT, before, policy))
    if asks:
        assert question(memory.require_pair(CONTACT, after, policy)).code == "pair-weaker"
        run(memory.require_pair(CONTACT, before, policy))  # the old one is still the remembered one
    else:
        run(memory.require_pair(CONTACT, after, policy))


def test_one_gateway_may_name_several_senders_once_they_are_confirmed() -> None:
    memory = Memory(MemoryStore(), say_yes)
    other = f"carol\\40example.com@{GATEWAY}"
    run(memory.require_sender_id(GATEWAY, CONTACT, "juliet@a.example"))
    run(memory.require_sender_id(GATEWAY, other, "juliet@b.example"))
    memory._decide = refuse
    run(memory.require_sender_id(GATEWAY, CONTACT, "juliet@a.example"))
    run(memory.require_sender_id(GATEWAY, other, "juliet@b.example"))
    question(memory.require_sender_id(GATEWAY, CONTACT, "juliet@b.example"))


@pytest.mark.parametrize("signature", sorted(set(Signature) - VALID - {Signature.GOOD}))
def test_a_missing_signature_is_noticed_once_there_was_a_good_one(signature: Signature) -> None:
    memory = Memory(MemoryStore(), refuse)
    assert run(memory.see_signature(CONTACT, Verdict(signature))) is None
    assert run(memory.see_signature(CONTACT, Verdict(Signature.GOOD))) is None
    notice = run(memory.see_signature(CONTACT, Verdict(signature)))
    assert notice is not None
    assert notice.params == {"peer": CONTACT, "signature": signature.value}
    assert run(memory.see_signature("other@example.org", Verdict(signature))) is None


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"rubbish", b"urn:xmpp:gre:formatter:mime:0", b"a b c"])
def test_a_damaged_memory_asks_instead_of_forgetting(damage: bytes) -> None:
    store = MemoryStore()
    run(store.put(f"policy/{CONTACT}/pair", damage))
    run(store.put(f"policy/{CONTACT}/sender-id", damage))
    run(store.put(f"policy/{GATEWAY}/encrypted-only", damage))
    memory = Memory(store, refuse)
    assert question(memory.require_pair(CONTACT, agreement(), Policy())).code == "pair-weaker"
    assert (
        question(memory.require_sender_id(GATEWAY, CONTACT, "juliet@a.example")).code == "sender-id-changed"
    )
    assert question(memory.require_plain(GATEWAY, CONTACT)).code == "encrypted-only-withdrawn"


def test_a_very_long_jid_is_remembered_too() -> None:
    store = MemoryStore()
    contacts = [f"{'x' * 1000}{number}@{GATEWAY}" for number in range(2)]
    run(Memory(store, refuse).see_signature(contacts[0], Verdict(Signature.GOOD)))
    assert run(Memory(store, refuse).see_signature(contacts[0], Verdict(Signature.BAD))) is not None
    assert run(Memory(store, refuse).see_signature(contacts[1], Verdict(Signature.BAD))) is None


def test_parts_of_a_question_cannot_be_moved_into_each_other() -> None:
    parts = [("a", "b"), ("ab", ""), ("", "ab")]
    for one, two in itertools.permutations(parts, 2):
        memory = Memory(MemoryStore(), refuse)
        run(memory.approve(Question("x", "y", "", *one)))
        assert not run(memory.decide(Question("x", "y", "", *two)))


def test_the_memory_asks_whom_it_was_given() -> None:
    asked: list[str] = []

    def asker(answer: bool) -> Decide:
        async def ask(about: Question, /) -> bool:
            asked.append(about.code)
            return answer

        return ask

    assert run(Memory(MemoryStore(), asker(True)).decide(Question("one", "x", "")))
    assert not run(Memory(MemoryStore(), asker(False)).decide(Question("two", "x", "")))
    assert asked == ["one", "two"]
