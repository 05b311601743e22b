"""The conformance kit: a plugin's test file is about five lines, and a failure says how to mend it.

::

    from gre_core.testing.conformance import FormatterConformance
    from my_package.plugin import gre_formatters


    class TestMyFormat(FormatterConformance):
        provider = gre_formatters()[0]

Needs the extra ``gre-core[testing]``: pytest and hypothesis.
"""

from __future__ import annotations

from gre_core.testing.conformance.contributor import DataContributorConformance
from gre_core.testing.conformance.encrypters.suite import EncrypterConformance
from gre_core.testing.conformance.formatters.suite import FormatterConformance
from gre_core.testing.conformance.package import PackageConformance
from gre_core.testing.conformance.people import Party, People
from gre_core.testing.conformance.provider import ProviderConformance
from gre_core.testing.conformance.rules import RULES, TABLES, NonConformance, Rule, demand
from gre_core.testing.conformance.running import Report, run_suite

__all__ = [
    "RULES",
    "TABLES",
    "DataContributorConformance",
    "EncrypterConformance",
    "FormatterConformance",
    "NonConformance",
    "PackageConformance",
    "Party",
    "People",
    "ProviderConformance",
    "Report",
    "Rule",
    "demand",
    "run_suite",
]
