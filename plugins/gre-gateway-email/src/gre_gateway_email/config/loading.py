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
from gre_gateway_email.config.sources import ConfigError, Sources, handed_over
from gre_gateway_email.config.toml_table import MAX_PORT, Table
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.mail.milter import Milter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_LINE: Final = re.compile(r":(\d+): ")
_PLACE: Final = re.compile(r"\(at line (\d+)")
_SMTP_PORT: Final[dict[Tls, int]] = {"none": 25, "starttls": 587, "implicit": 465}


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
    users = root.read("users", _users)
    state = root.read("state", lambda table: table.folder("directory", "state"))
    config = Config(
        path=path,
        xmpp=root.read("xmpp", _xmpp),
        smtp=root.read("smtp", _smtp),
        listen=root.read("listen", _listen),
        users=users,
        mail=root.read("mail", lambda table: _mail(table, users)),
        registration=root.read("registration", _registration),
        encrypted_only=root.read("policy", lambda table: table.flag("encrypted_only", default=False)),
        keys=root.read("keys", _keys),
        wkd=root.read("wkd", lambda table: _http(table, 8096)),
        files=root.read("files", _files),
        plugins=root.read("plugins", lambda table: table.texts("allow", ("gre-openpgp",))),
        state=state or path.parent,
        database=root.read("database", lambda table: table.secret("url")),
        retry=root.read("retry", _retry),
        retention=root.read("retention", _retention),
        limits=root.read("limits", _limits),
        admins=root.read("admin", _admins),
        http=root.read("http", lambda table: _http(table, 8095)),
        log=root.read("log", _log),
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
        hint = "; `gre-email-gateway init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}{hint}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place else text.rstrip().count("\n") + 1  # else it says "at end of document"
        raise ConfigError(f"{path}:{line}: is not TOML: {error}") from error


def _xmpp(table: Table) -> Xmpp:
    domain = _jid(table, "domain", table.text("domain"), "the domain of the component")
    if domain.user:
        raise table.error("domain", "a domain without @", str(domain))
    secret = table.secret("secret")
    if secret is None:
        raise ConfigError(f"{table.where('secret')} has to be given, or secret_file")
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


def _mail(table: Table, users: tuple[tuple[str, str], ...] | None) -> Mail:
    domains = tuple(one.lower() for one in table.texts("domains", ()))
    for domain in domains:
        try:
            check_address(f"postmaster@{domain}")
        except InvalidAddress as error:
            raise ConfigError(f"{table.where('domains')}: {error.text}") from error
    for address, _ in users or ():
        if domains and domain_of(address).lower() not in domains:
            raise ConfigError(
                f"{table.where('domains')} has to hold the domain of each address in [users]: {address} is of another"
            )
    found = domains or tuple(dict.fromkeys(domain_of(address).lower() for address, _ in users or ()))
    if not found and users is not None:
        raise ConfigError(f"{table.where('domains')} is missing: name the mail domain, or give [users]")
    return Mail(found, table.optional_text("authserv_id"), _verifier(table))


def _verifier(table: Table) -> Milter | None:
    text = table.optional_text("verifier")
    try:
        return None if text is None else Milter.parse(text)
    except ValueError:
        raise table.error("verifier", "host:port or the absolute path of a socket", text) from None


def _keys(table: Table) -> Keys:
    return Keys(
        table.folder("directory"), table.flag("harvest", default=True), table.flag("wkd", default=True)
    )


def _retention(table: Table) -> Retention:
    return Retention(
        float(table.whole("relayed_days", 7, 1, 365) * _DAY),
        float(table.whole("dead_days", 14, 1, 365) * _DAY),
    )


def _admins(table: Table) -> tuple[str, ...]:
    return tuple(_bare(table, "jids", one).bare for one in table.texts("jids", ()))


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
