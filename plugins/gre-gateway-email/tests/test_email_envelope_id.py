"""ENVID tokens say which message a mail was, and nobody else can make one."""

from __future__ import annotations

import re

import pytest
from gre_gateway_email.mail.envelope_id import Original, envelope_id, read_envelope_id
from hypothesis import given
from hypothesis import strategies as st

SECRET = b"0123456789abcdef"
JULIET = "juliet@xmpp.example"


@given(st.text(max_size=90), st.text(max_size=50), st.booleans())
def test_what_goes_in_comes_out(stanza_id, user, several):
    token = envelope_id(SECRET, stanza_id, user, several=several)
    assert re.fullmatch(r"[A-Za-z0-9._-]{0,100}", token)
    if token:
        assert read_envelope_id(SECRET, token, user) == Original(stanza_id, several)
    else:
        assert len(stanza_id.encode("utf-8", "surrogatepass")) > 61


def test_a_uuid_fits_and_a_longer_id_gives_none():
    assert len(envelope_id(SECRET, "0b9e1f0a-6a65-4e43-9d5e-aa6c2ad0d7c3", JULIET)) == 16 + 1 + 36
    assert envelope_id(SECRET, "x" * 83, JULIET)
    assert not envelope_id(SECRET, "x" * 84, JULIET)


@pytest.mark.parametrize(
    "token",
    ["", "x", "x" * 17, "x" * 5000, "\u2028" * 40, "a" * 16 + "\u00e4", "\ud800" * 20],
)
def test_what_is_no_token_is_refused(token):
    assert read_envelope_id(SECRET, token, JULIET) is None


def test_a_token_is_for_one_user_one_message_and_one_gateway():
    token = envelope_id(SECRET, "m1", JULIET)
    assert read_envelope_id(SECRET, token, JULIET) == Original("m1")
    assert read_envelope_id(SECRET, token, "romeo@xmpp.example") is None
    assert read_envelope_id(b"another secret..", token, JULIET) is None
    for at in range(len(token)):
        other = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert read_envelope_id(SECRET, other, JULIET) is None
