"""What the kit demands: one table of rules, and the one helper that raises when a rule is broken.

::

    demand(read.html == wanted.html, "round-trip-html", "the text in HTML came back changed")

A failure says which section of the specification wants it, what was found, and how to mend it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gre_core.testing.conformance.rules import contributor, encrypter, formatter, package, provider
from gre_core.testing.conformance.rules.rule import NonConformance, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RULES", "TABLES", "NonConformance", "Rule", "demand"]

TABLES: Final[Mapping[str, tuple[Rule, ...]]] = MappingProxyType(
    {
        "Every provider": provider.RULES,
        "Formatters": formatter.RULES,
        "Encrypters": encrypter.RULES,
        "Contributors of data fields": contributor.RULES,
        "Packages": package.RULES,
    }
)
"""The rules by what they are about, in the order in which a reader wants them."""

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rules in TABLES.values() for rule in rules}
)
"""All rules by their id."""


def demand(condition: object, rule: str, found: str = "") -> None:
    """Go on when the condition is true; otherwise fail with everything that an author needs.

    Arguments:
        condition: anything; its truth decides.
        rule: id of the rule.
        found: what was seen instead, on one or a few lines.

    Raises:
        NonConformance: the condition is false.
    """
    __tracebackhide__ = True
    if not condition:
        raise NonConformance(RULES[rule], found)
