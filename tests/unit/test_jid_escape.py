"""XEP-0106, and JIDs as servers compare them."""

from __future__ import annotations

import pytest

from gre_core.errors import InvalidAddress
from gre_core.jid_escape import canonical, contact, escape, unescape

# XEP-0106, section 5.1: "JID Examples"; and the addresses of sections 4 and 5.2.
EXAMPLES = [
    ("space cadet", "space\\20cadet"),
    ('call me "ishmael"', "call\\20me\\20\\22ishmael\\22"),
    ("at&t guy", "at\\26t\\20guy"),
    ("d'artagnan", "d\\27artagnan"),
    ("/.fanboy", "\\2f.fanboy"),
    ("::foo::", "\\3a\\3afoo\\3a\\3a"),
    ("<foo>", "\\3cfoo\\3e"),
    ("user@host", "user\\40host"),
    ("c:\\net", "c\\3a\\net"),
    ("c:\\\\net", "c\\3a\\\\net"),
    ("c:\\cool stuff", "c\\3a\\cool\\20stuff"),
    ("c:\\5commas", "c\\3a\\5c5commas"),
    ("\\3and\\2is\\5cool@example.com", "\\5c3and\\2is\\5c5cool\\40example.com"),
    (
        "here's_a_wild_&_/cr%zy/_address@example.com",
        "here\\27s_a_wild_\\26_\\2fcr%zy\\2f_address\\40example.com",
    ),
    ("tréville@musketeers.lit", "tréville\\40musketeers.lit"),
]


@pytest.mark.parametrize(("legacy", "local"), EXAMPLES)
def test_examples_of_the_xep(legacy: str, local: str) -> None:
    assert escape(legacy) == local
    assert unescape(local) == legacy


@pytest.mark.parametrize("text", ["\\2plus\\2is\\4", "foo\\bar", "foob\\41r", "a\\4", "\\"])
def test_other_sequences_stay_as_they_are(text: str) -> None:
    assert escape(text) == text
    assert unescape(text) == text


@pytest.mark.parametrize(
    ("local", "legacy"), [("foo\\5cbar", "foo\\bar"), ("a\\5c", "a\\"), ("\\5c\\5c", "\\\\")]
)
def test_a_backslash_that_was_escaped_without_need_is_undone(local: str, legacy: str) -> None:
    assert unescape(local) == legacy


def test_unescaping_is_done_once() -> None:
    assert unescape("\\5c40") == "\\40"
    assert unescape("\\5c5c40") == "\\5c40"


@pytest.mark.parametrize(
    "legacy",
    [
        "",
        " a",
        "a ",
        " ",
        "a\0",
        "a\x1f",
        "a\x7f",
        "a\x9f",
        "a\nb",
        "a\u2028b",
        "a\ud800",
        "a\ufffe",
        "x" * 1024,
    ],
)
def test_what_can_be_no_localpart_is_refused(legacy: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        escape(legacy)
    assert len(caught.value.text) < 300


@pytest.mark.parametrize("lookalike", ["\uff20", "\uff0f", "\ufe6b", "\u00a0", "\u3000", "\uff02", "\uff1a"])
def test_what_a_server_would_turn_into_a_forbidden_character_is_refused(lookalike: str) -> None:
    with pytest.raises(InvalidAddress):
        escape(f"bob{lookalike}evil.example")


@pytest.mark.parametrize("local", ["", "\\20a", "a\\20", "\\20", "x" * 1024])
def test_what_is_no_escaped_localpart_is_refused(local: str) -> None:
    with pytest.raises(InvalidAddress):
        unescape(local)


def test_the_longest_localpart_is_taken() -> None:
    assert len(escape("x" * 1023)) == 1023
    assert unescape("x" * 1023) == "x" * 1023


@pytest.mark.parametrize(
    ("jid", "folded"),
    [
        ("Bob\\40Example.org@Gateway.Example/Phone", "bob\\40example.org@gateway.example"),
        ("gateway.example", "gateway.example"),
        ("Straße@example", "strasse@example"),
        ("Ångström@example", "ångström@example"),
        ("A\u030angstro\u0308m@example", "ångström@example"),
        ("ΑΣ@example", "ασ@example"),
        ("\uff22ob@example", "bob@example"),
        ("b\u00adob@example", "bob@example"),
        ("bob@example/A/b", "bob@example"),
    ],
)
def test_canonical_form(jid: str, folded: str) -> None:
    assert canonical(jid) == folded


def test_the_canonical_form_is_what_slixmpp_and_so_servers_make() -> None:
    from slixmpp import JID

    for jid in (
        "Bob\\40Example.org@gateway.example/x",
        "Straße@gateway.example",
        "A\u030aBC@gateway.example",
    ):
        assert canonical(jid) == JID(jid).bare


@pytest.mark.parametrize(
    ("jid", "expected"),
    [
        ("bob\\40example.org@gateway", ("bob\\40example.org@gateway", "bob@example.org")),
        ("BOB@GATEWAY", ("bob@gateway", "bob")),
        ("c\\3Anet@gateway", ("c\\3anet@gateway", "c:net")),
    ],
)
def test_contact(jid: str, expected: tuple[str, str]) -> None:
    assert contact(jid) == expected


@pytest.mark.parametrize(
    "jid",
    [
        "", "gateway", "@gateway", "bob@", "bob@gateway/phone", "bob@gate way", "a@b@gateway", "a b@gateway", 'a"b@g',
        "a\nb@gateway", "bob@gate\nway", "bob\uff20x@gateway", "\\20bob@gateway", "bob\ud800@gateway", "a:b@gateway",
    ],
)  # fmt: skip
def test_what_is_no_contact_is_refused(jid: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        contact(jid)
    assert caught.value.text
