"""Random values: a rule that is broken comes out as such, also when it is broken only now and then."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import strategies as st

from gre_core.testing.conformance import NonConformance, demand
from gre_core.testing.conformance.strategies import explore


def test_the_smallest_value_comes_out() -> None:
    with pytest.raises(NonConformance, match="found:  10\\n"):
        explore(st.integers(), 100, lambda value: demand(value < 10, "no-state", f"{value}"))


def test_two_rules_are_not_mixed() -> None:
    def check(value: int) -> None:
        demand(value < 10, "no-state")
        demand(value > -10, "title")

    with pytest.raises(NonConformance):
        explore(st.integers(), 100, check)


def test_what_is_broken_now_and_then_comes_out_as_well() -> None:
    calls = count(1)
    with pytest.raises(NonConformance, match="no-state"):
        explore(st.integers(), 100, lambda _: demand(next(calls) % 10, "no-state"))


def test_a_bug_of_the_check_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        explore(st.integers(), 100, lambda value: demand(1 / value, "no-state"))
