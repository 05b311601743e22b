"""The choice of a pair, and what is said when there is none."""

from __future__ import annotations

import pytest

from gre_core.errors import NoCommonGround, NotAGateway
from gre_core.namespaces import ENCRYPTED_ONLY, GRE, encrypter, formatter
from gre_core.negotiation import MAX_FEATURES, Offer, negotiate, rank, read_features

MIME, JSON = formatter("mime"), formatter("json")
PGP, AGE = encrypter("openpgp"), encrypter("age")


def offer(*namespaces: object) -> Offer:
    return read_features([GRE, *map(str, namespaces)])


def test_features_are_sorted() -> None:
    found = read_features(
        [GRE, ENCRYPTED_ONLY, str(MIME), str(PGP), "urn:xmpp:ping", "urn:xmpp:gre:nonsense"]
    )
    assert found == Offer(True, True, frozenset({MIME}), frozenset({PGP}))
    assert read_features([]) == Offer(False, False, frozenset(), frozenset())


def test_no_more_features_are_read_than_is_reasonable() -> None:
    junk = (f"urn:xmpp:gre:encrypter:junk{number}:0" for number in range(10**9))
    assert len(read_features(junk).encrypters) == MAX_FEATURES


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ([PGP], [PGP], "openpgp:0 is the only one that both have"),
        ([PGP, encrypter("openpgp", 1)], [PGP, encrypter("openpgp", 1)], "openpgp:1 is the highest version"),
        ([PGP, AGE], [PGP, AGE], "age:0 comes first by name"),
    ],
)
def test_the_reason_is_given(ours: list[object], theirs: list[object], reason: str) -> None:
    agreement = negotiate([MIME], ours, offer(MIME, *theirs))  # type: ignore[arg-type]
    assert reason in agreement.reason
    assert agreement.pair == (agreement.formatter, agreement.encrypter)


def test_the_policy_is_the_reason() -> None:
    agreement = negotiate([MIME], [PGP, AGE], offer(MIME, PGP, AGE), encrypter_order=["openpgp"])
    assert agreement.encrypter == PGP
    assert "openpgp:0 comes first in the policy" in agreement.reason


def test_refused_pairs_are_named_in_the_reason() -> None:
    agreement = negotiate([MIME, JSON], [PGP], offer(MIME, JSON, PGP), refused={(JSON, PGP)})
    assert agreement.pair == (MIME, PGP)
    assert "1 other pair(s) refused" in agreement.reason


def test_the_better_encrypter_matters_more_than_the_better_formatter() -> None:
    agreement = negotiate(
        [MIME, JSON],
        [PGP, AGE],
        offer(MIME, JSON, PGP, AGE),
        formatter_order=["mime"],
        encrypter_order=["openpgp"],
        refused={(MIME, PGP)},
    )
    assert agreement.pair == (JSON, PGP)


def test_not_a_gateway() -> None:
    with pytest.raises(NotAGateway, match=GRE):
        negotiate([MIME], [PGP], read_features([str(MIME), str(PGP)]))


def refusal(
    formatters: list[object], encrypters: list[object], theirs: Offer, **options: object
) -> NoCommonGround:
    with pytest.raises(NoCommonGround) as caught:
        negotiate(formatters, encrypters, theirs, **options)  # type: ignore[arg-type]
    return caught.value


def test_what_to_install() -> None:
    error = refusal([JSON], [AGE], offer(MIME, PGP))
    assert "they offer mime:0, we have json:0" in error.text
    assert "gre-formatter-mime or gre-encrypter-openpgp" in error.text
    assert error.params["install"] == ["gre-formatter-mime", "gre-encrypter-openpgp"]


def test_another_version_of_what_they_offer_is_to_be_updated() -> None:
    error = refusal([MIME], [PGP], offer(formatter("mime", 1), PGP))
    assert "they offer mime:1, we have mime:0" in error.text
    assert "update gre-formatter-mime." in error.text


def test_the_advice_warns_of_packages_that_the_peer_names() -> None:
    error = refusal([MIME], [PGP], offer(MIME, encrypter("openpgp-pro")))
    assert "only from somebody whom you trust" in error.text


def test_a_long_offer_makes_no_long_text() -> None:
    error = refusal([MIME], [PGP], offer(MIME, *(encrypter(f"x{number}") for number in range(1500))))
    assert len(error.text) < 1500
    assert len(str(error.params)) < 5000


def test_a_peer_without_any_is_told_apart() -> None:
    error = refusal([MIME], [PGP], offer())
    assert "they offer none" in error.text
    assert "Ask the operator" in error.text


def test_when_all_were_refused() -> None:
    error = refusal([MIME], [PGP], offer(MIME, PGP), refused={(MIME, PGP)})
    assert "mime+openpgp" in error.text


def test_rank() -> None:
    assert sorted([encrypter("b"), encrypter("a", 1), encrypter("a", 2)], key=lambda ns: rank(ns, ())) == [
        encrypter("a", 2),
        encrypter("a", 1),
        encrypter("b"),
    ]
    assert rank(encrypter("b"), ["b"]) < rank(encrypter("a"), ["b"])
