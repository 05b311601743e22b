"""The conformance kit: what GRE and the contract of gre_core.api ask of this package."""

from gre_formatter_example.plugin import gre_formatters

from gre_core.testing.conformance import FormatterConformance, PackageConformance


class TestExample(FormatterConformance):
    provider = next(iter(gre_formatters()))
    # what this format has no place for
    html = inline = replies = addresses = False


class TestPackage(PackageConformance):
    distribution = "gre-formatter-example"
