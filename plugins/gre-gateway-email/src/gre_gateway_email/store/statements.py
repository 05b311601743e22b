"""What several tables need: lists in statements, rows for columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import bindparam

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import BindParameter

T = TypeVar("T")

MOST: Final = 10_000
"""Values in one statement; SQLite and PostgreSQL take about 32,000."""


def some(name: str) -> BindParameter[object]:
    """Make a parameter for a list of values, behind ``in_``."""
    return bindparam(name, expanding=True)


def padded(values: Iterable[T]) -> Sequence[T]:
    """Repeat the last value until there are a power of two: few different statements are then prepared and kept."""
    listed = list(values)
    if listed:
        listed.extend(listed[-1:] * ((1 << (len(listed) - 1).bit_length()) - len(listed)))
    return listed
