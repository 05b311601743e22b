"""The gateway as a process of its own, as an operator starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gre_core.testing.ports import free_port

from letters import GATEWAY, MAIL_DOMAIN  # isort: skip - beside this file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.testing.server import XmppServer

INSIDE = Path(__file__).parent / "inside"
"""A folder whose ``sitecustomize`` runs within the gateway: it counts tasks, and plants bugs to test the tests."""


class GatewayProcess:
    """``gre-email-gateway run`` on given files, at the same ports each time.

    Arguments:
        folder: for its files.
        server: the XMPP server.
        relay_port: of the mail relay.
        users: bare JID by mail address.
        database: URL, or None for SQLite in the folder.
        extra: more tables of the configuration.
        environment: added to that of this process.
        journal: let it write down what it does with each message.
    """

    def __init__(
        self,
        folder: Path,
        server: XmppServer,
        relay_port: int,
        users: Mapping[str, str],
        *,
        database: str | None = None,
        extra: str = "",
        environment: Mapping[str, str] | None = None,
        journal: bool = False,
    ) -> None:
        self.folder = folder
        self.lmtp_port = free_port()
        self.log = folder / "gateway.log"
        self.config = folder / "gateway.toml"
        self.process: asyncio.subprocess.Process | None = None
        self.started_in = 0.0
        self.generation = 0
        """How many times it was started."""
        self.journal = folder / "journal"
        """What its processes wrote down (see ``inside/journal.py``)."""
        self._environment = {
            "PYTHONPATH": str(INSIDE),
            "GRE_INSIDE": str(folder / "inside"),
            **({"GRE_JOURNAL": str(self.journal)} if journal else {}),
            **(environment or {}),
        }
        self._drain: asyncio.Task[bytes] | None = None
        url = f'[database]\nurl = "{database}"\n' if database else ""
        lines = "\n".join(f'"{address}" = "{jid}"' for address, jid in users.items())
        self.config.write_text(
            f"""
[xmpp]
domain = "{GATEWAY}"
host = "{server.host}"
port = {server.component_port}
secret = "{server.components[GATEWAY]}"
[smtp]
port = {relay_port}
connections = 8
timeout = 5
[listen]
port = {self.lmtp_port}
[mail]
domains = ["{MAIL_DOMAIN}"]
[state]
directory = "{folder / "state"}"
[keys]
wkd = false
{url}{extra}
[users]
{lines}
"""
        )
        self.config.chmod(0o600)  # it holds secrets

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.returncode is None

    async def spawn(self) -> None:
        """Start the process, and do not wait for it."""
        command = [sys.executable, "-m", "gre_gateway_email", "run", "--config", str(self.config)]
        self.generation += 1
        environment = {**os.environ, **self._environment, "GRE_GENERATION": str(self.generation)}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=log, env=environment
            )

    async def ready(self, patience: float = 180) -> bool:
        """Wait until it says that it is ready; False when it ended before."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(patience):
            while line := await self.process.stdout.readline():
                if line.startswith(b"ready:"):
                    # A pipe that nobody reads would fill, and stop the gateway.
                    self._drain = asyncio.ensure_future(self.process.stdout.read())
                    return True
        return False

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        begin = time.perf_counter()
        await self.spawn()
        if not await self.ready():
            text = f"the gateway did not start:\n{self.log.read_text()[-3000:]}"
            raise RuntimeError(text)
        self.started_in = time.perf_counter() - begin

    def kill(self) -> None:
        """Kill it at this very moment."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def trap(self, where: str, times: int, delay: float) -> None:
        """Let it die by itself at a commit that is to come; only with a journal.

        Arguments:
            where: ``before``, ``within`` or ``after``.
            times: at the so-many-th one.
            delay: so many seconds after it began, for ``within``.
        """
        if self.running:
            (self.folder / "inside.trap").write_text(
                json.dumps({"where": where, "times": times, "delay": delay})
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR2)

    async def ended(self) -> int:
        """Wait until the process is gone; give its exit code."""
        assert self.process is not None
        return await self.process.wait()

    async def end(self) -> None:
        """Kill it, if it runs, and wait until it is gone."""
        self.kill()
        if self.process is not None:
            await self.process.wait()

    async def stop(self) -> int:
        """Stop it in order; give its exit code."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        return await asyncio.wait_for(self.ended(), 60)

    def resident(self) -> int:
        """Give the bytes of memory that it holds (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def descriptors(self) -> int:
        """Give how many files and connections it has open (Linux)."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Give how many threads it has (Linux)."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    async def tasks(self) -> int:
        """Give how many tasks its event loop has."""
        file = self.folder / "inside.tasks"
        file.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        async with asyncio.timeout(20):
            while not file.exists():
                await asyncio.sleep(0.02)
        return int(file.read_text())
