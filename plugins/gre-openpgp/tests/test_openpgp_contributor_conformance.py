"""The contributor and its package keep what the conformance kit demands."""

from __future__ import annotations

from gre_openpgp.plugin import gre_data_fields

from gre_core.testing.conformance import DataContributorConformance, PackageConformance


class TestFingerprints(DataContributorConformance):
    provider = next(iter(gre_data_fields()))


class TestPackage(PackageConformance):
    distribution = "gre-openpgp"
