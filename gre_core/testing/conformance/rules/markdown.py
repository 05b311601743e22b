"""The rules as a table for documentation."""

from __future__ import annotations

from gre_core.testing.conformance.rules import TABLES


def as_markdown() -> str:
    """Give all rules as tables in Markdown, one for each part of the kit."""
    parts: list[str] = []
    for title, rules in TABLES.items():
        lines = [f"### {title}", "", "| rule | wanted | by | how to mend it |", "|---|---|---|---|"]
        lines += [
            f"| `{rule.id}` | {_cell(rule.wants)} | {_cell(rule.section)} | {_cell(rule.mend)} |"
            for rule in rules
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
