"""A rule, and the failure that names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the kit demands.

    Arguments:
        id: stable, for programs and for looking it up (``round-trip-text``).
        section: where it comes from: a section of a specification, or of the contract in ``gre_core.api``.
        wants: what has to be so.
        mend: how to get there.
    """

    id: str
    section: str
    wants: str
    mend: str


class NonConformance(AssertionError):
    """A plugin breaks a rule.

    Attributes:
        rule: the one that is broken.
        found: what was seen instead.
    """

    def __init__(self, rule: Rule, found: str = "") -> None:
        self.rule = rule
        self.found: str = found if len(found) <= _LONGEST else found[:_LONGEST] + " ..."
        lines = [f"{rule.id} ({rule.section})", f"  wanted: {rule.wants}"]
        if found:
            lines.append(f"  found:  {self.found}")
        lines.append(f"  mend:   {rule.mend}")
        super().__init__("\n".join(lines))
