"""What may be a mail address after XEP-0106 was undone."""

from __future__ import annotations

import pytest
from gre_gateway_email.mail.addresses import check_address, domain_of

from gre_core.errors import InvalidAddress

GOOD = [
    "alice@example.org", "a@b.co", "alice+tag@mail.example.org", "o'brien@example.org", "x_y-z=1@sub.example.org",
    "prvs=123=alice@example.org", "a.b.c@example.org", "ALICE@Example.ORG", "user%other.org@relay.example",
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
    "ålice@example.org": "outside of ASCII",
    "alice@bücher.example": "SMTPUTF8",
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
