"""Where values come from besides the file: the environment, and credentials that systemd hands over.

::

    GRE_EMAIL_SMTP_PORT=587                  # [smtp] port
    GRE_EMAIL_XMPP_SECRET_FILE=/run/secret   # [xmpp] secret_file
    $CREDENTIALS_DIRECTORY/xmpp_secret       # [xmpp] secret: LoadCredential=xmpp_secret:/etc/...

The environment goes before the credentials, and those before the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gre_core.errors import GreError
from gre_gateway_email.config.positions import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "GRE_EMAIL_"
CONFIG_VARIABLE: Final = "GRE_EMAIL_CONFIG"
"""Names the configuration file itself; read by the command."""

MAX_SECRET: Final = 4096


class ConfigError(GreError):
    """The configuration cannot be used. The text names file, line, table and key, and what is allowed there."""

    code = "config"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that the configuration may have.

    Arguments:
        table: where it stands.
        name: of it.
        kind: what it takes, in words.
        default: or None when there is none.
    """

    table: str
    name: str
    kind: str
    default: object = field(default=None, repr=False)


@dataclass
class Sources:
    """One configuration that is being read.

    Arguments:
        path: of the file.
        text: of the file.
        environ: the environment.
        problems: what was found wrong, each a text for people.
        warnings: what works and should be changed.
        keys: all that were asked for.
    """

    path: Path
    text: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    keys: dict[tuple[str, str], Key] = field(default_factory=dict)

    @cached_property
    def _lines(self) -> Mapping[tuple[str, ...], int]:
        return lines_of(self.text)

    def line(self, *key: str) -> int | None:
        """Give the line on which a table or key stands."""
        return self._lines.get(tuple(one for one in key if one))

    def where(self, table: str, key: str = "") -> str:
        """Name the place of a key for people: variable, or file, line, table and key."""
        words = " ".join([f"[{table}]"] * bool(table) + [key] * bool(key))
        if key and (variable := variable_of(table, key)) in self.environ:
            return f"{self.path}: {words} ({variable} in the environment)"
        line = self.line(table, key) or self.line(table)
        return f"{self.path}:{line}: {words}" if line else f"{self.path}: {words}"

    def variable(self, table: str, key: str) -> str | None:
        """Give the value of a key in the environment."""
        return self.environ.get(variable_of(table, key))

    def credential(self, table: str, key: str) -> tuple[str, Path] | None:
        """Give the credential for a key that systemd handed over (``systemd.exec(5)``), and its file."""
        path = handed_over(f"{table}_{key}", self.environ)
        if path is None:
            return None
        return self.read_secret(path, f"the credential {path.name}"), path

    def read_secret(self, path: Path, where: str) -> str:
        """Give the one line of a file. It never stands in an error.

        Raises:
            ConfigError: it cannot be read, or is not one line.
        """
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_SECRET + 1)
            secret = content.decode("utf-8").strip("\r\n")
        except OSError as error:
            raise ConfigError(f"{where}: {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{where}: {path} is not UTF-8") from None
        if not secret or len(content) > MAX_SECRET or not secret.isprintable():
            raise ConfigError(f"{where}: {path} has to hold one line of at most {MAX_SECRET} bytes")
        self.warn_if_open(path, "a secret")
        return secret

    def warn_if_open(self, path: Path, what: str) -> None:
        """Note a file with a secret that every user of the machine can read."""
        if path.stat().st_mode & 0o004:
            self.warnings.append(f"{path} holds {what}, and everybody can read it: chmod o-rwx {path}")

    def check_variables(self) -> None:
        """Note variables that look like ours and that nobody asked for."""
        known = {variable_of(*key) for key in self.keys} | {CONFIG_VARIABLE}
        for name in sorted(set(self.environ) - known):
            if name.startswith(PREFIX):
                self.problems.append(
                    f"{name} in the environment is not known{closest(name, known) or '; README.md lists the keys'}"
                )


def handed_over(name: str, environ: Mapping[str, str]) -> Path | None:
    """Give the file of a credential that systemd hands over, or None.

    The configuration itself can be one, under its own name: then the service needs no right to read the file in /etc.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path is not None and path.is_file() else None


def variable_of(table: str, key: str) -> str:
    """Name the environment variable of a key."""
    return f"{PREFIX}{table}_{key}".upper()


def closest(name: str, known: Iterable[str]) -> str:
    """Ask "did you mean" when something known looks like a name; else give nothing."""
    found = get_close_matches(name, list(known), 1)
    return f': did you mean "{found[0]}"?' if found else ""
