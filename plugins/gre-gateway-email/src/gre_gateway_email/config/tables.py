"""Reads the tables of the configuration file, each into its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from slixmpp import JID
from slixmpp.jid import InvalidJID

from gre_core.errors import InvalidAddress
from gre_gateway_email.config.settings import (
    KIB,
    MIB,
    STANZA_LIMIT,
    AddressChoice,
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
from gre_gateway_email.config.sources import ConfigError
from gre_gateway_email.config.toml_table import MAX_PORT
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.mail.milter import Milter

if TYPE_CHECKING:
    from gre_gateway_email.config.toml_table import Table

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_SMTP_PORT: Final[dict[Tls, int]] = {"none": 25, "starttls": 587, "implicit": 465}


def read_xmpp(table: Table) -> Xmpp:
    """Read ``[xmpp]``."""
    domain = _jid(table, "domain", table.text("domain"), "the domain of the component")
    if domain.user:
        raise table.error("domain", "a domain without @", str(domain))
    host, port = table.text("host", "127.0.0.1"), table.whole("port", 5347, 1, MAX_PORT)
    secret = table.secret("secret")
    if secret is None:
        # Noted last: what is wrong with the other keys is told too, and a secret that is written wrongly.
        table.done()
        raise ConfigError(f"{table.where('secret')} has to be given, or secret_file")
    return Xmpp(domain.bare, host, port, secret)


def read_smtp(table: Table) -> Smtp:
    """Read ``[smtp]``."""
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


def read_listen(table: Table) -> Listen:
    """Read ``[listen]``."""
    return Listen(
        protocol=cast("Protocol", table.choice("protocol", ("lmtp", "smtp"), "lmtp")),
        host=table.text("host", "127.0.0.1"),
        port=table.whole("port", 2424, 0, MAX_PORT),
        max_size=table.whole("max_size", MIB, 16 * KIB, 64 * MIB),
        max_recipients=table.whole("max_recipients", 100, 1, 10_000),
    )


def read_mail(table: Table, users: tuple[tuple[str, str], ...] | None) -> Mail:
    """Read ``[mail]``."""
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


def read_keys(table: Table) -> Keys:
    """Read ``[keys]``."""
    return Keys(
        table.folder("directory"), table.flag("harvest", default=True), table.flag("wkd", default=True)
    )


def read_retention(table: Table) -> Retention:
    """Read ``[retention]``."""
    return Retention(
        float(table.whole("relayed_days", 7, 1, 365) * _DAY),
        float(table.whole("dead_days", 14, 1, 365) * _DAY),
    )


def read_admins(table: Table) -> tuple[str, ...]:
    """Read ``[admin]``."""
    return tuple(_bare(table, "jids", one).bare for one in table.texts("jids", ()))


def read_registration(table: Table) -> Registration:
    """Read ``[registration]``."""
    return Registration(
        servers=tuple(
            _jid(table, "servers", one, "a list of XMPP domains").bare for one in table.texts("servers", ())
        ),
        address=cast("AddressChoice", table.choice("address", ("same", "choose"), "same")),
        reserved=tuple(one.lower() for one in table.texts("reserved", ())),
        max_addresses=table.whole("max_addresses", 5, 1, 100),
    )


def read_files(table: Table) -> Files:
    """Read ``[files]``."""
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


def read_retry(table: Table) -> Retry:
    """Read ``[retry]``."""
    return Retry(
        first=float(table.whole("first_seconds", 30, 1, _DAY)),
        longest=float(table.whole("longest_seconds", _HOUR, 1, _DAY)),
        outbound=float(table.whole("outbound_hours", 24, 1, 24 * 30) * _HOUR),
        inbound=float(table.whole("inbound_hours", 24 * 5, 1, 24 * 30) * _HOUR),
        large=float(table.whole("large_hours", 24 * 7, 1, 24 * 90) * _HOUR),
    )


def read_limits(table: Table) -> Limits:
    """Read ``[limits]``."""
    return Limits(
        max_stanza=table.whole("max_stanza", STANZA_LIMIT, 32 * KIB, 64 * MIB),
        messages=table.whole("messages_per_hour", 1000, 1, 10_000_000),
        recipients=table.whole("recipients_per_hour", 2000, 1, 10_000_000),
        size=table.whole("megabytes_per_hour", 500, 1, 1_000_000) * MIB,
        waiting=table.whole("waiting_messages", 5000, 1, 1_000_000),
        waiting_size=table.whole("waiting_megabytes", 500, 1, 1_000_000) * MIB,
        queue=table.whole("queue", 20_000, 1, 10_000_000),
    )


def read_http(table: Table, port: int) -> Http:
    """Read ``[http]`` or ``[wkd]``, whose default port is given."""
    return Http(
        table.flag("enabled", default=False),
        table.text("host", "127.0.0.1"),
        table.whole("port", port, 0, MAX_PORT),
    )


def read_log(table: Table) -> Log:
    """Read ``[log]``."""
    return Log(
        level=cast("Level", table.choice("level", ("debug", "info", "warning", "error"), "info")),
        format=cast("LogFormat", table.choice("format", ("console", "json"), "console")),
        addresses=table.flag("addresses", default=False),
    )


def read_users(table: Table) -> tuple[tuple[str, str], ...]:
    """Read ``[users]``."""
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
