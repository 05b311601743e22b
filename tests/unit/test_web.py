"""The port for look-ups by HTTPS, against a real server with a certificate authority of its own, and a real proxy."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gre_core.errors import NoSuchHost, PeerTimeout, Refused
from gre_core.web import HttpsWeb, is_public

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

HOST = "keys.example.org"
URL = f"https://{HOST}/doc"
_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Authority:
    """Issues certificates for hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        usage = dict.fromkeys(_KEY_USAGES, False) | {"key_cert_sign": True}
        extensions = (x509.BasicConstraints(True, None), x509.KeyUsage(**usage))
        self.certificate = self.issue(self.name, self.key.public_key(), *extensions)
        self.path = folder / "ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, subject: Any, public: Any, *extensions: Any) -> Any:
        """Issue one that Python 3.13 and later take, too: they want what RFC 5280 says."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        extensions += (
            x509.SubjectKeyIdentifier.from_public_key(public),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
        )
        for extension in extensions:
            critical = isinstance(extension, x509.BasicConstraints | x509.SubjectAlternativeName)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, *hosts: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        certificate = self.issue(x509.Name([]), key.public_key(), names)
        path = self.folder / f"{hosts[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


class Server:
    """An HTTPS server that says what it is told."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        self.stall: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.stall is not None:
                await self.stall.wait()
            writer.write(self.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class TestWeb(HttpsWeb):
    """Looks names up in a table, trusts the test's authority, and may reach this machine."""

    __test__ = False

    def __init__(self, port: int, authority: Path, **options: Any) -> None:
        super().__init__(**options)
        self._port = port
        self.authority = authority
        self.names: dict[str, Sequence[str]] = {HOST: ["127.0.0.1"]}
        self.public = {"127.0.0.1"}
        self.looked_up: list[str] = []

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    async def _look_up(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self.names[host]

    def _is_public(self, address: str) -> bool:
        return address in self.public or is_public(address)


@asynccontextmanager
async def running(context: ssl.SSLContext) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: Any) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    async with running(authority.server(HOST)) as made:
        yield made


@pytest.fixture
def web(server: Server, authority: Authority) -> TestWeb:
    return TestWeb(server.port, authority.path)


# -- what comes ------------------------------------------------------------------------------------


async def test_a_document_is_fetched_and_little_is_told(web: TestWeb, server: Server) -> None:
    answer = await web.get(URL + "?l=bob", max_size=100)
    assert (answer.status, answer.body) == (200, b"hello")
    (request,) = server.requests
    assert request.startswith("GET /doc?l=bob HTTP/1.1\r\n")
    names = {line.partition(":")[0].lower() for line in request.splitlines()[1:] if line}
    assert names <= {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert "python" not in request.lower()
    assert "aiohttp" not in request.lower()
    assert "gre" not in request.lower()


async def test_no_cookie_comes_back(web: TestWeb, server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    for _ in range(2):
        await web.get(URL, max_size=100)
    assert "cookie" not in server.requests[1].lower()


async def test_a_redirect_is_not_followed(web: TestWeb, server: Server) -> None:
    server.answer = b"HTTP/1.1 302 Found\r\nLocation: https://other.example.org/\r\nContent-Length: 0\r\n\r\n"
    assert (await web.get(URL, max_size=100)).status == 302
    assert web.looked_up == [HOST]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"33\r\n" + b"x" * 51 + b"\r\n" + b"33\r\n" + b"x" * 51 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
    ],
)  # fmt: skip
async def test_more_than_the_limit_is_refused(web: TestWeb, server: Server, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(Refused, match="100 bytes"):
        await web.get(URL, max_size=100)
    assert len((await web.get(URL, max_size=102)).body) >= 101


async def test_a_packed_document_is_refused(web: TestWeb, server: Server) -> None:
    packed = gzip.compress(b"x" * 10_000)
    server.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    )
    with pytest.raises(Refused, match="packed"):
        await web.get(URL, max_size=100_000)


async def test_a_slow_server_is_given_up(server: Server, authority: Authority) -> None:
    server.stall = asyncio.Event()
    try:
        with pytest.raises(PeerTimeout, match=r"within 0\.2 seconds"):
            await TestWeb(server.port, authority.path, timeout=0.2).get(URL, max_size=100)
    finally:
        server.stall.set()


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"]
)
async def test_nonsense_is_no_answer(web: TestWeb, server: Server, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(PeerTimeout):
        await web.get(URL, max_size=100)


# -- who is asked ----------------------------------------------------------------------------------


async def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    async with running(authority.server("other.example.org")) as server:
        with pytest.raises(PeerTimeout, match="certificate"):
            await TestWeb(server.port, authority.path).get(URL, max_size=100)
        assert server.requests == []


async def test_an_unknown_authority_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(PeerTimeout, match="certificate"):
        await TestWeb(server.port, Authority(tmp_path).path).get(URL, max_size=100)
    assert server.requests == []


async def test_a_name_that_does_not_exist_is_told_from_silence(web: TestWeb) -> None:
    with pytest.raises(NoSuchHost):
        await web.get("https://nobody.example.org/", max_size=100)

    async def no_network(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    web._look_up = no_network  # type: ignore[method-assign]
    with pytest.raises(PeerTimeout) as caught:
        await web.get(URL, max_size=100)
    assert not isinstance(caught.value, NoSuchHost)


async def test_the_checked_address_is_the_one_that_is_connected_to(web: TestWeb, server: Server) -> None:
    """DNS rebinding: a second look-up, which would give something else, never happens."""
    await web.get(URL, max_size=100)
    assert web.looked_up == [HOST]
    web.names[HOST] = ["192.168.0.1"]
    with pytest.raises(Refused, match="not public"):
        await web.get(URL, max_size=100)
    assert len(server.requests) == 1


async def test_one_address_that_is_not_public_spoils_all(web: TestWeb, server: Server) -> None:
    web.names[HOST] = ["127.0.0.1", "10.0.0.1"]
    with pytest.raises(Refused):
        await web.get(URL, max_size=100)
    assert server.requests == []


async def test_the_real_check_refuses_this_machine(server: Server) -> None:
    web = HttpsWeb()
    web._port = server.port

    async def here(host: str) -> Sequence[str]:
        return ["127.0.0.1"]

    web._look_up = here  # type: ignore[method-assign]
    with pytest.raises(Refused, match="not public"):
        await web.get(URL, max_size=100)


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example.org/",
        "https://keys.example.org:8443/",
        "https://keys.example.org:99999/",
        "https://user@keys.example.org/",
        "https://keys.example.org/#part",
        "https://keys.example.org/a b",
        "https://keys.example.org/\r\nHost: x",
        "https://keys.example.org/ä",
        "https://k\u0435ys.example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://1.2.3.0x4/",
        "https://localhost/",
        "https://a.localhost/",
        "https://printer.local/",
        "https://wiki.internal/",
        "https://router/",
        "https://keys.example.org./",
        "https://-a.example.org/",
        "https://" + "a." * 130 + "org/",
        "https:///path",
        "https://[/",
        "file:///etc/passwd",
        "",
    ],
)
@pytest.mark.parametrize("proxy", [None, "socks5://127.0.0.1:9"])
async def test_other_addresses_are_refused(url: str, proxy: str | None) -> None:
    with pytest.raises(Refused):
        await HttpsWeb(proxy).get(url, max_size=100)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("64:ff9b::5db8:d822", True),  # NAT64 of 93.184.216.34
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.53", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("232.1.1.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", False),
        ("::10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("2002:a00:1::", False),
        ("2002:5db8:d822::", False),
        ("2001:0:a00:1::", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("2606:2800:220:1::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
        ("no address", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


# -- the proxy -------------------------------------------------------------------------------------


class Socks5:
    """A SOCKS5 proxy (RFC 1928): one method, CONNECT by name, a table of names."""

    def __init__(self, table: dict[str, int]) -> None:
        self.table = table
        self.asked: list[tuple[int, str, int]] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")
        *_, kind = await reader.readexactly(4)
        if kind == 3:
            name = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            name = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append((kind, name, port))
        if name not in self.table:
            writer.write(b"\x05\x04\x00\x01" + bytes(6))
            await writer.drain()
            writer.close()
            return
        back, forth = await asyncio.open_connection("127.0.0.1", self.table[name])
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        for source, target in ((reader, forth), (back, writer)):
            task = asyncio.ensure_future(self._copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(4096):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Socks5]:
    made = Socks5({HOST: server.port})
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


async def test_the_proxy_is_asked_by_name_and_nobody_else(
    proxy: Socks5, server: Server, authority: Authority
) -> None:
    web = TestWeb(server.port, authority.path, proxy=f"socks5://127.0.0.1:{proxy.port}")
    assert (await web.get(URL, max_size=100)).body == b"hello"
    assert proxy.asked == [(3, HOST, server.port)]
    assert web.looked_up == []


async def test_the_proxy_says_that_there_is_no_such_host(
    proxy: Socks5, server: Server, authority: Authority
) -> None:
    web = TestWeb(server.port, authority.path, proxy=f"socks5://127.0.0.1:{proxy.port}")
    with pytest.raises(NoSuchHost):
        await web.get("https://nobody.example.org/", max_size=100)


async def test_certificates_are_checked_behind_the_proxy(
    proxy: Socks5, server: Server, tmp_path: Path
) -> None:
    web = TestWeb(server.port, Authority(tmp_path).path, proxy=f"socks5://127.0.0.1:{proxy.port}")
    with pytest.raises(PeerTimeout):
        await web.get(URL, max_size=100)
    assert server.requests == []


async def test_a_proxy_that_is_down_is_never_gone_around(server: Server, authority: Authority) -> None:
    web = TestWeb(server.port, authority.path, proxy="socks5://127.0.0.1:1")
    with pytest.raises(PeerTimeout):
        await web.get(URL, max_size=100)
    assert server.requests == []
    assert web.looked_up == []


@pytest.mark.parametrize(
    "text", ["127.0.0.1:9050", "http://127.0.0.1:9050", "socks5://", "socks5://a/b", "socks4://a"]
)
def test_a_proxy_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="socks5://"):
        HttpsWeb(text)


def test_a_password_shows_nowhere() -> None:
    assert "secret" not in repr(HttpsWeb("socks5://me:secret@127.0.0.1"))


# -- files -----------------------------------------------------------------------------------------


async def test_a_file_is_fetched_with_its_type(web: TestWeb, server: Server) -> None:
    content = bytes(range(256)) * 1000
    server.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    )
    found = await web.download(f"{URL}/a%2Fb%7E", max_size=len(content))
    assert (found.status, found.content_type, found.body) == (200, "image/png", content)
    assert server.requests[0].startswith("GET /doc/a%2Fb%7E HTTP/1.1")
    assert "images" not in repr(found)
    with pytest.raises(Refused, match="more than the"):
        await web.download(URL, max_size=len(content) - 1)


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    "to",
    [
        "http://keys.example.org/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.0.0.1/x",
        "https://keys.example.org:8443/x",
        "https://inside.example.org/x",
        "file:///etc/passwd",
        "https://me:secret@keys.example.org/",
        "https://[::1]/",
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(web: TestWeb, server: Server, to: str) -> None:
    web.names["inside.example.org"] = ["10.0.0.1"]
    server.answer = redirect(to)
    with pytest.raises(Refused):
        await web.download(URL, max_size=100)
    assert len(server.requests) == 1


async def test_a_download_follows_a_few_redirects(web: TestWeb, server: Server) -> None:
    server.answer = redirect("/next")
    with pytest.raises(Refused, match="from one address to the next"):
        await web.download(URL, max_size=100)
    assert len(server.requests) == 4
    assert server.requests[1].startswith("GET /next ")


async def test_a_file_is_stored_with_its_headers(web: TestWeb, server: Server) -> None:
    server.answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    headers = [("Authorization", "Bearer x"), ("Cookie", "a"), ("Cookie", "b")]
    assert await web.put(URL, b"content", content_type="image/png", headers=headers) == 201
    (request,) = server.requests
    assert request.startswith("PUT /doc HTTP/1.1\r\n")
    for line in (
        "Content-Type: image/png",
        "Authorization: Bearer x",
        "Cookie: a",
        "Cookie: b",
        "Content-Length: 7",
    ):
        assert f"\r\n{line}\r\n" in request
    server.answer = redirect("https://other.example.org/")
    assert await web.put(URL, b"x", content_type="a/b") == 302
    with pytest.raises(Refused):
        await web.put("https://10.0.0.1/", b"x", content_type="a/b")


async def test_listed_hosts_need_not_be_public(authority: Authority) -> None:
    async with running(authority.server("upload.localhost")) as server:
        web = TestWeb(server.port, authority.path, hosts=[f"Upload.localhost:{server.port}"])
        web.public.clear()
        web.names["upload.localhost"] = ["127.0.0.1"]
        url = f"https://upload.localhost:{server.port}/x"
        assert (await web.download(url, max_size=100)).body == b"hello"
        for other in (
            f"https://upload.localhost:{server.port + 1}/x",
            "https://upload.localhost/x",
            f"https://other.localhost:{server.port}/x",
            f"https://me@upload.localhost:{server.port}/x",
            f"ftp://upload.localhost:{server.port}/x",
        ):
            with pytest.raises(Refused):
                await web.download(other, max_size=100)


async def test_listed_hosts_that_are_not_public_may_be_without_tls() -> None:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        for host in ("localhost", "127.0.0.1"):
            web = HttpsWeb(hosts=[f"{host}:{server.port}"])
            assert (await web.download(f"http://{host}:{server.port}/x", max_size=9)).body == b"hello"
            with pytest.raises(Refused):
                await HttpsWeb().download(f"http://{host}:{server.port}/x", max_size=9)
    finally:
        listening.close()


async def test_nothing_goes_to_a_public_host_without_tls(web: TestWeb, server: Server) -> None:
    named = TestWeb(server.port, web.authority, hosts=[f"{HOST}:{server.port}"])
    with pytest.raises(Refused, match="without TLS"):
        await named.download(f"http://{HOST}:{server.port}/x", max_size=100)
    assert server.requests == []
