from __future__ import annotations
from gre_core.testing.conformance.contributor import DataContributorConformance
from gre_core.testing.conformance.encrypters.suite import EncrypterConformance
from gre_core.testing.conformance.formatters.suite import FormatterConformance
from gre_core.testing.conformance.package import PackageConformance
from gre_core.testing.conformance.people import Party, People
from gre_core.testing.conformance.provider import ProviderConformance
from gre_core.testing.conformance.rules import RULES, TABLES, NonConformance, Rule, demand
from gre_core.testing.conformance.running import Report, run_suite
__all__ = ['RULES', 'TABLES', 'DataContributorConformance', 'EncrypterConformance', 'FormatterConformance', 'NonConformance', 'PackageConformance', 'Party', 'People', 'ProviderConformance', 'Report', 'Rule', 'demand', 'run_suite']
