"""The fakes keep the contract of the ports, so that tests with them mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import pytest

from gre_core import wire
from gre_core.api import Attachment, Encrypter, Formatter, Message, OpenJob, SealJob
from gre_core.errors import (
    BadEncrypted,
    DecryptFailed,
    NotForUs,
    NoUsableKey,
    ParseFailed,
    PeerError,
    PeerTimeout,
    TooLarge,
)
from gre_core.model import Body, DataForm, Direction, Recipient, Signature
from gre_core.testing.fakes import (
    FakeNetwork,
    FakePubSub,
    InsecureToyEncrypter,
    InsecureToyFormatter,
    fake_ports,
    run,
    toy_body,
    toy_encrypter,
    toy_formatter,
)
from gre_core.testing.scene import ACCOUNT, CONTACT, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gre_core.ports import Network, PubSub

PAIR = (toy_formatter().namespace, toy_encrypter().namespace)
PORTS = fake_ports()


def seal_job() -> SealJob:
    return SealJob(
        ACCOUNT, (Recipient(CONTACT, LEGACY),), DataForm(SENDER_ID), *PAIR, origin_id="1", date=PORTS.now()
    )


def open_job(account: str = LEGACY, **options: object) -> OpenJob:
    values = {"peer": ACCOUNT, "direction": Direction.RECEIVED, "expected_sender": SENDER_ID} | options
    return OpenJob(account, formatter=PAIR[0], encrypter=PAIR[1], **values)  # type: ignore[arg-type]


def opened(body: Body, job: OpenJob) -> tuple[Signature, bytes]:
    encrypter = InsecureToyEncrypter()
    found = run(encrypter.decrypt(body, run(encrypter.open_keys(body, job, PORTS)), PORTS))
    return found.verdict.signature, found.payload


def test_the_toys_keep_the_contract() -> None:
    formatter: Formatter = InsecureToyFormatter()
    encrypter: Encrypter[dict[str, object]] = InsecureToyEncrypter()
    message = Message("text", None, "subject", (Attachment.from_bytes("n", "text/plain", b"\0content"),))
    payload = formatter.format(message, seal_job())
    body = run(encrypter.encrypt(payload, run(encrypter.seal_keys(seal_job(), PORTS)), PORTS))
    for account in (LEGACY, ACCOUNT, SENDER_ID):
        assert opened(body, open_job(account)) == (Signature.GOOD, payload)
    read = formatter.parse(payload, open_job())
    assert (read.text, read.subject, read.claimed_sender) == ("text", "subject", SENDER_ID)
    assert read.attachments[0].read() == b"\0content"
    assert b"text" not in body.text.encode()


def test_the_toys_call_themselves_insecure() -> None:
    assert "INSECURE" in toy_formatter().title
    assert "INSECURE" in toy_encrypter().title
    assert str(toy_encrypter().namespace) == "urn:xmpp:gre:encrypter:test:0"


@pytest.mark.parametrize("text", ["", "rubbish", "e30=", "W10=", "eyJzZWFsZWQiOiAieHgifQ=="])
def test_the_toy_encrypter_refuses_rubbish(text: str) -> None:
    with pytest.raises(BadEncrypted):
        run(InsecureToyEncrypter().open_keys(Body(text), open_job(), PORTS))


def test_the_toy_encrypter_judges() -> None:
    with pytest.raises(NotForUs):
        opened(toy_body(b"x", to=["carol"], signer=None), open_job())
    assert opened(toy_body(b"x", to=[LEGACY], signer=None), open_job())[0] is Signature.UNSIGNED
    assert opened(toy_body(b"x", to=[LEGACY], signer="eve"), open_job())[0] is Signature.WRONG_SIGNER
    sent = open_job(direction=Direction.SENT, expected_sender=None)
    assert opened(toy_body(b"x", to=[LEGACY], signer="eve"), sent)[0] is Signature.GOOD
    encrypter, body = InsecureToyEncrypter(), toy_body(b"payload", to=[LEGACY], signer=SENDER_ID)
    keys = run(encrypter.open_keys(body, open_job(), PORTS))
    assert run(encrypter.decrypt(body, keys | {"mac": "forged"}, PORTS)).verdict.signature is Signature.BAD
    with pytest.raises(DecryptFailed):
        run(encrypter.decrypt(body, keys | {"sealed": b"damage"}, PORTS))


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"\xff", b'{"text": 1}'])
def test_the_toy_formatter_refuses_rubbish(payload: bytes) -> None:
    with pytest.raises(ParseFailed):
        InsecureToyFormatter().parse(payload, open_job())


def test_the_toy_with_keys_wants_one() -> None:
    with pytest.raises(NoUsableKey, match="no key"):
        Scene(toy_formatter(), toy_encrypter(keys=True)).send()


def test_the_network_keeps_its_port() -> None:
    network = FakeNetwork(max_stanza=300)
    port: Network = network
    assert port.max_stanza == 300
    request = Element(wire.DATA_TAG)
    for work in (port.disco_info("a@b"), port.iq_get("a@b", request)):
        with pytest.raises(PeerError):
            run(work)
    with pytest.raises(TooLarge):
        run(port.send_message(wire.build_plain("a@b", "1", "x" * 500)))
    run(port.send_message(wire.build_plain("a@b", "1", "x", receipt=False)))
    assert len(network.sent) == 1
    network.down = True
    everything: list[Coroutine[object, object, object]] = [
        port.disco_info("a@b"), port.iq_get("a@b", request), port.send_message(wire.build_plain("a@b", "1", "x"))
    ]  # fmt: skip
    for doing in everything:
        with pytest.raises(PeerTimeout):
            run(doing)
    assert network.asked == [("disco", "a@b"), ("data", "a@b")]


def test_the_network_answers_as_it_was_told() -> None:
    network = FakeNetwork()
    network.announce("gateway", "urn:f", forms={"urn:form": {"field": ("x",)}})
    assert run(network.disco_info("bob@gateway")).forms == {"urn:form": {"field": ("x",)}}
    network.answer_data(DataForm("everybody"))
    network.answer_data(PeerError("no", condition="gone"), "bob@gateway")
    assert (
        wire.parse_data_form(run(network.iq_get("alice@gateway", Element(wire.DATA_TAG)))).sender_id
        == "everybody"
    )
    with pytest.raises(PeerError):
        run(network.iq_get("bob@gateway", Element(wire.DATA_TAG)))


def test_pubsub_keeps_its_port() -> None:
    pubsub = FakePubSub(ACCOUNT)
    port: PubSub = pubsub
    with pytest.raises(PeerError) as caught:
        run(port.items(CONTACT, "node"))
    assert caught.value.condition == "item-not-found"
    pubsub.put(CONTACT, "node", "1", ("2", Element("x")))
    assert [(item.id, item.payload is None) for item in run(port.items(CONTACT, "node"))] == [
        ("1", True),
        ("2", False),
    ]
    assert [item.id for item in run(port.items(CONTACT, "node", max_items=1))] == ["2"]
    assert [item.id for item in run(port.items(CONTACT, "node", item_id="1"))] == ["1"]
    assert pubsub.reads == 4
    for name in ("a", "b", "a", "c"):
        run(port.publish("mine", name, Element("x"), access_model="open", max_items=2))
    assert [item.id for item in run(port.items(ACCOUNT, "mine"))] == ["a", "c"]
    assert pubsub.published[0] == ("mine", "a", "open")
    run(port.retract("mine", "a"))
    assert [item.id for item in run(port.items(ACCOUNT, "mine"))] == ["c"]
    pubsub.failures[ACCOUNT, "mine"] = PeerTimeout("nothing came")
    with pytest.raises(PeerTimeout):
        run(port.items(ACCOUNT, "mine"))
    with pytest.raises(PeerTimeout):
        run(port.publish("mine", "d", Element("x"), access_model="open"))
