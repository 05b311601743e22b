"""One message to several people: one ciphertext for To and Cc, one for each blind copy, or nothing for anybody."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from gre_core import wire
from gre_core.addressing import ADDRESS, ADDRESSES_TAG, MAX_ADDRESSES
from gre_core.errors import LocalProtocolError, NoUsableKey, PeerError, PolicyChanged, Refused
from gre_core.gateway import Relayed
from gre_core.model import DataForm, Message
from gre_core.namespaces import GRE
from gre_core.opening import Received
from gre_core.outbox import SendState, Sent
from gre_core.ports import refuse
from gre_core.testing.fakes import KEY_NODE, run, toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.model import Question

BOB, CAROL, DAVE = CONTACT, f"carol\\40example.com@{DOMAIN}", f"dave\\40example.com@{DOMAIN}"
ELSEWHERE = "other.example.net"
ERIN = f"erin\\40example.org@{ELSEWHERE}"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def send(scene: Scene, *to: str, **options: Any) -> tuple[Sent, ...]:
    return run(scene.client.send_all(to, Message("Hello"), **options))


def envelope(stanza: Element) -> dict[str, Any]:
    """Look into the body of the toy encrypter."""
    encrypted = stanza.find(wire.ENCRYPTED_TAG)
    assert encrypted is not None
    found: dict[str, Any] = json.loads(base64.b64decode(encrypted.text or ""))
    return found


def inside(scene: Scene, stanza: Element) -> Message:
    received = scene.deliver(scene.carbon(stanza))
    assert isinstance(received, Received)
    return received.message


def sent(scene: Scene) -> list[Element]:
    for stanza in scene.network.sent:
        stanza.set("from", f"{ACCOUNT}/balcony")
    return scene.network.sent


def test_one_stanza_for_all_on_one_gateway(scene: Scene) -> None:
    (state,) = send(scene, BOB, CAROL, cc=[DAVE], stanza_id="one")
    (stanza,) = sent(scene)
    assert stanza.get("to") == DOMAIN
    relayed = scene.accept(stanza)
    assert isinstance(relayed, Relayed)
    assert [one.jid for one in relayed.recipients] == [BOB, CAROL, DAVE]
    assert relayed.hidden == ()
    assert (state.id, state.to, state.recipients) == ("one", DOMAIN, (BOB, CAROL, DAVE))
    assert envelope(stanza)["to"] == [LEGACY, "carol@example.com", "dave@example.com", SENDER_ID, ACCOUNT]
    message = inside(scene, stanza)
    assert (message.to, message.cc) == ((LEGACY, "carol@example.com"), ("dave@example.com",))


def test_outside_nothing_tells_to_from_cc(scene: Scene) -> None:
    send(scene, BOB, cc=[CAROL])
    addresses = sent(scene)[0].find(ADDRESSES_TAG)
    assert addresses is not None
    assert [(entry.get("type"), entry.get("jid")) for entry in addresses] == [("to", BOB), ("to", CAROL)]


def test_a_gateway_that_does_not_multiply_gets_one_stanza_each_with_the_same_ciphertext(scene: Scene) -> None:
    features = set(scene.gateway.features()) - {ADDRESS}
    scene.network.announce(DOMAIN, *features)
    for jid in (BOB, CAROL):
        scene.network.announce(jid, *features)
    states = send(scene, BOB, CAROL, stanza_id="one")
    first, second = sent(scene)
    assert (first.get("to"), second.get("to")) == (BOB, CAROL)
    assert (first.get("id"), second.get("id")) == ("one", "one-2")
    assert wire.stanza_id(first) == wire.stanza_id(second) == "one", "the origin-id is that of the message"
    assert envelope(first) == envelope(second)
    assert first.find(ADDRESSES_TAG) is None
    assert [state.recipients for state in states] == [(BOB,), (CAROL,)]


def test_a_blind_copy_has_a_ciphertext_and_a_stanza_of_its_own(scene: Scene) -> None:
    send(scene, BOB, CAROL, bcc=[DAVE, DAVE.upper(), BOB], stanza_id="one")
    together, blind = sent(scene)
    assert "dave@example.com" not in envelope(together)["to"]
    assert b"dave" not in base64.b64encode(json.dumps(envelope(together)).encode())
    assert DAVE not in str([list(entry.attrib.values()) for entry in together.iter()])
    assert blind.get("to") == DAVE
    assert blind.find(ADDRESSES_TAG) is None
    assert envelope(blind)["to"] == ["dave@example.com", SENDER_ID, ACCOUNT]
    open_copy, blind_copy = inside(scene, together), inside(scene, blind)
    assert blind_copy.to == open_copy.to == (LEGACY, "carol@example.com")
    assert blind_copy.cc == open_copy.cc == ()
    assert blind_copy.message_id == open_copy.message_id
    assert wire.stanza_id(blind) == wire.stanza_id(together) == "one"


def test_blind_copies_do_not_learn_of_each_other(scene: Scene) -> None:
    send(scene, BOB, bcc=[CAROL, DAVE])
    _, carols, daves = sent(scene)
    assert "dave@example.com" not in envelope(carols)["to"]
    assert "carol@example.com" not in envelope(daves)["to"]


def test_only_blind_copies_name_nobody_else(scene: Scene) -> None:
    send(scene, bcc=[CAROL, DAVE])
    carols, daves = sent(scene)
    assert inside(scene, carols).to == ("carol@example.com",)
    assert inside(scene, daves).to == ("dave@example.com",)


def test_copies_without_a_first_recipient_become_first_recipients(scene: Scene) -> None:
    send(scene, cc=[BOB], bcc=[DAVE])
    _, blind = sent(scene)
    assert (inside(scene, blind).to, inside(scene, blind).cc) == ((LEGACY,), ())


def test_each_gateway_gets_its_own_and_the_message_names_all(scene: Scene) -> None:
    pair = toy_formatter().namespace, toy_encrypter().namespace
    scene.network.announce(ELSEWHERE, GRE, *pair)
    scene.network.answer_data(DataForm("juliet@other.example"), ERIN)
    send(scene, BOB, ERIN, CAROL)
    ours, theirs = sent(scene)
    assert (ours.get("to"), theirs.get("to")) == (DOMAIN, ERIN)
    assert envelope(ours)["to"] == [LEGACY, "carol@example.com", SENDER_ID, ACCOUNT]
    assert envelope(theirs)["to"] == ["erin@example.org", "juliet@other.example", ACCOUNT]
    everybody = (LEGACY, "erin@example.org", "carol@example.com")
    assert inside(scene, ours).to == inside(scene, theirs).to == everybody
    assert inside(scene, theirs).claimed_sender == "juliet@other.example"


# -- missing keys ------------------------------------------------------------------------------------------------


def keyed(*having: str, decide: Any = refuse) -> Scene:
    questions: list[Question] = []

    async def answer(question: Question) -> bool:
        questions.append(question)
        return question.code == "confirm-sender-id" or bool(await decide(question))

    scene = Scene(toy_formatter(), toy_encrypter(keys=True), decide=answer)
    scene.questions = questions  # type: ignore[attr-defined]
    for jid in having:
        scene.pubsub.put(jid, KEY_NODE, "key")
    return scene


def test_when_somebody_has_no_key_nothing_is_sent_and_all_of_them_are_named() -> None:
    scene = keyed(BOB)
    with pytest.raises(PolicyChanged) as caught:
        send(scene, BOB, CAROL, bcc=[DAVE])
    question = caught.value.question
    assert (question.code, question.peer, question.after) == (
        "leave-out-recipients",
        DOMAIN,
        "carol@example.com, dave@example.com",
    )
    assert LEGACY in question.text
    assert scene.network.sent == []
    assert run(scene.client.pending()) == []


def test_after_the_users_word_it_goes_to_the_others_and_names_only_them() -> None:
    scene = keyed(BOB)
    with pytest.raises(PolicyChanged) as caught:
        send(scene, BOB, CAROL, bcc=[DAVE])
    run(scene.client.approve(caught.value.question))
    (state,) = send(scene, BOB, CAROL, bcc=[DAVE])
    assert state.recipients == (BOB,)
    assert inside(scene, sent(scene)[0]).to == (LEGACY,)
    with pytest.raises(PolicyChanged):
        send(scene, BOB, CAROL)


def test_when_nobody_has_a_key_there_is_nothing_to_ask() -> None:
    scene = keyed()
    with pytest.raises(NoUsableKey, match="Nothing was sent") as caught:
        send(scene, BOB, CAROL)
    assert BOB in caught.value.text
    assert CAROL in caught.value.text
    assert not [question for question in scene.questions if question.code == "leave-out-recipients"]  # type: ignore[attr-defined]


def test_a_recipient_that_the_gateway_refuses_stops_all(scene: Scene) -> None:
    scene.network.answer_data(PeerError("No such user.", condition="item-not-found"), CAROL)
    with pytest.raises(PeerError, match="No such user"):
        send(scene, BOB, CAROL)
    assert scene.network.sent == []


def test_a_message_that_is_too_large_for_a_blind_copy_is_sent_to_nobody(scene: Scene) -> None:
    real = scene.client._sealer.wrap

    def wrap(cipher: Any, to: str, *rest: Any) -> Any:
        if to == DAVE:
            raise LocalProtocolError("No.")
        return real(cipher, to, *rest)

    scene.client._sealer.wrap = wrap  # type: ignore[method-assign, assignment]
    with pytest.raises(LocalProtocolError):
        send(scene, BOB, bcc=[DAVE])
    assert scene.network.sent == []
    assert run(scene.client.pending()) == []


# -- states ------------------------------------------------------------------------------------------------------


def test_a_receipt_of_the_gateway_settles_the_whole_stanza(scene: Scene) -> None:
    (state,) = send(scene, BOB, CAROL)
    assert state.state is SendState.QUEUED
    settled = scene.confirm(DOMAIN)
    assert isinstance(settled, Sent)
    assert (settled.state, settled.recipients) == (SendState.RELAYED, (BOB, CAROL))
    assert run(scene.client.pending()) == []


def test_a_contact_cannot_confirm_for_all(scene: Scene) -> None:
    send(scene, BOB, CAROL)
    assert scene.confirm(BOB) is None
    assert len(run(scene.client.pending())) == 1


def test_an_error_names_whom_it_is_about(scene: Scene) -> None:
    send(scene, BOB, CAROL, bcc=[DAVE])
    blind, together = scene.network.sent.pop(), scene.network.sent[0]
    scene.network.sent[:] = [together]
    refused = scene.refuse(Refused("Nobody got it: carol@example.com is unknown."), DOMAIN)
    assert isinstance(refused, Sent)
    assert refused.recipients == (BOB, CAROL)
    assert "carol@example.com" in refused.error
    scene.network.sent[:] = [blind]
    relayed = scene.confirm(DAVE)
    assert isinstance(relayed, Sent)
    assert (relayed.state, relayed.recipients) == (SendState.RELAYED, (DAVE,))


def test_what_waits_for_the_stream_is_sent_later_as_it_was(scene: Scene) -> None:
    send(scene, BOB)  # everything is known now
    scene.network.sent.clear()
    send(scene, BOB, CAROL)
    scene.network.sent.clear()
    scene.network.down = True
    states = send(scene, BOB, CAROL, bcc=[BOB, CAROL], stanza_id="late")
    assert [state.state for state in states] == [SendState.QUEUED]
    scene.network.down = False
    scene.restart()
    assert [one.recipients for one in run(scene.client.pending())][-1] == (BOB, CAROL)
    run(scene.client.resend(lambda one: one.id == "late"))
    relayed = scene.accept()
    assert isinstance(relayed, Relayed)
    assert [one.jid for one in relayed.recipients] == [BOB, CAROL]


def test_an_id_that_is_taken_keeps_all_of_it_back(scene: Scene) -> None:
    send(scene, BOB, stanza_id="x-2")
    scene.network.sent.clear()
    with pytest.raises(LocalProtocolError):
        send(scene, BOB, bcc=[DAVE], stanza_id="x")
    assert scene.network.sent == []
    assert [one.id for one in run(scene.client.pending())] == ["x-2"]


# -- who ---------------------------------------------------------------------------------------------------------


def test_nobody_and_too_many(scene: Scene) -> None:
    with pytest.raises(LocalProtocolError, match="needs a recipient"):
        send(scene)
    many = [f"u{number}\\40example.com@{DOMAIN}" for number in range(MAX_ADDRESSES)]
    assert len(send(scene, *many)[0].recipients) == MAX_ADDRESSES
    with pytest.raises(LocalProtocolError, match=f"at most {MAX_ADDRESSES}"):
        send(scene, *many, BOB)


def test_one_recipient_is_an_ordinary_message(scene: Scene) -> None:
    send(scene, BOB, cc=[BOB])
    (stanza,) = sent(scene)
    assert stanza.get("to") == BOB
    assert stanza.find(ADDRESSES_TAG) is None
    assert inside(scene, stanza).cc == ()


def test_keys_of_several_are_asked_with_the_form_of_each(scene: Scene) -> None:
    jobs = []

    class Encrypter(type(scene.client.plugins.encrypter(toy_encrypter().namespace))):  # type: ignore[misc]
        async def seal_keys(self, job: Any, ports: Any, /) -> Any:
            jobs.append(job)
            return await super().seal_keys(job, ports)

    from gre_core.api import EncrypterProvider

    scene = Scene(toy_formatter(), EncrypterProvider(toy_encrypter().namespace, Encrypter))
    scene.network.answer_data(DataForm(SENDER_ID, {"{urn:x}who": ("carol",)}), CAROL)
    send(scene, BOB, CAROL)
    (job,) = jobs
    assert job.data_for(CAROL).fields == {"{urn:x}who": ("carol",)}
    assert job.data_for(BOB).fields == {}
