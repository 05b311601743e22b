"""Reads and checks the configuration file.

A small one::

    [xmpp]
    domain = "mail.example.org"
    secret_file = "component-secret"

    [smtp]
    host = "127.0.0.1"
    port = 25

    [users]
    "juliet@example.org" = "juliet@xmpp.example"

Paths are relative to the folder of the file. The README lists every key. Each can be set in the environment too, see
:mod:`gre_gateway_email.config.sources`.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Final

from gre_gateway_email.config import tables
from gre_gateway_email.config.settings import Config
from gre_gateway_email.config.sources import ConfigError, Sources, handed_over
from gre_gateway_email.config.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LINE: Final = re.compile(r":(\d+): ")
_PLACE: Final = re.compile(r"\(at line (\d+)")


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file, with what the environment changes in it.

    Arguments:
        path: of the file.
        environ: variables ``GRE_EMAIL_TABLE_KEY``; those of the process as a rule.

    Raises:
        ConfigError: it cannot be read, is not TOML, lacks a key, has an unknown one, or a wrong value. The text has one
            line for each problem.
    """
    return read(path, environ)[0]


def read(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Config, Sources]:
    """Do what :func:`load` does, and give also the notes: warnings, and every key that may be there."""
    environ = os.environ if environ is None else environ
    text, values = _parse(path, handed_over(path.name, environ) or path)
    sources = Sources(path, text, environ)
    root = Table(sources, "", values)
    users = root.read("users", tables.read_users)
    state = root.read("state", lambda table: table.folder("directory", "state"))
    config = Config(
        path=path,
        xmpp=root.read("xmpp", tables.read_xmpp),
        smtp=root.read("smtp", tables.read_smtp),
        listen=root.read("listen", tables.read_listen),
        users=users,
        mail=root.read("mail", lambda table: tables.read_mail(table, users)),
        registration=root.read("registration", tables.read_registration),
        encrypted_only=root.read("policy", lambda table: table.flag("encrypted_only", default=False)),
        keys=root.read("keys", tables.read_keys),
        wkd=root.read("wkd", lambda table: tables.read_http(table, 8096)),
        files=root.read("files", tables.read_files),
        plugins=root.read("plugins", lambda table: table.texts("allow", ("gre-openpgp",))),
        state=state or path.parent,
        database=root.read("database", lambda table: table.secret("url")),
        retry=root.read("retry", tables.read_retry),
        retention=root.read("retention", tables.read_retention),
        limits=root.read("limits", tables.read_limits),
        admins=root.read("admin", tables.read_admins),
        http=root.read("http", lambda table: tables.read_http(table, 8095)),
        log=root.read("log", tables.read_log),
        warnings=tuple(sources.warnings),
    )
    root.done()
    sources.check_variables()
    if sources.problems:
        raise ConfigError("\n".join(sorted(sources.problems, key=_line_of)))
    return config, sources


def _line_of(problem: str) -> int:
    found = _LINE.search(problem)
    return int(found[1]) if found else 0


def _parse(path: Path, source: Path) -> tuple[str, dict[str, object]]:
    try:
        text = source.read_bytes().decode("utf-8")
    except OSError as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = "; `gre-email-gateway init` writes one"
        elif isinstance(error, PermissionError):
            hint = "; use root"
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}{hint}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place else text.rstrip().count("\n") + 1  # else it says "at end of document"
        raise ConfigError(f"{path}:{line}: is not TOML: {error}") from error
