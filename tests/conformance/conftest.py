"""What the tests of the conformance kit share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from gre_core.testing.conformance import ProviderConformance, Report


@pytest.fixture
def brief() -> Generator[None, None, None]:
    """Random messages of a mutant need no shrinking, and are the same ones each time."""
    settings.register_profile("before", settings.default)
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")
    yield
    settings.load_profile("before")


def caught(suite: type[ProviderConformance], rule: str) -> Report:
    """Demand that a mutant breaks its rule and no other."""
    from gre_core.testing.conformance import run_suite

    report = run_suite(suite)
    found: dict[str, Any] = {name: str(each) for name, each in report.broken.items()}
    assert not report.foreign, report.foreign
    assert report.rules == {rule}, found
    return report


@pytest.fixture
def must_break(brief: None) -> Any:
    return caught
