"""What may be a mail address after XEP-0106 was undone."""

from __future__ import annotations

import pytest
from gre_gateway_email.mail.addresses import check_address, composed, domain_of, on_the_wire
from hypothesis import given
from hypothesis import strategies as st
from slixmpp import JID

from gre_core.errors import InvalidAddress
from gre_core.jid_escape import escape, unescape

GOOD = [
    "alice@example.org", "a@b.co", "alice+tag@mail.example.org", "o'brien@example.org", "x_y-z=1@sub.example.org",
    "prvs=123=alice@example.org", "a.b.c@example.org", "ALICE@Example.ORG", "user%other.org@relay.example",
    "\u00fcnal@example.org", "\u7528\u6237@\u4f8b\u3048.jp", "\u00dcnal@B\u00fccher.example", "\u0434\u0443\u0448\u0430@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
    "\u0905\u091c\u092f@\u0921\u093e\u091f\u093e.\u092d\u093e\u0930\u0924", "\u0623\u062d\u0645\u062f@\u0645\u062b\u0627\u0644.\u0627\u062e\u062a\u0628\u0627\u0631",
    "a!b@example.org", "bob@xn--bcher-kva.example", "a" * 64 + "@example.org",
]  # fmt: skip


@pytest.mark.parametrize("address", GOOD)
def test_addresses_that_pass(address):
    check_address(address)


BAD = {
    "": "empty",
    "alice": "one @",
    "@example.org": "one @",
    "alice@": "one @",
    "a@b@example.org": "more than one @",
    "a,b@x.org": '"," is not allowed',
    '"a b"@example.org': "is not allowed",
    "a b@example.org": "a space is not allowed",
    "a<b@example.org": "is not allowed",
    "a>b@example.org": "is not allowed",
    "a:b@example.org": "is not allowed",
    "a;b@example.org": "is not allowed",
    "a\\b@example.org": "is not allowed",
    "a(b)@example.org": "is not allowed",
    "a[b]@example.org": "is not allowed",
    "a\r\nRCPT TO:<eve@example.org>@example.org": "control character",
    "a\nb@example.org": "control character",
    "a\0b@example.org": "control character",
    "a\x7fb@example.org": "control character",
    "alice@exa\0mple.org": "control character",
    ".alice@example.org": "a dot stands",
    "alice.@example.org": "a dot stands",
    "a..b@example.org": "a dot stands",
    "a" * 65 + "@example.org": "longer than 64",
    "a@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 63 + "." + "e" * 63: "longer than 254",
    "a@" + "b" * 64 + ".org": "not a domain",
    "stra\u00dfe@example.org": "would become others",
    "\u03c2@example.org": "would become others",
    "\ufb01@example.org": "would become others",
    "\uff41lice@example.org": "would become others",
    "e\u0301@example.org": "not composed",
    "a\u200db@example.org": "U+200D",
    "a\u00adb@example.org": "U+00AD",
    "alice\u202ecod@example.org": "U+202E",
    "alice\u2028@example.org": "U+2028",
    "alice\uff20evil.example@example.org": "U+FF20",
    "alice@example\u3002org": "U+3002",
    "alice@example\uff0eorg": "U+FF0E",
    "alice\u00a0@example.org": "U+00A0",
    "alice\ud800@example.org": "U+D800",
    "alice\u0085@example.org": "U+0085",
    "\u0378lice@example.org": "U+0378",
    "\u0623\u062d\u0645\u062f@example.org": "both directions",
    "\u00e4" * 33 + "@example.org": "longer than 64",
    "alice@\u00e4\u0308\u0378.example": "U+0378",
    "alice@xn--\u00fc.example": "not a domain",
    "alice@" + "\u00fc" * 60 + ".example": "not a domain",
    "alice@[127.0.0.1]": "address literal",
    "alice@[IPv6:::1]": "address literal",
    "alice@127.0.0.1": "not a full domain",
    "alice@localhost": "not a full domain",
    "alice@example..org": "not a domain",
    "alice@.example.org": "not a domain",
    "alice@example.org.": "not a domain",
    "alice@-example.org": "not a domain",
    "alice@example-.org": "not a domain",
    "alice@exam_ple.org": "not a domain",
    "alice@example.org>,<eve@example.org": "more than one @",
    "alice@example.org SIZE=1": "not a domain",
}


@pytest.mark.parametrize("address", BAD, ids=[f"{n}-{why}" for n, why in enumerate(BAD.values())])
def test_addresses_that_are_refused_with_a_reason(address):
    with pytest.raises(InvalidAddress) as refused:
        check_address(address)
    assert BAD[address] in refused.value.text
    assert "\r" not in refused.value.text
    assert "\n" not in refused.value.text
    assert len(refused.value.text) < 400


def test_only_the_domain_is_given_for_logs():
    assert domain_of("alice@example.org") == "example.org"
    assert domain_of("nothing") == ""


@given(st.one_of(st.from_regex(r"\w{1,12}@\w{1,12}\.\w{2,5}", fullmatch=True), st.sampled_from(GOOD)))
def test_what_passes_comes_out_of_a_jid_as_it_went_in_but_for_case(address):
    try:
        check_address(address)
    except InvalidAddress:
        return
    jid = JID(f"{escape(address)}@mail.localhost")
    assert unescape(jid.user) == address.lower()
    check_address(address.lower())
    assert all(ord(char) > 32 for char in on_the_wire(address))


def test_only_the_local_part_needs_more_than_ascii():
    assert on_the_wire("bob@b\u00fccher.example") == "bob@xn--bcher-kva.example"
    assert on_the_wire("\u00fcnal@b\u00fccher.example") == "\u00fcnal@b\u00fccher.example"
    assert on_the_wire("bob@example.org") == "bob@example.org"
    assert composed("e\u0301@example.org") == "\u00e9@example.org"
