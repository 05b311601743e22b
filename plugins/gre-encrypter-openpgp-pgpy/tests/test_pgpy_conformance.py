"""The encrypter by PGPy keeps what the conformance kit demands."""

from __future__ import annotations

from gre_encrypter_openpgp_pgpy.plugin import gre_encrypters

from gre_core.testing.conformance import EncrypterConformance, PackageConformance


class TestPGPy(EncrypterConformance):
    provider = next(iter(gre_encrypters()))


class TestPackage(PackageConformance):
    distribution = "gre-encrypter-openpgp-pgpy"
    heavy = ("pgpy", "cryptography")
    named_for_its_namespace = False
