"""Runs a suite without pytest's own run, and gives what it found: for tools, and for the tests of the kit itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gre_core.testing.conformance.rules import NonConformance

if TYPE_CHECKING:
    from gre_core.testing.conformance.package import PackageConformance
    from gre_core.testing.conformance.provider import ProviderConformance


@dataclass(slots=True)
class Report:
    """What a suite found.

    Attributes:
        passed: names of the tests that passed.
        skipped: reasons by the name of the test.
        broken: the rules that are broken, with the failure, by the name of the test.
        foreign: failures that name no rule, by the name of the test: bugs of the test class or of the kit.
    """

    passed: list[str] = field(default_factory=list[str])
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    broken: dict[str, NonConformance] = field(default_factory=dict[str, NonConformance])
    foreign: dict[str, BaseException] = field(default_factory=dict[str, BaseException])

    @property
    def rules(self) -> set[str]:
        """The ids of the rules that are broken."""
        return {failure.rule.id for failure in self.broken.values()}


def run_suite(suite: type[ProviderConformance | PackageConformance]) -> Report:
    """Call every test of a suite, each on an instance of its own."""
    report = Report()
    for name in sorted(name for name in dir(suite) if name.startswith("test_")):
        try:
            getattr(suite(), name)()
        except pytest.skip.Exception as skipped:
            report.skipped[name] = str(skipped)
        except NonConformance as failure:
            report.broken[name] = failure
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - what it is stands in the report
            report.foreign[name] = error
        else:
            report.passed.append(name)
    return report
