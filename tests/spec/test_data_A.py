"""A1 to A6: relayed encryption data (GRE, "Relayed Encryption Data", "Business Rules")."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core import wire
from gre_core.api import DataField, DataProvider, EncrypterProvider, encrypter, formatter
from gre_core.errors import BadDataForm, NoCommonGround, PeerError, PeerTimeout, Refused, UnknownNamespace
from gre_core.model import Message
from gre_core.namespaces import FORM_TYPE, GRE
from gre_core.testing.fakes import InsecureToyEncrypter, run, through_xml, toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.api import DataContributor, DataRequest
    from gre_core.errors import GreError

DATA = f"{{{GRE}}}data"
X = "{jabber:x:data}x"
FIELD = "{jabber:x:data}field"
VALUE = "{jabber:x:data}value"
HELLO = Message("Hello")
PAIR = (toy_formatter().namespace, toy_encrypter().namespace)


def request(formatter: str | None = str(PAIR[0]), encrypter: str | None = str(PAIR[1])) -> Element:
    both = {"formatter": formatter, "encrypter": encrypter}
    return Element(DATA, {name: value for name, value in both.items() if value is not None})


def answer(
    scene: Scene, data: Element | None = None, to: str = CONTACT, who: str = f"{ACCOUNT}/balcony"
) -> Element:
    return through_xml(run(scene.gateway.answer(who, to, request() if data is None else data)))


def values(data: Element) -> dict[str, list[str | None]]:
    return {field.get("var", ""): [value.text for value in field] for field in data.iterfind(f"{X}/{FIELD}")}


class Contributor:
    """Gives fields and keeps the requests."""

    def __init__(self, *fields: object) -> None:
        self.given = fields
        self.requests: list[DataRequest] = []

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        self.requests.append(request)
        return list(self.given)  # type: ignore[arg-type]


def contributed(namespace: object, *fields: object) -> tuple[DataProvider, DataContributor]:
    contributor = Contributor(*fields)
    return DataProvider(str(namespace), lambda _ports: contributor), contributor


def form(*fields: tuple[str, str | None, str], type_: str = "result") -> Element:
    data = Element(DATA)
    x = SubElement(data, X, {"type": type_})
    for var, kind, value in fields:
        field = SubElement(x, FIELD, {"var": var} | ({"type": kind} if kind else {}))
        SubElement(field, VALUE).text = value
    return data


# -- A1: the request ------------------------------------------------------------------------------------


def test_A1_client_asks_the_bare_jid_of_the_contact() -> None:
    scene = Scene()
    scene.send()
    assert ("data", CONTACT) in scene.network.asked


def test_A1_client_sets_both_attributes() -> None:
    scene = Scene()
    scene.send()
    (data,) = scene.network.requests
    assert data.tag == DATA
    assert data.attrib == {"formatter": str(PAIR[0]), "encrypter": str(PAIR[1])}


def test_A1_gateway_answers_a_request_without_attributes() -> None:
    data = answer(Scene(), request(None, None))
    assert values(data)["sender_id"] == [SENDER_ID]


def test_A1_gateway_answers_a_request_without_attributes_with_what_all_pairs_share() -> None:
    shared, other = encrypter("shared"), formatter("b")
    scene = Scene(
        pairs=[(formatter("a"), shared), (other, shared)],
        contributors=[
            contributed(shared, DataField(str(shared), "key", ("1",))),
            contributed(other, DataField(str(other), "only-b", ("2",))),
        ],
    )
    assert set(values(answer(scene, request(None, None)))) == {"FORM_TYPE", "sender_id", f"{{{shared}}}key"}
    assert f"{{{other}}}only-b" in values(answer(scene, request(str(other), str(shared))))
    assert f"{{{other}}}only-b" not in values(answer(scene, request(str(formatter("a")), str(shared))))


# -- A2: children of <data/> ------------------------------------------------------------------------------


class AskingEncrypter(InsecureToyEncrypter):
    def data_children(self) -> Iterable[Element]:
        return [Element("{urn:example:asking}question")]


def test_A2_children_of_the_encrypter_go_into_the_request() -> None:
    scene = Scene(toy_formatter(), EncrypterProvider(PAIR[1], AskingEncrypter))
    scene.send()
    assert [child.tag for child in scene.network.requests[0]] == ["{urn:example:asking}question"]


def test_A2_gateway_hands_children_to_the_contributors() -> None:
    contributor = Contributor()
    scene = Scene(contributors=[(DataProvider("urn:example:own", lambda _ports: contributor), contributor)])
    data = request()
    SubElement(data, "{urn:example:asking}question")
    answer(scene, data)
    (asked,) = contributor.requests
    assert [child.tag for child in asked.children] == ["{urn:example:asking}question"]
    assert (asked.requester, asked.recipient, asked.legacy_id) == (ACCOUNT, CONTACT, LEGACY)


def test_A2_gateway_ignores_unknown_children() -> None:
    data = request()
    SubElement(data, "{urn:example:unheard-of}x", {"y": "z"}).text = "text"
    assert values(answer(Scene(), data))["sender_id"] == [SENDER_ID]


# -- A3: the form -------------------------------------------------------------------------------------------


def test_A3_gateway_answers_with_a_hidden_form_type_and_sender_id() -> None:
    data = answer(Scene())
    assert data.tag == DATA
    (x,) = data
    assert (x.tag, x.get("type")) == (X, "result")
    (form_type,) = [field for field in x if field.get("var") == "FORM_TYPE"]
    assert form_type.get("type") == "hidden"
    assert values(data) == {"FORM_TYPE": [FORM_TYPE], "sender_id": [SENDER_ID]}


def test_A3_client_takes_the_sender_id_of_the_form() -> None:
    scene = Scene()
    scene.users[ACCOUNT] = "somebody@else.example"
    assert run(scene.client.seal(CONTACT, HELLO)).agreed.data.sender_id == "somebody@else.example"


@pytest.mark.parametrize(
    "bad",
    [
        form(("FORM_TYPE", None, FORM_TYPE), ("sender_id", None, SENDER_ID)),
        form(("FORM_TYPE", "text-single", FORM_TYPE), ("sender_id", None, SENDER_ID)),
        form(("sender_id", None, SENDER_ID)),
        form(("FORM_TYPE", "hidden", "urn:xmpp:gre:other"), ("sender_id", None, SENDER_ID)),
        form(("FORM_TYPE", "hidden", FORM_TYPE), ("sender_id", None, SENDER_ID), type_="form"),
    ],
    ids=["no type", "not hidden", "no FORM_TYPE", "other FORM_TYPE", "no result"],
)
def test_A3_client_ignores_a_form_without_hidden_form_type(bad: Element) -> None:
    scene = Scene()
    scene.network.answer_data(bad)
    with pytest.raises(BadDataForm):
        scene.send()
    assert scene.network.sent == []


@pytest.mark.parametrize("sender", ["", " ", "a\nb@example.org", "a\u202eb@example.org", "x" * 1025])
def test_A3_client_refuses_a_form_without_usable_sender_id(sender: str) -> None:
    scene = Scene()
    scene.network.answer_data(form(("FORM_TYPE", "hidden", FORM_TYPE), ("sender_id", None, sender)))
    with pytest.raises(BadDataForm, match="sender_id"):
        scene.send()


def test_A3_client_refuses_a_form_without_sender_id() -> None:
    scene = Scene()
    scene.network.answer_data(form(("FORM_TYPE", "hidden", FORM_TYPE)))
    with pytest.raises(BadDataForm, match="sender_id"):
        scene.send()


def test_A3_client_finds_the_form_beside_others() -> None:
    scene = Scene()
    data = form(("FORM_TYPE", "text-single", FORM_TYPE), ("sender_id", None, "mallory@evil.example"))
    data.append(form(("FORM_TYPE", "hidden", FORM_TYPE), ("sender_id", None, SENDER_ID))[0])
    scene.network.answer_data(data)
    assert run(scene.client.seal(CONTACT, HELLO)).agreed.data.sender_id == SENDER_ID


def test_A3_extra_fields_use_clark_notation_and_unknown_ones_are_ignored() -> None:
    own = str(PAIR[1])
    scene = Scene(contributors=[contributed(own, DataField(own, "key", ("one", "two")))])
    assert values(answer(scene))[f"{{{own}}}key"] == ["one", "two"]
    data = answer(scene)
    SubElement(SubElement(data[0], FIELD, {"var": "surprise"}), VALUE).text = "ignored"
    SubElement(
        SubElement(data[0], FIELD, {"var": "{urn:example:unknown}x"}), VALUE
    ).text = "kept for who knows it"
    scene.network.answer_data(data)
    read = run(scene.client.seal(CONTACT, HELLO)).agreed.data
    assert dict(read.fields) == {
        f"{{{own}}}key": ("one", "two"),
        "{urn:example:unknown}x": ("kept for who knows it",),
    }
    assert read.values(PAIR[1], "key") == ("one", "two")


@pytest.mark.parametrize(
    "rubbish",
    [
        DataField("urn:xmpp:gre:encrypter:other:0", "key", ("stolen",)),
        DataField(str(PAIR[1]), "sender_id}", ("x",)),
        DataField(str(PAIR[1]), "key", ("nul \0",)),
        DataField(str(PAIR[1]), "key", ("x" * 9000,)),
        DataField(str(PAIR[1]), "key", (5,)),  # type: ignore[arg-type]
        "no field",
    ],
)
def test_A3_contributor_cannot_write_what_is_not_its_own(rubbish: object) -> None:
    scene = Scene(contributors=[contributed(PAIR[1], rubbish)])
    assert values(answer(scene)) == {"FORM_TYPE": [FORM_TYPE], "sender_id": [SENDER_ID]}


# -- A4: the cache ------------------------------------------------------------------------------------------


def test_A4_data_is_asked_once_per_session() -> None:
    scene = Scene()
    for _ in range(5):
        scene.send()
    assert scene.network.round_trips == 2
    run(scene.client.start_session())
    scene.send()
    assert scene.network.round_trips == 4


@pytest.mark.parametrize(
    "providers",
    [
        (toy_formatter(dynamic_data=True), toy_encrypter()),
        (toy_formatter(), toy_encrypter(dynamic_data=True)),
    ],
    ids=["formatter", "encrypter"],
)
def test_A4_dynamic_data_is_asked_before_each_message(providers: tuple[EncrypterProvider]) -> None:
    scene = Scene(*providers)
    for _ in range(3):
        scene.send()
    assert scene.network.asked.count(("data", CONTACT)) == 3
    assert scene.network.asked.count(("disco", CONTACT)) == 1


def test_A4_data_is_specific_to_the_contact() -> None:
    scene = Scene()
    scene.send()
    scene.send(to=f"carol\\40example.com@{DOMAIN}")
    assert [jid for what, jid in scene.network.asked if what == "data"] == [
        CONTACT,
        f"carol\\40example.com@{DOMAIN}",
    ]


def test_A4_a_change_that_the_gateway_announces_empties_the_cache() -> None:
    scene = Scene()
    scene.client.saw_capabilities(DOMAIN, "one")
    scene.send()
    scene.client.saw_capabilities(f"{DOMAIN}/gateway", "one")
    scene.send()
    assert scene.network.round_trips == 2
    scene.client.saw_capabilities(DOMAIN, "two")
    scene.send()
    assert scene.network.round_trips == 4


def test_A4_features_are_asked_again_after_a_while() -> None:
    scene = Scene()
    scene.send()
    scene.wait(3601)
    scene.send()
    assert scene.network.asked.count(("disco", CONTACT)) == 2


# -- A5: errors with a text ----------------------------------------------------------------------------------


def refusal(scene: Scene, data: Element | None = None, **options: str) -> tuple[str, str, str]:
    with pytest.raises((Refused, UnknownNamespace)) as caught:
        answer(scene, data, **options)
    iq = Element("{jabber:client}iq", {"type": "get", "id": "1", "from": ACCOUNT, "to": CONTACT})
    error = scene.gateway.error(iq, caught.value)
    assert (error.get("type"), error.get("id"), error.get("to")) == ("error", "1", ACCOUNT)
    (element,) = error
    condition, text = element
    assert text.tag == "{urn:ietf:params:xml:ns:xmpp-stanzas}text"
    return element.get("type", ""), condition.tag.rpartition("}")[2], text.text or ""


def test_A5_unregistered_user_gets_an_error_with_text() -> None:
    kind, condition, text = refusal(Scene(), who="tybalt@example.org")
    assert (kind, condition) == ("auth", "registration-required")
    assert "not registered" in text


@pytest.mark.parametrize("local", ["\\20bob", "bob\\20"])
def test_A5_bad_localpart_gets_an_error_with_text(local: str) -> None:
    kind, condition, text = refusal(Scene(), to=f"{local}@{DOMAIN}")
    assert (kind, condition) == ("modify", "jid-malformed")
    assert len(text) > 20


def test_A5_request_to_the_gateway_itself_gets_an_error_with_text() -> None:
    kind, condition, text = refusal(Scene(), to=DOMAIN)
    assert (kind, condition) == ("modify", "item-not-found")
    assert DOMAIN in text


@pytest.mark.parametrize(
    "data",
    [
        request(formatter="urn:xmpp:gre:formatter:other:0"),
        request(encrypter="urn:xmpp:gre:encrypter:test:7"),
        request(formatter=str(PAIR[1])),
        request(formatter=""),
        request(formatter="urn:xmpp:gre:formatter:test:00"),
    ],
    ids=["formatter", "version", "wrong kind", "empty", "malformed"],
)
def test_A5_unknown_pair_gets_an_error_with_text(data: Element) -> None:
    _, condition, text = refusal(Scene(), data)
    assert condition == "feature-not-implemented"
    assert len(text) > 20


def test_A5_lookup_that_fails_gets_an_error_with_text() -> None:
    scene = Scene()

    async def broken(_user: str) -> str | None:
        message = "secret-database-password"
        raise RuntimeError(message)

    scene.gateway._sender_id = broken
    kind, condition, text = refusal(scene)
    assert (kind, condition) == ("wait", "internal-server-error")
    assert "later" in text
    assert "secret" not in text


def test_A5_client_shows_the_text_of_the_gateway() -> None:
    scene = Scene()
    scene.users.clear()
    with pytest.raises(PeerError, match="not registered") as caught:
        scene.send()
    assert caught.value.condition == "registration-required"


# -- A6: pairs -------------------------------------------------------------------------------------------------

CROSSED = [(formatter("a"), encrypter("y")), (formatter("b"), encrypter("x"))]
OURS = (
    toy_formatter(name="a"),
    toy_formatter(name="b"),
    toy_encrypter(name="x"),
    toy_encrypter(name="y"),
)


def test_A6_gateway_refuses_a_pair_that_it_cannot_carry_together() -> None:
    kind, condition, text = refusal(Scene(pairs=CROSSED), request(str(formatter("a")), str(encrypter("x"))))
    assert (kind, condition) == ("modify", "not-acceptable")
    assert "another pair" in text


def test_A6_client_tries_the_next_pair_after_a_refusal() -> None:
    scene = Scene(*OURS, pairs=CROSSED)
    scene.send()
    assert (scene.relay().formatter, scene.relay().encrypter) == CROSSED[1]
    assert len(scene.network.requests) == 2
    scene.send()
    assert len(scene.network.requests) == 2  # the refusal is remembered


@pytest.mark.parametrize(
    "error",
    [
        PeerError("no", condition="not-acceptable", error_type="cancel"),
        PeerError("no", condition="policy-violation", error_type="modify"),
        PeerError("no", condition="feature-not-implemented", error_type="cancel"),
        PeerTimeout("nothing came"),
    ],
    ids=["cancel", "policy", "feature", "timeout"],
)
def test_A6_client_tries_no_other_pair_after_any_other_error(error: GreError) -> None:
    scene = Scene(*OURS, pairs=CROSSED)
    scene.network.answer_data(error)
    with pytest.raises(type(error)):
        scene.send()
    assert len(scene.network.requests) == 1


def test_A6_when_every_pair_is_refused_the_client_says_so() -> None:
    scene = Scene(*OURS, pairs=CROSSED)
    scene.network.answer_data(PeerError("no", condition="not-acceptable", error_type="modify"))
    with pytest.raises(NoCommonGround, match="refused every pair"):
        scene.send()
    assert len(scene.network.requests) == 4
    assert scene.network.sent == []


def test_A6_a_pair_that_is_refused_later_gives_way_to_the_next() -> None:
    providers = [toy_formatter(name=n, dynamic_data=True) for n in ("a", "b")]
    scene = Scene(*providers, toy_encrypter(name="x"), pairs=[(formatter(n), encrypter("x")) for n in "ab"])
    scene.send()
    assert scene.relay().formatter.name == "a"

    async def refuse_a(jid: str, data: Element) -> Element:
        if data.get("formatter") == str(formatter("a")):
            raise PeerError("no", condition="not-acceptable", error_type="modify")
        return await scene.gateway.answer(ACCOUNT, jid, data)

    scene.network.answer_data(refuse_a)
    scene.send()
    assert scene.relay().formatter.name == "b"


def test_A6_gateway_refuses_a_message_with_a_pair_that_it_cannot_carry() -> None:
    scene = Scene(*OURS, pairs=CROSSED)
    scene.send()
    stanza = scene.last
    element = stanza.find(wire.ENCRYPTED_TAG)
    assert element is not None
    element.set("formatter", str(formatter("a")))
    with pytest.raises(Refused) as caught:
        scene.accept(stanza)
    assert (caught.value.error_type, caught.value.condition) == ("modify", "not-acceptable")
