"""The client engine with plugins, networks and stores that misbehave."""

from __future__ import annotations

import traceback
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest

from gre_core import wire
from gre_core.api import Attachment, Body, EncrypterProvider, FormatterProvider, Message, Opened
from gre_core.errors import (
    DecryptFailed,
    EncryptFailed,
    FormatFailed,
    GreError,
    LocalProtocolError,
    NoProvider,
    NotForUs,
    NoUsableKey,
    ParseFailed,
    PeerError,
    PeerTimeout,
    PluginLoadError,
    PolicyChanged,
    Refused,
    SealError,
    StoreError,
)
from gre_core.gateway import GatewayEngine
from gre_core.model import Direction, Notice, Question, SealJob, Signature, Verdict
from gre_core.namespaces import GRE
from gre_core.opening import Received, Unopened
from gre_core.outbox import SendState, Sent
from gre_core.policy import Policy
from gre_core.ports import refuse
from gre_core.registry import Plugins
from gre_core.stores import FileStore, MemoryStore
from gre_core.testing.fakes import (
    InsecureToyEncrypter,
    InsecureToyFormatter,
    fake_ports,
    run,
    toy_encrypter,
    toy_formatter,
)
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gre_core.ports import Ports

SECRET = "correct horse battery staple"
PAIR = (toy_formatter().namespace, toy_encrypter().namespace)


class Surprise(Exception):
    """What a plugin raises when it is broken; its text holds what nobody may see."""


def breaking(method: str, base: type, result: object = None, *, sync: bool = False) -> type:
    """Make a toy whose one method raises, or returns something else."""

    def outcome() -> object:
        if result is None:
            raise Surprise(SECRET)
        return result

    async def waiting(_self: object, *_arguments: object) -> object:
        return outcome()

    def simple(_self: object, *_arguments: object) -> object:
        return outcome()

    return type("Broken", (base,), {method: simple if sync else waiting})


def scene_with(formatter: type = InsecureToyFormatter, encrypter: type = InsecureToyEncrypter) -> Scene:
    return Scene(FormatterProvider(PAIR[0], formatter), EncrypterProvider(PAIR[1], encrypter))


# -- plugins that break while sealing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formatter", "encrypter", "error"),
    [
        (breaking("format", InsecureToyFormatter, sync=True), InsecureToyEncrypter, FormatFailed),
        (InsecureToyFormatter, breaking("seal_keys", InsecureToyEncrypter), EncryptFailed),
        (InsecureToyFormatter, breaking("encrypt", InsecureToyEncrypter), EncryptFailed),
        (breaking("format", InsecureToyFormatter, SECRET, sync=True), InsecureToyEncrypter, FormatFailed),
        (InsecureToyFormatter, breaking("encrypt", InsecureToyEncrypter, SECRET), EncryptFailed),
        (InsecureToyFormatter, breaking("encrypt", InsecureToyEncrypter, Body(5)), EncryptFailed),  # type: ignore[arg-type]
        (InsecureToyFormatter, breaking("encrypt", InsecureToyEncrypter, Body("", (SECRET,))), EncryptFailed),  # type: ignore[arg-type]
        (breaking("data_children", InsecureToyFormatter, sync=True), InsecureToyEncrypter, SealError),
        (InsecureToyFormatter, breaking("data_children", InsecureToyEncrypter, [SECRET], sync=True), SealError),
        (InsecureToyFormatter, breaking("encrypt", InsecureToyEncrypter, Body(f"\0{SECRET}")), LocalProtocolError),
    ],
    ids=[
        "format raises", "seal_keys raises", "encrypt raises", "format gives text", "encrypt gives text",
        "body of a number", "body of texts", "data_children raises", "data_children gives texts", "illegal XML",
    ],
)  # fmt: skip
def test_a_plugin_that_breaks_while_sealing(formatter: type, encrypter: type, error: type[GreError]) -> None:
    scene = scene_with(formatter, encrypter)
    with pytest.raises(error) as caught:
        scene.send(SECRET)
    assert SECRET not in caught.value.text
    assert SECRET not in repr(caught.value.params)
    assert SECRET not in repr(caught.value)
    assert scene.network.sent == []
    assert run(scene.client.pending()) == []


@pytest.mark.parametrize("method", ["seal_keys", "encrypt"])
def test_our_own_errors_pass_unchanged(method: str) -> None:
    async def missing(_self: object, *_arguments: object) -> object:
        raise NoUsableKey("Ask Bob for a key.")

    scene = scene_with(encrypter=type("Keyless", (InsecureToyEncrypter,), {method: missing}))
    with pytest.raises(NoUsableKey, match="Ask Bob"):
        scene.send()


def test_after_a_missing_key_and_after_news_of_a_node_the_gateway_is_asked_anew() -> None:
    scene = scene_with()
    scene.send()
    asked = len(scene.network.requests)
    scene.send()
    assert len(scene.network.requests) == asked, "once per session"
    run(scene.client.notified(CONTACT.upper(), "urn:xmpp:openpgp:0:public-keys"))
    scene.send()
    assert len(scene.network.requests) == asked + 1

    async def missing(_self: object, *_arguments: object) -> object:
        raise NoUsableKey("Ask Bob for a key.")

    scene = scene_with(encrypter=type("Keyless", (InsecureToyEncrypter,), {"seal_keys": missing}))
    for attempt in (1, 2):
        with pytest.raises(NoUsableKey):
            scene.send()
        assert len(scene.network.requests) == attempt


def test_an_encrypter_that_cannot_be_made_is_an_error_and_no_reason_to_take_another() -> None:
    def broken() -> InsecureToyEncrypter:
        raise Surprise(SECRET)

    scene = Scene(
        toy_formatter(),
        EncrypterProvider(PAIR[1], broken),
        toy_encrypter(name="weaker"),
        pairs=[PAIR, (PAIR[0], toy_encrypter(name="weaker").namespace)],
        policy=Policy(encrypters=("test",)),
    )
    with pytest.raises(PluginLoadError):
        scene.send()
    assert scene.network.sent == []


# -- plugins that break while opening ----------------------------------------------------------------------------


def opened(**changes: Any) -> Opened:
    values: dict[str, Any] = {"payload": b"{}", "verdict": Verdict(Signature.GOOD)} | changes
    return Opened(**values)


@pytest.mark.parametrize(
    ("formatter", "encrypter", "error"),
    [
        (breaking("parse", InsecureToyFormatter, sync=True), InsecureToyEncrypter, ParseFailed),
        (InsecureToyFormatter, breaking("open_keys", InsecureToyEncrypter), DecryptFailed),
        (InsecureToyFormatter, breaking("decrypt", InsecureToyEncrypter), DecryptFailed),
        (breaking("parse", InsecureToyFormatter, SECRET, sync=True), InsecureToyEncrypter, ParseFailed),
        (InsecureToyFormatter, breaking("decrypt", InsecureToyEncrypter, SECRET), DecryptFailed),
        (InsecureToyFormatter, breaking("decrypt", InsecureToyEncrypter, opened(payload=SECRET)), ParseFailed),
        (InsecureToyFormatter, breaking("decrypt", InsecureToyEncrypter, opened(verdict=SECRET)), DecryptFailed),
        (
            breaking("parse", InsecureToyFormatter, Message(claimed_sender=5), sync=True),  # type: ignore[arg-type]
            InsecureToyEncrypter,
            ParseFailed,
        ),
        (
            breaking("parse", InsecureToyFormatter, Message(SECRET), sync=True),
            breaking("decrypt", InsecureToyEncrypter, opened(warnings=5)),
            ParseFailed,
        ),
    ],
    ids=[
        "parse raises", "open_keys raises", "decrypt raises", "parse gives text", "decrypt gives text",
        "payload is text", "verdict is text", "sender is a number", "warnings is a number",
    ],
)  # fmt: skip
def test_a_plugin_that_breaks_while_opening_loses_nothing(
    formatter: type, encrypter: type, error: type[GreError]
) -> None:
    scene = scene_with(formatter, encrypter)
    stanza = scene.from_legacy(SECRET)
    result = scene.deliver(stanza)
    assert isinstance(result, Unopened)
    assert isinstance(result.error, error)
    assert SECRET not in result.error.text
    assert SECRET not in repr(result)
    assert tostring(result.stanza) == tostring(stanza)
    assert (result.peer, result.direction, result.id) == (CONTACT, Direction.RECEIVED, "legacy-1")
    assert len(run(scene.store.keys("unopened/"))) == 1


@pytest.mark.parametrize(
    ("formatter", "encrypter", "blamed"),
    [
        (breaking("parse", InsecureToyFormatter, SECRET, sync=True), InsecureToyEncrypter, PAIR[0]),
        (breaking("parse", InsecureToyFormatter, sync=True), InsecureToyEncrypter, PAIR[0]),
        (InsecureToyFormatter, breaking("decrypt", InsecureToyEncrypter, SECRET), PAIR[1]),
        (InsecureToyFormatter, breaking("open_keys", InsecureToyEncrypter), PAIR[1]),
    ],
)
def test_the_plugin_to_blame_is_named(formatter: type, encrypter: type, blamed: object) -> None:
    scene = scene_with(formatter, encrypter)
    result = scene.deliver(scene.from_legacy())
    assert isinstance(result, Unopened)
    assert str(blamed) in result.error.text


@pytest.mark.parametrize("method", ["open_keys", "decrypt", "parse"])
def test_our_own_errors_pass_unchanged_while_opening(method: str) -> None:
    def locked(_self: object, *_arguments: object) -> object:
        raise NotForUs("Unlock your key and try again.")

    async def locked_later(*arguments: object) -> object:
        return locked(*arguments)

    scene = (
        scene_with(type("Locked", (InsecureToyFormatter,), {method: locked}))
        if method == "parse"
        else scene_with(encrypter=type("Locked", (InsecureToyEncrypter,), {method: locked_later}))
    )
    result = scene.deliver(scene.from_legacy())
    assert isinstance(result, Unopened)
    assert isinstance(result.error, NotForUs)
    assert result.error.text == "Unlock your key and try again."


class Dated(InsecureToyEncrypter):
    """Has the signer's key only when it was asked for by name, as at a key server."""

    asked: tuple[tuple[str, ...], ...] = ()

    async def open_keys(self, body: Body, job: Any, ports: Ports, /) -> dict[str, Any]:
        type(self).asked += (job.missing,)
        return await super().open_keys(body, job, ports)

    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        found = await super().decrypt(body, keys, ports)
        if keys["job"].missing:
            return found
        return Opened(found.payload, Verdict(Signature.UNKNOWN_SIGNER), missing=("0xBOB",))


def test_an_unknown_signer_is_asked_for_once_more() -> None:
    scene = scene_with(encrypter=Dated)
    result = scene.deliver(scene.from_legacy())
    assert isinstance(result, Received)
    assert result.verdict.signature is Signature.GOOD
    assert Dated.asked == ((), ("0xBOB",))


def test_a_known_signer_is_not_asked_for_again() -> None:
    class Counting(InsecureToyEncrypter):
        opened = 0

        async def open_keys(self, body: Body, job: Any, ports: Ports, /) -> dict[str, Any]:
            type(self).opened += 1
            return await super().open_keys(body, job, ports)

    scene = scene_with(encrypter=Counting)
    scene.deliver(scene.from_legacy())
    assert Counting.opened == 1


def test_what_the_message_says_of_itself_is_compared_with_where_it_came_from() -> None:
    scene = Scene()
    result = scene.deliver(scene.from_legacy(claimed="boss@example.com"))
    assert isinstance(result, Received)
    assert [notice.code for notice in result.notices] == ["sender-mismatch"]
    assert result.notices[0].params == {"claimed": "boss@example.com", "expected": LEGACY}
    for claimed in (None, LEGACY, LEGACY.upper()):
        again = scene.deliver(scene.from_legacy(claimed=claimed))
        assert isinstance(again, Received)
        assert again.notices == ()


def test_a_message_of_the_gateway_itself_has_no_expected_sender() -> None:
    scene = Scene()
    stanza = scene.from_legacy()
    for sender in (DOMAIN, f"\\20x@{DOMAIN}"):
        stanza.set("from", sender)
        result = scene.deliver(stanza)
        assert isinstance(result, Received)
        assert result.verdict.signature is Signature.WRONG_SIGNER
        assert result.notices == ()


# -- what shows ----------------------------------------------------------------------------------------------------


def test_no_repr_shows_a_word() -> None:
    scene = Scene()
    message = Message(
        SECRET,
        f"<b>{SECRET}</b>",
        SECRET,
        (Attachment.from_bytes(SECRET, "text/plain", SECRET.encode()),),
        to=(SECRET,),
        cc=(SECRET,),
        claimed_sender=SECRET,
        headers={SECRET: (SECRET,)},
    )
    sealed = run(scene.client.seal(CONTACT, message))
    scene.send(message)
    received = scene.deliver(scene.from_legacy(SECRET))
    copy = scene.deliver(scene.carbon(scene.last))
    parts = (message, sealed, received, copy, scene.relay(), scene.client, scene.gateway, scene.network)
    everything = repr(parts)
    assert isinstance(copy, Received)
    assert copy.message.text == SECRET
    assert SECRET not in everything


# -- round trips ---------------------------------------------------------------------------------------------------


def test_in_steady_state_nothing_is_asked() -> None:
    scene = Scene()
    scene.send()
    before = scene.network.round_trips
    for number in range(20):
        scene.send(f"message {number}")
    assert scene.network.round_trips == before == 2
    assert len(scene.network.sent) == 21


def test_opening_asks_nothing() -> None:
    scene = Scene()
    for _ in range(3):
        assert isinstance(scene.deliver(scene.from_legacy()), Received)
    assert scene.network.round_trips == 0


def test_failures_are_not_cached() -> None:
    scene = Scene()
    scene.network.fail_disco(CONTACT, PeerTimeout("nothing came"))
    with pytest.raises(PeerTimeout):
        scene.send()
    scene.network.announce(CONTACT, *scene.gateway.features())
    scene.send()


def test_when_nobody_answers_the_contacts_error_is_shown() -> None:
    scene = Scene()
    scene.network.fail_disco(CONTACT, PeerError("No such user.", condition="item-not-found"))
    scene.network.fail_disco(DOMAIN, PeerError("Go away.", condition="forbidden"))
    with pytest.raises(PeerError, match="No such user"):
        scene.send()


def test_when_the_contact_is_silent_about_gre_and_the_domain_answers_an_error() -> None:
    scene = Scene()
    scene.network.announce(CONTACT, "urn:example:nothing")
    scene.network.fail_disco(DOMAIN, PeerError("Go away.", condition="forbidden"))
    with pytest.raises(GreError) as caught:
        scene.send()
    assert caught.value.code == "not-a-gateway"


def test_presence_makes_the_engine_ask_again() -> None:
    scene = Scene()
    scene.send()
    scene.client.saw_capabilities(f"{DOMAIN.upper()}/x", "v1")  # the first one may already be a change
    scene.send()
    assert scene.network.asked.count(("disco", CONTACT)) == 2
    scene.client.saw_capabilities(DOMAIN, "v1")
    scene.send()
    assert scene.network.asked.count(("disco", CONTACT)) == 2
    scene.client.saw_capabilities(CONTACT, "v2")
    scene.client.forget(CONTACT)
    scene.client.forget("elsewhere.example")
    scene.send()
    assert scene.network.asked.count(("disco", CONTACT)) == 3


def test_what_is_asked_again_after_a_while_is_negotiated_anew() -> None:
    pairs = [(toy_formatter().namespace, toy_encrypter(version).namespace) for version in (0, 1)]
    scene = Scene(toy_formatter(), toy_encrypter(0), toy_encrypter(1), pairs=pairs[:1])
    scene.send()
    scene.serve(pairs)
    scene.send()
    assert scene.relay().encrypter.version == 0
    scene.wait(3601)
    scene.send()
    assert scene.relay().encrypter.version == 1


def test_only_what_changed_is_asked_again() -> None:
    scene = Scene()
    other = f"carol\\40example.com@{DOMAIN}"
    everybody = (CONTACT, other)

    def asked_by(doing: Callable[[], object]) -> set[tuple[str, str]]:
        doing()
        scene.network.asked.clear()
        for jid in everybody:
            scene.send(to=jid)
        return set(scene.network.asked)

    def both(*jids: str) -> set[tuple[str, str]]:
        return {(what, jid) for what in ("disco", "data") for jid in jids}

    assert asked_by(lambda: None) == both(*everybody)
    assert asked_by(lambda: scene.client.forget(CONTACT)) == both(CONTACT)
    assert asked_by(lambda: scene.client.forget("elsewhere.example")) == set()
    assert asked_by(lambda: scene.client.forget(DOMAIN)) == both(*everybody)
    assert asked_by(lambda: scene.client.saw_capabilities(other, "v1")) == both(other)
    assert asked_by(lambda: run(scene.client.start_session())) == both(*everybody)
    assert asked_by(lambda: scene.client.saw_capabilities(other, "v1")) == set()


@pytest.mark.parametrize(
    ("forgotten", "again"), [(CONTACT, True), (DOMAIN, True), ("elsewhere.example", False)]
)
def test_a_refused_pair_is_tried_again_when_the_gateway_changed(forgotten: str, again: bool) -> None:
    names = ("a", "test")
    pairs = [(toy_formatter(name=name).namespace, PAIR[1]) for name in names]
    scene = Scene(*(toy_formatter(name=name) for name in names), toy_encrypter(), pairs=pairs)
    scene.network.answer_data(PeerError("no", condition="not-acceptable", error_type="modify"))
    with pytest.raises(GreError):
        scene.send()
    scene.network._data.clear()
    scene.client.forget(forgotten)
    if again:
        scene.send()
        assert scene.relay().formatter.name == "a"
    else:
        with pytest.raises(GreError):
            scene.send()


def test_presence_of_many_strangers_is_not_remembered_for_ever() -> None:
    scene = Scene()
    for number in range(6000):
        scene.client.saw_capabilities(f"stranger{number}@evil.example", "v")
    assert len(scene.client._capabilities._versions) == 4096


# -- sending -------------------------------------------------------------------------------------------------------


def test_an_attachment_of_unknown_size() -> None:
    scene = Scene(max_size=10_000)
    scene.send(Message(attachments=(Attachment("a", "text/plain", lambda: BytesIO(b"content")),)))
    assert len(scene.network.sent) == 1


def test_an_id_of_the_callers() -> None:
    scene = Scene()
    assert scene.send(stanza_id="mine").id == "mine"
    with pytest.raises(LocalProtocolError):
        scene.send(stanza_id="mine")
    assert len(scene.network.sent) == 1


def test_policy_changed_then_approved() -> None:
    scene = Scene(decide=refuse)
    with pytest.raises(PolicyChanged) as caught:
        scene.send()
    run(scene.client.approve(caught.value.question))
    assert scene.send().state is SendState.QUEUED


def test_give_up() -> None:
    scene = Scene()
    sent = scene.send()
    given_up = run(scene.client.give_up(sent.id))
    assert given_up is not None
    assert given_up.state is SendState.REFUSED
    assert run(scene.client.pending()) == []
    assert run(scene.client.give_up(sent.id)) is None


def test_a_message_that_comes_back_after_its_receipt_is_shown_as_refused() -> None:
    scene = Scene()
    sent = scene.send()
    receipt = Element(wire.MESSAGE_TAG, {"from": CONTACT, "to": ACCOUNT})
    SubElement(receipt, wire.RECEIVED_TAG, {"id": sent.id})
    relayed = run(scene.client.handle(receipt))
    assert isinstance(relayed, Sent)
    assert relayed.state is SendState.RELAYED
    message = Element(wire.MESSAGE_TAG, {"from": ACCOUNT, "to": CONTACT, "id": sent.id})
    bounced = Refused("No such mailbox.", condition="item-not-found", error_type="cancel")
    refused = run(scene.client.handle(GatewayEngine.error(message, bounced)))
    assert isinstance(refused, Sent)
    assert (refused.id, refused.state, refused.condition) == (sent.id, SendState.REFUSED, "item-not-found")
    assert "No such mailbox." in refused.error
    assert run(scene.client.pending()) == []
    assert run(scene.client.handle(GatewayEngine.error(message, bounced))) is None


def test_what_a_damaged_store_lost_is_told_at_the_next_session() -> None:
    scene = Scene()
    scene.send()
    (key,) = run(scene.store.keys("outbox/"))
    head = (run(scene.store.get(key)) or b"").partition(b"\n")[0]
    run(scene.store.put(key, head + b"\n<damaged"))
    run(scene.store.put("outbox/000000000009", b"rubbish"))
    scene.restart()
    notices = run(scene.client.start_session())
    assert [notice.code for notice in notices] == ["not-sent", "not-sent"]
    assert CONTACT in notices[0].text
    assert run(scene.client.pending()) == []
    assert len(scene.network.sent) == 1


def test_resending_stops_when_the_stream_goes_down_again() -> None:
    scene = Scene()
    scene.send()
    scene.network.down = True
    assert run(scene.client.start_session()) == ()
    assert len(run(scene.client.pending())) == 1


def test_a_store_that_fails_is_told() -> None:
    class Full(MemoryStore):
        async def put(self, key: str, value: bytes, /) -> None:
            if key.startswith("outbox/"):
                raise StoreError("The disk is full.")
            await super().put(key, value)

    scene = Scene(store=Full())
    with pytest.raises(StoreError, match="disk is full"):
        scene.send()
    assert scene.network.sent == []


def test_everything_survives_in_a_file_store(tmp_path: Path) -> None:
    scene = Scene(store=FileStore(tmp_path / "juliet"))
    sent = scene.send()
    scene.store = FileStore(tmp_path / "juliet")
    scene.restart()
    run(scene.client.start_session())
    assert scene.network.sent[1].get("id") == sent.id
    assert isinstance(scene.confirm(), Sent)


# -- plain messages --------------------------------------------------------------------------------------------------


def test_plain_text_with_characters_that_xml_forbids() -> None:
    scene = Scene()
    run(scene.client.send_plain(CONTACT, "form\x0cfeed"))
    assert scene.last.findtext(wire.BODY_TAG) == "form\ufffdfeed"


def test_plain_to_a_gateway_without_gre() -> None:
    scene = Scene()
    scene.network.announce(CONTACT, wire.RECEIPTS)
    scene.network.announce(DOMAIN, "urn:example:nothing")
    assert run(scene.client.send_plain(CONTACT, "Hello", "mine")).id == "mine"


def test_plain_without_receipts_is_sent_and_done() -> None:
    scene = Scene()
    scene.network.announce(CONTACT, GRE)
    assert run(scene.client.send_plain(CONTACT, "Hello")).state is SendState.SENT


# -- receiving -------------------------------------------------------------------------------------------------------


def test_what_is_nothing_for_the_engine() -> None:
    scene = Scene()
    for kind in ("error", "groupchat"):
        stanza = scene.from_legacy()
        stanza.set("type", kind)
        assert scene.deliver(stanza) is None
    assert scene.deliver(wire.build_plain(ACCOUNT, "1", "Hello", sender=CONTACT)) is None
    anonymous = scene.from_legacy()
    del anonymous.attrib["from"]
    assert scene.deliver(anonymous) is None


def test_repetitions_are_remembered_for_a_while_only() -> None:
    scene = Scene()
    for number in range(2100):
        scene.client._is_repeated(incoming(f"{number}"))
    assert len(scene.client._seen) <= 2048
    assert scene.client._is_repeated(incoming("2099"))
    assert not scene.client._is_repeated(incoming("0"))


def incoming(stanza_id: str | None) -> Any:
    from gre_core.incoming import Incoming

    return Incoming(Element(wire.MESSAGE_TAG), Direction.RECEIVED, CONTACT, CONTACT, False, stanza_id)


def test_a_message_without_id_is_never_taken_for_a_repetition() -> None:
    scene = Scene()
    stanza = scene.from_legacy()
    del stanza.attrib["id"]
    for origin in stanza.findall(wire.ORIGIN_TAG):
        stanza.remove(origin)
    for _ in range(2):
        result = scene.deliver(stanza)
        assert isinstance(result, Received)
        assert not result.repeated


def test_receipts_are_made_for_what_asks_for_them() -> None:
    scene = Scene()
    stanza = scene.from_legacy(stanza_id="1")
    receipt = scene.client.receipt(stanza)
    assert receipt is not None
    assert (receipt.get("to"), receipt.get("type")) == (CONTACT, "chat")
    assert receipt.find(wire.RECEIVED_TAG).get("id") == "1"  # type: ignore[union-attr]
    assert scene.client.receipt(receipt) is None
    for change in ("error", "groupchat"):
        stanza.set("type", change)
        assert scene.client.receipt(stanza) is None
    del stanza.attrib["id"]
    stanza.set("type", "chat")
    assert scene.client.receipt(stanza) is None
    del stanza.attrib["from"]
    assert scene.client.receipt(stanza) is None


# -- what was kept ---------------------------------------------------------------------------------------------------


def reopened(client: Any) -> list[Received]:
    async def collect() -> list[Received]:
        return [received async for received in client.reopen()]

    return run(collect())


def test_a_message_that_the_host_could_not_take_is_kept_further() -> None:
    scene = Scene()
    poor = Scene(toy_formatter(), toy_encrypter(name="other"), store=scene.store)
    for text in ("first", "second"):
        poor.deliver(scene.from_legacy(text))

    async def fail() -> None:
        async for _ in scene.client.reopen():
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        run(fail())
    assert [each.message.text for each in reopened(scene.client)] == ["first", "second"]


def test_what_could_not_be_opened_is_opened_when_the_plugin_came() -> None:
    scene = Scene()
    scene.send("sent by another device")
    copy = scene.carbon(scene.last, "sent")
    poor = Scene(toy_formatter(), toy_encrypter(name="other"), store=scene.store)
    for stanza in (scene.from_legacy("first"), copy, scene.from_legacy("second")):
        result = poor.deliver(stanza)
        assert isinstance(result, Unopened)
        assert isinstance(result.error, NoProvider)
    assert reopened(poor.client) == []
    found = reopened(scene.client)
    assert [each.message.text for each in found] == ["first", "sent by another device", "second"]
    assert [each.direction for each in found] == [Direction.RECEIVED, Direction.SENT, Direction.RECEIVED]
    assert {each.peer for each in found} == {CONTACT}
    assert reopened(scene.client) == []
    assert run(scene.store.keys("unopened/")) == []


def test_not_more_is_kept_than_is_reasonable() -> None:
    scene = Scene(toy_formatter(), toy_encrypter(name="other"))
    for number in range(260):
        scene.now += timedelta(seconds=1)
        scene.deliver(scene.from_legacy(f"{number}"))
    assert len(run(scene.store.keys("unopened/"))) == 256
    found = reopened(Scene(store=scene.store).client)
    assert [each.message.text for each in found] == [f"{number}" for number in range(4, 260)]


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"[]\n<x/>", b'{"direction": "up"}\n<x/>', b"{}\n<x/>"])
def test_damage_among_what_was_kept_spoils_nothing(damage: bytes) -> None:
    scene = Scene(toy_formatter(), toy_encrypter(name="other"))
    run(scene.store.put("unopened/0", damage))
    scene.deliver(scene.from_legacy("good"))
    found = reopened(Scene(store=scene.store).client)
    assert [each.message.text for each in found] == ["good"]


def test_a_stanza_that_is_too_deep_to_be_written_is_left_to_the_host() -> None:
    scene = Scene(toy_formatter(), toy_encrypter(name="other"))
    stanza = element = scene.from_legacy()
    for _ in range(20_000):
        element = SubElement(element, "x")
    result = run(scene.client.handle(stanza))
    assert isinstance(result, Unopened)
    assert result.stanza is stanza
    assert run(scene.store.keys("unopened/")) == []


# -- explain ---------------------------------------------------------------------------------------------------------


def test_explain_an_agreement() -> None:
    scene = Scene()
    scene.send()
    explanation = run(scene.client.explain(CONTACT))
    assert explanation.agreed is not None
    assert explanation.agreed.agreement.pair == PAIR
    assert explanation.agreed.data.sender_id == SENDER_ID
    assert (explanation.error, explanation.answered_by) == (None, CONTACT)
    assert explanation.formatters == (str(PAIR[0]),)
    assert explanation.encrypters == (str(PAIR[1]),)


def test_explain_asks_nobody_and_remembers_nothing() -> None:
    asked: list[Question] = []

    async def decide(question: Question) -> bool:
        asked.append(question)
        return True

    scene = Scene(decide=decide)
    explanation = run(scene.client.explain(CONTACT))
    assert explanation.agreed is not None
    assert isinstance(explanation.error, PolicyChanged)
    assert explanation.error.question.code == "confirm-sender-id"
    assert asked == []
    assert run(scene.store.keys("")) == []
    run(scene.client.approve(explanation.error.question))
    assert run(scene.client.explain(CONTACT)).error is None
    assert run(scene.client.explain(CONTACT)).error is None, "the approval is not spent"
    scene.send()
    assert asked == []


class Telling(InsecureToyEncrypter):
    """Explains; what it does is set by the test."""

    doing: Callable[[], Iterable[Notice]] = staticmethod(lambda: [Notice("key", "The key is 1.")])

    async def explain(self, job: SealJob, ports: Ports, /) -> Iterable[Notice]:
        assert job.recipients[0].jid == CONTACT
        assert await ports.decide(Question("x", CONTACT, "May I?")) is False
        return type(self).doing()


def test_explain_shows_what_the_encrypter_tells() -> None:
    scene = Scene(toy_formatter(), EncrypterProvider(PAIR[1], Telling))
    scene.send()
    assert [notice.text for notice in run(scene.client.explain(CONTACT)).details] == ["The key is 1."]


@pytest.mark.parametrize("error", [NoUsableKey("None."), ValueError("secret")])
def test_explain_shows_why_the_encrypter_could_not(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterable[Notice]:
        raise error

    scene = Scene(toy_formatter(), EncrypterProvider(PAIR[1], Telling))
    scene.send()
    monkeypatch.setattr(Telling, "doing", staticmethod(fail))
    explanation = run(scene.client.explain(CONTACT))
    assert explanation.error is not None
    assert "secret" not in explanation.error.text
    assert explanation.agreed is not None


@pytest.mark.parametrize("jid", ["nobody", "bob@nowhere.example", "", "a b@c"])
def test_explain_raises_nothing(jid: str) -> None:
    explanation = run(Scene().client.explain(jid))
    assert explanation.error is not None
    assert explanation.agreed is None


# -- sessions and pubsub nodes ---------------------------------------------------------------------------------------


class Attentive(InsecureToyEncrypter):
    """Prepares, and follows nodes; what it does is set by the test."""

    node_names: Any = ("urn:example:keys",)
    doing: Callable[[], Iterable[Notice]] = staticmethod(lambda: [Notice("done", "Done.")])
    calls: tuple[tuple[str, ...], ...] = ()

    @property
    def nodes(self) -> Iterable[str]:
        if isinstance(self.node_names, Exception):
            raise self.node_names
        names: Iterable[str] = self.node_names
        return names

    async def prepare(self, account: str, _ports: Ports, /) -> Iterable[Notice]:
        type(self).calls += ((account,),)
        return type(self).doing()

    async def notified(self, jid: str, node: str, _ports: Ports, /) -> Iterable[Notice]:
        type(self).calls += ((jid, node),)
        return type(self).doing()


def attentive(**changes: object) -> Scene:
    return scene_with(encrypter=type("Attentive", (Attentive,), changes))


def surprise() -> Iterable[Notice]:
    raise Surprise(SECRET)


def known_error() -> Iterable[Notice]:
    raise NoUsableKey("The backup cannot be read.")


@pytest.mark.parametrize(
    ("doing", "prepared", "told"),
    [
        (lambda: [Notice("done", "Done.")], "done", "done"),
        (surprise, "prepare-failed", "notification-failed"),
        (known_error, "no-usable-key", "no-usable-key"),
        (lambda: [5, "text"], None, None),
        (lambda: 5, "prepare-failed", "notification-failed"),
    ],
    ids=["well", "raises", "our error", "rubbish", "no list"],
)
def test_plugins_are_told_of_sessions_and_nodes(doing: Any, prepared: str | None, told: str | None) -> None:
    scene = attentive(doing=staticmethod(doing))
    assert "urn:example:keys+notify" in scene.client.features()
    notices = run(scene.client.start_session())
    assert [notice.code for notice in notices] == ([prepared] if prepared else [])
    more = run(scene.client.notified("BOB@Example.org/x", "urn:example:keys"))
    assert [notice.code for notice in more] == ([told] if told else [])
    assert SECRET not in repr((notices, more))
    assert run(scene.client.notified("bob@example.org", "urn:example:other")) == ()
    plugin = scene._plugins.encrypter(PAIR[1])
    assert isinstance(plugin, Attentive)
    assert plugin.calls == ((ACCOUNT,), ("bob@example.org", "urn:example:keys"))


@pytest.mark.parametrize("names", [Surprise(SECRET), 5, None])
def test_nodes_that_cannot_be_read_spoil_nothing(names: object) -> None:
    scene = attentive(node_names=names)
    assert GRE in scene.client.features()
    assert run(scene.client.notified("bob@example.org", "urn:example:keys")) == ()
    scene.send()


def test_another_plugin_for_a_namespace_is_told_once() -> None:
    store = MemoryStore()
    scene = Scene(store=store)
    assert run(scene.client.start_session()) == ()
    run(store.put(f"provider/{PAIR[1]}", b"gre-encrypter-old:plugin"))
    (notice,) = run(scene.client.start_session())
    assert notice.code == "provider-changed"
    assert notice.params["before"] == "gre-encrypter-old:plugin"
    assert run(scene.client.start_session()) == ()


def test_two_plugins_for_one_namespace_are_neither_announced_nor_used() -> None:
    ours = Plugins.of(toy_formatter(), ProviderHolder("a"), ProviderHolder("b"))
    if not any(problem.stage == "ambiguous" for problem in ours.problems):
        pytest.fail("the two providers were not seen as ambiguous")
    scene = Scene()
    scene._plugins = ours
    scene.restart()
    assert not [name for name in scene.client.features() if name.startswith(GRE[:-1])]
    assert run(scene.client.start_session()) != ()
    with pytest.raises(GreError, match="prefer"):
        scene.send()


class ProviderHolder:
    """A module that provides the toy encrypter."""

    def __init__(self, name: str) -> None:
        from gre_core.api import hookimpl

        self.__name__ = name
        self.gre_encrypters = hookimpl(lambda: [toy_encrypter()])


def test_the_host_sees_where_a_plugin_failed_but_only_if_it_looks() -> None:
    scene = scene_with(breaking("format", InsecureToyFormatter, sync=True))
    with pytest.raises(FormatFailed) as caught:
        scene.send("text")
    assert isinstance(caught.value.__cause__, Surprise)
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))


def test_ports_reach_the_plugins() -> None:
    scene = attentive()
    assert scene.client.ports.store is scene.store
    assert scene.client.ports.now() == scene.now
    assert fake_ports().worker is None


# -- contacts are looked up before their messages are opened -----------------------------------------------------------


def test_contacts_on_gateways_are_handed_to_the_encrypters_that_look_them_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    seen: list[tuple[str, list[str]]] = []

    async def acquaint(account: str, contacts: list[str], _ports: Any) -> list[Notice]:
        seen.append((account, list(contacts)))
        return [Notice("looked", "up")]

    encrypter = scene.client.plugins.encrypter(scene.client.plugins.encrypters[0])
    monkeypatch.setattr(type(encrypter), "acquaint", staticmethod(acquaint), raising=False)
    jids = [f"{CONTACT}/laptop", CONTACT, "friend@example.net", "gateway.example", ""]
    assert [notice.code for notice in run(scene.client.acquaint(jids))] == ["looked"]
    assert seen == [(ACCOUNT, [CONTACT])]
    assert run(scene.client.acquaint(["friend@example.net"])) == ()
    many = [f"user{number}\\40example.org@gateway.example" for number in range(100)]
    run(scene.client.acquaint(many))
    assert seen[1:] == [(ACCOUNT, many[:64])]


def test_contacts_without_an_address_are_handed_over_once_we_wrote_to_their_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = attentive()
    seen: list[list[str]] = []

    async def acquaint(_account: str, contacts: list[str], _ports: Any) -> list[Notice]:
        seen.append(list(contacts))
        return []

    encrypter = scene.client.plugins.encrypter(scene.client.plugins.encrypters[0])
    monkeypatch.setattr(type(encrypter), "acquaint", staticmethod(acquaint), raising=False)
    jids = ["romeo@mail.example.net", "friend@example.net", "mail.example.net"]
    run(scene.client.acquaint(jids))
    assert seen == []
    scene.send("Hello")
    run(scene.client.acquaint(jids))
    assert seen == [["romeo@mail.example.net"]]


def test_a_look_up_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()

    async def acquaint(*_: Any) -> list[Notice]:
        raise ValueError("no")

    encrypter = scene.client.plugins.encrypter(scene.client.plugins.encrypters[0])
    monkeypatch.setattr(type(encrypter), "acquaint", staticmethod(acquaint), raising=False)
    assert [notice.code for notice in run(scene.client.acquaint([CONTACT]))] == ["acquaint-failed"]
