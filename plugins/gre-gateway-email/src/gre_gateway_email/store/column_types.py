"""Types of columns: texts that every database takes, bounded; tuples as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Double, LargeBinary, Text, TypeDecorator

from gre_gateway_email.store.errors import NotStorable

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.types import TypeEngine

Bytes: Final = LargeBinary()
Seconds: Final[Double[float]] = Double()
"""Since 1970."""


def storable(text: str) -> str:
    """Replace what a database cannot hold as text: NUL (PostgreSQL) and lone surrogates (UTF-8)."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text


class _AnyText(TypeDecorator[Any]):
    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # Compared byte by byte, whatever the operator's locale is: indexes outlive updates of the locale.
        return Text(collation="C") if dialect.name == "postgresql" else Text()


class Identity(_AnyText):
    """A text that something is found or addressed by: too long a one is refused.

    Arguments:
        limit: longest, in characters. Indexed columns have to fit into a page of PostgreSQL's index (2,700 bytes).
    """

    cache_ok = True

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Check a value on its way to the database."""
        if value is None:
            return None
        if len(value) > self.limit:
            raise NotStorable(
                f"A name of {len(value):,} characters cannot be stored; {self.limit:,} are the most."
            )
        return storable(value)


class Words(_AnyText):
    """A text for people: too long a one is cut.

    Arguments:
        limit: longest, in characters.
    """

    cache_ok = True

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Cut a value on its way to the database."""
        return None if value is None else storable(value[: self.limit])


class Tuple(_AnyText):
    """Several texts, as a JSON array."""

    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write a value on its way to the database."""
        if not value:
            return None if value is None else "[]"  # nearly always
        return json.dumps(value)  # in ASCII: NUL and surrogates are escaped

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002
        """Read a value of the database."""
        return None if value is None else tuple(json.loads(value))
