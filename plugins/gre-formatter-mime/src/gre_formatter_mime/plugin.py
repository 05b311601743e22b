"""The entry point: announces the formatter, loads it when it is needed first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.api import FormatterProvider, formatter, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.api import Formatter


def make() -> Formatter:
    """Make the formatter."""
    from gre_formatter_mime.formatter import MimeFormatter  # noqa: PLC0415 - only when it is needed

    return MimeFormatter()


@hookimpl
def gre_formatters() -> Iterable[FormatterProvider]:
    """Give the provider of ``urn:xmpp:gre:formatter:mime:0``."""
    return [FormatterProvider(formatter("mime", 0), make, title="GRE Formatter: MIME")]
