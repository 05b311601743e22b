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

Paths are relative to the folder of the file. The README lists every key.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final, cast

from slixmpp import JID
from slixmpp.jid import InvalidJID

from gre_core.errors import InvalidAddress
from gre_gateway_email.config.settings import (
    KIB,
    MIB,
    STANZA_LIMIT,
    AddressChoice,
    Config,
    Files,
    Http,
    Keys,
    Level,
    Limits,
    Listen,
    Log,
    LogFormat,
    Mail,
    Protocol,
    Registration,
    Retention,
    Retry,
    Smtp,
    Tls,
    Xmpp,
)
from gre_gateway_email.config.toml_table import MAX_PORT, ConfigError, Table
from gre_gateway_email.mail.addresses import check_address, domain_of

if TYPE_CHECKING:
    from pathlib import Path

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_SMTP_PORT: Final[dict[Tls, int]] = {"none": 25, "starttls": 587, "implicit": 465}


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
    with root.table("users") as table:
        users = _users(table)
    with root.table("mail") as table:
        mail = _mail(table, users)
    with root.table("registration") as table:
        registration = _registration(table)
    with root.table("policy") as table:
        encrypted_only = table.flag("encrypted_only", default=False)
    with root.table("keys") as table:
        keys = Keys(
            table.folder("directory"), table.flag("harvest", default=True), table.flag("wkd", default=True)
        )
    with root.table("wkd") as table:
        wkd = _http(table, 8096)
    with root.table("files") as table:
        files = _files(table)
    with root.table("plugins") as table:
        plugins = table.texts("allow", ("gre-openpgp",))
    with root.table("state") as table:
        state = table.folder("directory", "state") or path.parent
    with root.table("database") as table:
        database = table.secret("url")
    with root.table("retry") as table:
        retry = _retry(table)
    with root.table("retention") as table:
        retention = Retention(
            float(table.whole("relayed_days", 7, 1, 365) * _DAY),
            float(table.whole("dead_days", 14, 1, 365) * _DAY),
        )
    with root.table("limits") as table:
        limits = _limits(table)
    with root.table("admin") as table:
        admins = tuple(_bare(table, "jids", one).bare for one in table.texts("jids", ()))
    with root.table("http") as table:
        http = _http(table, 8095)
    with root.table("log") as table:
        log = _log(table)
    root.done()
    return Config(
        path, xmpp, smtp, listen, mail, users, registration, encrypted_only, keys, wkd, files, plugins, state, database,
        retry, retention, limits, admins, http, log,
    )  # fmt: skip


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
        dsn=table.flag("dsn", default=True),
    )


def _listen(table: Table) -> Listen:
    return Listen(
        protocol=cast("Protocol", table.choice("protocol", ("lmtp", "smtp"), "lmtp")),
        host=table.text("host", "127.0.0.1"),
        port=table.whole("port", 2424, 0, MAX_PORT),
        max_size=table.whole("max_size", MIB, 16 * KIB, 64 * MIB),
        max_recipients=table.whole("max_recipients", 100, 1, 10_000),
    )


def _mail(table: Table, users: tuple[tuple[str, str], ...]) -> Mail:
    domains = tuple(one.lower() for one in table.texts("domains", ()))
    for domain in domains:
        try:
            check_address(f"postmaster@{domain}")
        except InvalidAddress as error:
            raise ConfigError(f"{table.where('domains')}: {error.text}") from error
    for address, _ in users:
        if domains and domain_of(address).lower() not in domains:
            raise ConfigError(
                f"{table.where('domains')} has to hold the domain of each address in [users]: {address} is of another"
            )
    found = domains or tuple(dict.fromkeys(domain_of(address).lower() for address, _ in users))
    if not found:
        raise ConfigError(f"{table.where('domains')} is missing: name the mail domain, or give [users]")
    return Mail(found, table.optional_text("authserv_id"))


def _registration(table: Table) -> Registration:
    return Registration(
        servers=tuple(
            _jid(table, "servers", one, "a list of XMPP domains").bare for one in table.texts("servers", ())
        ),
        address=cast("AddressChoice", table.choice("address", ("same", "choose"), "same")),
        reserved=tuple(one.lower() for one in table.texts("reserved", ())),
        max_addresses=table.whole("max_addresses", 5, 1, 100),
    )


def _files(table: Table) -> Files:
    service = table.optional_text("service")
    return Files(
        download=table.flag("download", default=True),
        upload=table.flag("upload", default=True),
        service=None
        if service is None
        else _jid(table, "service", service, "the JID of an upload service").bare,
        max_size=table.whole("max_size", 10 * MIB, KIB, 100 * MIB),
        max_count=table.whole("max_count", 10, 1, 100),
        hosts=table.texts("hosts", ()),
    )


def _retry(table: Table) -> Retry:
    return Retry(
        first=float(table.whole("first_seconds", 30, 1, _DAY)),
        longest=float(table.whole("longest_seconds", _HOUR, 1, _DAY)),
        outbound=float(table.whole("outbound_hours", 24, 1, 24 * 30) * _HOUR),
        inbound=float(table.whole("inbound_hours", 24 * 5, 1, 24 * 30) * _HOUR),
        large=float(table.whole("large_hours", 24 * 7, 1, 24 * 90) * _HOUR),
    )


def _limits(table: Table) -> Limits:
    return Limits(
        max_stanza=table.whole("max_stanza", STANZA_LIMIT, 32 * KIB, 64 * MIB),
        messages=table.whole("messages_per_hour", 1000, 1, 10_000_000),
        recipients=table.whole("recipients_per_hour", 2000, 1, 10_000_000),
        size=table.whole("megabytes_per_hour", 500, 1, 1_000_000) * MIB,
        waiting=table.whole("waiting_messages", 5000, 1, 1_000_000),
        waiting_size=table.whole("waiting_megabytes", 500, 1, 1_000_000) * MIB,
        queue=table.whole("queue", 20_000, 1, 10_000_000),
    )


def _http(table: Table, port: int) -> Http:
    return Http(
        table.flag("enabled", default=False),
        table.text("host", "127.0.0.1"),
        table.whole("port", port, 0, MAX_PORT),
    )


def _log(table: Table) -> Log:
    return Log(
        level=cast("Level", table.choice("level", ("debug", "info", "warning", "error"), "info")),
        format=cast("LogFormat", table.choice("format", ("console", "json"), "console")),
        addresses=table.flag("addresses", default=False),
    )


def _users(table: Table) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, str] = {}
    seen: set[str] = set()
    for address in table.names:
        jid = _bare(table, address, table.text(address))
        try:
            check_address(address)
        except InvalidAddress as error:
            raise ConfigError(f"{table.where(address)}: {error.text}") from error
        if address.lower() in seen:
            raise ConfigError(f"{table.where(address)} stands there twice: upper and lower case are the same")
        seen.add(address.lower())
        pairs[address] = jid.bare
    return tuple(pairs.items())


def _bare(table: Table, key: str, text: str) -> JID:
    jid = _jid(table, key, text, "the bare JID of a user")
    if not jid.user:
        raise table.error(key, "the bare JID of a user", str(jid))
    return jid


def _jid(table: Table, key: str, text: str, allowed: str) -> JID:
    try:
        jid = JID(text)
    except InvalidJID as error:
        raise table.error(key, allowed, text) from error
    if not jid.domain or jid.resource:
        raise table.error(key, allowed, text)
    return jid
