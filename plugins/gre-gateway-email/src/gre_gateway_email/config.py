"""The gateway's configuration: one TOML file, checked as a whole before anything starts.

A small one::

    [xmpp]
    domain = "mail.example.org"
    secret_file = "component-secret"

    [smtp]
    host = "127.0.0.1"
    port = 25

    [users]
    "juliet@example.org" = "juliet@xmpp.example"

Paths are relative to the folder of the file. The README lists every key.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast

from slixmpp import JID
from slixmpp.jid import InvalidJID

from gre_core.errors import InvalidAddress
from gre_gateway_email.addresses import check_address
from gre_gateway_email.toml_table import MAX_PORT, ConfigError, Table
from gre_gateway_email.users import Users

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Config", "ConfigError", "Listen", "Smtp", "Xmpp", "load"]

KIB: Final = 1024
MIB: Final = 1024 * KIB

STANZA_LIMIT: Final = 512 * KIB
"""What Prosody and most servers take from a component, in bytes. A larger stanza ends the whole stream."""

STANZA_HEADROOM: Final = 12 * KIB
"""Kept free around ``<encrypted/>``, in bytes: two JIDs of 3 KiB (RFC 7622), ids, hints, their escapes."""

Tls = Literal["none", "starttls", "implicit"]
Protocol = Literal["lmtp", "smtp"]
Level = Literal["debug", "info", "warning", "error"]

_SMTP_PORT: Final[dict[Tls, int]] = {"none": 25, "starttls": 587, "implicit": 465}


@dataclass(frozen=True, slots=True)
class Xmpp:
    """How to reach the XMPP server as a component (XEP-0114).

    Arguments:
        domain: the gateway's own domain: what stands after the @ in the JIDs of contacts.
        host: of the server's component port.
        port: of the server's component port.
        secret: shared with the server.
    """

    domain: str
    host: str
    port: int
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Smtp:
    """How to reach the mail relay.

    Arguments:
        host: of the relay.
        port: of the relay.
        tls: ``none``, ``starttls`` or ``implicit``.
        user: for AUTH, or None.
        password: for AUTH, or None.
        connections: how many connections are kept open at most.
        timeout: for each step of the dialogue, in seconds.
        helo: the name that the gateway says for itself.
    """

    host: str
    port: int
    tls: Tls
    user: str | None
    password: str | None = field(repr=False)
    connections: int
    timeout: float
    helo: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the mail server delivers mail to.

    Arguments:
        protocol: ``lmtp`` or ``smtp``.
        host: address to listen on.
        port: port to listen on; 0 takes any that is free.
        max_size: largest mail, in bytes, announced by SIZE (RFC 1870).
        max_recipients: in one mail.
    """

    protocol: Protocol
    host: str
    port: int
    max_size: int
    max_recipients: int


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the gateway is told.

    Arguments:
        path: the file.
        xmpp: the XMPP server.
        smtp: the relay.
        listen: the listener for mail.
        users: who may use the gateway, with which address.
        encrypted_only: refuse what is not encrypted, both ways (GRE, "Business Rules").
        keys: folder with the public keys of contacts, or None.
        plugins: distributions whose plugins may add to the data form; others are not imported.
        state: folder of the spool and the journal.
        max_stanza: largest stanza that the gateway sends, in bytes.
        log_level: the lowest level that is written to standard error.
    """

    path: Path
    xmpp: Xmpp
    smtp: Smtp
    listen: Listen
    users: Users
    encrypted_only: bool
    keys: Path | None
    plugins: tuple[str, ...]
    state: Path
    max_stanza: int
    log_level: Level

    @property
    def max_encrypted(self) -> int:
        """How many bytes an ``<encrypted/>`` element may have at most."""
        return self.max_stanza - STANZA_HEADROOM


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: it cannot be read, is not TOML, lacks a key, has an unknown one, or a wrong value.
    """
    root = Table(path, "", _read(path))
    with root.table("xmpp", needed=True) as table:
        xmpp = _xmpp(table)
    with root.table("smtp") as table:
        smtp = _smtp(table)
    with root.table("listen") as table:
        listen = _listen(table)
    with root.table("users", needed=True) as table:
        users = _users(table)
    with root.table("policy") as table:
        encrypted_only = table.flag("encrypted_only", default=False)
    with root.table("keys") as table:
        keys = table.folder("directory")
    with root.table("plugins") as table:
        plugins = table.texts("allow", ("gre-openpgp",))
    with root.table("state") as table:
        state = table.folder("directory", "state") or path.parent
    with root.table("limits") as table:
        max_stanza = table.whole("max_stanza", STANZA_LIMIT, 32 * KIB, 64 * MIB)
    with root.table("log") as table:
        log_level = cast("Level", table.choice("level", ("debug", "info", "warning", "error"), "info"))
    root.done()
    return Config(
        path, xmpp, smtp, listen, users, encrypted_only, keys, plugins, state, max_stanza, log_level
    )


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def _xmpp(table: Table) -> Xmpp:
    domain = _jid(table, "domain", table.text("domain"), "the domain of the component")
    if domain.user:
        raise table.error("domain", "a domain without @", str(domain))
    secret = table.secret("secret")
    if secret is None:
        raise table.error("secret", "given, or secret_file", None)
    return Xmpp(domain.bare, table.text("host", "127.0.0.1"), table.whole("port", 5347, 1, MAX_PORT), secret)


def _smtp(table: Table) -> Smtp:
    tls = cast("Tls", table.choice("tls", ("none", "starttls", "implicit"), "none"))
    user = table.optional_text("user")
    password = table.secret("password")
    if (user is None) != (password is None):
        raise table.error("user", "given together with password or password_file, or not at all", user)
    return Smtp(
        host=table.text("host", "127.0.0.1"),
        port=table.whole("port", _SMTP_PORT[tls], 1, MAX_PORT),
        tls=tls,
        user=user,
        password=password,
        connections=table.whole("connections", 4, 1, 100),
        timeout=float(table.whole("timeout", 30, 1, 3600)),
        helo=table.text("helo", "localhost"),
    )


def _listen(table: Table) -> Listen:
    return Listen(
        protocol=cast("Protocol", table.choice("protocol", ("lmtp", "smtp"), "lmtp")),
        host=table.text("host", "127.0.0.1"),
        port=table.whole("port", 2424, 0, MAX_PORT),
        max_size=table.whole("max_size", MIB, 16 * KIB, 64 * MIB),
        max_recipients=table.whole("max_recipients", 100, 1, 10_000),
    )


def _users(table: Table) -> Users:
    pairs: dict[str, str] = {}
    seen: set[str] = set()
    for address in table.names:
        jid = _jid(table, address, table.text(address), "the bare JID of a user")
        try:
            check_address(address)
        except InvalidAddress as error:
            raise ConfigError(f"{table.where(address)}: {error.text}") from error
        if not jid.user:
            raise table.error(address, "the bare JID of a user", str(jid))
        if address.lower() in seen:
            raise ConfigError(f"{table.where(address)} stands there twice: upper and lower case are the same")
        seen.add(address.lower())
        pairs[address] = jid.bare
    return Users(pairs.items())


def _jid(table: Table, key: str, text: str, allowed: str) -> JID:
    try:
        jid = JID(text)
    except InvalidJID as error:
        raise table.error(key, allowed, text) from error
    if not jid.domain or jid.resource:
        raise table.error(key, allowed, text)
    return jid
