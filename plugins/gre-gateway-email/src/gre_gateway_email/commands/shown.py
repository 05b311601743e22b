"""How the commands show things to people: times, sizes, addresses, tables."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_KIB: Final = 1024


def say(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_json(value: object) -> None:
    """Write a value for programs."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def age(seconds: float) -> str:
    """Give a span of time in its largest unit: ``3 h``. A clock that was set back counts as no time."""
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"


def size(count: int) -> str:
    """Give bytes in a unit that people read: ``1.5 MiB``."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} GiB"


def moment(seconds: float) -> str:
    """Give seconds since 1970 as a time in UTC; of times that no calendar has the number."""
    try:
        return (
            datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
            + "Z"
        )
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def short(address: str) -> str:
    """Give an address so that its owner recognises it and others do not: ``j…@example.org``."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…{at}{domain}" if at else address


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Give the lines of a table."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
