"""Reads the keys of one TOML table, each checked; what was not asked for is refused as unknown.

What is wrong is noted in the :class:`~gre_gateway_email.config.sources.Sources`, and reading goes on, so that the
operator sees all of it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from gre_gateway_email.config.sources import ConfigError, Key, Sources, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

MAX_PORT: Final = 65535

_T = TypeVar("_T")
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Table:
    """One table of a TOML file, or the file itself.

    Arguments:
        sources: file, environment and notes.
        name: of the table, ``""`` for the file itself.
        values: what tomllib made of it.
    """

    def __init__(self, sources: Sources, name: str, values: Mapping[str, object]) -> None:
        self._sources = sources
        self._name = name
        self._values = values
        self._asked: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """All keys that are there."""
        return tuple(self._values)

    def read(self, key: str, reader: Callable[[Table], _T]) -> _T:
        """Read a table within this one; then keys in it that nobody asked for are noted as wrong.

        Result:
            What the reader makes of it. When it fails that is noted, and None stands for the result, which nobody
            may use: the caller raises when something was noted.
        """
        value = self._get(key)
        inner = Table(self._sources, key, cast("dict[str, object]", value) if isinstance(value, dict) else {})
        try:
            if not isinstance(value, dict) and value is not None:
                raise self.error(key, "a table", value)
            result = reader(inner)
        except ConfigError as error:
            self._sources.problems.append(error.text)
            return cast("_T", None)
        inner.done()
        return result

    def done(self) -> None:
        """Note keys that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked)) or "none"
                hint = closest(key, self._asked) or f"; known here: {known}"
                self._sources.problems.append(f"{self.where(key)} is not known{hint}")

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text of one line; without a default it has to be there."""
        value = self._one_line(key, default)
        if value is not None:
            return value
        if default is None:
            raise self.missing(key)
        return default

    def optional_text(self, key: str) -> str | None:
        """Give a text of one line, or None when it is not there."""
        return self._one_line(key, None)

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Give a list of texts of one line; in the environment with commas."""
        self._note(key, "a list of texts", list(default))
        variable = self._sources.variable(self._name, key)
        value = self._get(key)
        if variable is not None:
            value = [one.strip() for one in variable.split(",") if one.strip()]
        if value is None:
            return default
        if not isinstance(value, list) or not all(
            isinstance(one, str) and one.isprintable() for one in value
        ):
            return self._wrong(key, "a list of texts", value, default)
        return tuple(value)

    def whole(self, key: str, default: int, lowest: int, highest: int) -> int:
        """Give a whole number within bounds."""
        allowed = f"a whole number from {lowest} to {highest}"
        self._note(key, allowed, default)
        variable = self._sources.variable(self._name, key)
        value = self._get(key)
        if variable is not None:
            digits = variable.strip()
            value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else variable  # noqa: PLR2004
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            return self._wrong(key, allowed, value, default)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Give true or false."""
        self._note(key, "true or false", default)
        variable = self._sources.variable(self._name, key)
        value = self._get(key)
        if variable is not None:
            value = _FLAGS.get(variable.strip().lower(), variable)
        if value is None:
            return default
        if not isinstance(value, bool):
            return self._wrong(key, "true or false", value, default)
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """Give one of the allowed texts."""
        words = "one of " + ", ".join(f'"{one}"' for one in allowed)
        self._note(key, words, default)
        variable = self._sources.variable(self._name, key)
        value = self._get(key)
        if variable is not None:
            value = variable.strip()
        if value is None:
            return default
        if value not in allowed:
            return self._wrong(key, words, value, default)
        return str(value)

    def folder(self, key: str, default: str | None = None) -> Path | None:
        """Give a folder, relative to that of the file."""
        value = self._one_line(key, default)
        if value is None:
            value = default
        return None if value is None else self._sources.path.parent / value

    def secret(self, key: str) -> str | None:
        """Give a secret: from the environment, a credential, ``key`` itself or the file of ``key_file``; or None.

        The value never stands in an error.
        """
        file_key = f"{key}_file"
        self._note(key, "a text of one line", None)
        self._note(file_key, "the name of a file", None)
        direct, named = self._get(key), self._get(file_key)
        variables = (
            self._sources.variable(self._name, key),
            self._sources.variable(self._name, file_key),
        )
        if variables != (None, None):
            direct, named = variables
        elif found := self._sources.credential(self._name, key):
            return found[0]
        if direct is not None and named is not None:
            raise ConfigError(f"{self.where(file_key)} and {key} are both given: keep one")
        if direct is not None:
            if not isinstance(direct, str) or not direct.isprintable() or not direct:
                raise ConfigError(f"{self.where(key)} has to be a text of one line")
            if variables == (None, None):
                self._sources.warn_if_open(self._sources.path, f"[{self._name}] {key}")
            return direct
        if named is None:
            return None
        if not isinstance(named, str) or not named:
            raise self.error(file_key, "the name of a file", named)
        return self._sources.read_secret(self._sources.path.parent / named, self.where(file_key))

    def error(self, key: str, allowed: str, value: object) -> ConfigError:
        """Make the error for a value that is not allowed."""
        return ConfigError(f"{self.where(key)} has to be {allowed}, not {_shown(value)}")

    def missing(self, key: str) -> ConfigError:
        """Make the error for a key that has to be there; one that looks like it is shown."""
        if not self._name or (not self._values and self._sources.line(self._name) is None):
            return ConfigError(
                f"{self._sources.path}: the table [{self._name}] is missing; it has to have {key}"
            )
        others = set(self._values) - self._asked
        for other in sorted(others):
            if closest(other, [key]):
                return ConfigError(
                    f"{self.where(other)} is not known{closest(other, [key])} [{self._name}] {key} is missing"
                )
        return ConfigError(f"{self.where(key)} is missing")

    def where(self, key: str) -> str:
        """Name the file, the line, the table and a key of it."""
        return self._sources.where(self._name, key)

    def _one_line(self, key: str, default: str | None) -> str | None:
        self._note(key, "a text of one line", default)
        value: object = self._sources.variable(self._name, key)
        in_file = self._get(key)
        if value is None:
            value = in_file
        if value is None:
            return None
        if not isinstance(value, str) or not value or not value.isprintable():
            if default is None:
                raise self.error(key, "a text of one line", value)
            return self._wrong(key, "a text of one line", value, default)
        return value

    def _note(self, key: str, kind: str, default: object) -> None:
        self._sources.keys.setdefault((self._name, key), Key(self._name, key, kind, default))

    def _wrong(self, key: str, allowed: str, value: object, default: _T) -> _T:
        self._sources.problems.append(self.error(key, allowed, value).text)
        return default

    def _get(self, key: str) -> object:
        self._asked.add(key)
        return self._values.get(key)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)[:80]
