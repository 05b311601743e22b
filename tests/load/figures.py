"""Puts figures into a page of the documentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_table(page: Path, name: str, figures: Mapping[str, object]) -> None:
    """Replace the table between ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Raises:
        ValueError: the page has no such place.
    """
    rows = "\n".join(
        f"| {each} | {f'{figure:,}' if isinstance(figure, (int, float)) else figure} |"
        for each, figure in figures.items()
    )
    table = f"<!-- {name} -->\n| | |\n|---|---:|\n{rows}\n<!-- /{name} -->"
    text, count = re.subn(
        f"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->",
        lambda _: table,
        page.read_text(),
        flags=re.DOTALL,
    )
    if count != 1:
        message = f"{page} has no place for {name}"
        raise ValueError(message)
    page.write_text(text)
