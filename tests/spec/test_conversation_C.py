"""Conversations: several recipients (XEP-0033), threads, and what a valid signature does not prove.

C1 all in To and Cc on one gateway get one ciphertext; C2 each blind copy has its own, and nobody learns of it; C3 nobody
gets anything while somebody lacks a key; C4 what answers what stands inside the encryption; C5 a message is good only
when it is meant for us, new, recent, whole, and from whom it says.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import SubElement

import pytest

from gre_core import wire
from gre_core.addressing import ADDRESSES_TAG
from gre_core.errors import PolicyChanged, Refused
from gre_core.gateway import Relayed
from gre_core.model import Message, Signature
from gre_core.notes import NOTE_TAG
from gre_core.opening import Received
from gre_core.testing.fakes import KEY_NODE, run, toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CAROL, DAVE = f"carol\\40example.com@{DOMAIN}", f"dave\\40example.com@{DOMAIN}"


def sent(*to: str, **options: Any) -> tuple[Scene, list[Element]]:
    scene = Scene()
    run(scene.client.send_all(to, Message("Hello"), **options))
    for stanza in scene.network.sent:
        stanza.set("from", f"{ACCOUNT}/balcony")
    return scene, scene.network.sent


def readers(stanza: Element) -> list[str]:
    names: list[str] = json.loads(base64.b64decode(stanza.findtext(wire.ENCRYPTED_TAG, "")))["to"]
    return [name for name in names if name not in {SENDER_ID, ACCOUNT}]


def inside(scene: Scene, stanza: Element) -> Message:
    received = scene.deliver(scene.carbon(stanza))
    assert isinstance(received, Received)
    return received.message


def verdict(scene: Scene, stanza: Element) -> Signature:
    received = scene.deliver(stanza)
    assert isinstance(received, Received)
    return received.verdict.signature


def confirmed() -> Scene:
    scene = Scene()
    scene.send()
    return scene


def test_C1_to_and_cc_get_one_ciphertext_in_one_stanza() -> None:
    scene, (stanza,) = sent(CONTACT, cc=[CAROL])
    assert readers(stanza) == [LEGACY, "carol@example.com"]
    relayed = scene.accept(stanza)
    assert isinstance(relayed, Relayed)
    assert [one.jid for one in relayed.recipients] == [CONTACT, CAROL]
    assert (inside(scene, stanza).to, inside(scene, stanza).cc) == ((LEGACY,), ("carol@example.com",))


def test_C1_outside_nobody_is_marked_as_a_copy() -> None:
    _, (stanza,) = sent(CONTACT, cc=[CAROL])
    assert {entry.get("type") for entry in stanza.iterfind(f"{ADDRESSES_TAG}/*")} == {"to"}


def test_C1_gateway_sends_to_all_or_to_nobody() -> None:
    scene, (stanza,) = sent(CONTACT, CAROL)
    addresses = stanza.find(ADDRESSES_TAG)
    assert addresses is not None
    addresses[1].set("jid", "romeo@elsewhere.example")
    with pytest.raises(Refused, match=r"romeo@elsewhere\.example"):
        scene.accept(stanza)


def test_C2_a_blind_copy_has_a_ciphertext_of_its_own() -> None:
    scene, (together, blind) = sent(CONTACT, CAROL, bcc=[DAVE])
    assert readers(together) == [LEGACY, "carol@example.com"]
    assert readers(blind) == ["dave@example.com"]
    assert inside(scene, blind).to == inside(scene, together).to == (LEGACY, "carol@example.com")
    assert "dave" not in str([node.attrib for node in together.iter()])


def test_C2_gateway_shows_blind_copies_apart() -> None:
    scene, (stanza,) = sent(CONTACT, CAROL)
    addresses = stanza.find(ADDRESSES_TAG)
    assert addresses is not None
    addresses[1].set("type", "bcc")
    relayed = scene.accept(stanza)
    assert isinstance(relayed, Relayed)
    assert ([one.jid for one in relayed.recipients], [one.jid for one in relayed.hidden]) == (
        [CONTACT],
        [CAROL],
    )


def test_C3_nobody_gets_anything_while_somebody_lacks_a_key() -> None:
    async def decide(question: Any) -> bool:
        return bool(question.code == "confirm-sender-id")

    scene = Scene(toy_formatter(), toy_encrypter(keys=True), decide=decide)
    scene.pubsub.put(CONTACT, KEY_NODE, "key")
    with pytest.raises(PolicyChanged) as caught:
        run(scene.client.send_all([CONTACT, CAROL], Message("Hello"), bcc=[DAVE]))
    assert caught.value.question.after == "carol@example.com, dave@example.com"
    assert scene.network.sent == []
    run(scene.client.approve(caught.value.question))
    run(scene.client.send_all([CONTACT, CAROL], Message("Hello"), bcc=[DAVE]))
    assert [stanza.get("to") for stanza in scene.network.sent] == [CONTACT]


def test_C4_what_answers_what_stands_inside() -> None:
    scene = confirmed()
    assert verdict(scene, scene.from_legacy(message_id="a@x", stanza_id="theirs")) is Signature.GOOD
    scene.send(reply_to="theirs")
    assert inside(scene, scene.last).in_reply_to == "a@x"
    assert "a@x" not in str([(node.text, node.attrib) for node in scene.last.iter()])


def test_C4_an_answer_is_joined_to_what_it_answers() -> None:
    scene = Scene()
    scene.send(stanza_id="ours")
    received = scene.deliver(scene.from_legacy(in_reply_to="ours@capulet.example"))
    assert isinstance(received, Received)
    assert (received.reply_to, received.thread) == ("ours", "ours@capulet.example")


def test_C5_a_message_to_others_is_not_good() -> None:
    scene = confirmed()
    assert verdict(scene, scene.from_legacy(to=("carol@example.com",))) is Signature.OTHER_RECIPIENTS
    assert verdict(scene, scene.from_legacy("2", to=("carol@example.com", SENDER_ID))) is Signature.GOOD


def test_C5_a_message_that_came_before_is_not_good() -> None:
    scene = confirmed()
    stanza = scene.from_legacy(message_id="a@x")
    assert [verdict(scene, stanza), verdict(scene, stanza)] == [Signature.GOOD, Signature.GOOD]
    assert verdict(scene, scene.from_legacy(message_id="a@x")) is Signature.REPLAYED


def test_C5_an_old_message_is_not_good() -> None:
    scene = confirmed()
    assert verdict(scene, scene.from_legacy(date=scene.now - timedelta(days=8))) is Signature.STALE
    assert verdict(scene, scene.from_legacy("2", date=scene.now + timedelta(days=2))) is Signature.STALE


def test_C5_a_part_of_a_mail_is_not_good() -> None:
    scene = confirmed()
    stanza = scene.from_legacy()
    SubElement(stanza, NOTE_TAG, {"code": "partial"})
    assert verdict(scene, stanza) is Signature.PARTIAL


def test_C5_a_message_that_names_another_sender_is_not_good() -> None:
    scene = confirmed()
    assert verdict(scene, scene.from_legacy(claimed="carol@example.com")) is Signature.WRONG_SIGNER
