"""Ids that say which mail a plain message was: authenticated, bounded, and found again in what comes back."""

from __future__ import annotations

import pytest
from gre_gateway_email.mail.reply_ids import (
    MAX_STANZA_ID,
    MAX_THREAD,
    ReplyIds,
    first_listed,
    stored_id,
)
from gre_gateway_email.relaying.reading import read_header
from hypothesis import given
from hypothesis import strategies as st

IDS = ReplyIds(b"s" * 32)
STORED = "0123456789abcdef" * 2
JULIET = "juliet@localhost"
visible = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>")


@given(
    st.text(visible, min_size=1, max_size=60), st.text(visible, min_size=1, max_size=60), st.integers(0, 99)
)
def test_what_was_said_is_read_again(left, right, part):
    message_id = f"{left}@{right}"
    stanza_id = IDS.stanza_id(STORED, JULIET, message_id)
    assert IDS.mail_of(stanza_id, JULIET) == message_id
    assert IDS.mail_of(f"{stanza_id}-{part}", JULIET) == message_id
    assert stored_id(stanza_id) == STORED
    assert stored_id(f"{stanza_id}-{part}", parts=True) == STORED
    assert stored_id(f"{stanza_id}-{part}") == f"{stanza_id}-{part}", (
        "a receipt for a part is none for the whole"
    )
    assert IDS.mail_of(stanza_id, "romeo@localhost") is None
    assert ReplyIds(b"t" * 32).mail_of(stanza_id, JULIET) is None
    thread = IDS.thread(JULIET, message_id)
    assert IDS.first_of(thread, JULIET) == message_id
    assert IDS.first_of(thread, "romeo@localhost") is None
    assert IDS.first_of(stanza_id, JULIET) is None
    assert IDS.mail_of(thread, JULIET) is None


@given(st.text())
def test_other_ids_are_left_as_they_are(text):
    assert IDS.mail_of(text, JULIET) is None
    assert IDS.first_of(text, JULIET) is None
    assert stored_id(text) == text


@pytest.mark.parametrize(
    "message_id",
    ["", "no-at", "a b@c", "a@b\r\nBcc: x@y.z", "ä@b", "<a@b", "a@b>", "a" * 130 + "@example.net"],
)
def test_what_cannot_be_said_is_not(message_id):
    assert IDS.stanza_id(STORED, JULIET, message_id) == STORED
    assert stored_id(STORED) == STORED


def test_both_are_short_enough_for_servers():
    longest = max((IDS.stanza_id(STORED, JULIET, f"{'a' * n}@b.example") for n in range(200)), key=len)
    assert len(longest) == MAX_STANZA_ID
    assert IDS.thread(JULIET, "a" * 600 + "@b") is None
    assert len(IDS.thread(JULIET, "a" * 480 + "@b")) <= MAX_THREAD


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ("", "own@example.net"),
        ("References: <1@x> <2@x>\r\n <3@x>\r\nIn-Reply-To: <3@x>\r\n", "1@x"),
        ("In-Reply-To: Your message <3@x> of today\r\n", "3@x"),
        ("References: none\r\n", "own@example.net"),
        ("References: <a b@x> <4@x>\r\n", "4@x"),
        ("References: " + "<" * 50_000 + "\r\n", "own@example.net"),
    ],
)  # fmt: skip
def test_the_first_mail_of_a_conversation(fields, first):
    mail = f"Message-ID: <own@example.net>\r\n{fields}\r\nText\r\n".encode()
    assert read_header("bob@example.net", mail).first == first
    assert first_listed("x") == ""
