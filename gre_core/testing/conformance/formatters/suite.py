"""The whole suite for formatters."""

from __future__ import annotations

from gre_core.testing.conformance.formatters.hostility import Hostility
from gre_core.testing.conformance.formatters.round_trips import RoundTrips


class FormatterConformance(RoundTrips, Hostility):
    """Everything that a formatter must keep. An heir of it with a ``provider`` is a complete test file.

    ::

        class TestMyFormat(FormatterConformance):
            provider = gre_formatters()[0]

    See :class:`~gre_core.testing.conformance.formatters.base.FormatterSuite` for the switches, and ``RULES`` for what
    is demanded.
    """
