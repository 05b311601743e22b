"""Statements that every message needs, compiled once.

What SQLAlchemy does at each execution of a statement, for its cache, its lists and its result, costs more than what the
database does for a small message. Here a statement is compiled at its first use, for each number of values in its
lists; later executions hand its text and the values to the driver. So errors are those of the driver, too.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam

from gre_gateway_email.store.statements import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, Column, Executable
    from sqlalchemy.engine import Connection, Dialect


class _Compiled(NamedTuple):
    text: str
    places: Sequence[tuple[str, Callable[[Any], Any] | None]]
    """Name and conversion of each value."""

    def row(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(
            [values[name] if convert is None else convert(values[name]) for name, convert in self.places]
        )


class Prepared:
    """A statement that gives rows (:meth:`run`), is executed for rows (:meth:`run_all`), or both (:meth:`run_each`).

    Rows hold what the driver gives, unconverted.

    Arguments:
        make: makes the statement; takes a list of parameters, for ``column.in_()``, by the name of each list.
        lists: for each list of values the column that they are compared with.
    """

    def __init__(self, make: Callable[..., Executable], **lists: Column[Any]) -> None:
        self._make = make
        self._lists = lists
        self._compiled: dict[tuple[str, tuple[int, ...]], _Compiled] = {}

    def run(self, connection: Connection, /, **lists: Iterable[Any]) -> Sequence[Any]:
        """Execute it once, with these values in its lists; give its rows."""
        values: dict[str, Any] = {}
        sizes: list[int] = []
        for name in self._lists:
            members = padded(lists[name])
            sizes.append(len(members))
            values.update((f"{name}_{place}", member) for place, member in enumerate(members))
        compiled = self._of(connection.dialect, tuple(sizes))
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(compiled.text, compiled.row(values))
            return cursor.fetchall()

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it once for each of one or more rows; for a statement without lists."""
        compiled = self._of(connection.dialect, ())
        with closing(connection.connection.cursor()) as cursor:
            cursor.executemany(compiled.text, [compiled.row(row) for row in rows])

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Execute it once for each of one or more rows, all in one round trip; give the rows of all executions.

        For a statement of PostgreSQL without lists, within a transaction.
        """
        compiled = self._of(connection.dialect, ())
        values = [compiled.row(row) for row in rows]
        driver: Any = connection.connection.dbapi_connection
        found: Sequence[Any] = driver.run_async(lambda raw: raw.fetchmany(compiled.text, values))
        return found

    def _of(self, dialect: Dialect, sizes: tuple[int, ...]) -> _Compiled:
        compiled = self._compiled.get((dialect.name, sizes))
        if compiled is None:
            compiled = self._compiled[dialect.name, sizes] = self._compile(dialect, sizes)
        return compiled

    def _compile(self, dialect: Dialect, sizes: tuple[int, ...]) -> _Compiled:
        lists: dict[str, Sequence[BindParameter[Any]]] = {
            name: [bindparam(f"{name}_{place}", type_=column.type) for place in range(size)]
            for (name, column), size in zip(self._lists.items(), sizes, strict=True)
        }
        statement: Any = self._make(**lists)
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        return _Compiled(
            compiled.string,
            [
                (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
                for name in compiled.positiontup
            ],
        )
