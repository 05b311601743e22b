"""Threads and answers: what is said inside the encryption about what answers what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import SubElement

import pytest

from gre_core import wire
from gre_core.errors import LocalProtocolError, PolicyChanged
from gre_core.message_index import MAX_REFERENCES, Known, MessageIndex
from gre_core.model import Message
from gre_core.opening import Received
from gre_core.replies import answer
from gre_core.stores import FileStore, MemoryStore
from gre_core.testing.fakes import run
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

CAROL = f"carol\\40example.com@{DOMAIN}"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def opened(scene: Scene, stanza: Element) -> Received:
    result = scene.deliver(stanza)
    assert isinstance(result, Received)
    return result


def last_sent(scene: Scene) -> Message:
    return opened(scene, scene.carbon(scene.last)).message


def our_id(stanza_id: str) -> str:
    return f"{stanza_id}@capulet.example"


# -- threads -----------------------------------------------------------------------------------------------------


def test_an_answer_of_theirs_is_joined_to_our_message(scene: Scene) -> None:
    scene.send(stanza_id="ours")
    received = opened(
        scene,
        scene.from_legacy(message_id="a@x", in_reply_to=our_id("ours"), references=(our_id("ours"),)),
    )
    assert received.reply_to == "ours"
    assert received.thread == our_id("ours")


def test_an_answer_of_ours_names_their_message_inside_only(scene: Scene) -> None:
    received = opened(
        scene, scene.from_legacy(message_id="b@x", references=("a@x",), in_reply_to="a@x", stanza_id="theirs")
    )
    assert received.id == "theirs"
    assert received.thread == "a@x"
    scene.send("Answer", reply_to="theirs")
    message = last_sent(scene)
    assert (message.in_reply_to, message.references) == ("b@x", ("a@x", "b@x"))
    text = [*scene.last.itertext(), *(value for node in scene.last.iter() for value in node.attrib.values())]
    assert not [each for each in text if "@x" in each]


def test_our_next_message_may_answer_our_own(scene: Scene) -> None:
    scene.send(stanza_id="one")
    scene.send(stanza_id="two", reply_to="one")
    assert last_sent(scene).in_reply_to == our_id("one")
    scene.send(stanza_id="three", reply_to="two")
    assert last_sent(scene).references == (our_id("one"), our_id("two"))


def test_a_thread_goes_on_without_an_answer(scene: Scene) -> None:
    thread = opened(scene, scene.from_legacy(message_id="a@x")).thread
    scene.send(thread=thread)
    message = last_sent(scene)
    assert (message.in_reply_to, message.references) == (None, ("a@x",))
    assert opened(scene, scene.from_legacy(message_id="b@x", in_reply_to=message.message_id)).thread == thread


def test_a_program_that_shortens_the_references_stays_in_the_thread(scene: Scene) -> None:
    first = opened(scene, scene.from_legacy(message_id="a@x"))
    opened(scene, scene.from_legacy(message_id="b@x", in_reply_to="a@x", references=("a@x",)))
    third = opened(scene, scene.from_legacy(message_id="c@x", in_reply_to="b@x"))
    fourth = opened(scene, scene.from_legacy(message_id="d@x", references=("c@x",)))
    assert first.thread == third.thread == fourth.thread == "a@x"


def test_messages_without_any_id_are_threads_of_their_own(scene: Scene) -> None:
    one, two = opened(scene, scene.from_legacy("one")), opened(scene, scene.from_legacy("two"))
    assert one.thread
    assert one.thread != two.thread
    assert one.reply_to is None
    scene.send(reply_to=one.id or "")
    assert (last_sent(scene).in_reply_to, last_sent(scene).references) == (None, ())


def test_what_stands_outside_about_threads_is_not_believed(scene: Scene) -> None:
    scene.send(stanza_id="ours")
    stanza = scene.from_legacy(message_id="a@x")
    SubElement(stanza, f"{{{wire.CLIENT}}}thread").text = our_id("ours")
    SubElement(stanza, "{urn:xmpp:reply:0}reply", {"to": ACCOUNT, "id": "ours"})
    received = opened(scene, stanza)
    assert (received.reply_to, received.thread) == (None, "a@x")


def test_an_unknown_message_cannot_be_answered_by_its_id(scene: Scene) -> None:
    with pytest.raises(LocalProtocolError, match="not remembered"):
        scene.send(reply_to="never seen")
    assert scene.network.sent == []


def test_threads_survive_a_restart_and_another_device(tmp_path: Path) -> None:
    scene = Scene(store=FileStore(tmp_path / "store"))
    opened(scene, scene.from_legacy(message_id="a@x", stanza_id="theirs"))
    scene.send(stanza_id="ours", reply_to="theirs")
    copy = scene.carbon(scene.last)
    scene.restart()
    scene.send(reply_to="ours")
    assert last_sent(scene).references == ("a@x", our_id("ours"))
    other = Scene()
    assert opened(other, copy).thread == "a@x"
    other.send(reply_to="ours")
    assert last_sent(other).references == ("a@x", our_id("ours"))


def test_long_conversations_keep_their_first_and_last_references(scene: Scene) -> None:
    names = tuple(f"{number}@x" for number in range(100))
    received = opened(scene, scene.from_legacy(message_id="last@x", references=names, stanza_id="theirs"))
    assert received.thread == "0@x"
    scene.send(reply_to="theirs")
    references = last_sent(scene).references
    assert len(references) == MAX_REFERENCES
    assert references[0] == "0@x"
    assert references[-2:] == ("99@x", "last@x")


# -- the memory --------------------------------------------------------------------------------------------------


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    store = MemoryStore()
    index = MessageIndex(store)

    async def one_place(_name: str) -> int:
        return 7

    index._number = one_place  # type: ignore[method-assign, assignment]
    for number in range(50):
        run(index.add(Known(f"{number}@x", f"s{number}", CONTACT, "t", (), "key")))
    assert run(index.find("0@x")) is None
    assert run(index.find("49@x")) == Known("49@x", "s49", CONTACT, "t", (), "key")
    assert run(index.by_stanza("s0")) is None
    assert run(index.by_stanza("s49")) is not None
    run(index.add(Known("new@x", "new", CONTACT, "t", (), "key")))
    assert run(index.by_stanza("new")) is not None
    assert run(index.by_stanza("s34")) is None
    assert list(run(store.keys("messages/"))) == ["messages/007"]


def test_huge_ids_are_not_kept_as_they_are() -> None:
    store = MemoryStore()
    index = MessageIndex(store)
    huge = "x" * 100_000
    run(index.add(Known(huge, huge, CONTACT, huge, (huge, "ok@x"), "key")))
    assert sum(len(run(store.get(key)) or b"") for key in run(store.keys(""))) < 1000
    found = run(MessageIndex(store).by_stanza(huge))
    assert found is not None
    assert found.references == ("ok@x",)
    assert run(MessageIndex(store).seen_as(huge, "key", "other")) is not None


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b"3", b'["a","b","c","d","e","f"]', b"[" * 100_000])
def test_a_damaged_memory_is_an_empty_one(damaged: bytes) -> None:
    store = MemoryStore()
    run(MessageIndex(store).add(Known("a@x", "s", CONTACT, "t")))
    for key in run(store.keys("messages/")):
        if not key.endswith("secret"):
            run(store.put(key, damaged))
    index = MessageIndex(store)
    assert run(index.find("a@x")) is None
    run(index.add(Known("a@x", "s", CONTACT, "t")))
    assert run(MessageIndex(store).find("a@x")) is not None


# -- answers -----------------------------------------------------------------------------------------------------


def incoming(scene: Scene, **fields: Any) -> Received:
    scene.send()  # the user has confirmed who he is
    return opened(scene, scene.from_legacy(**{"message_id": "a@x", "subject": "Dinner"} | fields))


def test_an_answer_goes_to_its_author_alone(scene: Scene) -> None:
    received = incoming(scene, to=(SENDER_ID, "carol@example.com"))
    (sent,) = run(scene.client.reply(received, Message("Yes")))
    assert sent.recipients == (CONTACT,)
    message = last_sent(scene)
    assert (message.subject, message.in_reply_to, message.references) == ("Re: Dinner", "a@x", ("a@x",))
    assert (message.to, message.cc) == ((LEGACY,), ())


def test_an_answer_to_all_goes_to_all_but_ourselves(scene: Scene) -> None:
    received = incoming(scene, to=(SENDER_ID.upper(), "carol@example.com"), cc=(LEGACY, "dave@example.com"))
    (sent,) = run(scene.client.reply(received, Message("Yes"), to_all=True))
    assert sent.recipients == (CONTACT, CAROL, f"dave\\40example.com@{DOMAIN}")
    message = last_sent(scene)
    assert (message.to, message.cc) == ((LEGACY, "carol@example.com"), ("dave@example.com",))


def test_an_answer_to_all_after_a_message_of_our_own(scene: Scene) -> None:
    run(scene.client.send_all([CONTACT], Message("Hello"), cc=[CAROL]))
    ours = opened(scene, scene.carbon(scene.last))
    (sent,) = run(scene.client.reply(ours, Message("And another thing"), to_all=True))
    assert sent.recipients == (CONTACT, CAROL)


@pytest.mark.parametrize("subject", ["Re: Dinner", "RE: Dinner", "re:Dinner"])
def test_a_subject_is_marked_once(scene: Scene, subject: str) -> None:
    received = incoming(scene, subject=subject)
    assert answer(received, Message()).subject == subject
    assert answer(received, Message(subject="Lunch")).subject == "Lunch"


def test_a_message_without_subject_has_answers_without_subject(scene: Scene) -> None:
    assert answer(incoming(scene, subject=None), Message()).subject is None


def test_what_was_confidential_stays_so(scene: Scene) -> None:
    received = incoming(scene)
    hidden = Message("x", hidden=("subject", "to"))
    shown = Received(
        hidden,
        received.verdict,
        (),
        received.peer,
        received.direction,
        received.formatter,
        received.encrypter,
        "1",
    )
    assert answer(shown, Message("y")).hidden == ("subject", "to")


def test_an_answer_to_an_address_that_is_not_whom_it_came_from_wants_the_users_word() -> None:
    asked = []

    async def decide(question: Any) -> bool:
        asked.append(question)
        return bool(question.code == "confirm-sender-id")

    scene = Scene(decide=decide)
    received = incoming(scene, claimed="carol@example.com")
    scene.network.sent.clear()
    with pytest.raises(PolicyChanged) as caught:
        run(scene.client.reply(received, Message("Yes")))
    question = caught.value.question
    assert (question.code, question.before, question.after) == (
        "answer-another",
        CONTACT,
        "carol@example.com",
    )
    assert scene.network.sent == []
    run(scene.client.approve(question))
    (sent,) = run(scene.client.reply(received, Message("Yes")))
    assert sent.recipients == (CAROL,)


def test_an_answer_to_ourselves_alone_is_an_error() -> None:
    scene = Scene()
    scene.send()
    received = opened(scene, scene.from_legacy(claimed=None, to=(SENDER_ID,)))
    assert run(scene.client.reply(received, Message()))[0].recipients == (CONTACT,)
    ours = opened(scene, scene.carbon(scene.last))
    alone = Received(
        Message(to=(SENDER_ID,)),
        ours.verdict,
        (),
        CONTACT,
        ours.direction,
        ours.formatter,
        ours.encrypter,
        "1",
    )
    with pytest.raises(LocalProtocolError, match="Nobody but you"):
        run(scene.client.reply(alone, Message(), to_all=True))
