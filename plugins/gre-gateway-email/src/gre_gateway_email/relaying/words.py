"""Times and sizes in words for people."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_BYTES: Final = 1024


def for_so_long(seconds: float) -> str:
    """Give a time in its largest whole unit.

    >>> for_so_long(86_400 * 5), for_so_long(3600), for_so_long(90)
    ('5 days', '1 hour', '90 seconds')
    """
    whole = max(1, round(seconds))
    size, name = next((size, name) for size, name in _UNITS if whole % size == 0)
    count = whole // size
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def so_large(size: int) -> str:
    """Give a size in bytes in a unit that is easy to read.

    >>> so_large(900), so_large(20_000), so_large(3_500_000)
    ('900 bytes', '20 KB', '3.3 MB')
    """
    if size < 10 * _BYTES:
        return f"{size} bytes"
    if size < _BYTES * _BYTES:
        return f"{round(size / _BYTES)} KB"
    return f"{size / _BYTES / _BYTES:.1f} MB"
