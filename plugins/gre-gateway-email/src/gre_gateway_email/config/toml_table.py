"""Reads the keys of one TOML table, each checked; what was not asked for is refused as unknown."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

MAX_PORT: Final = 65535
MAX_SECRET: Final = 4096


class ConfigError(GreError):
    """The configuration cannot be used. The text names file, table and key, and what is allowed there."""

    code = "config"


class Table:
    """One table of a TOML file, or the file itself.

    Arguments:
        path: of the file; relative paths in it start from its folder.
        name: of the table, ``""`` for the file itself.
        values: what tomllib made of it.
    """

    def __init__(self, path: Path, name: str, values: Mapping[str, object]) -> None:
        self._path = path
        self._name = name
        self._values = values
        self._asked: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """All keys that are there."""
        return tuple(self._values)

    @contextmanager
    def table(self, key: str, *, needed: bool = False) -> Generator[Table]:
        """Open a table within this one; on leaving, keys that nobody asked for are refused."""
        value = self._get(key)
        if value is None and needed:
            raise ConfigError(f"{self._path}: the table [{key}] is missing")
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.error(key, "a table", value)
        inner = Table(self._path, key, value)
        yield inner
        inner.done()

    def done(self) -> None:
        """Refuse keys that nobody asked for.

        Raises:
            ConfigError: there is one; the text lists the known ones.
        """
        unknown = sorted(set(self._values) - self._asked)
        if unknown:
            known = ", ".join(sorted(self._asked)) or "none"
            raise ConfigError(f"{self.where(unknown[0])} is not known; known here: {known}")

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text of one line; without a default it has to be there."""
        value = self.optional_text(key)
        if value is not None:
            return value
        if default is None:
            raise ConfigError(f"{self.where(key)} is missing")
        return default

    def optional_text(self, key: str) -> str | None:
        """Give a text of one line, or None when it is not there."""
        value = self._get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.error(key, "a text of one line", value)
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Give a list of texts of one line."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(
            isinstance(one, str) and one.isprintable() for one in value
        ):
            raise self.error(key, "a list of texts", value)
        return tuple(value)

    def whole(self, key: str, default: int, lowest: int, highest: int) -> int:
        """Give a whole number within bounds."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise self.error(key, f"a whole number from {lowest} to {highest}", value)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Give true or false."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "true or false", value)
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """Give one of the allowed texts."""
        value = self._get(key)
        if value is None:
            return default
        if value not in allowed:
            raise self.error(key, "one of " + ", ".join(f'"{one}"' for one in allowed), value)
        return str(value)

    def folder(self, key: str, default: str | None = None) -> Path | None:
        """Give a folder, relative to that of the file."""
        value = self.optional_text(key)
        if value is None:
            value = default
        return None if value is None else self._path.parent / value

    def secret(self, key: str) -> str | None:
        """Give a secret from ``key`` itself or from the file that ``key_file`` names, or None.

        The value never stands in an error.
        """
        direct = self._get(key)
        file_key = f"{key}_file"
        named = self.optional_text(file_key)
        if direct is not None and named is not None:
            raise ConfigError(f"{self.where(file_key)} and {key} are both given: keep one")
        if direct is not None:
            if not isinstance(direct, str) or not direct.isprintable() or not direct:
                raise ConfigError(f"{self.where(key)} has to be a text of one line")
            return direct
        if named is None:
            return None
        try:
            with (self._path.parent / named).open("rb") as stream:
                content = stream.read(MAX_SECRET + 1)
            secret = content.decode("utf-8").strip("\r\n")
        except OSError as error:
            raise ConfigError(f"{self.where(file_key)}: {named} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{self.where(file_key)}: {named} is not UTF-8") from None
        if not secret or len(content) > MAX_SECRET or not secret.isprintable():
            raise ConfigError(
                f"{self.where(file_key)}: {named} has to hold one line of at most {MAX_SECRET} bytes"
            )
        return secret

    def error(self, key: str, allowed: str, value: object) -> ConfigError:
        """Make the error for a value that is not allowed."""
        return ConfigError(f"{self.where(key)} has to be {allowed}, not {_shown(value)}")

    def _get(self, key: str) -> object:
        self._asked.add(key)
        return self._values.get(key)

    def where(self, key: str) -> str:
        """Name the file, the table and a key of it."""
        return f"{self._path}: [{self._name}] {key}" if self._name else f"{self._path}: {key}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)[:80]
