"""Writes the tables of rules into docs/reference/conformance.md: ``python tests/conformance/make_rules_page.py``."""

from __future__ import annotations

from pathlib import Path

from gre_core.testing.conformance.rules.markdown import as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
START, END = "<!-- rules: made by tests/conformance/make_rules_page.py -->\n", "<!-- end of rules -->"


def page_with(table: str) -> str:
    """Give the page with the tables of rules in their place."""
    head, _, rest = PAGE.read_text("utf-8").partition(START)
    return f"{head}{START}\n{table}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(as_markdown()), "utf-8")
