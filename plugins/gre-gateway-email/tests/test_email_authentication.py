"""Authentication-Results: only those of the own mail server, and only what they say for certain."""

from __future__ import annotations

import time

import pytest
from gre_gateway_email.mail.authentication import authenticated_domains, is_aligned, vouching_domains
from hypothesis import given
from hypothesis import strategies as st

OWN = "mx.example.org"
RECEIVED = "Received: from mail.example.net by mx.example.org; Mon, 23 Nov 2026 09:00:00 +0000\r\n"


def mail(*fields: str) -> bytes:
    return (
        "".join(f"{field}\r\n" if not field.endswith("\n") else field for field in fields)
    ).encode() + b"\r\nx"


def results(value: str) -> str:
    return f"Authentication-Results: {value}"


GOOD = {
    "a DKIM signature": "mx.example.org; dkim=pass header.d=example.net header.s=x header.b=AbC/+=",
    "with comments": 'mx.example.org 1; dkim=pass (2048-bit key (good)) reason="fine; ok" header.d=Example.NET',
    "folded": "mx.example.org;\r\n\tspf=pass smtp.mailfrom=a@evil.example;\r\n dkim=pass header.d=example.net",
    "by identity": "mx.example.org; dkim=pass header.i=@example.net header.s=20",
    "DMARC": "mx.example.org; dmarc=pass (p=NONE) header.from=example.net",
    "in capitals": "MX.Example.Org; DKIM=PASS header.d=example.net",
    "second of two": "mx.example.org; dkim=fail header.d=evil.example; dkim=pass header.d=example.net",
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("above", [False, True])
def test_what_the_own_server_says_counts(name, above):
    field = results(GOOD[name])
    raw = mail(field, RECEIVED) if above else mail(RECEIVED, field)
    assert authenticated_domains(raw, OWN) == {"example.net"}
    assert authenticated_domains(raw, OWN.upper()) == {"example.net"}


BAD = {
    "another server": "mx.example.com; dkim=pass header.d=example.net",
    "a longer name": "mx.example.org.evil.example; dkim=pass header.d=example.net",
    "a shorter name": "example.org; dkim=pass header.d=example.net",
    "a signature that failed": "mx.example.org; dkim=fail header.d=example.net",
    "only SPF": "mx.example.org; spf=pass smtp.mailfrom=bob@example.net",
    "words in a reason": 'mx.example.org; dkim=fail reason="; dkim=pass header.d=example.net" header.d=example.com',
    "words in a comment": "mx.example.org; dkim=fail (; dkim=pass header.d=example.net) header.d=example.com",
    "a top-level domain": "mx.example.org; dkim=pass header.d=net",
    "nothing": "mx.example.org; none",
    "an empty field": "",
    "rubbish": "mx.example.org; ;;; dkim=pass=",
    "nested comments": "mx.example.org; dkim=pass " + "(" * 5000 + " header.d=example.net",
    "too long": "mx.example.org; dkim=pass header.d=example.net" + " header.x=y" * 1000,
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_does_not(name):
    assert authenticated_domains(mail(results(BAD[name]), RECEIVED), OWN) == frozenset()


def test_what_was_there_before_the_own_server_does_not_count():
    good = results(GOOD["DMARC"])
    assert authenticated_domains(mail(RECEIVED, RECEIVED, good), OWN) == frozenset()
    assert authenticated_domains(mail(RECEIVED, good), None) == frozenset()
    assert authenticated_domains(b"\r\n" + mail(good), OWN) == frozenset()
    assert authenticated_domains(mail(*["X: y"] * 2000, good), OWN) == frozenset()


OWN_FIELD = results("mx.example.org; dkim=none")
FORGED = {
    "as it is": "mx.example.org; dkim=pass header.d=example.net",
    "with a version": "mx.example.org 1; dkim=pass header.d=example.net",
    "with a comment": "mx.example.org (x); dkim=pass header.d=example.net",
    "in capitals": "MX.EXAMPLE.ORG; DKIM=PASS header.d=example.net",
    "folded": "\r\n\tmx.example.org\r\n ;\r\n\tdkim=pass\r\n\theader.d=example.net",
}


@pytest.mark.parametrize("name", FORGED)
def test_only_the_topmost_field_of_the_own_server_counts(name):
    """RFC 8601, section 5: what a sender wrote stands below."""
    for fields in (
        [RECEIVED, OWN_FIELD, results(FORGED[name])],
        [OWN_FIELD, RECEIVED, results(FORGED[name])],
    ):
        assert authenticated_domains(mail(*fields), OWN) == frozenset()
    forged = results("mx.evil.example; dkim=pass header.d=evil.example")
    assert authenticated_domains(mail(forged, results(FORGED[name]), RECEIVED), OWN) == {"example.net"}


@pytest.mark.parametrize(
    "value",
    [
        '"mx.example.org"; dkim=pass header.d=example.net',
        "(comment) mx.example.org; dkim=pass header.d=example.net",
        "(a (b;)) mx.example.org; dkim=pass header.d=example.net",
        "mx.example.org(c); dkim=pass header.d=example.net",
        "mx.example.org 2; dkim=pass header.d=example.net",
        "mx.example.org 1 1; dkim=pass header.d=example.net",
        "mx.example.org/1; dkim=pass header.d=example.net",
        "mx.example\r\n .org; dkim=pass header.d=example.net",
        "mx.example.org\0; dkim=pass header.d=example.net",
        "mx.example.org\u200b; dkim=pass header.d=example.net",
        "mx.example.org; dkim/2=pass header.d=example.net",
    ],
    ids=range(11),
)
def test_what_programs_could_read_differently_counts_for_nothing(value):
    """A quoted authserv-id is legal; no verifier writes one, and the library does not read it."""
    assert authenticated_domains(mail(results(value), RECEIVED), OWN) == frozenset()


def test_the_verifier_itself_needs_no_name():
    said = ["whatever.example; dkim=pass header.d=example.net", "x; dkim=fail header.d=example.com", "(((;"]
    assert vouching_domains(said, None) == {"example.net"}


def test_a_domain_vouches_for_itself_and_what_is_below():
    proved = frozenset({"example.net", "xn--bcher-kva.example"})
    for address in ("bob@example.net", "bob@Example.NET", "bob@mail.example.net", "bob@b\u00fccher.example"):
        assert is_aligned(address, proved)
    for address in ("bob@badexample.net", "bob@net", "bob", "", "bob@example.net.evil.example", "b@\ud800.x"):
        assert not is_aligned(address, proved)
    assert not is_aligned("bob@hosting.example", frozenset({"evil.hosting.example"}))


@given(st.text(alphabet='abc.;=()"\\ @\t<>,/0', max_size=200))
def test_hostile_fields_never_raise_and_cost_little(text):
    began = time.process_time()
    for value in (text, f"{OWN}; {text}", f"{OWN}; dkim=pass {text}"):
        authenticated_domains(mail(results(value)), OWN)
    assert time.process_time() - began < 2
