"""The URN grammar of formatters and encrypters."""

from __future__ import annotations

import pytest

from gre_core.errors import InvalidNamespace
from gre_core.namespaces import Kind, Namespace, encrypter, formatter, package_for


def test_parse_gives_the_parts() -> None:
    namespace = Namespace.parse("urn:xmpp:gre:formatter:mime:12")
    assert (namespace.kind, namespace.name, namespace.version) == (Kind.FORMATTER, "mime", 12)
    assert str(namespace) == "urn:xmpp:gre:formatter:mime:12"
    assert repr(namespace) == "Namespace('urn:xmpp:gre:formatter:mime:12')"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urn:xmpp:gre:0",
        "urn:xmpp:gre:formatter:mime",
        "urn:xmpp:gre:formatter:mime:",
        "urn:xmpp:gre:formatter:mime:00",
        "urn:xmpp:gre:formatter:mime:01",
        "urn:xmpp:gre:formatter:mime:-1",
        "urn:xmpp:gre:formatter:mime:1.0",
        "urn:xmpp:gre:formatter:mime:0 ",
        "urn:xmpp:gre:formatter:mime:0\n",
        "\nurn:xmpp:gre:formatter:mime:0",
        "urn:xmpp:gre:formatter:mime:٠",
        "urn:xmpp:gre:formatter:mime:1000000000",
        "urn:xmpp:gre:formatter::0",
        "urn:xmpp:gre:formatter:-mime:0",
        "urn:xmpp:gre:formatter:MIME:0",
        "urn:xmpp:gre:formatter:mímè:0",
        "urn:xmpp:gre:formatter:mi:me:0",
        "urn:xmpp:gre:formatter:" + "x" * 65 + ":0",
        "urn:xmpp:gre:compressor:mime:0",
        "URN:xmpp:gre:formatter:mime:0",
        "x" * 1_000_000,
    ],
)
def test_what_is_no_namespace_is_refused(text: str) -> None:
    with pytest.raises(InvalidNamespace) as caught:
        Namespace.parse(text)
    assert len(caught.value.text) < 300


@pytest.mark.parametrize("kind", Kind)
def test_the_other_kind_is_refused(kind: Kind) -> None:
    other = next(each for each in Kind if each is not kind)
    text = f"urn:xmpp:gre:{other}:x:0"
    assert Namespace.parse(text).kind is other
    with pytest.raises(InvalidNamespace):
        Namespace.parse(text, kind)


def test_limits_are_inclusive() -> None:
    assert Namespace.parse("urn:xmpp:gre:formatter:" + "x" * 64 + ":999999999").version == 999_999_999


@pytest.mark.parametrize(
    ("name", "version"), [("", 0), ("A", 0), ("x" * 65, 0), ("a b", 0), ("a", -1), ("a", 10**9)]
)
def test_a_namespace_cannot_be_made_of_wrong_parts(name: str, version: int) -> None:
    with pytest.raises(InvalidNamespace):
        formatter(name, version)


def test_order_is_by_version_as_a_number() -> None:
    assert max(encrypter("x", 9), encrypter("x", 10)) == encrypter("x", 10)
    assert sorted([formatter("b", 1), formatter("a", 2)]) == [formatter("a", 2), formatter("b", 1)]


def test_package_of_a_namespace() -> None:
    assert package_for(formatter("my_format.x")) == "gre-formatter-my-format-x"
