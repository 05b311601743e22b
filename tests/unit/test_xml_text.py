"""What XML can carry, and texts of unknown origin."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.errors import LocalProtocolError
from gre_core.xml_text import (
    clean,
    depth_within,
    has_controls,
    is_identifier,
    is_legal,
    local_name,
    replace_illegal,
    require_legal,
    serialised_size,
)


@pytest.mark.parametrize(
    "text", ["", "plain", "tab\tand\nnewline\r", "日本語", "\u00a0", "😀", "\x85", "\u202e"]
)
def test_legal(text: str) -> None:
    assert is_legal(text)
    assert require_legal(text, "It") == text
    assert replace_illegal(text) == text


@pytest.mark.parametrize("text", ["\0", "a\x0bb", "\x1b[31m", "\ud800", "\ufffe", "\uffff"])
def test_illegal(text: str) -> None:
    assert not is_legal(text)
    with pytest.raises(LocalProtocolError, match="It has"):
        require_legal(text, "It")
    assert "\ufffd" in replace_illegal(text)


@pytest.mark.parametrize(
    "text", ["\x9b31m", "\u202eevil", "\u2066x", "\u200b", "\ufeff", "\U000e0041", "\x1b"]
)
def test_what_misleads_is_replaced_in_texts_of_others(text: str) -> None:
    assert has_controls(text)
    assert not is_identifier(f"a{text}b@example.org")
    assert text[0] not in clean(f"before {text} after")


def test_lines_and_words_of_others_stay() -> None:
    assert clean("first\nsecond\tთარიღი 日本語") == "first\nsecond\tთარიღი 日本語"
    assert clean("a\u200db") == "a\u200db"  # a joiner is needed in some scripts


@pytest.mark.parametrize("text", ["", " ", " a", "a ", "a\n", "x" * 1025])
def test_no_identifier(text: str) -> None:
    assert not is_identifier(text)


@pytest.mark.parametrize("text", ["a", "juliet@example.org", "+49 30 1234", "日本@例え.jp", "x" * 1024])
def test_identifier(text: str) -> None:
    assert is_identifier(text)


def test_local_name() -> None:
    assert local_name("{urn:x}y") == ("urn:x", "y")
    assert local_name("y") == ("", "y")


def test_depth_and_number_are_bounded_without_recursion() -> None:
    deep = element = Element("a")
    for _ in range(50_000):
        element = SubElement(element, "a")
    assert not depth_within(deep)
    wide = Element("a")
    wide.extend(Element("b") for _ in range(10))
    assert depth_within(wide, depth=2, elements=11)
    assert not depth_within(wide, depth=2, elements=10)
    assert not depth_within(wide, depth=1)


def test_size_is_not_far_too_large_for_a_long_text() -> None:
    element = Element("{urn:xmpp:gre:0}encrypted")
    element.text = "QUJD" * 10_000 + "\n"
    assert 40_000 < serialised_size(element) < 40_200
