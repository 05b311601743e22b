"""The comparison of Sequoia and PGPy finds faults: each of these, planted in the code by PGPy, is noticed.

What both share is not compared with anything, so nothing is planted there; the guards of it have tests of their own.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from gre_encrypter_openpgp_pgpy import certificate, numbers, signatures
from gre_encrypter_openpgp_pgpy.certificate import Certificate, Key, Part
from gre_encrypter_openpgp_pgpy.signatures import Signature
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Plant = pytest.MonkeyPatch
Compare = Callable[[Any], None]
FAULTS: list[tuple[str, Callable[[Plant], None], Compare]] = []

once = settings(
    max_examples=400,
    phases=[Phase.explicit, Phase.generate],  # found is found: nothing has to be made smaller
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module")
def random_keys() -> Any:
    """The tests with random keys."""
    path = Path(__file__).with_name("test_pgpy_random_keys.py")
    spec = importlib.util.spec_from_file_location("gre_random_keys_planted", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def compare_keys(module: Any) -> None:
    once(given(module.keys())(module.test_both_say_the_same_of_a_random_key.hypothesis.inner_test))()


def compare_signatures(module: Any) -> None:
    check = module.test_both_judge_a_signature_by_a_random_key_the_same.hypothesis.inner_test
    once(given(module.keys(), st.integers(-99, 1), module.hashes)(check))()


def fault(found_by: Compare) -> Callable[[Callable[[Plant], None]], Callable[[Plant], None]]:
    """Register one, whose name says what is wrong, with the comparison that finds it."""

    def register(plant: Callable[[Plant], None]) -> Callable[[Plant], None]:
        FAULTS.append((plant.__name__, plant, found_by))
        return plant

    return register


@fault(compare_signatures)
def weak_hashes_count(patch: Plant) -> None:
    patch.setitem(numbers.HASHES, 2, hashes.SHA1)


@fault(compare_keys)
def no_revocation_counts(patch: Plant) -> None:
    patch.setattr(Part, "revoked", lambda *_: False)


@fault(compare_signatures)
def a_stolen_key_proves_what_is_older(patch: Plant) -> None:
    patch.setattr(certificate, "_SOFT", frozenset({1, 2, 3, 32}))


@fault(compare_keys)
def a_revocation_without_a_reason_is_soft(patch: Plant) -> None:
    patch.setattr(certificate, "_SOFT", frozenset({1, 3, 32, None}))


@fault(compare_keys)
def anybody_revokes(patch: Plant) -> None:
    valid = Certificate._valid
    kinds = {certificate.KEY_REVOCATION, certificate.SUBKEY_REVOCATION, certificate.NAME_REVOCATION}
    patch.setattr(
        Certificate, "_valid", lambda self, each, *rest: each.type in kinds or valid(self, each, *rest)
    )


@fault(compare_signatures)
def a_subkey_need_not_sign_its_binding(patch: Plant) -> None:
    valid = Certificate._valid
    patch.setattr(
        Certificate,
        "_valid",
        lambda self, each, *rest: each.type == signatures.BACK or valid(self, each, *rest),
    )


@fault(compare_keys)
def what_is_critical_and_unknown_is_passed_over(patch: Plant) -> None:
    patch.setattr(signatures, "_UNDERSTOOD", signatures._UNDERSTOOD | {101})


@fault(compare_keys)
def a_signature_never_ends(patch: Plant) -> None:
    patch.setattr(Signature, "alive", lambda self, now: not self.strange and (self.created or 0) <= now)


@fault(compare_signatures)
def a_key_never_ends(patch: Plant) -> None:
    patch.setattr(Key, "lives", lambda self, time, _: self.created <= time)


@fault(compare_signatures)
def a_key_proves_nothing_after_its_end(patch: Plant) -> None:
    signs = Certificate.signs
    now = time.time()
    patch.setattr(Certificate, "signs", lambda self, key, _: signs(self, key, now))


@fault(compare_signatures)
def what_a_key_is_for_is_not_looked_at(patch: Plant) -> None:
    patch.setattr(Certificate, "flags", lambda *_: 0xFF)


@fault(compare_keys)
def the_oldest_statement_counts(patch: Plant) -> None:
    def oldest(self: Part, time: float) -> Signature | None:
        found = [each for each in self.said if each.when <= time and each.alive(time)]
        return min(found, key=lambda each: each.when, default=None)

    patch.setattr(Part, "newest", oldest)


@fault(compare_keys)
def the_main_name_is_not_asked_first(patch: Plant) -> None:
    def said(self: Certificate, time: float) -> tuple[Signature, ...]:
        found = [each for name in self.names if (each := name.newest(time)) is not None]
        direct = self.primary.newest(time)
        return (*sorted(found, key=lambda each: each.when)[-1:], *([] if direct is None else [direct]))

    patch.setattr(Certificate, "said", said)


@fault(compare_keys)
def ended_subkeys_are_encrypted_to(patch: Plant) -> None:
    encrypting = Certificate.encrypting
    patch.setattr(
        Certificate, "encrypting", lambda self, time, ended=False: encrypting(self, time, ended=True)
    )


@fault(compare_keys)
def what_was_made_before_its_key_counts(patch: Plant) -> None:
    def made_by(signature: Signature, over: bytes, key: Key, accepted: Any = numbers.HASHES) -> bool:
        made = accepted.get(signature.hash)
        return made is not None and numbers.verify(key.numbers, signature.over(over), made, signature.fields)

    patch.setattr(certificate, "made_by", made_by)


@pytest.mark.parametrize(("plant", "compare"), [pytest.param(*each[1:], id=each[0]) for each in FAULTS])
def test_a_planted_fault_is_noticed(
    plant: Callable[[Plant], None], compare: Compare, random_keys: Any, monkeypatch: Plant
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        compare(random_keys)


@pytest.mark.parametrize("compare", [compare_keys, compare_signatures])
def test_nothing_is_noticed_where_nothing_was_planted(compare: Compare, random_keys: Any) -> None:
    compare(random_keys)
