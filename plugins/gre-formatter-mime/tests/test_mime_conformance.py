"""The formatter keeps what the conformance kit demands."""

from __future__ import annotations

from gre_formatter_mime.plugin import gre_formatters

from gre_core.testing.conformance import FormatterConformance, PackageConformance


class TestMime(FormatterConformance):
    provider = next(iter(gre_formatters()))


class TestPackage(PackageConformance):
    distribution = "gre-formatter-mime"
