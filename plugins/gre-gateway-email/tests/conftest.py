"""What the tests of the email gateway share: fake messages, a scripted relay, a raw LMTP client, the corpora."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import logging
import os
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import asyncpg
import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP as Server
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.config import Smtp
from gre_gateway_email.config.settings import Limits, Retry
from gre_gateway_email.store import default_url, open_store
from gre_openpgp.xep0373 import PUBLIC_KEYS, PublicKey, key_item, metadata_items

from gre_core.api import Body, Recipient, encrypter, formatter
from gre_core.errors import PeerError
from gre_core.gateway import Plain, Relayed
from gre_core.log import show_personal
from gre_core.testing import require
from gre_core.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_gateway_email.store.records import User

ROOT = Path(__file__).parents[3]
TRACE = re.compile(rb"(Received: .+?\r\n(?: .+?\r\n)*)(.*)", re.DOTALL)
PAIR = formatter("mime"), encrypter("openpgp")


def openpgp_message(size: int = 200, seed: int = 1) -> bytes:
    """Bytes in the shape of an encrypted message: one SEIPD packet of random content."""
    return b"\xd2\xff" + (size + 1).to_bytes(4, "big") + b"\x01" + random.Random(seed).randbytes(size)


def body_of(data: bytes) -> Body:
    return Body(base64.b64encode(data).decode())


def relayed(
    text: str, *, to: str = "bob@example.net", bcc: str = "", id_: str | None = "id-1", origin: bool = True
) -> Relayed:
    stanza = ET.Element("{jabber:client}message", {"id": id_ or ""})
    if origin and id_:
        ET.SubElement(stanza, "{urn:xmpp:sid:0}origin-id", {"id": id_})
    who, hidden = (
        tuple(Recipient(one.replace("@", "\\40") + "@mail.localhost", one) for one in names.split())
        for names in (to, bcc)
    )
    return Relayed(
        "juliet@localhost",
        "juliet@localhost/r",
        "juliet@example.org",
        who,
        *PAIR,
        Body(text),
        id_,
        stanza,
        hidden,
    )


def plain(text: str, subject: str | None = None, id_: str = "id-2") -> Plain:
    stanza = ET.Element("{jabber:client}message", {"id": id_})
    who = (Recipient("bob\\40example.net@mail.localhost", "bob@example.net"),)
    return Plain(
        "juliet@localhost", "juliet@localhost/r", "juliet@example.org", who, text, subject, id_, stanza
    )


def smtp_settings(port: int, **changes: object) -> Smtp:
    settings = {
        "host": "127.0.0.1", "port": port, "tls": "none", "user": None, "password": None,
        "connections": 2, "timeout": 5.0, "helo": "localhost",
    }  # fmt: skip
    return Smtp(**(settings | changes))


class ScriptedRelay:
    """An aiosmtpd server that answers as told, and keeps what it took; the trace field apart from the rest."""

    def __init__(self, *, pipelining):
        self._pipelining = pipelining
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.traces: list[bytes] = []
        self.answers: dict[str, list[str]] = {}
        self.connections = 0
        self.port = 0

    def _next(self, step: str) -> str | None:
        answers = self.answers.get(step, [])
        return answers.pop(0) if answers else None

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]] if self._pipelining else responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = self._next("MAIL")
        if answer is None:
            envelope.mail_from = address
        return answer or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self._next("RCPT")
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = self._next("DATA")
        if answer == "close":
            server.transport.abort()
            return "421 gone"
        if answer == "hang":
            await asyncio.sleep(60)
        if answer is None:
            trace, mail = TRACE.fullmatch(envelope.content).groups()
            self.traces.append(trace)
            self.mails.append((envelope.mail_from, envelope.rcpt_tos, mail))
        return answer or "250 OK"

    def _connection(self):
        self.connections += 1
        self._last = Server(self, hostname="relay", data_size_limit=10_000_000)
        return self._last

    def hang_up(self):
        """Close the newest connection, as a relay does with one that was idle for long."""
        self._last.transport.abort()

    async def __aenter__(self):
        self._server = await asyncio.get_running_loop().create_server(self._connection, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()


@pytest.fixture(params=[False, True], ids=["step by step", "pipelining"])
async def scripted_relay(request):
    async with ScriptedRelay(pipelining=request.param) as relay:
        yield relay


class Dialogue:
    """A raw SMTP or LMTP client: what is sent is exactly what is written here."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    async def reply(self) -> str:
        lines = []
        async with asyncio.timeout(10):
            while True:
                line = (await self._reader.readline()).decode()
                lines.append(line.rstrip("\r\n"))
                if not line or line[3:4] != "-":
                    return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def open_dialogue(port: int) -> Dialogue:
    dialogue = Dialogue(*await asyncio.open_connection("127.0.0.1", port))
    assert (await dialogue.reply()).startswith("220")
    return dialogue


@pytest.fixture
def corpora() -> Path:
    folder = Path(os.environ.get("GRE_CORPORA", ROOT.parent / "shared" / "corpora"))
    require(folder.is_dir(), "the mails of other projects (folder ../shared/corpora, or GRE_CORPORA)")
    return folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres():
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'gateway.db'}"
    url = request.getfixturevalue("postgres").url

    async def clean() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()

    asyncio.run(clean())
    return url


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Undo what a test does to the logging of this process."""
    root = logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    levels = [(each, each.level) for each in loggers]
    known = set(root.manager.loggerDict)
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)
    for name in set(root.manager.loggerDict) - known:
        logging.getLogger(name).setLevel(logging.NOTSET)
    show_personal(False)


@pytest.fixture
def kit() -> SimpleNamespace:
    """The helpers above: test modules cannot import a conftest."""
    return SimpleNamespace(
        pair=PAIR,
        openpgp_message=openpgp_message,
        body_of=body_of,
        relayed=relayed,
        plain=plain,
        smtp_settings=smtp_settings,
        open_dialogue=open_dialogue,
    )


@functools.cache
def public_key(
    *names: str, days: int | None = None, revoked: bool = False, age: int = 0, seed: int = 0
) -> bytes:
    """A real public key with these user ids; made with the client's tools, which the gateway never loads.

    ``days`` from its making to its end, made ``age`` days ago. Another ``seed`` gives another key.
    """
    import pysequoia
    from gre_openpgp.encrypting import keymaking

    now = datetime.now(UTC)
    lifetime = None if days is None else timedelta(days=days)
    secret = keymaking.make_key(names[0], now - timedelta(days=age), lifetime=lifetime)
    for name in names[1:]:
        secret = keymaking.add_user_id(secret, name, lifetime=lifetime)
    if revoked:
        secret = keymaking.revoke(secret, "retired", "for a test", now)
    return bytes(pysequoia.Tsk.from_bytes(secret).extract_certificate())


class FakeUsers:
    """The users of a store, in memory."""

    def __init__(self, *users: User) -> None:
        self.users = {user.jid: user for user in users}

    async def get(self, jid: str) -> User | None:
        return self.users.get(jid)

    async def by_address(self, address: str) -> User | None:
        wanted = address.lower()
        return next((user for user in self.users.values() if wanted in map(str.lower, user.addresses)), None)

    async def all(self):
        for user in list(self.users.values()):
            yield user


class FakeContactKeys:
    """The harvested keys of a store, in memory."""

    def __init__(self) -> None:
        self.keys = {}
        self.error = None
        self.writes = 0

    async def put(self, key) -> None:
        if self.error:
            raise self.error
        self.writes += 1
        self.keys[key.user, key.address, key.source] = key

    async def get(self, user: str, address: str):
        if self.error:
            raise self.error
        return [key for (jid, at, _), key in self.keys.items() if (jid, at) == (user, address)]


class FakePep:
    """The users' PEP nodes: publish keys by user, and see who asked what."""

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def items(self, jid, node, /, *, item_id=None, max_items=None):
        self.asked.append((jid, node))
        await self.gate.wait()
        if self.error:
            raise self.error
        keys = [PublicKey.read(data, "2026-01-01T00:00:00Z") for data in self.keys.get(jid, ())]
        item = key_item(keys, node.rpartition(":")[2])
        found = metadata_items(keys) if node == PUBLIC_KEYS else (item,) if item else ()
        if not found:
            raise PeerError("none", condition="item-not-found")
        return list(found)


class Clock:
    """A clock that a test turns."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fakes() -> SimpleNamespace:
    """Parts of the gateway in memory, and keys."""
    return SimpleNamespace(
        public_key=public_key, Users=FakeUsers, ContactKeys=FakeContactKeys, Pep=FakePep, Clock=Clock
    )


# -- the two directions on a real database -----------------------------------------------------------


class SeenEvents:
    """Keeps what was told, in words."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def taken(self, direction, kind, _size):
        self.seen.append(f"taken {direction} {kind}")

    def repeated(self, direction):
        self.seen.append(f"repeated {direction}")

    def refused(self, direction, reason):
        self.seen.append(f"refused {direction} {reason}")

    def relayed(self, _seconds):
        self.seen.append("relayed")

    def delivered(self, _seconds):
        self.seen.append("delivered")

    def retried(self, direction):
        self.seen.append(f"retried {direction}")

    def dead(self, direction):
        self.seen.append(f"dead {direction}")


async def eventually(look, seconds=20.0):
    """Wait until ``look()``, a function or a coroutine function, gives something true, and give it."""
    async with asyncio.timeout(seconds):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.005)


class FakeRelay:
    """Takes mails, or does what the test wants."""

    def __init__(self):
        self.mails = []
        self.envelope_ids = []
        self.tries = 0
        self.refuse = None
        self.refuse_if = lambda _mail: None
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, sender, recipients, mail, *, envelope_id=""):
        self.tries += 1
        await self.gate.wait()
        error = self.refuse or self.refuse_if(mail)
        if error:
            raise error
        self.mails.append((sender, tuple(recipients), mail))
        self.envelope_ids.append(envelope_id)


class FakeAnswers:
    """Keeps what users would be told."""

    def __init__(self):
        self.up = True
        self.confirmed = []
        self.refusals = []

    def confirm(self, mail):
        self.confirmed.append(mail)

    def refuse(self, mail, error):
        self.refusals.append((mail, error))


def relaying_config(**limits: int) -> SimpleNamespace:
    most = {
        "max_stanza": 512_000, "messages": 10_000, "recipients": 10_000, "size": 10**9, "waiting": 1000,
        "waiting_size": 10**8, "queue": 10_000,
    }  # fmt: skip
    day = 86_400.0
    return SimpleNamespace(
        retry=Retry(first=30.0, longest=3600.0, outbound=day, inbound=5 * day, large=7 * day),
        limits=Limits(**(most | limits)),
    )


class Desk:
    """The way out, from the stanza to the relay."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clock = Clock(1_800_000_000.0)
        self.relay = FakeRelay()
        self.answers = FakeAnswers()
        self.header = None
        self.store = None
        self.sending = None

    async def restart(self, *, carriers=None, **limits):
        """Begin anew on the same database, as after a kill."""
        from gre_gateway_email.carriers.pgp_mime import PgpMime
        from gre_gateway_email.relaying.limits import HourlyLimits
        from gre_gateway_email.relaying.outbound import Outbound
        from gre_gateway_email.relaying.quotas import Quotas
        from gre_gateway_email.relaying.sending import Sending

        await self.kill()
        await self.close()
        self.config = relaying_config(**limits)
        self.events = SeenEvents()
        self.answers.confirmed.clear()
        self.store = await open_store(default_url(self._folder), self.clock)
        await self.store.users.sync_config([("juliet@example.org", "juliet@localhost")])
        await self.store.wake(self.clock())
        self.sending = Sending(
            self.store.outbox,
            self.relay,
            self.answers,
            self.config.retry,
            workers=2,
            envelope_id=lambda mail: f"for {mail.stanza_id}",
            now=self.clock,
            events=self.events,
        )
        self.outbound = Outbound(
            self.store,
            self.sending,
            Carriers([PgpMime()]) if carriers is None else carriers,
            self._autocrypt,
            HourlyLimits(self.config.limits),
            Quotas(self.store, self.config.limits),
            now=self.clock,
            events=self.events,
        )
        self.sending.start()

    async def kill(self):
        if self.sending is not None:
            await self.sending.stop(0)
            self.sending = None

    async def close(self):
        if self.store is not None:
            await self.store.close()
            self.store = None

    async def _autocrypt(self, user, address):
        assert (user, address) == ("juliet@localhost", "juliet@example.org")
        return self.header

    def pass_time(self, seconds):
        self.clock.now += seconds
        self.sending.wake()

    async def confirmed(self, count):
        return await eventually(lambda: len(self.answers.confirmed) >= count and self.answers.confirmed)

    async def refused(self, count):
        return await eventually(lambda: len(self.answers.refusals) >= count and self.answers.refusals)

    async def tried(self, count):
        await eventually(lambda: self.relay.tries >= count)

    async def waiting(self):
        return [mail for mail in await self.store.queue("waiting") if hasattr(mail, "recipients")]

    async def until(self, right):
        async def look():
            mails = await self.waiting()
            return (mails or [True]) if right(mails) else None

        return await eventually(look)

    async def until_dead(self, count):
        async def look():
            dead = await self.store.dead.all()
            return dead if len(dead) == count else None

        return await eventually(look)

    async def gone(self):
        """Wait until nothing waits any more; True."""
        return bool(await self.until(lambda mails: not mails))

    async def quiet(self):
        """Wait until nothing is under way."""
        await eventually(lambda: not self.sending._feed.held)


@pytest.fixture
async def desk(tmp_path):
    made = Desk(tmp_path)
    await made.restart()
    yield made
    await made.kill()
    await made.close()


class FakeCourier:
    """The XMPP side, played by the test."""

    def __init__(self):
        self.connected = True
        self.sent = []
        self.pings = []
        self.receipts = False
        self.ping_error = None
        self.send_error = None
        self.refuse_kind = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message, content):
        if self.send_error:
            raise self.send_error
        if message.kind in self.refuse_kind:
            raise self.refuse_kind[message.kind]
        self.sent.append((message, content.decode()))

    async def ping(self, domain):
        self.pings.append(domain)
        await self.gate.wait()
        if self.ping_error:
            raise self.ping_error

    async def gives_receipts(self, _user):
        return self.receipts


class Post:
    """The way in, from the mail to the user's client."""

    SECRET = b"s" * 32

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clock = Clock(1_800_000_000.0)
        self.courier = FakeCourier()
        self.store = None
        self.delivery = None
        self.reported = 0
        self.taken = []

    async def restart(self, *, encrypted_only=False, max_encrypted=100_000, **limits):
        """Begin anew on the same database, as after a kill."""
        from gre_gateway_email.carriers.pgp_mime import PgpMime
        from gre_gateway_email.relaying.bounces import Bounces
        from gre_gateway_email.relaying.delivery import Delivery
        from gre_gateway_email.relaying.giving_up import GivingUp
        from gre_gateway_email.relaying.inbound import Inbound, Policy
        from gre_gateway_email.relaying.quotas import Quotas
        from gre_gateway_email.relaying.reports import report_maker

        await self.stop()
        config = relaying_config(**limits)
        self.events = SeenEvents()
        self.store = await open_store(default_url(self._folder), self.clock)
        users = (("Juliet@example.org", "juliet@localhost"), ("romeo@example.org", "romeo@elsewhere"))
        await self.store.users.sync_config((*users, ("j@example.org", "juliet@localhost")))
        await self.store.wake(self.clock())
        self.giving_up = GivingUp(
            self.store.inbox,
            report_maker(self.clock, "gateway.example.org"),
            config.retry,
            reported=self._reported,
            noticed=lambda: self.delivery.wake(),
            now=self.clock,
            events=self.events,
        )
        self.delivery = Delivery(
            self.store.inbox, self.courier, self.giving_up, config.retry, now=self.clock, events=self.events
        )
        self.inbound = Inbound(
            self.store,
            Carriers([PgpMime()]),
            self.delivery,
            Quotas(self.store, config.limits),
            Bounces(self.store.outbox, self.SECRET),
            Policy(encrypted_only, max_encrypted, config.retry),
            now=self.clock,
            taken=self._taken,
            events=self.events,
        )
        self.delivery.start()
        self.delivery.connected()

    async def stop(self):
        if self.delivery is not None:
            await self.delivery.stop()
            await self.store.close()
            self.delivery = self.store = None

    def _reported(self):
        self.reported += 1

    async def _taken(self, users, sender, content):
        self.taken.append(([user.jid for user in users], sender, content))

    async def mail(self, content, *, to=("juliet@example.org",), sender="bob@example.net", options=None):
        return await self.inbound.mail(sender, to, content, options)

    def pass_time(self, seconds):
        self.clock.now += seconds
        self.delivery.wake()

    async def sent(self, count):
        return await eventually(lambda: len(self.courier.sent) >= count and self.courier.sent)

    async def left(self):
        return [
            one
            for one in await self.store.queue()
            if one.state in {"waiting", "held"} and hasattr(one, "received_at")
        ]

    async def until(self, right):
        async def look():
            messages = await self.left()
            return (messages or [True]) if right(messages) else None

        return await eventually(look)

    async def gone(self):
        return bool(await self.until(lambda messages: not messages))

    async def dead(self, count=1):
        async def look():
            dead = await self.store.dead.all()
            return dead if len(dead) == count else None

        return await eventually(look)


@pytest.fixture
async def post(tmp_path):
    made = Post(tmp_path)
    await made.restart()
    yield made
    made.courier.gate.set()
    await made.stop()


@pytest.fixture
def scripted_mail():
    """``scripted_mail(data)``: a PGP/MIME mail from Bob."""
    from gre_gateway_email.carrier import Envelope
    from gre_gateway_email.carriers.pgp_mime import PgpMime

    def make(data):
        envelope = Envelope("bob@example.net", ("juliet@example.org",), "x@example.net", datetime.now(UTC))
        return PgpMime().wrap(body_of(data), envelope)

    return make
