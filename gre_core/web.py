"""Fetching documents by HTTPS for a host: the port :class:`~gre_core.ports.Web`, over aiohttp; and storing files.

::

    ports = replace(ports, web=HttpsWeb())  # or HttpsWeb(proxy="socks5://127.0.0.1:9050")
    file = await HttpsWeb(hosts=["upload.localhost:5281"]).download(url, max_size=7_000_000)

Who chooses the address is not trusted: it comes from the domain of whoever writes to us. So a request goes to port
443 of a public address only, the address that was checked is the one that is connected to (no DNS rebinding),
certificates are checked, redirects are not followed (:meth:`HttpsWeb.download` checks each anew), and nothing is sent
that tells who asks. Without a web port (``Ports.web`` is None) nothing is ever fetched.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gre_core.errors import GreError, NoSuchHost, PeerTimeout, Refused
from gre_core.ports import WebAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Document", "HttpsWeb", "is_public"]

TIMEOUT: Final = 10.0
"""Seconds for one document, from the name look-up to the last byte."""

MAX_REDIRECTS: Final = 3
"""How many redirects a download follows."""

_HTTPS: Final = 443
_DEFAULT_PORTS: Final = {"https": _HTTPS, "http": 80}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_URL: Final = 2048
_MAX_HOST: Final = 253
_CHUNK: Final = 16 * 1024
_HEADERS: Final = {"User-Agent": "Mozilla/5.0", "Accept": "*/*", "Accept-Encoding": "identity"}
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
# At least two labels, and the last one no number: "127.1" and "0x7f.1" are addresses to some resolvers.
_HOST: Final = re.compile(rf"(?:{_LABEL}\.)+(?=[a-z0-9-]*[a-z][a-z0-9-]*\Z)(?!0x){_LABEL}")
_LOCAL_NAMES: Final = (
    ".localhost", ".localdomain", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa",
    ".onion", ".test", ".invalid",
)  # fmt: skip
_GLOBAL_V6: Final = ipaddress.ip_network("2000::/3")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NOT_GLOBAL_V6: Final = tuple(
    map(
        ipaddress.ip_network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20", "5f00::/16"),
    )
)
_NO_NAME: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_SOCKS_NO_HOST: Final = 4
_DEFAULT_SOCKS_PORT: Final = 1080


def is_public(address: str) -> bool:
    """Tell whether an IP address is one that everybody can reach, and no other way to name one that is not.

    Private, loopback, link-local, shared (CGNAT), multicast, documentation and reserved addresses are not; nor are
    IPv6 addresses that carry an IPv4 one (mapped, 6to4, Teredo), but for NAT64 with a public one inside.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            return False
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if found not in _GLOBAL_V6 or any(found in network for network in _NOT_GLOBAL_V6):
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


@dataclass(frozen=True, slots=True)
class Document:
    """What a web server gave.

    Arguments:
        status: of HTTP.
        content_type: as the server wrote it, or ``""``.
        body: complete.
        location: where a redirect leads to, or ``""``.
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)
    location: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: ``listed`` hosts need not be public."""

    host: str
    port: int | None
    listed: bool
    encrypted: bool


class HttpsWeb:
    """Fetches documents by HTTPS.

    Arguments:
        proxy: ``socks5://[user:password@]host[:port]``, or None. The proxy then looks up the names too, so whether
            an address is public is its business; names of local hosts and bare addresses are refused all the same.
        timeout: seconds for one document.
        hosts: ``host`` or ``host:port``: these may be reached although they are not public or have another port. Those
            that are not public may be reached without TLS as well, when the address says ``http``.

    Raises:
        ValueError: the proxy is not written like that.
    """

    _port: int = _HTTPS

    def __init__(
        self, proxy: str | None = None, *, timeout: float = TIMEOUT, hosts: Iterable[str] = ()
    ) -> None:
        self._proxy = None if proxy is None else _read_proxy(proxy)
        self._timeout = timeout
        self._hosts = frozenset(host.lower() for host in hosts)

    def __repr__(self) -> str:
        """Tell whether there is a proxy; it may have a password."""
        return f"HttpsWeb({'by proxy' if self._proxy else 'direct'})"

    async def get(self, url: str, /, *, max_size: int) -> WebAnswer:
        """Fetch a document of at most ``max_size`` bytes. A redirect is an answer like any other.

        Raises:
            NoSuchHost: the name does not exist.
            PeerTimeout: no answer: offline, no connection, no valid certificate, too slow.
            Refused: the address is not one that is fetched from, or the document is too large or packed.
        """
        target = _checked_target(url, self._hosts)
        found = await self._within(target.host, self._request("GET", url, target, max_size))
        return WebAnswer(found.status, found.body)

    async def download(self, url: str, /, *, max_size: int) -> Document:
        """Fetch a file of at most ``max_size`` bytes; follow at most three redirects, each checked like the first.

        Raises:
            NoSuchHost, PeerTimeout, Refused: as :meth:`get` does.
        """
        target = _checked_target(url, self._hosts)
        return await self._within(target.host, self._follow(url, target, max_size))

    async def put(
        self, url: str, content: bytes, /, *, content_type: str, headers: Iterable[tuple[str, str]] = ()
    ) -> int:
        """Store a file (XEP-0363, section 6); give the status that the server answered.

        Arguments:
            url: checked as for :meth:`get`.
            content: of the file.
            content_type: of the file.
            headers: further ones; a name may come several times.

        Raises:
            NoSuchHost, PeerTimeout, Refused: as :meth:`get` does.
        """
        target = _checked_target(url, self._hosts)
        fields = (("Content-Type", content_type), *headers)
        found = await self._within(target.host, self._request("PUT", url, target, 0, content, fields))
        return found.status

    async def _within(self, host: str, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await work
        except GreError:
            raise
        except TimeoutError:
            raise PeerTimeout(f"{host} did not answer within {self._timeout:g} seconds", host=host) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise PeerTimeout(
                f"{host} has no valid certificate, so nothing was fetched", host=host
            ) from error
        except Exception as error:
            # What aiohttp and the proxy's library raise has no common root.
            if self._proxy is not None and getattr(error, "error_code", None) == _SOCKS_NO_HOST:
                raise NoSuchHost(f"The proxy finds no {host}", host=host) from error
            raise PeerTimeout(f"{host} cannot be reached ({type(error).__name__})", host=host) from error

    async def _follow(self, url: str, target: _Target, max_size: int) -> Document:
        for _ in range(MAX_REDIRECTS + 1):
            found = await self._request("GET", url, target, max_size)
            if found.status not in _REDIRECTS or not found.location:
                return found
            url = urljoin(url, found.location)
            target = _checked_target(url, self._hosts)
        raise Refused(f"{target.host} leads from one address to the next")

    async def _request(
        self,
        method: str,
        url: str,
        target: _Target,
        max_size: int,
        content: bytes | None = None,
        fields: Iterable[tuple[str, str]] = (),
    ) -> Document:
        """Make one request. What comes back is read only of a GET."""
        host = target.host
        connector = await self._connector(target)
        address = url if target.port else _with_port(url, self._port)
        async with (
            connector,
            aiohttp.ClientSession(
                connector=connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.request(
                method,
                URL(address, encoded=True),
                data=content,
                headers=list(fields),
                allow_redirects=False,
            ) as response,
        ):
            if method != "GET":
                return Document(response.status, "", b"")
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
                raise Refused(f"{host} sends a packed document, which was not asked for")
            if response.content_length is not None and response.content_length > max_size:
                raise _too_large(host, max_size)
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > max_size:
                    raise _too_large(host, max_size)
            kind, location = (response.headers.get(name, "") for name in ("Content-Type", "Location"))
            return Document(response.status, kind, bytes(body), location)

    async def _connector(self, target: _Target) -> aiohttp.BaseConnector:
        tls = self._tls()
        if self._proxy is None:
            resolver = _Checked(await self._addresses(target))
            return aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, ssl=tls, force_close=True)
        from aiohttp_socks import ProxyConnector, ProxyType  # noqa: PLC0415 - only for those with a proxy

        server, port, user, password = self._proxy
        return ProxyConnector(
            server,
            port,
            ProxyType.SOCKS5,
            user,
            password,
            rdns=True,
            ssl=tls,
            force_close=True,
        )

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    async def _addresses(self, target: _Target) -> Sequence[str]:
        """Give the addresses of a host, all of them public unless it is listed."""
        host = target.host
        try:
            found = await self._look_up(host)
        except socket.gaierror as error:
            if error.errno in _NO_NAME:
                raise NoSuchHost(f"There is no {host}", host=host) from error
            raise PeerTimeout(f"The name {host} cannot be looked up: no answer", host=host) from error
        if not found:
            raise NoSuchHost(f"There is no {host}", host=host)
        if not target.encrypted and any(map(self._is_public, found)):
            raise Refused(f"Nothing goes to {host} without TLS")
        if not target.listed and not all(map(self._is_public, found)):
            raise Refused(f"{host} has an address that is not public; nothing is fetched from there")
        return found

    async def _look_up(self, host: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, self._port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _is_public(self, address: str) -> bool:
        return is_public(address)


class _Checked(AbstractResolver):
    """Gives the addresses that were checked, so that no second look-up can give others."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give them all, whatever the family."""
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Hold nothing."""


def _checked_target(url: str, listed: frozenset[str]) -> _Target:
    """Give the host of an address that may be reached.

    Raises:
        Refused: another scheme or port, a user, an IP address, or a name that is known only locally; unless the host is
            listed.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or ""), parts.port
    except ValueError:
        raise Refused("This is no web address") from None
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Refused("This is no web address")
    authority = f"[{host}]" if ":" in host else host
    known = (
        {f"{authority}:{port}"} if port else {authority, f"{authority}:{_DEFAULT_PORTS.get(parts.scheme)}"}
    )
    if host and parts.scheme in _DEFAULT_PORTS and "@" not in parts.netloc and not known.isdisjoint(listed):
        return _Target(host, port, listed=True, encrypted=parts.scheme == "https")
    if parts.scheme != "https" or port not in {None, _HTTPS} or "@" in parts.netloc or parts.fragment:
        raise Refused(f"Only https addresses on port {_HTTPS} are fetched from")
    if len(host) > _MAX_HOST or _HOST.fullmatch(host) is None:
        raise Refused("Only hosts with a full name are fetched from, no addresses")
    if f".{host}".endswith(_LOCAL_NAMES):
        raise Refused(f"{host} is a name that is known only locally; nothing is fetched from there")
    return _Target(host, None, listed=False, encrypted=True)


def _with_port(url: str, port: int) -> str:
    """Put in the port: always 443, but for tests."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl() if port != _HTTPS else url


def _read_proxy(text: str) -> tuple[str, int, str | None, str | None]:
    """Read the address of a SOCKS5 proxy; raises ``ValueError``."""
    parts = urlsplit(text)
    if parts.scheme not in {"socks5", "socks5h"} or not parts.hostname or parts.path not in {"", "/"}:
        text = "A proxy is written as socks5://[user:password@]host[:port]"
        raise ValueError(text)
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    return parts.hostname, parts.port or _DEFAULT_SOCKS_PORT, user, password


def _too_large(host: str, limit: int) -> Refused:
    return Refused(f"{host} sends more than the {limit} bytes that are read", limit=limit)
