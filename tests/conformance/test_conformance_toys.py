"""The toys, unharmed, keep every rule."""

from __future__ import annotations

from gre_core.testing.conformance import FormatterConformance
from gre_core.testing.fakes import toy_formatter


class TestToyFormatter(FormatterConformance):
    provider = toy_formatter()
