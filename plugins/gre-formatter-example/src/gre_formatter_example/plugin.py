"""The entry point: announces the formatter, loads it when it is needed first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.api import FormatterProvider, formatter, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_formatter_example.formatter import ExampleFormatter


def make() -> ExampleFormatter:
    """Make the formatter."""
    from gre_formatter_example.formatter import ExampleFormatter  # noqa: PLC0415 - only when it is needed

    return ExampleFormatter()


@hookimpl
def gre_formatters() -> Iterable[FormatterProvider]:
    """Give the provider of urn:xmpp:gre:formatter:example:0."""
    return [FormatterProvider(formatter("example", 0), make, title="GRE Formatter: Example")]
