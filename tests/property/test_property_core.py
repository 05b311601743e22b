"""Properties of the pure rooms of the core."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, fromstring, tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gre_core import wire
from gre_core.errors import InvalidAddress, InvalidNamespace, NoCommonGround, NotAGateway, RemoteProtocolError
from gre_core.jid_escape import canonical, contact, escape, unescape
from gre_core.model import Body, DataForm
from gre_core.namespaces import GRE, Kind, Namespace
from gre_core.negotiation import negotiate, rank, read_features
from gre_core.testing.fakes import through_xml
from gre_core.xml_text import clean, has_controls, is_identifier, is_legal, most_bytes, serialised_size

if TYPE_CHECKING:
    from collections.abc import Callable

# -- strategies --------------------------------------------------------------------------------------------------

ILLEGAL = "\ufffe\uffff"
xml_text = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), *ILLEGAL]
    )
    | st.sampled_from("\n\t&<>\"']")
)
names = st.from_regex(re.compile(r"[a-z0-9][a-z0-9_.+-]{0,8}", re.ASCII), fullmatch=True)
few_names = st.sampled_from(["a", "b", "c", "openpgp"])
versions = st.integers(0, 4)


def namespaces(kind: Kind) -> st.SearchStrategy[Namespace]:
    return st.builds(Namespace, st.just(kind), few_names, versions)


formatters = st.lists(namespaces(Kind.FORMATTER), max_size=5)
encrypters = st.lists(namespaces(Kind.ENCRYPTER), max_size=5)
orders = st.lists(few_names, unique=True, max_size=4)
grease = st.lists(
    st.text(max_size=20)
    | st.text(max_size=10).map(lambda text: f"urn:xmpp:gre:{text}")
    | st.text(max_size=10).map(lambda text: f"urn:xmpp:gre:formatter:{text}:00")
    | st.integers(-5, 10**12).map(lambda number: f"urn:xmpp:gre:encrypter:a:0{number}"),
    max_size=8,
)
tags = st.sampled_from(["x", "long-name", "ä", "日本"])
uris = st.sampled_from(["", "u", "urn:x", "urn:example:" + "y" * 40, "urn:a&b"])
keys = st.sampled_from(["k", "long-key", "{u}k", "{urn:x}key", "{http://www.w3.org/XML/1998/namespace}lang"])


def tag(uri: str, name: str) -> str:
    return f"{{{uri}}}{name}" if uri else name


@st.composite
def elements(draw: Callable[..., object], depth: int = 3) -> Element:
    element = Element(tag(draw(uris), draw(tags)))  # type: ignore[arg-type]
    for key, value in draw(st.dictionaries(keys, xml_text, max_size=3)).items():  # type: ignore[attr-defined]
        element.set(key, value)
    element.text = draw(st.none() | xml_text)  # type: ignore[assignment]
    element.tail = draw(st.none() | xml_text)  # type: ignore[assignment]
    if depth:
        element.extend(draw(st.lists(elements(depth - 1), max_size=3)))  # type: ignore[arg-type]
    return element


# -- namespaces ----------------------------------------------------------------------------------------------------


@given(st.builds(Namespace, st.sampled_from(Kind), names, st.integers(0, 999_999_999)))
def test_namespaces_are_read_as_they_are_written(namespace: Namespace) -> None:
    assert Namespace.parse(str(namespace)) == namespace
    assert Namespace.parse(str(namespace), namespace.kind) == namespace


@given(
    st.text()
    | names.map(lambda name: f"urn:xmpp:gre:formatter:{name}:1")
    | st.text().map("urn:xmpp:gre:{}:0".format)
)
def test_one_namespace_has_one_spelling(text: str) -> None:
    try:
        namespace = Namespace.parse(text)
    except InvalidNamespace:
        return
    assert str(namespace) == text


# -- addresses -----------------------------------------------------------------------------------------------------

awkward = st.text(st.sampled_from("\\\"&'/:<>@ 0123456789abcdefABCDEF.x"), max_size=30) | st.text(max_size=30)


@given(awkward)
def test_unescape_undoes_escape(legacy: str) -> None:
    try:
        local = escape(legacy)
    except InvalidAddress:
        return
    assert unescape(local) == legacy
    assert not set(local) & set("\"&'/:<>@ ")
    assert is_legal(local)


@given(awkward)
def test_a_server_that_folds_a_localpart_changes_letters_only(legacy: str) -> None:
    try:
        jid = f"{escape(legacy)}@gateway"
    except InvalidAddress:
        return
    folded = canonical(jid)
    try:
        again, back = contact(jid)
    except InvalidAddress:
        assert not folded.partition("@")[0] or folded.startswith("\\20") or "\\20@" in folded
        return
    assert again == folded
    # Whatever has a meaning in an address is there as often as before.
    for char in "\\\"&'/:<>@ ":
        assert back.count(char) == legacy.count(char)


@given(st.text(max_size=30))
def test_the_canonical_form_is_stable(jid: str) -> None:
    once = canonical(jid)
    assert "/" not in once or not jid.isascii()
    if jid.isascii():
        assert canonical(once) == once


@given(st.text(st.sampled_from("abc\\\"&'/:<>@ 540"), min_size=1, max_size=20))
def test_always_escaping_the_backslash_is_undone_too(legacy: str) -> None:
    table = {"\\": "\\5c", " ": "\\20", '"': "\\22", "&": "\\26", "'": "\\27", "/": "\\2f", ":": "\\3a", "<": "\\3c",
             ">": "\\3e", "@": "\\40"}  # fmt: skip
    local = "".join(table.get(char, char) for char in legacy)
    if legacy.strip(" ") == legacy:
        assert unescape(local) == legacy


# -- texts ---------------------------------------------------------------------------------------------------------


@given(st.text())
def test_what_is_legal_can_be_written_and_read(text: str) -> None:
    element = Element("x")
    element.text = text
    if is_legal(text):
        read = fromstring(tostring(element, encoding="utf-8")).text or ""
        assert read == text.replace("\r\n", "\n").replace("\r", "\n")
    else:
        with pytest.raises((ValueError, SyntaxError)):
            fromstring(tostring(element, encoding="utf-8"))


@given(st.text())
def test_what_was_cleaned_is_legal_and_misleads_nobody(text: str) -> None:
    cleaned = clean(text)
    assert is_legal(cleaned)
    assert not has_controls(re.sub("[\n\t\ufffd]", "", cleaned))
    assert clean(cleaned) == cleaned
    assert len(cleaned) == len(text)


# -- wire ----------------------------------------------------------------------------------------------------------

clark = st.builds("{{{}}}{}".format, st.sampled_from(["urn:x", "urn:xmpp:gre:encrypter:a:0"]), names)
forms = st.builds(
    DataForm,
    xml_text.filter(is_identifier),
    st.dictionaries(clark, st.lists(xml_text, max_size=3).map(tuple), max_size=5),
)


@given(forms)
def test_a_form_survives_the_wire(form: DataForm) -> None:
    assert wire.parse_data_form(fromstring(tostring(wire.build_data_form(form)))) == form


@given(namespaces(Kind.FORMATTER), namespaces(Kind.ENCRYPTER), xml_text, st.lists(elements(), max_size=3))
def test_encrypted_survives_the_wire(
    formatter: Namespace, encrypter: Namespace, text: str, children: list[Element]
) -> None:
    sent = wire.Encrypted(formatter, encrypter, Body(text + ".", tuple(children)))
    once = wire.parse_encrypted(through_xml(wire.build_encrypted(sent)))
    assert (once.formatter, once.encrypter, once.body.text) == (formatter, encrypter, text + ".")
    again = wire.parse_encrypted(through_xml(wire.build_encrypted(once)))
    assert again.body.text == once.body.text
    shapes = [
        [(node.tag, dict(node.attrib), node.text) for node in top.iter()] for top in again.body.children
    ]
    assert shapes == [
        [(node.tag, dict(node.attrib), node.text) for node in top.iter()] for top in once.body.children
    ]


attributes = st.dictionaries(
    st.sampled_from(["formatter", "encrypter", "type", "var"]),
    st.text(max_size=20)
    | st.sampled_from(["result", "hidden", "FORM_TYPE", "sender_id", "urn:xmpp:gre:encrypter:a:0"]),
    max_size=3,
)
protocol_tags = st.sampled_from(
    [
        wire.DATA_TAG,
        wire.ENCRYPTED_TAG,
        "{jabber:x:data}x",
        "{jabber:x:data}field",
        "{jabber:x:data}value",
        "x",
    ]
)


@st.composite
def hostile(draw: Callable[..., object], depth: int = 4) -> Element:
    element = Element(str(draw(protocol_tags)), draw(attributes))  # type: ignore[arg-type]
    element.text = draw(st.none() | st.sampled_from(["urn:xmpp:gre:data", "x"]) | st.text(max_size=10))  # type: ignore[assignment]
    if depth:
        element.extend(draw(st.lists(hostile(depth - 1), max_size=4)))  # type: ignore[arg-type]
    return element


@given(hostile())
def test_whatever_comes_is_read_or_refused_with_a_text(element: Element) -> None:
    for tag_, parse in (
        (wire.DATA_TAG, wire.parse_data_form),
        (wire.DATA_TAG, wire.parse_data_request),
        (wire.ENCRYPTED_TAG, wire.parse_encrypted),
    ):
        for candidate in (element, retagged(element, tag_)):
            try:
                parse(candidate)
            except RemoteProtocolError as error:
                assert 0 < len(error.text) < 1000  # noqa: PT017 - reading it is just as good


def retagged(element: Element, tag_: str) -> Element:
    copy = Element(tag_, element.attrib)
    copy.text = element.text
    copy.extend(element)
    return copy


def written_by_slixmpp(element: Element) -> str:
    from slixmpp.xmlstream.tostring import tostring as slixmpp_tostring

    return slixmpp_tostring(element, top_level=True)


@given(elements())
def test_the_size_is_never_too_small(element: Element) -> None:
    size = serialised_size(element)
    assert (
        len(tostring(element, encoding="utf-8").partition(b"?>\n")[2] or tostring(element, encoding="utf-8"))
        <= size
    )
    assert len(written_by_slixmpp(element).encode()) <= size
    assert size <= most_bytes(element)


def test_the_size_is_never_too_small_for_many_namespaces() -> None:
    element = Element("x")
    for number in range(3000):
        child = Element(f"{{u{number}}}y", {f"{{v{number}}}k": "\n"})
        element.append(child)
    assert len(tostring(element, encoding="utf-8")) <= serialised_size(element) <= most_bytes(element)


@pytest.mark.parametrize("char", ["x", "&", '"', "'", "\t", "\n", "\xe4", "\u20ac", "\U0001f40c"])
def test_the_quick_bound_is_never_too_small(char: str) -> None:
    for element in (
        Element("x", {"k": char * 1000}),
        Element(f"{{{char}}}x", {f"{{{char}}}{char}": ""}),
        Element(char * 100),
    ):
        element.text = element.tail = char * 1000
        element.append(Element("y"))
        assert serialised_size(element) <= most_bytes(element)


# -- negotiation -----------------------------------------------------------------------------------------------------


@given(formatters, encrypters, formatters, encrypters, orders, orders, grease, st.randoms())
def test_negotiation(
    our_formatters: list[Namespace],
    our_encrypters: list[Namespace],
    their_formatters: list[Namespace],
    their_encrypters: list[Namespace],
    formatter_order: list[str],
    encrypter_order: list[str],
    noise: list[str],
    random: object,
) -> None:
    features = [GRE, *map(str, their_formatters), *map(str, their_encrypters)]

    def choose(
        features: list[str], refused: set[tuple[Namespace, Namespace]]
    ) -> tuple[Namespace, Namespace] | None:
        try:
            return negotiate(
                our_formatters,
                our_encrypters,
                read_features(features),
                formatter_order=formatter_order,
                encrypter_order=encrypter_order,
                refused=refused,
            ).pair
        except NoCommonGround as error:
            assert error.text  # noqa: PT017
            return None

    common = {
        (f, e)
        for f in set(our_formatters) & set(their_formatters)
        for e in set(our_encrypters) & set(their_encrypters)
    }
    refused: set[tuple[Namespace, Namespace]] = set()
    order = []
    while (pair := choose(features, refused)) is not None:
        assert pair in common - refused
        refused.add(pair)
        order.append(pair)
    assert set(order) == common  # every common pair has its turn, none twice
    if not order:
        return
    formatter, encrypter = order[0]
    for chosen, ours, theirs, preferred in (
        (formatter, our_formatters, their_formatters, formatter_order),
        (encrypter, our_encrypters, their_encrypters, encrypter_order),
    ):
        both = set(ours) & set(theirs)
        assert chosen.version == max(each.version for each in both if each.name == chosen.name)
        assert all(rank(chosen, preferred)[0] <= rank(each, preferred)[0] for each in both)
    shuffled = [*features, *(text for text in noise if text not in features)]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    known = read_features(noise)
    if not known.formatters and not known.encrypters:
        assert choose(shuffled, set()) == order[0]  # neither order nor grease changes the choice


@given(st.lists(st.text() | st.sampled_from([GRE, "urn:xmpp:gre:encrypted_only:0"])))
def test_any_features_can_be_read(features: list[str]) -> None:
    offer = read_features(features)
    assert offer.gre == (GRE in features)
    assert offer.encrypted_only == ("urn:xmpp:gre:encrypted_only:0" in features)
    if not offer.gre:
        with pytest.raises(NotAGateway):
            negotiate([], [], offer)
