"""What holds for contributors of data fields."""

from __future__ import annotations

from typing import Final

from gre_core.testing.conformance.rules.rule import Rule

RULES: Final[tuple[Rule, ...]] = ()
