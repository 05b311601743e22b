"""Validly signed messages that were not written to us, not now, not once, or not whole: never ``good``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.judgement import Circumstances, judge
from gre_core.model import Direction, Message, Notice, Signature, Verdict
from gre_core.notes import INCOMPLETE, NOTE_TAG
from gre_core.opening import Received
from gre_core.stores import FileStore
from gre_core.testing.scene import ACCOUNT, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "carol@example.com"


@pytest.fixture
def scene() -> Scene:
    """Give a scene in which the user has confirmed who he is: he has written once."""
    made = Scene()
    made.send()
    return made


def opened(scene: Scene, stanza: Element) -> Received:
    result = scene.deliver(stanza)
    assert isinstance(result, Received)
    return result


def signature(scene: Scene, **fields: Any) -> Signature:
    return opened(scene, scene.from_legacy(**fields)).verdict.signature


def test_what_is_written_to_us_now_is_good(scene: Scene) -> None:
    now = scene.now
    assert signature(scene, to=(OTHER, SENDER_ID.upper()), date=now, message_id="a@x") is Signature.GOOD
    assert signature(scene, to=(OTHER,), cc=(SENDER_ID,), date=now, message_id="b@x") is Signature.GOOD
    assert signature(scene, message_id="c@x") is Signature.GOOD, "a message without recipients and date"


def test_a_message_to_others_that_somebody_passed_on(scene: Scene) -> None:
    received = opened(scene, scene.from_legacy(to=(OTHER,), cc=("dave@example.com",)))
    assert received.verdict.signature is Signature.OTHER_RECIPIENTS
    assert OTHER in received.verdict.detail
    assert "dave@example.com" in received.verdict.detail
    assert received.verdict.signer == LEGACY, "who signed is still told"


def test_recipients_are_not_judged_before_the_user_confirmed_who_he_is() -> None:
    assert signature(Scene(), to=(OTHER,)) is Signature.GOOD


def test_a_replayed_message(scene: Scene) -> None:
    fields: dict[str, Any] = {"message_id": "pay@example.com", "to": (SENDER_ID,)}
    assert signature(scene, **fields) is Signature.GOOD
    assert signature(scene, **fields) is Signature.REPLAYED
    assert signature(scene, **fields) is Signature.REPLAYED, "the third time as well"


def test_a_replayed_message_without_an_id(scene: Scene) -> None:
    assert signature(scene, text="Pay 100 to Eve") is Signature.GOOD
    assert signature(scene, text="Pay 100 to Eve") is Signature.REPLAYED
    assert signature(scene, text="Pay 200 to Eve") is Signature.GOOD


def test_a_replay_is_found_after_a_restart(tmp_path: Path) -> None:
    scene = Scene(store=FileStore(tmp_path / "store"))
    assert signature(scene, message_id="pay@example.com") is Signature.GOOD
    scene.restart()
    assert signature(scene, message_id="pay@example.com") is Signature.REPLAYED


def test_the_same_stanza_again_is_no_replay(scene: Scene) -> None:
    stanza = scene.from_legacy(message_id="a@x", stanza_id="one")
    assert opened(scene, stanza).verdict.signature is Signature.GOOD
    again = opened(scene, stanza)
    assert (again.verdict.signature, again.repeated) == (Signature.GOOD, True)
    carbon = opened(scene, scene.carbon(stanza, "received"))
    assert carbon.verdict.signature is Signature.GOOD


def test_the_same_id_by_another_signer_is_no_replay(scene: Scene) -> None:
    """Else somebody who sees the outer Message-ID could make the true message look like a replay."""
    assert signature(scene, message_id="a@x", signer="eve@example.com") is Signature.WRONG_SIGNER
    assert signature(scene, message_id="a@x", signer=None) is Signature.UNSIGNED
    assert signature(scene, message_id="a@x") is Signature.GOOD


def test_unproven_messages_do_not_crowd_out_what_is_proven(scene: Scene) -> None:
    assert signature(scene, message_id="pay@example.com") is Signature.GOOD
    scene.client._index._number = _one_place  # type: ignore[method-assign, assignment]
    scene.client._index._places.clear()
    assert signature(scene, message_id="pay@example.com") is Signature.GOOD, "noted in the one place"
    for number in range(100):
        assert signature(scene, message_id=f"{number}@x", signer=None) is Signature.UNSIGNED
    assert signature(scene, message_id="pay@example.com") is Signature.REPLAYED
    assert len(scene.client._index._places[0]) == 9


async def _one_place(_message_id: str) -> int:
    return 0


def test_a_stale_message(scene: Scene) -> None:
    week = timedelta(days=7)
    second = timedelta(seconds=1)
    assert signature(scene, date=scene.now - week, message_id="a@x") is Signature.GOOD
    assert signature(scene, date=scene.now - week - second, message_id="b@x") is Signature.STALE


def test_a_message_from_the_future(scene: Scene) -> None:
    day = timedelta(days=1)
    second = timedelta(seconds=1)
    assert signature(scene, date=scene.now + day, message_id="a@x") is Signature.GOOD
    assert signature(scene, date=scene.now + day + second, message_id="b@x") is Signature.STALE


def test_a_message_that_says_it_is_from_somebody_else(scene: Scene) -> None:
    received = opened(scene, scene.from_legacy(claimed=OTHER))
    assert received.verdict.signature is Signature.WRONG_SIGNER
    assert OTHER in received.verdict.detail
    assert [notice.code for notice in received.notices] == ["sender-mismatch"]


@pytest.mark.parametrize("code", sorted(INCOMPLETE))
def test_an_encrypted_part_that_is_only_one_of_several(scene: Scene, code: str) -> None:
    stanza = scene.from_legacy()
    SubElement(stanza, NOTE_TAG, {"code": code})
    assert opened(scene, stanza).verdict.signature is Signature.PARTIAL


def test_of_several_doubts_the_worst_is_the_verdict_and_all_are_told(scene: Scene) -> None:
    stanza = scene.from_legacy(to=(OTHER,), date=scene.now - timedelta(days=30))
    received = opened(scene, stanza)
    assert received.verdict.signature is Signature.OTHER_RECIPIENTS
    assert [notice.code for notice in received.notices] == [Signature.STALE.value]


def test_a_valid_signature_with_another_fault_is_not_called_missing(scene: Scene) -> None:
    assert signature(scene, message_id="a@x") is Signature.GOOD
    assert opened(scene, scene.from_legacy(to=(OTHER,))).notices == ()
    unsigned = opened(scene, scene.from_legacy(signer=None))
    assert [notice.code for notice in unsigned.notices] == ["signature-missing"]


def test_our_own_copies_are_not_judged(scene: Scene) -> None:
    copy = opened(scene, scene.carbon(scene.last))
    assert (copy.direction, copy.verdict.signature) == (Direction.SENT, Signature.GOOD)
    assert opened(scene, scene.carbon(scene.last)).verdict.signature is Signature.GOOD


@pytest.mark.parametrize("before", sorted(set(Signature) - {Signature.GOOD}))
def test_a_verdict_is_never_made_better(scene: Scene, before: Signature) -> None:
    verdict = Verdict(before, "key", detail="as it was")
    how = Circumstances(LEGACY, (SENDER_ID,), None, scene.now)
    assert judge(verdict, Message(to=(OTHER,), claimed_sender=OTHER), how) == (verdict, ())


def test_a_formatter_that_saw_only_a_part(scene: Scene) -> None:
    how = Circumstances(LEGACY, (SENDER_ID,), None, scene.now, (Notice("partial", "Only a part."),))
    verdict, _ = judge(Verdict(Signature.GOOD), Message(), how)
    assert verdict.signature is Signature.PARTIAL
    assert judge(Verdict(Signature.GOOD), Message(), replace(how, notices=()))[0] == Verdict(Signature.GOOD)


def test_every_doubt_has_words(scene: Scene) -> None:
    how = Circumstances(LEGACY, (SENDER_ID,), "other", scene.now, (Notice("partial", "Only a part."),))
    message = Message(to=(OTHER,), claimed_sender=OTHER, date=scene.now - timedelta(days=30))
    verdict, notices = judge(Verdict(Signature.GOOD), message, how)
    assert verdict.detail
    assert [notice.code for notice in notices] == ["other-recipients", "replayed", "stale", "partial"]
    assert all(notice.text for notice in notices)
    assert ACCOUNT not in verdict.detail
