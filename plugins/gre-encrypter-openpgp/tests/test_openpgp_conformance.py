"""The encrypter keeps what the conformance kit demands."""

from __future__ import annotations

from gre_encrypter_openpgp.plugin import gre_encrypters

from gre_core.testing.conformance import EncrypterConformance, PackageConformance


class TestOpenPGP(EncrypterConformance):
    provider = next(iter(gre_encrypters()))


class TestPackage(PackageConformance):
    distribution = "gre-encrypter-openpgp"
