"""M1 to M6: messages (GRE, "Sending and Receiving Encrypted Messages", "Business Rules")."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest

from gre_core import wire
from gre_core.api import Attachment, Body, EncrypterProvider, FormatterProvider, Message
from gre_core.archive import Archived, read_result
from gre_core.errors import (
    BadEncrypted,
    GreError,
    InvalidAddress,
    PluginError,
    Refused,
    RemoteProtocolError,
    TooLarge,
    UnknownNamespace,
)
from gre_core.gateway import Relayed
from gre_core.handled import Mark
from gre_core.model import DataForm, Direction, OpenJob
from gre_core.namespaces import EME, GRE, MAX_SIZE
from gre_core.notes import NOTE_TAG
from gre_core.opening import Received, Unopened
from gre_core.outbox import Sent
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import (
    InsecureToyEncrypter,
    InsecureToyFormatter,
    fake_ports,
    run,
    toy_encrypter,
    toy_formatter,
)
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene
from gre_core.xml_text import serialised_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.model import SealJob
    from gre_core.ports import Ports

ENCRYPTED = f"{{{GRE}}}encrypted"
CLIENT = "{jabber:client}"
PAIR = (toy_formatter().namespace, toy_encrypter().namespace)
SECRET = "the nightingale and not the lark"


def legacy_reads(relayed: Relayed) -> Message:
    """Open what the gateway relays, as the contact's program does."""
    job = OpenJob(LEGACY, SENDER_ID, Direction.RECEIVED, *PAIR, expected_sender=SENDER_ID)
    encrypter, ports = InsecureToyEncrypter(), fake_ports()
    keys = run(encrypter.open_keys(relayed.body, job, ports))
    return InsecureToyFormatter().parse(run(encrypter.decrypt(relayed.body, keys, ports)).payload, job)


def unopened(scene: Scene, stanza: Element) -> GreError:
    result = scene.deliver(stanza)
    assert isinstance(result, Unopened)
    return result.error


def change(stanza: Element, doing: Callable[[Element], object]) -> Element:
    """Change the ``<encrypted/>`` of a stanza."""
    element = stanza.find(ENCRYPTED)
    assert element is not None
    doing(element)
    return stanza


# -- M1: <encrypted/> ---------------------------------------------------------------------------------------


def test_M1_client_sends_encrypted_as_a_child_of_the_message() -> None:
    scene = Scene()
    scene.send(SECRET)
    (element,) = scene.last.findall(ENCRYPTED)
    assert element.attrib == {"formatter": str(PAIR[0]), "encrypter": str(PAIR[1])}
    assert legacy_reads(scene.relay()).text == SECRET


def test_M1_gateway_uses_the_same_element_towards_the_user() -> None:
    scene = Scene()
    stanza = scene.from_legacy(SECRET)
    (element,) = stanza.findall(ENCRYPTED)
    assert element.attrib == {"formatter": str(PAIR[0]), "encrypter": str(PAIR[1])}
    received = scene.deliver(stanza)
    assert isinstance(received, Received)
    assert received.message.text == SECRET
    assert (received.peer, received.direction) == (CONTACT, Direction.RECEIVED)


class ChildEncrypter(InsecureToyEncrypter):
    """Puts its text into a child element, as its specification could demand."""

    async def encrypt(self, payload: bytes, keys: dict[str, object], ports: Ports, /) -> Body:
        child = Element("{urn:example:child}sealed", {"how": "toy"})
        child.text = (await super().encrypt(payload, keys, ports)).text
        return Body(children=(child,))

    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, object]:
        return await super().open_keys(Body(body.children[0].text or ""), job, ports)


def test_M1_children_are_as_the_encrypter_says_in_both_directions() -> None:
    scene = Scene(toy_formatter(), EncrypterProvider(PAIR[1], ChildEncrypter))
    scene.send(SECRET)
    (child,) = scene.relay().body.children
    assert (child.tag, child.get("how")) == ("{urn:example:child}sealed", "toy")
    copy = scene.deliver(scene.carbon(scene.last))
    assert isinstance(copy, Received)
    assert copy.message.text == SECRET


@pytest.mark.parametrize(
    ("doing", "error"),
    [
        (lambda e: e.attrib.pop("formatter"), UnknownNamespace),
        (lambda e: e.attrib.pop("encrypter"), UnknownNamespace),
        (lambda e: e.set("formatter", str(PAIR[1])), UnknownNamespace),
        (lambda e: e.set("encrypter", "urn:xmpp:gre:encrypter:test:00"), UnknownNamespace),
        (lambda e: e.set("encrypter", "urn:xmpp:gre:encrypter:" + "x" * 5000 + ":0"), UnknownNamespace),
        (lambda e: setattr(e, "text", " \n"), BadEncrypted),
        (lambda e: [SubElement(e, "x") for _ in range(10_001)], BadEncrypted),
    ],
    ids=["no formatter", "no encrypter", "kinds confused", ":00", "overlong", "empty", "many children"],
)
def test_M1_malformed_encrypted_is_refused_by_both_sides(
    doing: Callable[[Element], object], error: type[GreError]
) -> None:
    scene = Scene()
    scene.send()
    with pytest.raises((Refused, RemoteProtocolError)) as caught:
        scene.accept(change(scene.last, doing))
    assert caught.value.text
    assert isinstance(unopened(scene, change(scene.from_legacy(), doing)), error)


def test_M1_a_pair_that_was_not_announced_is_refused_by_both_sides() -> None:
    scene = Scene()
    scene.send()

    def rename(element: Element) -> None:
        element.set("encrypter", "urn:xmpp:gre:encrypter:unannounced:0")

    with pytest.raises(Refused, match="does not announce"):
        scene.accept(change(scene.last, rename))
    error = unopened(scene, change(scene.from_legacy(), rename))
    assert isinstance(error, PluginError)
    assert "unannounced" in error.text


def test_M1_base64_that_is_none_is_unopened_and_kept() -> None:
    scene = Scene()
    stanza = change(scene.from_legacy(), lambda e: setattr(e, "text", "???not base64"))
    assert isinstance(unopened(scene, stanza), BadEncrypted)
    assert run(scene.store.keys("unopened/"))


def test_M1_two_encrypted_elements_are_refused_by_both_sides() -> None:
    scene = Scene()
    scene.send()
    stanza = scene.last
    stanza.append(stanza.findall(ENCRYPTED)[0])
    with pytest.raises(Refused):
        scene.accept(stanza)
    other = scene.from_legacy("first")
    other.append(scene.from_legacy("second").findall(ENCRYPTED)[0])
    assert isinstance(unopened(scene, other), BadEncrypted)


def test_M1_hostile_nesting_is_refused_by_both_sides_without_a_crash() -> None:
    scene = Scene()
    scene.send()

    def nest(element: Element) -> None:
        for _ in range(5000):
            element = SubElement(element, "x")

    with pytest.raises(RemoteProtocolError):
        scene.accept(change(scene.last, nest))
    stanza = scene.from_legacy()
    change(stanza, nest)
    result = run(scene.client.handle(stanza))
    assert isinstance(result, Unopened)
    assert result.stanza is stanza


def test_M1_a_message_with_a_receipt_in_it_is_still_a_message() -> None:
    scene = Scene()
    sent = scene.send()
    stanza = scene.from_legacy(SECRET)
    SubElement(stanza, "{urn:xmpp:receipts}received", {"id": sent.id})
    received = scene.deliver(stanza)
    assert isinstance(received, Received)
    assert received.message.text == SECRET


# -- M2: XEP-0380 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["client", "gateway"])
def test_M2_both_sides_add_the_eme_hint(side: str) -> None:
    scene = Scene()
    scene.send()
    stanza = scene.last if side == "client" else scene.from_legacy()
    (hint,) = stanza.findall(f"{{{EME}}}encryption")
    assert hint.get("namespace") == GRE
    assert hint.get("name")


# -- M3: several devices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["client", "gateway"])
def test_M3_both_sides_send_what_is_eligible_for_carbons_and_archives(side: str) -> None:
    scene = Scene()
    sent = scene.send()
    stanza = scene.last if side == "client" else scene.from_legacy(stanza_id=sent.id)
    assert stanza.get("type") == "chat"
    assert len(stanza.findall("{urn:xmpp:hints}store")) == 1
    (origin,) = stanza.findall("{urn:xmpp:sid:0}origin-id")
    assert origin.get("id") == stanza.get("id") == sent.id


def test_M3_another_device_of_ours_reads_what_we_sent() -> None:
    scene = Scene()
    scene.send(SECRET)
    received = scene.deliver(scene.carbon(scene.last, "sent"))
    assert isinstance(received, Received)
    assert (received.message.text, received.direction, received.peer) == (SECRET, Direction.SENT, CONTACT)


def test_M3_another_device_of_ours_reads_what_we_received() -> None:
    scene = Scene()
    received = scene.deliver(scene.carbon(scene.from_legacy(SECRET), "received"))
    assert isinstance(received, Received)
    assert (received.message.text, received.direction, received.peer) == (SECRET, Direction.RECEIVED, CONTACT)


def test_M3_a_carbon_without_from_comes_from_our_own_server() -> None:
    scene = Scene()
    assert isinstance(scene.deliver(scene.carbon(scene.from_legacy(), "received", None)), Received)


@pytest.mark.parametrize(
    "forger",
    [
        CONTACT,
        DOMAIN,
        "mallory@example.org",
        f"{ACCOUNT}/balcony",
        "example.org",
        "juliet@example.org.evil",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["sent", "received"])
def test_M3_carbons_that_do_not_come_from_our_bare_jid_are_ignored(forger: str, kind: str) -> None:
    scene = Scene()
    scene.send()
    inner = scene.last if kind == "sent" else scene.from_legacy()
    assert scene.deliver(scene.carbon(inner, kind, forger)) is None


def test_M3_a_carbon_of_what_we_did_not_send_is_ignored() -> None:
    scene = Scene()
    scene.send()
    forged = scene.last
    forged.set("from", f"mallory@{DOMAIN}")
    assert scene.deliver(scene.carbon(forged, "sent")) is None


@pytest.mark.parametrize("inner", ["receipt", "error"])
def test_M3_receipts_and_errors_within_carbons_settle_nothing(inner: str) -> None:
    scene = Scene()
    scene.send()
    relayed = scene.relay()
    stanza = (
        scene.gateway.receipt(relayed)
        if inner == "receipt"
        else scene.gateway.error(scene.last, Refused("no"))
    )
    assert stanza is not None
    assert scene.deliver(scene.carbon(stanza, "received")) is None
    assert len(run(scene.client.pending())) == 1


def test_M3_a_carbon_is_never_confirmed() -> None:
    scene = Scene()
    stanza = scene.from_legacy()
    assert scene.client.receipt(stanza) is not None
    assert scene.client.receipt(scene.carbon(stanza, "received")) is None


def test_M3_our_own_copy_is_not_taken_for_a_repetition_of_a_message_with_its_id() -> None:
    scene = Scene()
    sent = scene.send(SECRET)
    scene.deliver(scene.from_legacy("mine", stanza_id=sent.id))
    copy = scene.deliver(scene.carbon(scene.last, "sent"))
    assert isinstance(copy, Received)
    assert not copy.repeated


def test_M3_what_the_gateway_repeats_is_marked() -> None:
    scene = Scene()
    results = [scene.deliver(scene.from_legacy(stanza_id="same")) for _ in range(2)]
    assert [isinstance(result, Received) and result.repeated for result in results] == [False, True]


def archived_result(stanza: Element, sender: str = ACCOUNT, query: str = "q1") -> Element:
    message = Element(wire.MESSAGE_TAG, {"from": sender})
    result = SubElement(message, "{urn:xmpp:mam:2}result", {"queryid": query, "id": "a1"})
    SubElement(result, "{urn:xmpp:forward:0}forwarded").append(stanza)
    return message


def test_M3_only_our_own_account_gives_what_was_archived() -> None:
    stanza = Scene().from_legacy()
    assert read_result(archived_result(stanza), ACCOUNT, "q1") is not None
    for sender in (CONTACT, DOMAIN, "example.org", f"{ACCOUNT}/evil"):
        assert read_result(archived_result(stanza, sender), ACCOUNT, "q1") is None
    assert read_result(archived_result(stanza, query="guessed"), ACCOUNT, "q1") is None


def test_M3_what_another_device_sent_opens_from_the_archive() -> None:
    scene = Scene()
    scene.send("from the balcony")
    opened = run(Scene(store=MemoryStore()).client.handle_archived(Archived("a1", scene.now, scene.last)))
    assert isinstance(opened, Received)
    assert (opened.direction, opened.archived, opened.peer) == (Direction.SENT, True, CONTACT)


def test_M3_what_this_device_sent_or_saw_is_not_given_again_from_the_archive() -> None:
    scene = Scene()
    scene.send("waits")
    own = Archived("a1", scene.now, scene.last)
    assert run(scene.client.handle_archived(own)) is None
    scene.confirm()
    scene.restart()
    assert run(scene.client.handle_archived(own)) is None
    received = Archived("a2", scene.now, scene.from_legacy())
    opened = run(scene.client.handle_archived(received))
    assert isinstance(opened, Received)
    run(scene.client.handled.add(Mark(opened.direction, opened.peer, opened.id)))
    scene.restart()
    assert run(scene.client.handle_archived(received)) is None


# -- M4: nothing sensitive outside ----------------------------------------------------------------------------------

ALLOWED = {
    ENCRYPTED,
    f"{{{EME}}}encryption",
    "{urn:xmpp:hints}store",
    "{urn:xmpp:sid:0}origin-id",
    "{urn:xmpp:receipts}request",
}
FULL = Message(
    text=SECRET,
    html=f"<p>{SECRET}</p>",
    subject=f"subject {SECRET}",
    attachments=(Attachment.from_bytes(f"{SECRET}.txt", "text/plain", SECRET.encode()),),
    in_reply_to=f"{SECRET}@reply",
    references=(f"{SECRET}@thread",),
    headers={"x-secret": (SECRET,)},
)


def test_M4_client_sends_an_allow_list_of_children() -> None:
    scene = Scene()
    scene.send(FULL)
    assert {child.tag for child in scene.last} == ALLOWED
    assert set(scene.last.attrib) == {"to", "type", "id", "from"}


def test_M4_nothing_of_the_message_stands_in_the_stanza() -> None:
    scene = Scene()
    scene.send(FULL)
    assert SECRET.encode() not in tostring(scene.network.sent[0])
    assert legacy_reads(scene.relay()).text == SECRET


def test_M4_gateway_sends_only_a_marked_fallback_beside_encrypted() -> None:
    stanza = Scene().from_legacy(SECRET)
    assert {child.tag for child in stanza} == ALLOWED | {f"{CLIENT}body", "{urn:xmpp:fallback:0}fallback"}
    (fallback,) = stanza.findall("{urn:xmpp:fallback:0}fallback")
    assert fallback.get("for") == GRE
    (body,) = stanza.findall(f"{CLIENT}body")
    assert body.text == wire.FALLBACK_TEXT
    assert SECRET.encode() not in tostring(stanza)


def test_M4_encrypted_only_gateway_accepts_a_fallback_body_beside_encrypted() -> None:
    scene = Scene(encrypted_only=True)
    scene.send(SECRET)
    stanza = scene.last
    SubElement(stanza, f"{CLIENT}body").text = "This message is encrypted."
    SubElement(stanza, "{urn:xmpp:fallback:0}fallback", {"for": GRE})
    relayed = scene.accept(stanza)
    assert isinstance(relayed, Relayed)
    assert legacy_reads(relayed).text == SECRET


def test_M4_receiving_client_shows_what_is_inside_and_not_the_body_beside_it() -> None:
    scene = Scene()
    stanza = scene.from_legacy(SECRET)
    for body in stanza.findall(f"{CLIENT}body"):
        body.text = "forged by the gateway"
    received = scene.deliver(stanza)
    assert isinstance(received, Received)
    assert received.message.text == SECRET


def test_M4_a_formatter_or_encrypter_cannot_smuggle_illegal_xml_out() -> None:
    class Smuggler(InsecureToyEncrypter):
        async def encrypt(self, _payload: bytes, _keys: object, _ports: Ports, /) -> Body:
            return Body("\0</encrypted><body>")

    scene = Scene(toy_formatter(), EncrypterProvider(PAIR[1], Smuggler))
    with pytest.raises(GreError, match="XML"):
        scene.send(SECRET)
    assert scene.network.sent == []


def test_M4_what_a_gateway_notes_brings_no_words_of_others() -> None:
    scene = Scene()
    stanza = scene.from_legacy()
    for code in ("inline", "Click here"):
        SubElement(stanza, NOTE_TAG, {"code": code}).text = "Click here"
    received = scene.deliver(stanza)
    assert isinstance(received, Received)
    assert [notice.code for notice in received.notices] == ["inline"]
    assert "Click" not in received.notices[0].text


# -- M5: addresses (XEP-0106) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("legacy", "local"),
    [
        ("alice@example.org", "alice\\40example.org"),
        ("o'hara@example.org", "o\\27hara\\40example.org"),
        ("a/b@example.org", "a\\2fb\\40example.org"),
        ("c:\\5commas", "c\\3a\\5c5commas"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_M5_legacy_ids_become_localparts_and_back(legacy: str, local: str) -> None:
    scene = Scene()
    jid = f"{local}@{DOMAIN}"
    assert scene.gateway.jid_of(legacy) == jid
    scene.send(to=jid)
    assert scene.relay().recipients[0].legacy_id == legacy


def test_M5_a_backslash_that_others_always_escape_is_undone() -> None:
    scene = Scene()
    scene.send(to=f"back\\5cslash@{DOMAIN}")
    assert scene.relay().recipients[0].legacy_id == "back\\slash"


@pytest.mark.parametrize(
    "jid",
    [
        "bob@example.com",
        f"bob@example.com@{DOMAIN}",
        f"\\20bob@{DOMAIN}",
        f"bob\\20@{DOMAIN}",
        f"a b@{DOMAIN}",
        f"bob\uff20evil.example@{DOMAIN}",
        f"bob\0@{DOMAIN}",
        f"bob\n@{DOMAIN}",
        f"@{DOMAIN}",
        f"{CONTACT}/resource",
        DOMAIN,
        "",
    ],
)
def test_M5_client_refuses_what_is_no_contact(jid: str) -> None:
    scene = Scene()
    if jid == "bob@example.com":
        with pytest.raises(GreError):  # well-formed, but nobody there
            scene.send(to=jid)
    else:
        with pytest.raises(InvalidAddress):
            scene.send(to=jid)
        assert scene.network.round_trips == 0
    assert scene.network.sent == []


@pytest.mark.parametrize(
    "legacy", ["", " bob", "bob ", "a\nb", "a\0b", "a\x85b", "a\u2028b", "a\uff20b", "x" * 1100]
)
def test_M5_gateway_makes_no_jid_of_what_cannot_be_one(legacy: str) -> None:
    with pytest.raises(InvalidAddress):
        Scene().gateway.jid_of(legacy)


def test_M5_gateway_checks_the_unescaped_address() -> None:
    scene = Scene()

    def check(legacy_id: str) -> None:
        if "," in legacy_id:
            message = "That is no address."
            raise InvalidAddress(message)

    scene.gateway._check_legacy_id = check
    scene.send()
    stanza = scene.last
    stanza.set("to", f"a,b\\40x.org@{DOMAIN}")
    with pytest.raises(Refused, match="no address") as caught:
        scene.accept(stanza)
    assert caught.value.condition == "jid-malformed"


def test_M5_case_of_a_jid_makes_no_other_contact() -> None:
    scene = Scene()
    sent = scene.send(to="Bob\\40Example.COM@Mail.Example.net")
    assert sent.to == CONTACT
    assert scene.last.get("to") == CONTACT
    scene.send(to=CONTACT)
    assert scene.network.round_trips == 2
    settled = scene.confirm()
    assert isinstance(settled, Sent)


def test_M5_an_escape_sequence_in_capitals_does_not_become_another_address() -> None:
    gateway = Scene().gateway
    assert gateway.jid_of("c\\3Aevil") != gateway.jid_of("c:evil")
    assert gateway.check_contact(gateway.jid_of("c\\3Aevil")).legacy_id == "c\\3aevil"


def test_M5_gateway_announces_that_it_unescapes() -> None:
    assert "jid\\20escaping" in Scene().gateway.features()


# -- M6: size ------------------------------------------------------------------------------------------------------------


class CountingEncrypter(InsecureToyEncrypter):
    encrypted = 0

    async def encrypt(self, payload: bytes, keys: dict[str, object], ports: Ports, /) -> Body:
        type(self).encrypted += 1
        return await super().encrypt(payload, keys, ports)


class CountingFormatter(InsecureToyFormatter):
    formatted = 0

    def format(self, message: Message, job: SealJob, /) -> bytes:
        type(self).formatted += 1
        return super().format(message, job)


def counting(max_size: int | None = None, max_stanza: int | None = None) -> Scene:
    CountingEncrypter.encrypted = CountingFormatter.formatted = 0
    return Scene(
        FormatterProvider(PAIR[0], CountingFormatter),
        EncrypterProvider(PAIR[1], CountingEncrypter),
        max_size=max_size,
        max_stanza=max_stanza,
    )


def big(size: int) -> Message:
    return Message("see file", attachments=(Attachment.from_bytes("a", "text/plain", b"x" * size),))


def test_M6_gateway_announces_its_size_limit() -> None:
    scene = Scene(max_size=10_000)
    assert run(scene.client.seal(CONTACT, Message())).agreed.data.fields[MAX_SIZE] == ("10000",)


@pytest.mark.parametrize("limit", [{"max_size": 50_000}, {"max_stanza": 50_000}], ids=["gateway", "server"])
def test_M6_client_refuses_before_formatting_when_the_attachments_are_too_large(
    limit: dict[str, int],
) -> None:
    scene = counting(**limit)
    with pytest.raises(TooLarge, match="attachments") as caught:
        scene.send(big(50_000))
    assert CountingFormatter.formatted == CountingEncrypter.encrypted == 0
    size, most = caught.value.params["size"], caught.value.params["limit"]
    assert isinstance(size, int)
    assert isinstance(most, int)
    assert size > most
    assert scene.network.sent == []
    assert run(scene.client.pending()) == []


@pytest.mark.parametrize("limit", [{"max_size": 50_000}, {"max_stanza": 50_000}], ids=["gateway", "server"])
def test_M6_client_refuses_before_encrypting_when_the_text_is_too_large(limit: dict[str, int]) -> None:
    scene = counting(**limit)
    with pytest.raises(TooLarge):
        scene.send("x" * 50_000)
    assert (CountingFormatter.formatted, CountingEncrypter.encrypted) == (1, 0)


def test_M6_client_refuses_after_encrypting_what_has_grown_too_large() -> None:
    scene = counting(max_size=50_000)
    with pytest.raises(TooLarge):
        scene.send("x" * 30_000)  # the toy encrypter makes four bytes of one
    assert CountingEncrypter.encrypted == 1
    assert scene.network.sent == []
    scene.send("x" * 10_000)
    assert len(scene.network.sent) == 1


def test_M6_what_the_client_sends_the_gateway_takes_up_to_the_last_byte() -> None:
    scene = Scene()
    scene.send("x" * 1000)
    element = scene.last.find(ENCRYPTED)
    assert element is not None
    size = serialised_size(element)
    for limit, fits in ((size - 1, False), (size, True)):
        other = Scene(max_size=limit)
        if fits:
            other.send("x" * 1000)
            assert isinstance(other.accept(), Relayed)
        else:
            with pytest.raises(TooLarge):
                other.send("x" * 1000)


def test_M6_gateway_refuses_with_a_text_what_is_too_large() -> None:
    scene = Scene()
    scene.send("x" * 3000)
    scene.serve(max_size=1000)
    with pytest.raises(Refused, match="1,000 bytes"):
        scene.accept()


def test_M6_what_stands_in_children_is_measured_too() -> None:
    scene = Scene(toy_formatter(), EncrypterProvider(PAIR[1], ChildEncrypter), max_size=50_000)
    with pytest.raises(TooLarge):
        scene.send("x" * 30_000)
    assert scene.network.sent == []


@pytest.mark.parametrize("announced", ["-5", "1e3", "٣٤", "", "9" * 16, "9" * 5000, "0x10", " 10"])
def test_M6_a_limit_that_is_no_number_is_ignored(announced: str) -> None:
    scene = Scene()
    scene.network.answer_data(DataForm(SENDER_ID, {MAX_SIZE: (announced,)}))
    scene.send("x" * 1000)
    assert len(scene.network.sent) == 1


def test_M6_a_stanza_that_the_server_refuses_does_not_stay_in_the_outbox() -> None:
    scene = Scene()
    scene.network._max_stanza = 100
    scene.client.network = scene.network
    with pytest.raises(TooLarge):
        run(scene.client.send_plain(CONTACT, "x" * 200))
    assert run(scene.client.pending()) == []
