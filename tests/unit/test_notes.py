"""What a gateway notes about a mail travels beside ``<encrypted/>`` and reaches the reader as words of ours."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core import notes, wire
from gre_core.client import Received
from gre_core.errors import LocalProtocolError
from gre_core.testing.scene import ACCOUNT, LEGACY, Scene

ALL = (notes.MIXED_UP, notes.LIST_FOOTER, notes.INLINE, notes.PARTIAL, notes.ATTACHED)


def noted(*codes: str) -> tuple[str, ...]:
    """Let a message with these codes come in, whatever they are; give the codes of the notices."""
    scene = Scene()
    stanza = scene.from_legacy()
    for code in codes:
        SubElement(stanza, notes.NOTE_TAG, {"code": code}).text = "Click here: http://evil.example"
    received = scene.deliver(stanza)
    assert isinstance(received, Received)
    assert not any("evil" in notice.text for notice in received.notices)
    return tuple(notice.code for notice in received.notices)


def test_what_the_gateway_notes_is_shown_with_the_message() -> None:
    scene = Scene()
    stanza = scene.from_legacy()
    encrypted = wire.parse_encrypted(*stanza.findall(wire.ENCRYPTED_TAG))
    pair = encrypted.formatter, encrypted.encrypter
    again = scene.gateway.emit(LEGACY, ACCOUNT, pair, encrypted.body, "x", ALL)
    received = scene.deliver(again)
    assert isinstance(received, Received)
    assert tuple(notice.code for notice in received.notices) == ALL
    assert all(notice.text.endswith(".") for notice in received.notices)


def test_a_message_without_notes_shows_none() -> None:
    assert noted() == ()


def test_unknown_codes_are_ignored() -> None:
    assert noted("verified", "inline", "", "INLINE", "x" * 100_000) == ("inline",)


def test_a_code_counts_once() -> None:
    assert noted("inline", "inline", "partial") == ("inline", "partial")


def test_of_many_notes_only_the_first_are_read() -> None:
    assert noted(*(f"unknown-{number}" for number in range(notes.MAX_NOTES - 1)), "inline", "partial") == (
        "inline",
    )


def test_notes_of_another_namespace_are_none() -> None:
    message = Element(wire.MESSAGE_TAG)
    SubElement(message, "{urn:other}note", {"code": "inline"})
    SubElement(message, notes.NOTE_TAG)
    assert notes.read_notes(message) == ()


def test_the_same_code_is_written_once() -> None:
    written = notes.build_notes(["inline", "partial", "inline"])
    assert [element.get("code") for element in written] == ["inline", "partial"]


@pytest.mark.parametrize("code", ["", "Inline", "two words", "x" * 33, "-x", "inline\n"])
def test_only_codes_are_written(code: str) -> None:
    with pytest.raises(LocalProtocolError):
        notes.build_notes([code])


def test_what_says_that_something_was_left_out_is_known() -> None:
    assert {notes.PARTIAL, notes.LIST_FOOTER} == notes.INCOMPLETE
