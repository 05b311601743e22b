"""The conformance kit: what GRE and the contract of gre_core.api ask of this package."""

from gre_core.testing.conformance import (
    DataContributorConformance,
    EncrypterConformance,
    PackageConformance,
)

from gre_encrypter_age.plugin import gre_data_fields, gre_encrypters


class TestAgeEncrypter(EncrypterConformance):
    provider = next(iter(gre_encrypters()))
    signs = False  # age has no signatures


class TestAgeRecipients(DataContributorConformance):
    provider = next(iter(gre_data_fields()))


class TestPackage(PackageConformance):
    distribution = "gre-encrypter-age"
