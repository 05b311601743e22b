"""What the gateway is told: one value for each table of the configuration file.

The README lists every key with its default; :mod:`gre_gateway_email.config.loading` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from gre_gateway_email.mail.milter import Milter

KIB: Final = 1024
MIB: Final = 1024 * KIB

STANZA_LIMIT: Final = 512 * KIB
"""What Prosody and most servers take from a component, in bytes. A larger stanza ends the whole stream."""

STANZA_HEADROOM: Final = 12 * KIB
"""Kept free around ``<encrypted/>``, in bytes: two JIDs of 3 KiB (RFC 7622), ids, hints, their escapes."""

Tls = Literal["none", "starttls", "implicit"]
Protocol = Literal["lmtp", "smtp"]
Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]
AddressChoice = Literal["same", "choose"]


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
        dsn: ask for reports about failed deliveries where the relay can do that (RFC 3461).
    """

    host: str
    port: int
    tls: Tls
    user: str | None
    password: str | None = field(repr=False)
    connections: int
    timeout: float
    helo: str
    dsn: bool = True


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
class Mail:
    """The mail side.

    Arguments:
        domains: the mail domains that the gateway owns, in lower case; the first is offered first at registration.
        authserv_id: the name under which the operator's own mail server writes Authentication-Results (RFC 8601),
            or None: then all such headers are ignored.
        verifier: the milter that is asked whether DKIM vouches for a mail that brings a key, or None.
    """

    domains: tuple[str, ...]
    authserv_id: str | None
    verifier: Milter | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """Who may register, and with which address (XEP-0077).

    Arguments:
        servers: users of these XMPP domains may register; none: only the operator adds users.
        address: ``same`` gives everybody the local part of the own JID; ``choose`` lets users choose a free one.
        reserved: local parts that nobody may choose, besides those of RFC 2142.
        max_addresses: how many addresses one user may have.
    """

    servers: tuple[str, ...]
    address: AddressChoice
    reserved: tuple[str, ...]
    max_addresses: int


@dataclass(frozen=True, slots=True)
class Keys:
    """Public keys of contacts and users.

    Arguments:
        directory: folder with public keys of contacts, or None.
        harvest: keep the keys that come in Autocrypt headers of received mail, for the user who received it.
        wkd: look for keys of contacts in the Web Key Directory of their domain.
    """

    directory: Path | None
    harvest: bool
    wkd: bool


@dataclass(frozen=True, slots=True)
class Http:
    """An HTTP server on loopback.

    Arguments:
        enabled: whether it runs.
        host: address to listen on.
        port: port to listen on; 0 takes any that is free.
    """

    enabled: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Files:
    """Attachments of plain mail (XEP-0066, XEP-0363).

    Arguments:
        download: fetch what users link to and attach it to the mail.
        upload: give attachments of plain mail to the users' upload service.
        service: JID of the upload service; None asks the user's server.
        max_size: largest file, in bytes.
        max_count: most files of one mail.
        hosts: host names that files are fetched from and given to although they are not public, with their port
            (``upload.example.org:5281``).
    """

    download: bool
    upload: bool
    service: str | None
    max_size: int
    max_count: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """How long what cannot be delivered now is tried again. All in seconds.

    Arguments:
        first: pause before the second try; it doubles from there, with jitter.
        longest: longest pause.
        outbound: after so long the user is told that a mail could not be sent.
        inbound: after so long the sender of a mail is told that it could not be delivered.
        large: how long a mail is kept that is too large for a stanza.
    """

    first: float
    longest: float
    outbound: float
    inbound: float
    large: float


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is over is remembered. All in seconds.

    Arguments:
        relayed: hashed ids of delivered messages.
        dead: what could not be delivered.
    """

    relayed: float
    dead: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user, and all together, may use.

    Arguments:
        max_stanza: largest stanza that the gateway sends, in bytes.
        messages: mails that one user may send in an hour.
        recipients: recipients that one user may send to in an hour.
        size: bytes that one user may send in an hour.
        waiting: messages that may wait for one user.
        waiting_size: bytes that may wait for one user.
        queue: messages that may wait in all, in each direction.
    """

    max_stanza: int
    messages: int
    recipients: int
    size: int
    waiting: int
    waiting_size: int
    queue: int


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged to standard error.

    Arguments:
        level: the lowest level.
        format: ``console`` for people, ``json`` for programs.
        addresses: show mail addresses and JIDs in clear.
    """

    level: Level
    format: LogFormat
    addresses: bool


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the gateway is told.

    Arguments:
        path: the file.
        xmpp: the XMPP server.
        smtp: the relay.
        listen: the listener for mail.
        mail: the mail domains.
        users: pairs of mail address and bare JID that the operator gives; of several addresses of one JID the first
            is the one it sends from.
        registration: who else may register.
        encrypted_only: refuse what is not encrypted, both ways (GRE, "Business Rules"); a user can be stricter, not
            laxer.
        keys: keys of contacts.
        wkd: the server that publishes the keys of users who agree (Web Key Directory).
        files: attachments of plain mail.
        plugins: distributions whose plugins may add to the data form; others are not imported.
        state: folder of the database file.
        database: URL of the database (SQLAlchemy), or None: SQLite in the state folder.
        retry: when and how long something is tried again.
        retention: how long something is remembered.
        limits: what may be used.
        admins: bare JIDs of those who may use the commands for admins.
        http: metrics and health.
        log: what is logged.
        warnings: what works and should be changed, for people.
    """

    path: Path
    xmpp: Xmpp
    smtp: Smtp
    listen: Listen
    mail: Mail
    users: tuple[tuple[str, str], ...] = field(repr=False)
    registration: Registration
    encrypted_only: bool
    keys: Keys
    wkd: Http
    files: Files
    plugins: tuple[str, ...]
    state: Path
    database: str | None = field(repr=False)
    retry: Retry
    retention: Retention
    limits: Limits
    admins: tuple[str, ...]
    http: Http
    log: Log
    warnings: tuple[str, ...] = ()

    @property
    def max_encrypted(self) -> int:
        """How many bytes an ``<encrypted/>`` element may have at most."""
        return self.limits.max_stanza - STANZA_HEADROOM
