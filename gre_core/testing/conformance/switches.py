"""Capability switches: class attributes of a suite that turn a section off, visibly and honestly.

Optional Protocols turn their sections on and off themselves, visibly too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gre_core.testing.conformance.abilities import abilities_of
from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from collections.abc import Callable


def only_with(suite: object, switch: str) -> None:
    """Skip the rest of a test, with the reason, when a switch is off that another test looks into."""
    if not getattr(suite, switch):
        pytest.skip(f"switched off in {type(suite).__name__}: {switch} = False")


def only_if_able(made: object, ability: type) -> None:
    """Skip the rest of a test, with the reason, when an object does not implement an optional Protocol."""
    if ability not in abilities_of(made):
        pytest.skip(
            f"{type(made).__name__} does not implement the optional {ability.__name__} of gre_core.api"
        )


def section(suite: object, switch: str, can: Callable[[], bool]) -> None:
    """Enter a section of the suite: go on, skip with the reason, or fail because the switch hides an ability.

    Arguments:
        suite: the instance of the test class.
        switch: name of its attribute.
        can: tries what the section is about; called only when it is switched off.

    Raises:
        NonConformance: it is switched off, and works.
    """
    __tracebackhide__ = True
    if getattr(suite, switch):
        return
    try:
        able = can()
    except Exception:  # noqa: BLE001 - whatever it raises, it cannot do it
        able = False
    demand(
        not able,
        "switch-hides-ability",
        f"{switch} = False in {type(suite).__name__}, but a message shows it",
    )
    only_with(suite, switch)
