"""Messages a second through the whole gateway, against the slower of its two bare halves; on SQLite and on PostgreSQL.

One half is a bare slixmpp component that echoes, on the same server; the other is aiosmtplib alone, which sends the
same mails to the same sink over as many kept connections.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosmtplib
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath
from slixmpp.xmlstream.tostring import tostring

from gre_core import Message
from gre_core.api import Attachment
from gre_core.slixmpp.traps import mend_slixmpp
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.postfix import SmtpSink
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, make_component, online

from parties import two_parties  # isort: skip - beside this script

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.testing.server import XmppServer

GATEWAY = "mail.localhost"
ECHO = "echo.localhost"
CONNECTIONS = 8
KIB = 1024

Figures = dict[str, float]


async def sealed_stanza(size: int) -> str:
    """Give a sealed message whose binary ciphertext has about so many bytes, with placeholders for id and recipient."""
    sender, recipient = await two_parties()
    noise = os.urandom(max(size * 3 // 4 - KIB, 0))
    attachments = (Attachment.from_bytes("a.bin", "image/png", noise),) if noise else ()
    text = "The quick brown fox jumps over the lazy dog.\n" * 8
    sealed = await sender.seal(recipient.account, Message(text=text[:400], attachments=attachments))
    sealed.stanza.set("to", "@TO@")
    return tostring(sealed.stanza, xmlns="jabber:client").replace(sealed.id, "@ID@")


class Driver:
    """A client that keeps so many messages under way and counts the answers."""

    def __init__(self, xmpp: Any, stanza: str, to: str, answer: StanzaPath | MatchXPath) -> None:
        self._xmpp = xmpp
        self._stanza = stanza.replace("@TO@", to)
        self._under_way = 0
        self._arrived = asyncio.Event()
        self.errors: list[str] = []
        xmpp.register_handler(Callback("bench answer", answer, self._answer))
        xmpp.register_handler(Callback("bench error", StanzaPath("message@type=error"), self._error))

    def _answer(self, _stanza: object) -> None:
        self._under_way -= 1
        self._arrived.set()

    def _error(self, stanza: Any) -> None:
        self.errors.append(str(stanza)[:300])
        self._answer(stanza)

    async def run(self, name: str, count: int, window: int) -> float:
        """Send and wait for all answers; give messages a second."""
        start = time.perf_counter()
        for number in range(count):
            while self._under_way >= window:
                await self._wait()
            self._under_way += 1
            self._xmpp.send(self._stanza.replace("@ID@", f"{name}-{number}"))
        while self._under_way:
            await self._wait()
        elapsed = time.perf_counter() - start
        if self.errors:
            text = f"the gateway refused: {self.errors[0]}"
            raise RuntimeError(text)
        return count / elapsed

    async def _wait(self) -> None:
        self._arrived.clear()
        await asyncio.wait_for(self._arrived.wait(), 30)


def cpu_seconds(pid: int) -> float:
    """Give the CPU time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def start_gateway(
    folder: Path, server: XmppServer, sink_port: int, database: str | None
) -> asyncio.subprocess.Process:
    """Start the gateway as an operator would, and wait until it is ready."""
    config = folder / "gateway.toml"
    url = f'[database]\nurl = "{database}"' if database else ""
    config.write_text(
        f"""{url}
[xmpp]
domain = "{GATEWAY}"
host = "{server.host}"
port = {server.component_port}
secret = "{server.components[GATEWAY]}"
[smtp]
host = "127.0.0.1"
port = {sink_port}
connections = {CONNECTIONS}
[listen]
port = 0
[state]
directory = "{folder / "state"}"
[policy]
encrypted_only = true
[limits]
messages_per_hour = 10000000
recipients_per_hour = 10000000
megabytes_per_hour = 1000000
[users]
"alice@a.example" = "juliet@{server.domain}"
"""
    )
    config.chmod(0o600)  # it holds secrets
    command = [sys.executable, "-m", "gre_gateway_email", "run", "--config", str(config)]
    with (folder / "log").open("wb") as log:  # a pipe that nobody reads would fill, and stop the gateway
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"ready:" not in (line := await process.stdout.readline()):
            if not line:
                text = "the gateway did not start"
                raise RuntimeError(text)
    return process


async def echo_component(server: XmppServer) -> Any:
    """A component that sends each message back, with nothing else attached."""
    component: Any = make_component(server, ECHO)

    def echo(message: Any) -> None:
        message["to"], message["from"] = message["from"], message["to"]
        message.send()

    component.register_handler(Callback("echo", StanzaPath("message"), echo))
    await online(component)
    return component


async def bare_smtp(port: int, mail: bytes, count: int) -> float:
    """Send the same mail many times over kept connections; give mails a second."""
    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port) for _ in range(CONNECTIONS)]
    for client in clients:
        await client.connect()
    left = iter(range(count))

    async def work(client: aiosmtplib.SMTP) -> None:
        for _ in left:
            await client.sendmail("alice@a.example", ["bob@b.example"], mail)

    start = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    elapsed = time.perf_counter() - start
    for client in clients:
        await client.quit()
    return count / elapsed


async def wrapped(stanza: str) -> bytes:
    """Give the mail that the gateway makes of the stanza."""
    from datetime import UTC, datetime
    from xml.etree.ElementTree import fromstring

    from gre_gateway_email.carrier import Carriers, Envelope

    from gre_core import wire

    element = fromstring(stanza.replace("<message", '<message xmlns="jabber:client"', 1)).find(
        wire.ENCRYPTED_TAG
    )
    assert element is not None
    encrypted = wire.parse_encrypted(element)
    carrier = Carriers.discover().carrier(encrypted.formatter, encrypted.encrypter)
    assert carrier is not None
    envelope = Envelope("alice@a.example", ("bob@b.example",), "0@a.example", datetime.now(UTC), None)
    return carrier.wrap(encrypted.body, envelope)


async def measure(
    name: str,
    make_server: Callable[..., Any],
    size: int,
    count: int,
    window: int,
    database: str | None = None,
) -> tuple[Figures, Figures]:
    """Measure one size on one server and database; give the ratio and the rates, three rounds each, in turn."""
    mend_slixmpp()
    stanza = await sealed_stanza(size)
    mail = await wrapped(stanza)
    rates: dict[str, list[float]] = {"gateway": [], "echo": [], "smtp": []}
    cpu = 0.0
    components = {GATEWAY: "secret-of-gateway", ECHO: "secret-of-echo"}
    with tempfile.TemporaryDirectory(prefix="gre") as folder:
        async with (
            make_server(domain="localhost", accounts={"juliet": "secret"}, components=components) as server,
            SmtpSink() as sink,
        ):
            gateway = await start_gateway(Path(folder), server, sink.port, database)
            try:
                echo = await echo_component(server)
                xmpp = make_client(server, "juliet", "bench")
                await online(xmpp)
                receipt = MatchXPath("{jabber:client}message/{urn:xmpp:receipts}received")
                through = Driver(xmpp, stanza, f"bob\\40b.example@{GATEWAY}", receipt)
                back = Driver(
                    xmpp,
                    stanza,
                    f"bob\\40b.example@{ECHO}",
                    MatchXPath("{jabber:client}message/{urn:xmpp:gre:0}encrypted"),
                )
                for number in range(4):
                    n = count if number else count // 4  # the first round warms up
                    before = cpu_seconds(gateway.pid)
                    figures = {
                        "gateway": await through.run(f"gateway{number}", n, window),
                        "echo": await back.run(f"echo{number}", n, window),
                        "smtp": await bare_smtp(sink.port, mail, n),
                    }
                    if number:
                        cpu += cpu_seconds(gateway.pid) - before
                        for key, value in figures.items():
                            rates[key].append(value)
                xmpp.disconnect()
                echo.disconnect()
                await asyncio.sleep(0.3)
            finally:
                gateway.terminate()
                await gateway.wait()
    middle = {key: sorted(values)[len(values) // 2] for key, values in rates.items()}
    ratio = middle["gateway"] / min(middle["echo"], middle["smtp"])
    absolute = {f"{name}_{key}_per_second": value for key, value in middle.items()}
    absolute[f"{name}_gateway_cpu_ms"] = cpu / (3 * count) * 1000
    return {f"{name}_vs_bare": ratio}, absolute


async def relay() -> tuple[Figures, Figures]:
    """Measure 1 KB on Prosody and 50 KB on ejabberd (at 50 KB Prosody itself is the limit)."""
    return await _both("")


async def relay_postgresql() -> tuple[Figures, Figures]:
    """Measure the same with the messages in PostgreSQL, which works on the same two cores."""
    async with PostgresServer() as postgres:
        return await _both("_postgresql", postgres.url)


async def _both(kind: str, database: str | None = None) -> tuple[Figures, Figures]:
    ratios, absolute = await measure(f"relay_1k{kind}", ProsodyServer, KIB, 2000, 50, database)
    more, figures = await measure(f"relay_50k{kind}", EjabberdServer, 50 * KIB, 600, 16, database)
    return ratios | more, absolute | figures
