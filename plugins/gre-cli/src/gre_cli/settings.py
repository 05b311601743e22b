"""The account and its options: from the command line, the environment, and a TOML file.

::

    # ~/.config/gre/config.toml
    [account]
    jid = "juliet@example.org"
    password_command = ["pass", "show", "xmpp"]  # or: password_file = "secret"
    gateway = "mail.example.org"

The README lists every key.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gre_cli.providers import remembered
from gre_core.errors import GreError
from gre_core.policy import Policy
from gre_core.stores import default_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.registry import Plugins

PASSWORD: Final = "GRE_PASSWORD"  # noqa: S105 - the name of a variable
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_COMMAND_SECONDS: Final = 60
_MAX_PORT: Final = 65_535
_KEYS: Final[dict[str, dict[str, type | tuple[type, ...]]]] = {
    "account": {
        "jid": str, "password_file": str, "password_command": (str, list), "host": str, "port": int,
        "gateway": str, "state": str,
    },
    "plugins": {"allow": list, "prefer": dict},
    "policy": {"formatters": list, "encrypters": list},
    "keys": {"passphrase_command": (str, list), "keyring": bool, "wkd": bool, "proxy": str, "trust": str},
    "mail": {"header_confidentiality": str, "padding": str},
}  # fmt: skip
_OPTIONS: Final = {
    ("keys", "trust"): "{urn:xmpp:gre:encrypter:openpgp:0}trust",
    ("mail", "header_confidentiality"): "{urn:xmpp:gre:formatter:mime:0}header-confidentiality",
    ("mail", "padding"): "{urn:xmpp:gre:formatter:mime:0}padding",
}
"""Which wish for a plugin stands behind a key of the file."""


def config_file() -> Path:
    """Give the place of the configuration file."""
    import platformdirs

    return platformdirs.user_config_path("gre", appauthor=False) / "config.toml"


class UsageError(GreError):
    """The command line or the configuration is wrong."""

    code = "usage"


@dataclass(frozen=True, slots=True)
class Options:
    """What stood on the command line; None where nothing did."""

    account: str | None = None
    config: Path | None = None
    state: Path | None = None
    host: str | None = None
    port: int | None = None
    gateway: str | None = None
    insecure_plaintext: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration.

    Arguments:
        jid: of the account, bare; ``""`` when none is named.
        host: of the server, when it is not found by DNS.
        port: of the server.
        gateway: the gateway that addresses without one belong to.
        state: folder of keys, trust and outbox.
        insecure_plaintext: log in without TLS; only to this machine.
        allow: which plugins may be loaded; None for all.
        prefer: which distribution serves a namespace that several provide: what the file says, and what was answered.
        policy: preferences among formatters and encrypters.
        keyring: keep passphrases in the system's keyring, and look there.
        wkd: look keys up in the web key directories of mail domains, when a message is sent.
        proxy: for these look-ups, as in ``socks5://127.0.0.1:9050``.
        file: the configuration file, when there is one.
        config: where it is, or would be.
    """

    jid: str = ""
    host: str | None = None
    port: int = 5222
    gateway: str | None = None
    state: Path | None = None
    insecure_plaintext: bool = False
    allow: frozenset[str] | None = None
    prefer: dict[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    keyring: bool = True
    wkd: bool = True
    proxy: str | None = None
    file: Path | None = None
    config: Path = field(default_factory=config_file)
    _password_file: Path | None = None
    _password_command: tuple[str, ...] = ()
    _passphrase_command: tuple[str, ...] = ()

    def directory(self) -> Path:
        """Give the folder of the account's state."""
        return self.state or default_directory(self.jid)

    def plugins(self, prefer: Mapping[str, str] | None = None) -> Plugins:
        """Load the plugins that this configuration allows; ``prefer`` goes before what it prefers."""
        from gre_core.registry import Plugins

        return Plugins.discover(allow=self.allow, prefer={**self.prefer, **(prefer or {})})

    def password(self) -> str:
        """Give the password: from ``GRE_PASSWORD``, the command or the file of the configuration, or a prompt.

        Raises:
            UsageError: there is none, or it cannot be had.
        """
        if PASSWORD in os.environ:
            return os.environ[PASSWORD]
        if self._password_command:
            return _from_command(self._password_command, "password_command")
        if self._password_file is not None:
            return _from_file(self._password_file)
        if sys.stdin.isatty():
            from getpass import getpass

            return getpass(f"Password of {self.jid}: ")
        raise UsageError(
            f"No password for {self.jid}. Set {PASSWORD}, or password_command or password_file in {config_file()}."
        )

    def passphrase(self) -> str | None:
        """Give the passphrase of our keys, when the configuration names a command for it.

        Raises:
            UsageError: the command failed.
        """
        if not self._passphrase_command:
            return None
        return _from_command(self._passphrase_command, "passphrase_command")


def load(options: Options, *, need_account: bool = True) -> Settings:
    """Read the configuration file and put the command line above it.

    Arguments:
        options: the command line.
        need_account: whether to insist on one.

    Raises:
        UsageError: something is missing or wrong; the text says where.
    """
    file = options.config or config_file()
    tables = _read(file, needed=options.config is not None)
    account, plugins, policy = (tables.get(name, {}) for name in ("account", "plugins", "policy"))
    jid = options.account or account.get("jid", "")
    if need_account and not jid:
        raise UsageError(f"Which account? Give --account JID, or jid in [account] of {file}.")
    if jid and (jid.count("@") != 1 or "/" in jid or jid.startswith("@") or jid.endswith("@")):
        raise UsageError(f"{jid!r} is no account: write it as juliet@example.org.")
    host = options.host or account.get("host")
    if options.insecure_plaintext and host not in LOCAL:
        raise UsageError("--insecure-plaintext is only for a server on this machine: add --host 127.0.0.1.")
    port = options.port or account.get("port", 5222)
    if not 0 < port <= _MAX_PORT:
        raise UsageError(f"{port} is no port.")
    keys = tables.get("keys", {})
    proxy = keys.get("proxy")
    if proxy is not None and not proxy.startswith(("socks5://", "socks5h://")):
        raise UsageError(f"{file}: proxy in [keys] is written as socks5://[user:password@]host[:port].")
    state = options.state or (_beside(file, account["state"]) if "state" in account else None)
    wishes = {
        name: tables[table][key] for (table, key), name in _OPTIONS.items() if key in tables.get(table, {})
    }
    return Settings(
        jid=jid.lower(),
        host=host,
        port=port,
        gateway=options.gateway or account.get("gateway"),
        state=state,
        insecure_plaintext=options.insecure_plaintext,
        allow=frozenset(plugins["allow"]) if "allow" in plugins else None,
        prefer={**remembered(file), **plugins.get("prefer", {})},
        policy=Policy(
            tuple(policy.get("encrypters", ())), tuple(policy.get("formatters", ())), options=wishes
        ),
        keyring=keys.get("keyring", True),
        wkd=keys.get("wkd", True),
        proxy=proxy,
        file=file if file.is_file() else None,
        config=file,
        _password_file=_beside(file, account["password_file"]) if "password_file" in account else None,
        _password_command=_command(account.get("password_command", ())),
        _passphrase_command=_command(keys.get("passphrase_command", ())),
    )


def _read(file: Path, *, needed: bool) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if needed:
            raise UsageError(f"{file} is not there.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    for name, table in tables.items():
        if name not in _KEYS or not isinstance(table, dict):
            raise UsageError(f"{file}: there is no table [{name}]. Allowed: {', '.join(_KEYS)}.")
        for key, value in table.items():
            kind = _KEYS[name].get(key)
            if kind is None:
                raise UsageError(f"{file}: [{name}] has no key {key!r}. Allowed: {', '.join(_KEYS[name])}.")
            strings = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
            if (
                not isinstance(value, kind)
                or (isinstance(value, bool) and kind is not bool)
                or not all(isinstance(x, str) for x in strings)
            ):
                raise UsageError(f"{file}: {key} in [{name}] has the wrong type.")
    return tables


def _beside(file: Path, name: str) -> Path:
    return file.parent / Path(name).expanduser()


def _from_file(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The password file {file} cannot be read: {error}") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"Others can read the password file {file}. Run: chmod 600 {shlex.quote(str(file))}")
    return text.partition("\n")[0]


def _command(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(shlex.split(value) if isinstance(value, str) else value)


def _from_command(command: tuple[str, ...], key: str) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=_COMMAND_SECONDS, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise UsageError(f"{key} failed ({type(error).__name__}): {command[0]}") from None
    return done.stdout.partition("\n")[0]
