"""The gateway engine with contributors, callbacks and users that misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest

from gre_core import wire
from gre_core.api import Body, DataField, DataProvider
from gre_core.errors import (
    GreError,
    InvalidAddress,
    LocalProtocolError,
    PeerError,
    Refused,
    RemoteProtocolError,
    StoreError,
)
from gre_core.gateway import GatewayEngine, Plain, Relayed
from gre_core.namespaces import GRE, MAX_SIZE, encrypter, formatter
from gre_core.testing.fakes import run, toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable

PAIR = (toy_formatter().namespace, toy_encrypter().namespace)
OWN = str(PAIR[1])
SECRET = "database password"


def data(pair: tuple[object, object] = PAIR) -> Element:
    return Element(wire.DATA_TAG, {"formatter": str(pair[0]), "encrypter": str(pair[1])})


def answer(
    gateway: GatewayEngine, request: Element | None = None, to: str = CONTACT
) -> dict[str, tuple[str, ...]]:
    answered = run(gateway.answer(f"{ACCOUNT}/balcony", to, data() if request is None else request))
    form = wire.parse_data_form(fromstring(tostring(answered)))
    return {"sender_id": (form.sender_id,), **form.fields}


def message(*children: str, **attributes: str) -> Element:
    names = {"from": f"{ACCOUNT}/balcony", "to": CONTACT, "id": "1", "type": "chat"} | attributes
    stanza = Element(wire.MESSAGE_TAG, {key: value for key, value in names.items() if value})
    for tag in children:
        SubElement(stanza, tag).text = "text"
    return stanza


def encrypted(pair: tuple[object, object] = PAIR, text: str = "abc", **attributes: Any) -> Element:
    if "sender" in attributes:
        attributes["from"] = attributes.pop("sender")
    stanza = message(**attributes)
    element = SubElement(stanza, wire.ENCRYPTED_TAG, {"formatter": str(pair[0]), "encrypter": str(pair[1])})
    element.text = text
    return stanza


# -- contributors ------------------------------------------------------------------------------------------------


class Contributor:
    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    async def fields(self, _request: object, /) -> Iterable[DataField]:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        found: Iterable[DataField] = self.outcome
        return found


def with_contributors(*outcomes: tuple[str, object], **options: Any) -> GatewayEngine:
    pairs = [(DataProvider(ns, lambda _ports: None), Contributor(each)) for ns, each in outcomes]  # type: ignore[arg-type,return-value]
    return Scene(contributors=pairs, **options).gateway


GOOD = (OWN, [DataField(OWN, "good", ("1",))])


def endless() -> Iterable[DataField]:
    number = 0
    while True:
        number += 1
        yield DataField("urn:example:b", f"f{number}", ("x",))


@pytest.mark.parametrize(
    "rubbish",
    [
        ValueError(SECRET),
        None,
        5,
        ["text"],
        [DataField("urn:other", "stolen", ("x",))],
        [DataField(OWN, "good", ("overwritten",))],
        [DataField("urn:example:b", "bad name", ("x",))],
        [DataField("urn:example:b", "x}{", ("x",))],
        [DataField("urn:example:b", "", ("x",))],
        [DataField("urn:example:b", "x", (5,))],  # type: ignore[arg-type]
        [DataField("urn:example:b", "x", None)],  # type: ignore[arg-type]
        [DataField("urn:example:b", "x", ("y" * 8193,))],
        [DataField("urn:example:b", "x", ("",) * 1025)],
        [DataField("urn:example:b", "x", ("\0",))],
        [DataField("urn:example:b", "x", ("ok",)), "rubbish after something good"],
    ],
)
def test_a_contributor_that_misbehaves_is_left_out_and_the_others_stay(rubbish: object) -> None:
    gateway = with_contributors(("urn:example:b", rubbish), GOOD)
    assert answer(gateway) == {"sender_id": (SENDER_ID,), f"{{{OWN}}}good": ("1",)}


def test_a_contributor_without_end_is_left_out() -> None:
    assert set(answer(with_contributors(("urn:example:b", endless()), GOOD))) == {
        "sender_id",
        f"{{{OWN}}}good",
    }


def test_a_contributor_may_refuse() -> None:
    with pytest.raises(Refused, match="Not today"):
        answer(with_contributors((OWN, Refused("Not today."))))


def test_fields_of_another_pair_are_not_sent() -> None:
    other = (formatter("other"), encrypter("other"))
    gateway = with_contributors(
        (str(other[0]), [DataField(str(other[0]), "x", ("1",))]),
        ("urn:xmpp:gre:encrypter:not-ours:0", [DataField("urn:xmpp:gre:encrypter:not-ours:0", "x", ("1",))]),
        ("urn:example:own", [DataField("urn:example:own", "x", ())]),
        pairs=[PAIR, other],
    )
    assert set(answer(gateway)) == {"sender_id", "{urn:example:own}x"}
    assert set(answer(gateway, data(other))) == {"sender_id", "{urn:example:own}x", f"{{{other[0]}}}x"}
    assert set(answer(gateway, Element(wire.DATA_TAG))) == {"sender_id", "{urn:example:own}x"}


@pytest.mark.parametrize("name", ["formatter", "encrypter"])
def test_a_request_that_names_only_one_of_both(name: str) -> None:
    request = Element(wire.DATA_TAG, {name: str(PAIR[0] if name == "formatter" else PAIR[1])})
    assert answer(Scene().gateway, request) == {"sender_id": (SENDER_ID,)}


def test_a_contributor_may_announce_a_smaller_limit() -> None:
    namespace = MAX_SIZE[1:].partition("}")[0]
    smaller = (namespace, [DataField(namespace, "max-size", ("10",))])
    assert answer(with_contributors(smaller, max_size=20))[MAX_SIZE] == ("10",)
    assert answer(with_contributors(max_size=20))[MAX_SIZE] == ("20",)
    assert MAX_SIZE not in answer(with_contributors())


# -- callbacks of the embedder -------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [RuntimeError(SECRET), "", " ", "a\nb", "x" * 1025, 5, b"juliet"])
def test_a_lookup_that_fails_is_answered_and_says_nothing_of_the_inside(outcome: object) -> None:
    async def sender_id(_user: str) -> str | None:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[return-value]

    gateway = GatewayEngine(DOMAIN, [PAIR], sender_id=sender_id)
    for doing in (
        gateway.answer(ACCOUNT, CONTACT, data()),
        gateway.accept(encrypted()),
        gateway.is_registered(ACCOUNT),
    ):
        with pytest.raises(Refused) as caught:
            run(doing)
        assert (caught.value.condition, caught.value.error_type) == ("internal-server-error", "wait")
        assert SECRET not in caught.value.text


def test_a_refusal_of_the_lookup_passes() -> None:
    async def sender_id(_user: str) -> str | None:
        raise Refused("Your account is locked.", condition="forbidden", error_type="auth")

    with pytest.raises(Refused, match="locked"):
        run(GatewayEngine(DOMAIN, [PAIR], sender_id=sender_id).accept(encrypted()))


def test_a_check_that_breaks_is_answered() -> None:
    async def sender_id(_user: str) -> str | None:
        return SENDER_ID

    def check(_legacy_id: str) -> None:
        raise KeyError(SECRET)

    gateway = GatewayEngine(DOMAIN, [PAIR], sender_id=sender_id, check_legacy_id=check)
    with pytest.raises(Refused) as caught:
        gateway.check_contact(CONTACT)
    assert caught.value.condition == "internal-server-error"
    assert SECRET not in caught.value.text


def test_registered() -> None:
    gateway = Scene().gateway
    assert run(gateway.is_registered(ACCOUNT))
    assert not run(gateway.is_registered("tybalt@example.org"))


def test_users_are_known_by_their_canonical_jid() -> None:
    relayed = run(Scene().gateway.accept(encrypted(sender="JULIET@Example.org/x")))
    assert isinstance(relayed, Relayed)
    assert (relayed.user, relayed.user_full) == (ACCOUNT, "JULIET@Example.org/x")


# -- every refusal has a text ----------------------------------------------------------------------------------------


def too_deep() -> Element:
    stanza = encrypted()
    element = stanza[0]
    for _ in range(200):
        element = SubElement(element, "x")
    return stanza


REFUSED: dict[str, Element] = {
    "unregistered": encrypted(sender="tybalt@example.org/x"),
    "no sender": encrypted(sender=""),
    "to the gateway": encrypted(to=DOMAIN),
    "to nobody": encrypted(to=""),
    "bad localpart": encrypted(to=f"\\20x@{DOMAIN}"),
    "group chat": encrypted(type="groupchat"),
    "unknown formatter": encrypted((formatter("other"), PAIR[1])),
    "unknown encrypter": encrypted((PAIR[0], encrypter("test", 9))),
    "no namespaces": encrypted(("", "")),
    "empty": encrypted(text=""),
    "too deep": too_deep(),
    "too large": encrypted(text="x" * 3000),
    "link alone": message("{jabber:x:oob}x"),
    "reaction": message("{urn:xmpp:reactions:0}reactions"),
    "file": message("{urn:xmpp:sfs:0}file-sharing"),
    "retraction": message("{urn:xmpp:message-retract:1}retract", wire.BODY_TAG),
    "retraction without words": message("{urn:xmpp:message-retract:1}retract"),
    "omemo": message("{eu.siacs.conversations.axolotl}encrypted", wire.BODY_TAG),
    "gre of the future": message("{urn:xmpp:gre:1}encrypted", wire.BODY_TAG),
    "xep-0027": message("{jabber:x:encrypted}x", wire.BODY_TAG),
    "eme": message(wire.ENCRYPTION_TAG, wire.BODY_TAG),
}


@pytest.mark.parametrize("what", REFUSED)
def test_every_refusal_has_a_text_on_the_right_stanza(what: str) -> None:
    stanza = REFUSED[what]
    gateway = Scene(max_size=2000).gateway
    with pytest.raises((Refused, RemoteProtocolError)) as caught:
        run(gateway.accept(stanza))
    error = gateway.error(stanza, caught.value)
    assert (error.get("type"), error.get("id"), error.tag) == ("error", "1", stanza.tag)
    assert (error.get("to"), error.get("from")) == (stanza.get("from", ""), stanza.get("to", ""))
    ((condition, text),) = error
    assert condition.tag.startswith("{urn:ietf:params:xml:ns:xmpp-stanzas}")
    assert len(text.text or "") > 15


@pytest.mark.parametrize(
    "stanza",
    [
        message(),
        message("{http://jabber.org/protocol/chatstates}composing"),
        message("{urn:xmpp:receipts}received"),
        message("{urn:xmpp:chat-markers:0}displayed"),
        message(f"{{{wire.CLIENT}}}thread"),
        message("{urn:other}body"),
        message("{http://jabber.org/protocol/pubsub#event}event", type="headline"),
        message(wire.BODY_TAG, type="error"),
        encrypted(type="error"),
    ],
)
@pytest.mark.parametrize("only", [True, False])
def test_what_needs_no_answer(stanza: Element, only: bool) -> None:
    assert run(Scene(encrypted_only=only).gateway.accept(stanza)) is None


def test_plain() -> None:
    found = run(Scene().gateway.accept(message(wire.SUBJECT_TAG, wire.BODY_TAG)))
    assert isinstance(found, Plain)
    assert (found.text, found.subject, found.id, found.recipients[0].legacy_id) == (
        "text",
        "text",
        "1",
        LEGACY,
    )
    assert "text='text'" not in repr(found)
    empty = message(wire.BODY_TAG)
    empty[0].text = None
    without = run(Scene().gateway.accept(empty))
    assert isinstance(without, Plain)
    assert (without.text, without.subject) == ("", None)


def test_stanzas_of_a_component_are_read_in_their_own_namespace() -> None:
    stanza = fromstring(
        f"<message xmlns='jabber:component:accept' from='{ACCOUNT}/x' to='{CONTACT}' id='1'><body>Hello</body></message>"
    )
    gateway = Scene().gateway
    found = run(gateway.accept(stanza))
    assert isinstance(found, Plain)
    error = gateway.error(stanza, Refused("no"))
    assert error[0].tag == "{jabber:component:accept}error"


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "condition", "kind"),
    [
        (Refused("no"), "policy-violation", "modify"),
        (Refused("no", condition="gone", error_type="cancel"), "gone", "cancel"),
        (RemoteProtocolError("no"), "bad-request", "modify"),
        (PeerError("no", condition="forbidden", error_type="auth"), "forbidden", "auth"),
        (StoreError("no"), "internal-server-error", "cancel"),
    ],
)
def test_errors(error: GreError, condition: str, kind: str) -> None:
    answered = GatewayEngine.error(message(id=""), error)
    assert answered.get("id") is None
    (element,) = answered
    assert (element.get("type"), element[0].tag.rpartition("}")[2]) == (kind, condition)


def test_texts_of_relays_are_cleaned() -> None:
    error = GatewayEngine.error(message(), Refused("550 \x1b[31mno\0 \u202esuch"))
    assert error[0][1].text == "550 \ufffd[31mno\ufffd \ufffdsuch"


def test_receipts() -> None:
    stanza = encrypted(id="x" * 1020)
    relayed = run(Scene().gateway.accept(stanza))
    assert isinstance(relayed, Relayed)
    assert GatewayEngine.receipt(relayed) is None
    SubElement(stanza, wire.REQUEST_TAG)
    receipt = GatewayEngine.receipt(relayed)
    assert receipt is not None
    assert (receipt.get("from"), receipt.get("to"), receipt.get("type")) == (
        CONTACT,
        f"{ACCOUNT}/balcony",
        "chat",
    )
    assert receipt.find(wire.RECEIVED_TAG).get("id") == "x" * 1020  # type: ignore[union-attr]
    assert len(receipt.get("id", "")) <= wire.MAX_ID
    assert receipt.find(wire.STORE_TAG) is not None  # or a client that is away would never see it
    del stanza.attrib["id"]
    assert GatewayEngine.receipt(relayed) is None


def test_a_subject_or_a_file_alone_is_a_message() -> None:
    subject = message(f"{{{wire.CLIENT}}}subject")
    subject[0].text = "About"
    file = message(wire.OOB_TAG)
    SubElement(file[0], "{jabber:x:oob}url").text = "https://a.example/x"
    for stanza in (subject, file):
        plain = run(Scene().gateway.accept(stanza))
        assert isinstance(plain, Plain)
        assert plain.text == ""


# -- towards the users ---------------------------------------------------------------------------------------------------


def test_emit_plain() -> None:
    gateway = Scene().gateway
    (stanza,) = gateway.emit_plain("O'Hara@Example.com", ACCOUNT, "Hel\0lo", None, "1")
    assert stanza.get("from") == f"o\\27hara\\40example.com@{DOMAIN}"
    assert stanza.findtext(wire.BODY_TAG) == "Hel\ufffdlo"
    assert stanza.find(wire.SUBJECT_TAG) is None
    (stanza,) = gateway.emit_plain(LEGACY, ACCOUNT, "x", "About", "1")
    assert stanza.findtext(wire.SUBJECT_TAG) == "About"


def test_emit_plain_with_files() -> None:
    urls = ("https://a.example/1", "https://a.example/2")
    text, one, two = Scene().gateway.emit_plain(LEGACY, ACCOUNT, "Look", "About", "m", urls)
    assert [each.get("id") for each in (text, one, two)] == ["m-0", "m-1", "m"]
    assert [each.find(wire.REQUEST_TAG) is not None for each in (text, one, two)] == [False, False, True]
    assert (text.findtext(wire.BODY_TAG), text.find(wire.OOB_TAG)) == ("Look", None)
    for stanza, url in zip((one, two), urls, strict=True):
        assert (stanza.get("type"), stanza.findtext(wire.BODY_TAG)) == ("chat", url)
        assert stanza.findtext("{jabber:x:oob}x/{jabber:x:oob}url") == url
        assert stanza.find(wire.SUBJECT_TAG) is None
        assert stanza.find(wire.STORE_TAG) is not None
    (only,) = Scene().gateway.emit_plain(LEGACY, ACCOUNT, "", None, "m", urls[:1])
    assert (only.get("id"), only.findtext(wire.BODY_TAG)) == ("m", urls[0])


@pytest.mark.parametrize("legacy_id", ["", "a\nb@example.com", "a\uff20b", " x"])
def test_no_stanza_from_what_is_no_address(legacy_id: str) -> None:
    gateway = Scene().gateway
    with pytest.raises(InvalidAddress):
        gateway.emit(legacy_id, ACCOUNT, PAIR, Body("x"), "1")
    with pytest.raises(InvalidAddress):
        gateway.emit_plain(legacy_id, ACCOUNT, "x", None, "1")


def test_nothing_is_emitted_that_xml_cannot_carry() -> None:
    with pytest.raises(LocalProtocolError):
        Scene().gateway.emit(LEGACY, ACCOUNT, PAIR, Body("a\0b"), "1")
    with pytest.raises(LocalProtocolError):
        Scene().gateway.emit(LEGACY, ACCOUNT, PAIR, Body("ab"), "\x1b")


def test_the_types_of_the_gateway_have_no_decrypt() -> None:
    assert not [name for name in dir(GatewayEngine) if "decrypt" in name or "open" in name]
    assert GRE in Scene().gateway.features()
