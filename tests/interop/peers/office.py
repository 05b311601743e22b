"""Our side as it runs: client, XMPP router, email gateway, and a mail relay that the peers reach.

All of it lives in a thread with an event loop of its own, so that peers and tests may simply block.
"""

from __future__ import annotations

import asyncio
import gc
import queue
import shutil
import smtplib
import sys
import tempfile
import threading
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiosmtpd.smtp import SMTP, AuthResult

from gre_core.jid_escape import escape
from gre_core.policy import Policy
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.slix import make_client, offline, online

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from aiosmtpd.smtp import Envelope, Session

    from gre_core.client import Received, Sent, Unopened
    from gre_core.model import Message, Question
    from gre_core.slixmpp import Client

DOMAIN = "xmpp.example"
GATEWAY = "mail.xmpp.example"
USER = "juliet"
ADDRESS = "juliet@capulet.example"
PATIENCE = 30.0
"""Seconds for one step."""


class Relay:
    """The mail server: to our users through the gateway, to others into a queue by envelope recipient."""

    def __init__(self) -> None:
        self.mails: defaultdict[str, queue.Queue[bytes]] = defaultdict(queue.Queue)
        self.gateway = 0
        self.port = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        for to in envelope.rcpt_tos:
            if to == ADDRESS:
                refused = await asyncio.to_thread(self._pass_on, envelope.mail_from or "", content)
                if refused:
                    return refused
            else:
                self.mails[to].put(content)
        return "250 OK"

    def _pass_on(self, sender: str, content: bytes) -> str:
        try:
            with smtplib.LMTP("127.0.0.1", self.gateway, timeout=PATIENCE) as gateway:
                gateway.sendmail(sender, [ADDRESS], content)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = error.recipients[ADDRESS]
            return f"{code} {text.decode()}"
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error
            return f"{error.smtp_code} {said if isinstance(said, str) else said.decode()}"
        return ""

    def next(self, recipient: str) -> bytes:
        """Give the next mail for somebody outside."""
        return self.mails[recipient].get(timeout=PATIENCE)


class Office:
    """The running parts. A context manager."""

    client: Client

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        """The user's wishes (``Policy.options``) for the message that is being sent."""
        self.received: queue.Queue[Received | Unopened] = queue.Queue()
        self.relay = Relay()
        self.root = Path(tempfile.mkdtemp(prefix="gre-office-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="office")
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.do(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._stop())
        gc.collect()  # slixmpp's streams want the loop when they go
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def do(self, work: Coroutine[Any, Any, Any], seconds: float = PATIENCE) -> Any:
        """Run something in the loop of the office, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def serve_key(self, address: str, certificate: bytes) -> None:
        """Put a key of somebody outside into the operator's folder."""
        hidden = self.root / f"{address}.new"
        hidden.write_bytes(certificate)
        hidden.rename(self.root / "keys" / f"{address}.asc")

    def send(self, to: str, message: Message, options: Mapping[str, str] | None = None) -> bytes:
        """Let our user send to a mail address; give the mail as the relay got it."""
        self.options.clear()
        self.options.update(options or {})
        self.do(self._send(f"{escape(to)}@{GATEWAY}", message))
        return self.relay.next(to)

    def deliver(self, mail: bytes, sender: str) -> Received | Unopened:
        """Let somebody outside send a mail; give what the client makes of it."""
        with smtplib.SMTP("127.0.0.1", self.relay.port, timeout=PATIENCE) as relay:
            relay.sendmail(sender, [ADDRESS], mail)
        return self.next()

    def next(self) -> Received | Unopened:
        """Give what a client received next."""
        return self.received.get(timeout=PATIENCE)

    async def _send(self, to: str, message: Message) -> Sent:
        sent = await self.client.settled(await self.client.send(to, message), PATIENCE)
        assert sent.state == "relayed", sent
        return sent

    async def _stop(self) -> None:
        await self._stack.aclose()
        del self.client
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # -- starting ------------------------------------------------------------------------------------

    async def _start(self) -> None:
        server = LoopbackServer(DOMAIN, {USER: "password"}, {GATEWAY: "secret"})
        await self._stack.enter_async_context(server)
        await self._start_relay()
        await self._start_gateway(server.component_port)
        xmpp = make_client(server, USER, "desk")
        policy = Policy(options=self.options)
        plugins = Plugins.discover(prefer={"urn:xmpp:gre:encrypter:openpgp:0": "gre-encrypter-openpgp"})
        self.client = attach_client(
            xmpp, plugins, store=MemoryStore(), policy=policy, decide=_yes, reconnect=False
        )
        self.client.on_received(self.received.put)
        self.client.on_unopened(self.received.put)
        self._stack.push_async_callback(offline, xmpp)
        await online(xmpp)
        xmpp.send_presence()
        await asyncio.wait_for(self.client.ready.wait(), PATIENCE)

    async def _start_relay(self) -> None:
        def taken(*_: object) -> AuthResult:
            return AuthResult(success=True)

        def connection() -> SMTP:
            return SMTP(self.relay, authenticator=taken, auth_require_tls=False, enable_SMTPUTF8=True)

        server = await self._loop.create_server(connection, "127.0.0.1", 0)
        self._stack.callback(server.close)
        self.relay.port = server.sockets[0].getsockname()[1]

    async def _start_gateway(self, port: int) -> None:
        (self.root / "keys").mkdir()
        config = self.root / "gateway.toml"
        config.write_text(
            f'[xmpp]\ndomain = "{GATEWAY}"\nport = {port}\nsecret = "secret"\n[smtp]\nport = {self.relay.port}\n'
            f'[listen]\nport = 0\n[users]\n"{ADDRESS}" = "{USER}@{DOMAIN}"\n[policy]\nencrypted_only = true\n[keys]\ndirectory = "keys"\n'
        )
        with (self.root / "gateway.log").open("wb") as log:
            gateway = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "gre_gateway_email", "run", "--config", str(config)),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._stack.push_async_callback(_end, gateway)
        assert gateway.stdout is not None
        line = (await asyncio.wait_for(gateway.stdout.readline(), PATIENCE)).decode()
        assert line.startswith("ready: "), (self.root / "gateway.log").read_text()
        self.relay.gateway = int(line.partition("127.0.0.1:")[2].partition(",")[0])


async def _yes(_question: Question) -> bool:
    return True


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await asyncio.wait_for(process.wait(), PATIENCE)
