"""On which line of a TOML file a table or a key stands; tomllib does not tell."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def lines_of(text: str) -> Mapping[tuple[str, ...], int]:
    """Find the lines of all tables and keys.

    Each statement is read by tomllib alone, so that quoted keys, comments and values of several lines are read as
    TOML wants it. Meant for files that tomllib has read as a whole, and for the moment when a line is asked for.

    Arguments:
        text: the file.

    Result:
        Path of the table or key -> its first line, counted from 1.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    waiting = ""
    first = 1
    for number, line in enumerate(text.split("\n"), start=1):
        if not waiting:
            first = number
        waiting += line + "\n"
        try:
            statement = tomllib.loads(waiting)
        except tomllib.TOMLDecodeError:
            continue  # goes on in the next line
        header = waiting.lstrip().startswith("[")
        waiting = ""
        for path in _paths(statement):
            found.setdefault(path if header else (*table, *path), first)
            if header:
                table = path
    return found


def _paths(values: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        path = (*above, key)
        yield path
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict):
            yield from _paths(inner, path)
