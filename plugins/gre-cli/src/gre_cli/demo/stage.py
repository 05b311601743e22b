"""Everything the demo needs, started together and gone afterwards: server, gateway, relay, mail user.

All of it listens on 127.0.0.1 and lives in one temporary directory of mode 0700. In front of each server stands a
:class:`~gre_cli.demo.recorder.Recorder`, so that what it received is known whatever the server is.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from gre_cli.demo.child import Child, ChildFailed
from gre_cli.demo.picture import make_picture
from gre_cli.demo.recorder import Recorder
from gre_cli.demo.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from gre_core.testing.server import XmppServer

ServerName = Literal["loopback", "prosody"]

DOMAIN: Final = "capulet.example"
GATEWAY: Final = "mail.capulet.example"
JULIET: Final = "juliet@capulet.example"
ROMEO: Final = "romeo@montague.example"
ROMEO_JID: Final = "romeo\\40montague.example@mail.capulet.example"

READY_SECONDS: Final = 60.0
"""How long a process may take to start."""

STEP_SECONDS: Final = 15.0
"""How long one step may take."""

PATIENCE_SECONDS: Final = 300.0
"""How long the mail user waits for his mail. Who asks him waits for one step only."""

_LONGEST_ROOT: Final = (
    60  # characters: the sockets of gpg-agent lie below, and a socket's path has at most 107
)


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent, with a word in each part that occurs nowhere else."""

    text: str = field(repr=False)
    subject: str = field(repr=False)
    file_name: str = field(repr=False)
    file: bytes = field(repr=False)


def write_letters() -> tuple[Letter, Letter]:
    """Write Juliet's letter, with a picture, and Romeo's answer, with a file. New secret words each time."""
    words = [secrets.token_hex(4) for _ in range(6)]
    first = Letter(
        f"Meet me under balcony-{words[0]} at nine.\nThe picture shows where — bring no ladder.",
        f"moonlight-{words[1]}",
        f"balcony-{words[2]}.png",
        make_picture(),
    )
    answer = Letter(
        f"I come over orchard-{words[3]} walls.\nThe map shows the way, good night — good night.",
        f"starlight-{words[4]}",
        f"map-{words[5]}.pdf",
        b"%PDF-1.4\n% the way over the wall, " + secrets.token_hex(600).encode() + secrets.token_bytes(600),
    )
    return first, answer


@dataclass(frozen=True, slots=True)
class Address:
    """A server as a party of the demo reaches it: through its recorder. Has the face of an ``XmppServer``."""

    host: str
    domain: str
    c2s_port: int
    component_port: int
    accounts: Mapping[str, str]
    components: Mapping[str, str]


class Stage:
    """The running parts. An asynchronous context manager.

    Arguments:
        server: which XMPP server.
        answer: what the mail user answers.
    """

    client_link: Recorder
    """Juliet's client to the XMPP server."""
    component_link: Recorder
    """The gateway to the XMPP server."""
    relay_link: Recorder
    """The gateway to the mail relay."""
    door_link: Recorder
    """The mail relay to the gateway."""
    sender_link: Recorder
    """The mail user to the mail relay."""
    relay: Relay
    gateway: Child
    mail_user: Child

    def __init__(self, server: ServerName, answer: Letter) -> None:
        self.server_name = server
        self._answer = answer
        self.password = secrets.token_hex(12)
        self._secret = secrets.token_hex(12)
        self._stack = AsyncExitStack()
        self.root = Path()
        self.address: Address

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self.root = _make_root()
        self._stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        self._stack.callback(self._end_gpg_agent)
        for folder in ("mailbox", "gnupg", "juliet", "keys", "state"):
            (self.root / folder).mkdir(mode=0o700)
        self.relay = await self._stack.enter_async_context(Relay(self.root / "mailbox", ROMEO))
        self.relay_link = await self._record("gateway-to-relay", self.relay.port)
        self.sender_link = await self._record("romeo-to-relay", self.relay.port)
        self.mail_user = await self._stack.enter_async_context(self._mail_user())
        server = await self._stack.enter_async_context(self._server())
        self.client_link = await self._record("juliet-to-server", server.c2s_port)
        self.component_link = await self._record("gateway-to-server", server.component_port)
        self.address = Address(
            server.host,
            server.domain,
            self.client_link.port,
            self.component_link.port,
            server.accounts,
            server.components,
        )
        self.gateway = await self._stack.enter_async_context(self._gateway())

    async def gateway_ready(self) -> None:
        """Wait until the gateway is connected, and let the relay know where it takes mail.

        Raises:
            ChildFailed: it did not start.
        """
        line = await self.gateway.line(READY_SECONDS)
        port = int(line.partition("127.0.0.1:")[2].partition(",")[0])
        self.door_link = await self._record("relay-to-gateway", port)
        self.relay.gateway_port = self.door_link.port

    async def mail_user_says(self, event: str) -> dict[str, object]:
        """Wait for what the mail user does next.

        Raises:
            ChildFailed: it did something else, or nothing.
        """
        said: dict[str, object] = json.loads(await self.mail_user.line(STEP_SECONDS))
        if said.get("event") != event:
            raise ChildFailed(f"The mail user could not go on: {said.get('error', said)}")
        return said

    def at_end(self, what: Callable[[], Awaitable[None]]) -> None:
        """Do something before the servers stop."""
        self._stack.push_async_callback(what)

    async def _record(self, name: str, port: int) -> Recorder:
        return await self._stack.enter_async_context(Recorder(name, port))

    def _server(self) -> XmppServer:
        accounts = {JULIET.partition("@")[0]: self.password}
        components = {GATEWAY: self._secret}
        if self.server_name == "prosody":
            from gre_core.testing.prosody import ProsodyServer

            return ProsodyServer(DOMAIN, accounts, components)
        from gre_core.testing.loopback import LoopbackServer

        return LoopbackServer(DOMAIN, accounts, components)

    def _gateway(self) -> Child:
        config = self.root / "gateway.toml"
        config.write_text(
            f'[xmpp]\ndomain = "{GATEWAY}"\nhost = "127.0.0.1"\nport = {self.component_link.port}\n'
            f'secret = "{self._secret}"\n\n'
            f'[smtp]\nhost = "127.0.0.1"\nport = {self.relay_link.port}\ntls = "none"\n\n'
            '[listen]\nprotocol = "lmtp"\nhost = "127.0.0.1"\nport = 0\n\n'
            f'[users]\n"{JULIET}" = "{JULIET}"\n\n'
            "[policy]\nencrypted_only = true\n\n"
            '[keys]\ndirectory = "keys"\n\n[state]\ndirectory = "state"\n\n[log]\nlevel = "debug"\n'
        )
        # -P: a file in the present folder must not take the place of a module.
        command = [sys.executable, "-P", "-m", "gre_gateway_email", "run", "--config", str(config)]
        return Child("The email gateway", command)

    def _mail_user(self) -> Child:
        gpg = shutil.which("gpg")
        order = {
            "gpg": gpg,
            "home": str(self.root / "gnupg"),
            "address": ROMEO,
            "certificate": str(self.root / "keys" / "romeo.asc"),
            "mailbox": str(self.root / "mailbox"),
            "relay": self.sender_link.port,
            "seconds": PATIENCE_SECONDS,
            "answer": {
                "text": self._answer.text,
                "subject": self._answer.subject,
                "file_name": self._answer.file_name,
                "file": b64encode(self._answer.file).decode(),
            },
        }
        script = Path(__file__).with_name("mailuser.py")
        # -I: nothing of this environment; -S: not even installed packages, which only PGPy needs.
        flags = ["-I", "-S"] if gpg else ["-I"]
        return Child("The mail user", [sys.executable, *flags, str(script)], json.dumps(order))

    def _end_gpg_agent(self) -> None:
        gpgconf = shutil.which("gpgconf")
        if gpgconf is not None:
            subprocess.run(
                [gpgconf, "--homedir", str(self.root / "gnupg"), "--kill", "gpg-agent"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False,
            )  # fmt: skip


def _make_root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="gre-demo-"))
    if len(str(root)) > _LONGEST_ROOT and Path("/tmp").is_dir():  # noqa: S108 - mkdtemp makes it safe
        root.rmdir()
        root = Path(tempfile.mkdtemp(prefix="gre-demo-", dir="/tmp"))
    return root
