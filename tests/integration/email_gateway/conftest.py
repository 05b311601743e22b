"""The email gateway as a process of its own, and a client that shares no code with ours.

The client is slixmpp alone; what it sends is written as XML, as the specification says.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import sqlite3
import sys
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from aiosmtpd.smtp import SMTP

from gre_core.testing import require
from gre_core.testing.postfix import PostfixServer

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
CONFIRMING = ("urn:xmpp:gre:0", "urn:xmpp:receipts")
"""Features of a client that confirms messages."""

PAIR = "formatter='urn:xmpp:gre:formatter:mime:0' encrypter='urn:xmpp:gre:encrypter:openpgp:0'"
REQUEST = "<request xmlns='urn:xmpp:receipts'/>"


def openpgp(size=500, seed=1):
    """Bytes in the shape of an encrypted OpenPGP message."""
    return b"\xd2\xff" + (size + 1).to_bytes(4, "big") + b"\x01" + random.Random(seed).randbytes(size)


class Relay:
    """A mail relay that keeps what it takes, or answers as told."""

    def __init__(self):
        self.mails = asyncio.Queue()
        self.answer = None
        self.unknown = set()
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answer and self.answer[0] in "45":
            return self.answer
        if address in self.unknown:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.answer == "hang":
            await asyncio.sleep(30)
        self.count += 1
        self.mails.put_nowait((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"

    async def next(self):
        async with asyncio.timeout(30):
            return await self.mails.get()


@pytest.fixture
async def relay():
    made = Relay()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


class GatewayProcess:
    """``gre-email-gateway run`` as an operator starts it, with the packages of ``python``."""

    def __init__(self, folder, text, *, python=sys.executable, env=None):
        self.python = python
        self.env = None if env is None else {**os.environ, **env}
        self.config = folder / "gateway.toml"
        self.config.write_text(text)
        self.config.chmod(0o600)
        self.state = folder / "state"
        self.log = folder / "gateway.log"
        self.process = None
        self.lmtp_port = 0

    async def start(self):
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.python, "-m", "gre_gateway_email", "run", "--config", self.config,
                stdout=asyncio.subprocess.PIPE, stderr=log, env=self.env,
            )  # fmt: skip
        async with asyncio.timeout(120):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("ready: mail.localhost"), self.log.read_text()
        self.lmtp_port = int(line.partition("127.0.0.1:")[2].partition(",")[0])

    async def stop(self, *, kill=False):
        if self.process.returncode is None:
            (self.process.kill if kill else self.process.terminate)()
        async with asyncio.timeout(60):
            return await self.process.wait()

    def waiting(self, table="inbox"):
        """How many messages wait in the database."""
        with contextlib.closing(sqlite3.connect(self.state / "gateway.db")) as database:
            return database.execute(f"SELECT count(*) FROM {table} WHERE state = 'waiting'").fetchone()[0]

    def query(self, statement):
        """Run a statement on the database beside the gateway; give the first value of the answer."""
        with contextlib.closing(sqlite3.connect(self.state / "gateway.db")) as database, database:
            row = database.execute(statement).fetchone()
        return None if row is None else row[0]

    async def deliver(self, mail, *, to=("juliet@example.org",), sender="bob@example.net"):
        """Hand over a mail by LMTP; give the replies, one for each recipient that was taken."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.lmtp_port)

        async def say(line):
            if line:
                writer.write(line + b"\r\n")
            while True:
                reply = (await reader.readline()).decode()
                if reply[3:4] != "-":
                    return reply.strip()

        async with asyncio.timeout(30):
            await say(b"")
            await say(b"LHLO mx.example.org")
            await say(b"MAIL FROM:<" + sender.encode() + b">")
            refused = [
                r
                for each in to
                if not (r := await say(b"RCPT TO:<" + each.encode() + b">")).startswith("250")
            ]
            if len(refused) == len(to):
                return refused
            await say(b"DATA")
            stuffed = mail.replace(b"\r\n.", b"\r\n..")
            replies = [await say(stuffed + (b"." if mail.endswith(b"\r\n") else b"\r\n."))]
            replies += [await say(b"") for _ in range(len(to) - len(refused) - 1)]
        writer.close()
        return replies


@pytest.fixture
async def start(server, relay, tmp_path):
    """``await start(extra="")``: a running gateway with juliet as its user."""
    running = []

    async def start_gateway(extra="", users='"juliet@example.org" = "juliet@localhost"', **program):
        text = f"""
[xmpp]
domain = "{DOMAIN}"
port = {server.component_port}
secret = "{server.components[DOMAIN]}"
[smtp]
port = {relay.port}
timeout = 2
[listen]
port = 0
[users]
{users}
{extra}
"""
        gateway = GatewayProcess(tmp_path, text, **program)
        running.append(gateway)
        await gateway.start()
        return gateway

    yield start_gateway
    for gateway in running:
        await gateway.stop()


class FarServer:
    """The mail server of everybody else."""

    def __init__(self):
        self.mails = asyncio.Queue()
        self.unknown = {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.unknown:
            return self.unknown[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.put_nowait((envelope.mail_from.strip("<>"), envelope.rcpt_tos, envelope.content))
        return "250 OK"

    async def next(self):
        async with asyncio.timeout(60):
            return await self.mails.get()


@pytest.fixture
async def far():
    made = FarServer()
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(made, enable_SMTPUTF8=True, data_size_limit=None), "127.0.0.1", 0
    )
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


@pytest.fixture
async def mail_system(server, far, tmp_path):
    """``await mail_system(before_queue=..., extra="", **postfix_settings)``: Postfix and the gateway behind it."""
    require(PostfixServer.installed(), "postfix (apt-get install postfix), run by root")
    started = []

    async def start(*, before_queue=False, extra="", **settings):
        postfix = PostfixServer(["example.org"], relay_port=far.port, settings=settings)
        gateway = GatewayProcess(
            tmp_path,
            f"""
[xmpp]
domain = "{DOMAIN}"
port = {server.component_port}
secret = "{server.components[DOMAIN]}"
[smtp]
port = {postfix.submission_port}
[listen]
port = 0
protocol = "{"smtp" if before_queue else "lmtp"}"
[users]
"juliet@example.org" = "juliet@localhost"
"romeo@example.org" = "romeo@localhost"
{extra}
""",
        )
        started.append(gateway.stop)
        await gateway.start()
        if before_queue:
            postfix.proxy_port = gateway.lmtp_port
            settings["virtual_transport"] = f"smtp:[127.0.0.1]:{gateway.lmtp_port}"
        else:
            postfix.lmtp_port = gateway.lmtp_port
        postfix.settings.update(settings)
        started.append(lambda: postfix.__aexit__(None, None, None))
        await postfix.start()
        return SimpleNamespace(postfix=postfix, gateway=gateway)

    yield start
    for stop in reversed(started):
        await stop()


class Juliet:
    """A slixmpp client that sends XML as it stands here and keeps every message that comes."""

    def __init__(self, client):
        self.client = client
        self.inbox = asyncio.Queue()
        client.add_filter("in", self._keep)

    def _keep(self, stanza):
        if stanza.name == "message":
            self.inbox.put_nowait(ET.fromstring(ET.tostring(stanza.xml)))
        return stanza

    def announce(self, *features):
        """Announce features (XEP-0030). Do it before the gateway starts."""
        for feature in features:
            self.client.plugin["xep_0030"].add_feature(feature)

    async def seen(self):
        """Wait until the gateway sees this client: slixmpp agrees to its subscription by itself."""
        async with asyncio.timeout(90):
            while DOMAIN not in self.client.client_roster or not self.client.client_roster[DOMAIN]["from"]:
                await asyncio.sleep(0.05)

    async def refuse(self, tag):
        """Answer the next message that has an element with an error.

        The client has to give receipts: else the gateway forgets what the server has, and the error may come later.
        """
        message = await self.until(tag)
        self.send(
            f"<message type='error' to='{message.get('from')}' id='{message.get('id')}'>"
            "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )

    def send(self, xml):
        self.client.send_raw(xml)

    async def next(self):
        async with asyncio.timeout(30):
            return await self.inbox.get()

    def watch(self, domain):
        """Give a list that all presence from a domain is added to, as (from, type)."""
        seen = []

        def keep(stanza):
            if stanza.name == "presence" and stanza.xml.get("from", "").endswith(domain):
                seen.append((stanza.xml.get("from"), stanza.xml.get("type")))
            return stanza

        self.client.add_filter("in", keep)
        return seen

    async def until(self, tag):
        while True:
            message = await self.next()
            if message.find(tag) is not None:
                return message

    async def choose(self, **policy):
        """Choose a policy by the gateway's command (XEP-0050)."""
        node = "xmlns='http://jabber.org/protocol/commands' node='policy'"
        started = await self.iq(DOMAIN, f"<command {node}/>", "set")
        fields = "".join(
            f"<field var='{var}'><value>{value}</value></field>" for var, value in policy.items()
        )
        done = await self.iq(
            DOMAIN,
            f"<command {node} sessionid='{started[0].get('sessionid')}'>"
            f"<x xmlns='jabber:x:data' type='submit'>{fields}</x></command>",
            "set",
        )
        assert done[0].get("status") == "completed", ET.tostring(done)

    async def iq(self, to, payload, type_="get"):
        iq = self.client.make_iq(ito=to, itype=type_)
        iq.xml.append(ET.fromstring(payload))
        with contextlib.suppress(Exception):
            iq["id"] = f"q{random.randrange(10**9)}"
        found = asyncio.get_running_loop().create_future()

        def keep(stanza):
            if stanza.name == "iq" and stanza.xml.get("id") == iq["id"] and not found.done():
                found.set_result(ET.fromstring(ET.tostring(stanza.xml)))
            return stanza

        self.client.add_filter("in", keep)
        iq.send(timeout=60, callback=lambda _: None)
        try:
            async with asyncio.timeout(30):
                return await found
        finally:
            self.client.del_filter("in", keep)


@pytest.fixture
async def juliet(connect):
    return Juliet(await connect("juliet", "balcony", plugins=("xep_0030", "xep_0199")))


def message(data, *, id_="m1", to=BOB, extra=REQUEST, type_="type='chat'", text=None):
    body = base64.b64encode(data).decode() if text is None else text
    return (
        f"<message to='{to}' id='{id_}' {type_}>"
        f"<encrypted xmlns='urn:xmpp:gre:0' {PAIR}>{body}</encrypted>{extra}</message>"
    )


def pgp_mime(data):
    """A PGP/MIME mail as any mail program makes it."""
    lines = base64.encodebytes(data).decode().replace("\n", "\r\n")
    return (
        "From: Bob <bob@example.net>\r\nTo: juliet@example.org\r\nSubject: ...\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="sep"\r\n\r\n'
        "--sep\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
        "--sep\r\nContent-Type: application/octet-stream\r\n\r\n"
        f"-----BEGIN PGP MESSAGE-----\r\n\r\n{lines}-----END PGP MESSAGE-----\r\n\r\n--sep--\r\n"
    ).encode()


def binary_of(mail):
    """What stands in the armor of a mail, read without our code."""
    armor = mail.partition(b"-----BEGIN PGP MESSAGE-----\r\n\r\n")[2].partition(b"-----END PGP MESSAGE-----")[
        0
    ]
    return base64.b64decode(armor.partition(b"\r\n=")[0])


def error_of(stanza):
    """Type, condition and text of a stanza error."""
    error = next(each for each in stanza if each.tag.endswith("}error"))
    names = [each.tag.rpartition("}")[2] for each in error]
    text = next((each.text for each in error if each.tag.endswith("}text")), None)
    return error.get("type"), next(name for name in names if name != "text"), text


@pytest.fixture
def kit():
    """The helpers above: test modules cannot import a conftest."""
    return SimpleNamespace(
        CONFIRMING=CONFIRMING,
        openpgp=openpgp,
        message=message,
        pgp_mime=pgp_mime,
        binary_of=binary_of,
        error_of=error_of,
        Juliet=Juliet,
        GatewayProcess=GatewayProcess,
        b64decode=base64.b64decode,
    )
