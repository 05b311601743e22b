"""Answers that a gateway gives later: what is stored for them, and that they wait for the stream."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pytest
from slixmpp import ComponentXMPP

from gre_core import wire
from gre_core.errors import PeerTimeout, Refused
from gre_core.gateway import LATER, Answer, GatewayEngine, Later, Plain, Relayed
from gre_core.incoming import read_error
from gre_core.namespaces import encrypter, formatter
from gre_core.slixmpp.gateway import Gateway, attach_gateway

DOMAIN = "mail.localhost"
BOB = rf"bob\40example.net@{DOMAIN}"
FULL = "juliet@localhost/balcony"
PAIR = (formatter("mime"), encrypter("openpgp"))


class Desk:
    """A gateway whose component writes nothing."""

    def __init__(self) -> None:
        component: Any = ComponentXMPP(DOMAIN, "secret", "127.0.0.1", 1)
        self.component = component
        self.sent: list[Element] = []
        self.result: Later | None = LATER
        self.taken: list[Relayed | Plain] = []

        async def sender_id(_user: str) -> str:
            return "juliet@example.org"

        async def take(message: Relayed | Plain) -> Later | None:
            self.taken.append(message)
            return self.result

        self.gateway: Gateway = attach_gateway(
            self.component,
            GatewayEngine(DOMAIN, [PAIR], sender_id=sender_id),
            on_encrypted=take,
            on_plain=take,
            reconnect=False,
        )
        component.send = lambda stanza, **_: self.sent.append(stanza.xml)

    async def feed(self, message: Element) -> None:
        stanza = self.component.Message(xml=message)
        self.gateway._message(stanza)
        for _ in range(30):
            await asyncio.sleep(0)


@pytest.fixture
async def desk() -> Desk:
    return Desk()


def stanza(**attributes: str) -> Element:
    return Element(wire.MESSAGE_TAG, {"from": FULL, "to": BOB, "id": "m1", "type": "chat"} | attributes)


def encrypted() -> Element:
    message = stanza()
    inner = SubElement(message, wire.ENCRYPTED_TAG, {"formatter": str(PAIR[0]), "encrypter": str(PAIR[1])})
    inner.text = "abc"
    SubElement(message, wire.REQUEST_TAG)
    return message


def plain() -> Element:
    message = stanza()
    SubElement(message, "{jabber:client}body").text = "Hi"
    SubElement(message, wire.REQUEST_TAG)
    return message


@pytest.mark.parametrize("make", [encrypted, plain])
async def test_a_message_that_is_answered_later_gets_no_answer_now(desk: Desk, make: Any) -> None:
    await desk.feed(make())
    assert len(desk.taken) == 1
    assert desk.sent == []
    desk.result = None
    await desk.feed(make())
    assert [each.find(wire.RECEIVED_TAG) is not None for each in desk.sent] == [True]


async def test_what_is_stored_of_a_message_is_enough_for_its_receipt(desk: Desk) -> None:
    await desk.feed(encrypted())
    answer = Answer.to(desk.taken[0])
    assert answer == Answer(FULL, "m1", BOB, "chat", wants_receipt=True)
    assert GatewayEngine.receipt_to(answer) is not None
    desk.gateway.confirm(answer)
    (receipt,) = desk.sent
    assert (receipt.get("from"), receipt.get("to"), receipt.get("type")) == (BOB, FULL, "chat")
    confirmed = receipt.find(wire.RECEIVED_TAG)
    assert confirmed is not None
    assert confirmed.get("id") == "m1"


@pytest.mark.parametrize(
    "answer", [Answer(FULL, "m1", BOB), Answer(FULL, "", BOB, wants_receipt=True)], ids=["not asked", "no id"]
)
async def test_who_wants_no_receipt_gets_none(desk: Desk, answer: Answer) -> None:
    desk.gateway.confirm(answer)
    assert desk.sent == []


async def test_a_late_refusal_is_an_error_on_the_right_message(desk: Desk) -> None:
    refusal = Refused("The relay said no.", condition="item-not-found", error_type="cancel")
    desk.gateway.refuse(Answer(FULL, "m1", BOB, "chat", wants_receipt=True), refusal)
    (answer,) = desk.sent
    assert (answer.get("type"), answer.get("id")) == ("error", "m1")
    assert (answer.get("from"), answer.get("to")) == (BOB, FULL)
    answer.tag = wire.MESSAGE_TAG
    error = read_error(answer)
    assert error is not None
    assert (error.condition, error.peer_text) == ("item-not-found", "The relay said no.")


async def test_answers_with_what_xml_forbids_do_not_end_the_stream(desk: Desk) -> None:
    desk.gateway.confirm(Answer(FULL, "\0", BOB, wants_receipt=True))
    desk.gateway.refuse(Answer("\0", "m1", BOB), Refused("no"))
    assert desk.sent == []


async def test_an_error_after_the_receipt_goes_to_each_client_that_is_there(desk: Desk) -> None:
    bounced = Refused("No such user there.", condition="item-not-found", error_type="cancel")
    desk.gateway.stream.up = True
    assert desk.gateway.deliver_error("juliet@localhost", "bob@example.net", "m1", bounced) == 0
    for resource in ("a", "b"):
        presence = Element("{jabber:client}presence", {"from": f"juliet@localhost/{resource}", "to": DOMAIN})
        await desk.gateway.presences._handle(presence)
    desk.sent.clear()
    assert desk.gateway.deliver_error("juliet@localhost", "bob@example.net", "m1", bounced) == 2
    assert [each.get("to") for each in desk.sent] == ["juliet@localhost/a", "juliet@localhost/b"]
    assert {(each.get("from"), each.get("id"), each.get("type")) for each in desk.sent} == {
        (BOB, "m1", "error")
    }
    desk.gateway.stream.up = False
    with pytest.raises(PeerTimeout):
        desk.gateway.deliver_error("juliet@localhost", "bob@example.net", "m1", bounced)


async def test_a_notice_comes_from_the_gateway_itself(desk: Desk) -> None:
    with pytest.raises(PeerTimeout):
        desk.gateway.deliver_notice("juliet@localhost", "A large mail waits.", "n1")
    desk.gateway.stream.up = True
    desk.gateway.deliver_notice("juliet@localhost", "A large mail waits.", "n1")
    (notice,) = desk.sent
    assert (notice.get("from"), notice.get("to"), notice.get("id")) == (DOMAIN, "juliet@localhost", "n1")
