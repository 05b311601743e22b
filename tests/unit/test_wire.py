"""XML to values and back, with everything that a hostile peer may send."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest

from gre_core import wire
from gre_core.errors import (
    BadDataForm,
    BadEncrypted,
    BadRequest,
    LocalProtocolError,
    RemoteProtocolError,
    UnknownNamespace,
)
from gre_core.model import Body, DataForm
from gre_core.namespaces import FORM_TYPE, GRE, encrypter, formatter

if TYPE_CHECKING:
    from collections.abc import Iterable

X = "{jabber:x:data}x"
FIELD = "{jabber:x:data}field"
VALUE = "{jabber:x:data}value"
PAIR = formatter("f"), encrypter("e")


def form(
    fields: Iterable[tuple[dict[str, str], Iterable[str | None]]], type_: str | None = "result"
) -> Element:
    x = Element(X, {} if type_ is None else {"type": type_})
    for attributes, values in fields:
        field = SubElement(x, FIELD, attributes)
        for value in values:
            SubElement(field, VALUE).text = value
    return x


def data(*forms: Element) -> Element:
    element = Element(wire.DATA_TAG)
    element.extend(forms)
    return element


HIDDEN = ({"var": "FORM_TYPE", "type": "hidden"}, [FORM_TYPE])
SENDER = ({"var": "sender_id"}, ["juliet@example.org"])


# -- data request ------------------------------------------------------------------------------------------


def test_request_round_trip() -> None:
    child = Element("{urn:example}child")
    read = wire.parse_data_request(fromstring(tostring(wire.build_data_request(*PAIR, [child]))))
    assert read[:2] == PAIR
    assert [each.tag for each in read[2]] == ["{urn:example}child"]


def test_request_without_attributes() -> None:
    assert wire.parse_data_request(Element(wire.DATA_TAG)) == (None, None, ())


@pytest.mark.parametrize(
    ("element", "error"),
    [
        (Element("{urn:xmpp:gre:1}data"), BadRequest),
        (Element("data"), BadRequest),
        (Element(wire.DATA_TAG, {"formatter": ""}), UnknownNamespace),
        (Element(wire.DATA_TAG, {"formatter": str(PAIR[1])}), UnknownNamespace),
        (Element(wire.DATA_TAG, {"encrypter": "x" * 100_000}), UnknownNamespace),
    ],
)
def test_malformed_requests(element: Element, error: type[RemoteProtocolError]) -> None:
    with pytest.raises(error) as caught:
        wire.parse_data_request(element)
    assert 0 < len(caught.value.text) < 500


def test_request_with_too_many_or_too_deep_children() -> None:
    many = Element(wire.DATA_TAG)
    many.extend(Element("x") for _ in range(65))
    with pytest.raises(BadRequest, match="64 children"):
        wire.parse_data_request(many)
    deep = element = Element(wire.DATA_TAG)
    for _ in range(101):
        element = SubElement(element, "x")
    with pytest.raises(BadRequest, match="deeper than 100"):
        wire.parse_data_request(deep)


# -- data form ---------------------------------------------------------------------------------------------


def test_form_round_trip() -> None:
    sent = DataForm(
        "juliet@example.org", {"{urn:x}one": ("1",), "{urn:x}many": ("1", "2"), "{urn:x}none": ()}
    )
    read = wire.parse_data_form(fromstring(tostring(wire.build_data_form(sent))))
    assert read == sent


def test_fields_with_several_values_say_so() -> None:
    x = wire.build_data_form(DataForm("juliet@example.org", {"{u}one": ("1",), "{u}two": ("1", "2")}))[0]
    assert [field.get("type") for field in x] == ["hidden", None, None, "text-multi"]


@pytest.mark.parametrize("element", [None, Element("{urn:xmpp:gre:1}data"), Element("data"), data()])
def test_answer_without_a_form(element: Element | None) -> None:
    with pytest.raises(BadDataForm):
        wire.parse_data_form(element)


@pytest.mark.parametrize(
    "x",
    [
        form([SENDER]),
        form([({"var": "FORM_TYPE"}, [FORM_TYPE]), SENDER]),
        form([({"var": "FORM_TYPE", "type": "text-single"}, [FORM_TYPE]), SENDER]),
        form([({"var": "FORM_TYPE", "type": "Hidden"}, [FORM_TYPE]), SENDER]),
        form([({"var": "FORM_TYPE", "type": "hidden"}, [FORM_TYPE + ":1"]), SENDER]),
        form([({"var": "FORM_TYPE", "type": "hidden"}, [FORM_TYPE, FORM_TYPE]), SENDER]),
        form([({"var": "FORM_TYPE", "type": "hidden"}, []), SENDER]),
        form([HIDDEN, HIDDEN, SENDER]),
        form([HIDDEN, SENDER], "form"),
        form([HIDDEN, SENDER], "submit"),
        form([HIDDEN, SENDER], None),
    ],
)
def test_a_form_that_is_not_of_our_type_is_ignored(x: Element) -> None:
    with pytest.raises(BadDataForm, match="0 data forms"):
        wire.parse_data_form(data(x))
    assert wire.parse_data_form(data(x, form([HIDDEN, SENDER]))).sender_id == "juliet@example.org"


def test_two_forms_of_our_type_are_refused() -> None:
    with pytest.raises(BadDataForm, match="2 data forms"):
        wire.parse_data_form(data(form([HIDDEN, SENDER]), form([HIDDEN, SENDER])))


@pytest.mark.parametrize(
    "fields",
    [
        [HIDDEN, SENDER, SENDER],
        [HIDDEN, SENDER, ({"var": "{urn:x}a"}, ["1"]), ({"var": "{urn:x}a"}, ["2"])],
    ],
)
def test_duplicate_fields_are_refused(fields: list[tuple[dict[str, str], list[str]]]) -> None:
    with pytest.raises(BadDataForm, match="twice"):
        wire.parse_data_form(data(form(fields)))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [None],
        ["a", "b"],
        ["\ta"],
        ["a\nb"],
        ["a\x9bb"],
        ["a\u202eb"],
        ["a\u200bb"],
        [" "],
        ["x" * 1025],
    ],
)
def test_unusable_sender_ids(values: list[str | None]) -> None:
    with pytest.raises(BadDataForm, match="sender_id"):
        wire.parse_data_form(data(form([HIDDEN, ({"var": "sender_id"}, values)])))


@pytest.mark.parametrize(
    "var",
    [
        "",
        "unknown",
        "{}x",
        "{urn:x}",
        "{urn:x} y",
        "{urn:x}y}z",
        "{urn: x}y",
        "{" + "u" * 513 + "}y",
        "{u}" + "y" * 129,
    ],
)
def test_fields_that_are_not_in_clark_notation_are_ignored(var: str) -> None:
    assert not wire.is_clark(var)
    assert wire.parse_data_form(data(form([HIDDEN, SENDER, ({"var": var}, ["x"])]))).fields == {}


def test_a_field_without_a_name_is_ignored() -> None:
    assert wire.parse_data_form(data(form([HIDDEN, SENDER, ({}, ["x"])]))).fields == {}


@pytest.mark.parametrize(
    "fields",
    [
        [({"var": f"{{urn:x}}{number}"}, ["x"]) for number in range(260)],
        [({"var": "{urn:x}huge"}, ["x" * 65_537])],
        [({"var": "{urn:x}many"}, ["x"] * 1025)],
    ],
    ids=["fields", "value", "values"],
)
def test_huge_forms_are_refused(fields: list[tuple[dict[str, str], list[str]]]) -> None:
    with pytest.raises(BadDataForm) as caught:
        wire.parse_data_form(data(form([HIDDEN, SENDER, *fields])))
    assert len(caught.value.text) < 300


def test_other_children_of_the_answer_are_ignored() -> None:
    element = data(Element("{urn:example}x"), form([HIDDEN, SENDER]), Element("x"))
    element[1].append(Element("{jabber:x:data}instructions"))
    assert wire.parse_data_form(element).sender_id == "juliet@example.org"


def test_a_form_that_xml_cannot_carry_is_not_built() -> None:
    with pytest.raises(LocalProtocolError):
        wire.build_data_form(DataForm("juliet\0@example.org"))


# -- <encrypted/> ------------------------------------------------------------------------------------------


def encrypted(text: str = "", *children: Element, **attributes: str) -> Element:
    element = Element(wire.ENCRYPTED_TAG, {"formatter": str(PAIR[0]), "encrypter": str(PAIR[1])} | attributes)
    element.text = text
    element.extend(children)
    return element


def test_encrypted_round_trip() -> None:
    child = Element("{urn:example}child", {"a": "b"})
    child.text = "inner"
    sent = wire.Encrypted(*PAIR, Body("text", (child,)))
    read = wire.parse_encrypted(fromstring(tostring(wire.build_encrypted(sent))))
    assert (read.formatter, read.encrypter, read.body.text) == (*PAIR, "text")
    assert [(each.tag, each.get("a"), each.text) for each in read.body.children] == [
        ("{urn:example}child", "b", "inner")
    ]


def test_text_after_children_is_counted_once() -> None:
    element = fromstring(
        f"<encrypted xmlns='{GRE}' formatter='{PAIR[0]}' encrypter='{PAIR[1]}'>a<x/>b<y/>c</encrypted>"
    )
    read = wire.parse_encrypted(element)
    assert read.body.text == "abc"
    again = wire.parse_encrypted(fromstring(tostring(wire.build_encrypted(read))))
    assert again.body.text == "abc"
    assert [child.tail for child in element] == ["b", "c"]  # the stanza itself is left alone


@pytest.mark.parametrize(
    ("element", "error"),
    [
        (Element("{urn:xmpp:gre:1}encrypted"), BadEncrypted),
        (Element("encrypted"), BadEncrypted),
        (encrypted(""), BadEncrypted),
        (encrypted(" \n\t"), BadEncrypted),
        (Element(wire.ENCRYPTED_TAG), UnknownNamespace),
        (encrypted("x", formatter=""), UnknownNamespace),
        (encrypted("x", formatter=str(PAIR[1])), UnknownNamespace),
        (encrypted("x", encrypter="urn:xmpp:gre:encrypter:e:00"), UnknownNamespace),
        (encrypted("x", encrypter="y" * 1_000_000), UnknownNamespace),
        (encrypted("x", *(Element("y") for _ in range(10_000))), BadEncrypted),
    ],
)
def test_malformed_encrypted(element: Element, error: type[RemoteProtocolError]) -> None:
    with pytest.raises(error) as caught:
        wire.parse_encrypted(element)
    assert 0 < len(caught.value.text) < 600
    assert caught.value.condition
    assert caught.value.error_type


# -- messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stanza_id", ["a\0", "\ud800"])
def test_an_id_that_xml_cannot_carry_is_refused(stanza_id: str) -> None:
    with pytest.raises(LocalProtocolError):
        wire.build_plain("bob@example.org", stanza_id, "text")
    with pytest.raises(LocalProtocolError):
        wire.build_message("bob@example.org", stanza_id, wire.Encrypted(*PAIR, Body("x")))


def test_plain_message() -> None:
    message = wire.build_plain("bob@x", "1", "a\0b", subject="c\x1b", sender="eve@x")
    assert message.attrib == {"to": "bob@x", "type": "chat", "id": "1", "from": "eve@x"}
    assert message.findtext(wire.BODY_TAG) == "a\ufffdb"
    assert message.findtext(wire.SUBJECT_TAG) == "c\ufffd"
    assert message.find(wire.REQUEST_TAG) is not None
    short = wire.build_plain("bob@x", "1", "a", receipt=False)
    assert short.find(wire.REQUEST_TAG) is None
    assert short.find(wire.SUBJECT_TAG) is None


def with_ids(origin: str | None, own: str | None) -> Element:
    message = Element(wire.MESSAGE_TAG, {} if own is None else {"id": own})
    if origin is not None:
        SubElement(message, wire.ORIGIN_TAG, {"id": origin})
    return message


@pytest.mark.parametrize(
    ("origin", "own", "expected"),
    [
        ("o", "s", "o"),
        (None, "s", "s"),
        ("", "s", "s"),
        ("x" * 1025, "s", "s"),
        ("a\nb", "s", "s"),
        (None, None, None),
        (None, "", None),
        (None, "x" * 1025, None),
    ],
)
def test_id_of_a_message(origin: str | None, own: str | None, expected: str | None) -> None:
    assert wire.stanza_id(with_ids(origin, own)) == expected


def test_origin_id_without_id() -> None:
    message = with_ids(None, "s")
    SubElement(message, wire.ORIGIN_TAG)
    assert wire.stanza_id(message) == "s"


@pytest.mark.parametrize(
    ("jid", "bare", "domain"),
    [
        ("a@b/c@d/e", "a@b", "b"),
        ("b/c", "b", "b"),
        ("b", "b", "b"),
        ("a\\40x@b", "a\\40x@b", "b"),
        ("", "", ""),
    ],
)
def test_parts_of_a_jid(jid: str, bare: str, domain: str) -> None:
    assert (wire.bare(jid), wire.domain(jid)) == (bare, domain)


@pytest.mark.parametrize("namespace", ["jabber:client", "jabber:component:accept"])
def test_child_is_in_the_namespace_of_its_stanza(namespace: str) -> None:
    stanza = fromstring(
        f"<message xmlns='{namespace}'><body xmlns='urn:other'>no</body><body>yes</body></message>"
    )
    body = wire.child(stanza, "body")
    assert body is not None
    assert body.text == "yes"
