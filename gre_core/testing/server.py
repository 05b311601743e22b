"""What all test servers have in common: their face, and how a foreign program is started and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from gre_core.errors import GreError
from gre_core.testing.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

C2S_LIMIT = 256 * 1024
"""Bytes of one stanza from a client, as Prosody ships it."""

COMPONENT_LIMIT = 512 * 1024
"""Bytes of one stanza from a component, as Prosody ships it."""

Direction = Literal["in", "out"]
"""Seen from the server: ``in`` is what it received, ``out`` what it sent."""

if TYPE_CHECKING:
    Tap = Callable[[Direction, str, bytes], None]
    """Called with each raw piece of a stream: direction, JID (empty before login), bytes."""


class TestServerError(GreError):
    """A test server could not be started or did not do what it was told."""

    __test__ = False  # pytest collects classes named Test*

    code = "test-server"


class XmppServer(Protocol):
    """The common face of :class:`LoopbackServer`, :class:`ProsodyServer` and :class:`EjabberdServer`.

    An asynchronous context manager; the ports are known inside the block.
    """

    host: str
    """The address it listens on: always 127.0.0.1."""

    c2s_port: int
    """The TCP port for clients."""

    component_port: int
    """The TCP port for components (XEP-0114)."""

    domain: str
    """The domain of its accounts."""

    accounts: Mapping[str, str]
    """Passwords by user name."""

    components: Mapping[str, str]
    """Secrets by component domain."""

    async def kick(self, jid_or_domain: str) -> None:
        """Cut the connection of a full JID, of all resources of a bare JID, or of a component domain."""

    async def __aenter__(self) -> Self:
        """Start, and return when clients can connect."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop, and remove every file."""


class ServerProcess:
    """A server program in a temporary directory of its own, ended by its own process id.

    Args:
        name: for messages and the directory's name.
        program: the executable.
        install: the command that installs it, for the error message.
    """

    def __init__(self, name: str, program: str, install: str) -> None:
        self.name = name
        self._program = program
        self._install = install
        self._process: asyncio.subprocess.Process | None = None
        self._directory: Path | None = None

    @property
    def directory(self) -> Path:
        """The temporary directory (mode 0700)."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"gre-{self.name}-"))
        return self._directory

    @property
    def log_file(self) -> Path:
        """What the program wrote."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The process id, for measurements."""
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            message = f"{self.name} is not running."
            raise TestServerError(message)
        return self._process

    def find(self) -> str:
        """Return the path of the program.

        Raises:
            TestServerError: it is not installed; the text says how to install it.
        """
        path = find_program(self._program)
        if path is None:
            message = f"{self.name} is not installed. Install it: {self._install}"
            raise TestServerError(message)
        return path

    async def start(
        self,
        arguments: Sequence[str],
        *,
        ports: Sequence[int],
        environment: Mapping[str, str] | None = None,
        patience: float = 60,
        user: str | None = None,
    ) -> None:
        """Start ``arguments`` and return when every port accepts a connection.

        Args:
            arguments: program and its arguments.
            ports: TCP ports of 127.0.0.1 to wait for.
            environment: added to the environment of this process.
            patience: seconds to wait.
            user: whom the program runs as, for programs that refuse root; None changes nothing.

        Raises:
            TestServerError: it ended, or did not listen in time; the text holds the end of its log.
        """
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self.directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # a group of its own, which ends as a whole
                **as_user(user),
            )
        try:
            async with asyncio.timeout(patience):
                for port in ports:
                    await self._accepts(port)
        except TimeoutError:
            message = (
                f"{self.name} did not listen within {patience:g} s. The end of its log:\n{self.log_tail()}"
            )
            raise TestServerError(message) from None

    async def _accepts(self, port: int) -> None:
        while True:
            if self._running.returncode is not None:
                message = (
                    f"{self.name} ended at once with status {self._running.returncode}. "
                    f"The end of its log:\n{self.log_tail()}"
                )
                raise TestServerError(message)
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                return
            await asyncio.sleep(0.03)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines that the program wrote."""
        try:
            text = self.log_file.read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    async def end(self, patience: float = 20) -> None:
        """Ask the program to end (SIGINT for the fast way of PostgreSQL) and wait for it; its directory stays.

        Args:
            patience: seconds until it is killed.
        """
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                process.send_signal(signal.SIGINT)
                await asyncio.wait_for(process.wait(), patience)
        await self.kill()

    async def kill(self) -> None:
        """End the program and what it started at once (SIGKILL); :meth:`start` starts it again on the same files."""
        process, self._process = self._process, None
        if process is None:
            return
        children = _children(process.pid)  # some begin groups of their own, as those of PostgreSQL do
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    async def stop(self) -> None:
        """End the program and remove its directory. Safe to call at any time, also twice.

        It is killed: nothing of it is to be kept, and a polite end takes up to seconds.
        """
        directory, self._directory = self._directory, None
        try:
            await self.kill()
        finally:
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)


def _children(pid: int) -> list[int]:
    """Give the processes that a process has started (Linux)."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def as_user(name: str | None) -> dict[str, Any]:
    """Give the arguments with which ``subprocess`` starts a program as another user; none for None."""
    if name is None:
        return {}
    import pwd  # noqa: PLC0415 - only Unix has it, and this module is imported everywhere

    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def find_program(name: str) -> str | None:
    """Return the path of an executable on PATH, in the ``sbin`` directories or where Debian has PostgreSQL, or None."""
    folders = [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    # One folder for each version; the newest first.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4))
    folders += map(str, reversed(found))
    return shutil.which(name, path=os.pathsep.join(folders))


async def control(port: int, line: str) -> str:
    """Send one line to a server's control port, which the test server has added, and return the answer.

    Args:
        port: the TCP port.
        line: such as ``kick juliet@localhost``.
    """
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(line.encode() + b"\n")
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def kick(port: int, jid_or_domain: str) -> None:
    """Let a server cut connections, by its control port.

    Raises:
        TestServerError: nobody was connected under that name.
    """
    if await control(port, f"kick {jid_or_domain}") in {"", "0"}:
        message = f"{jid_or_domain} is not connected, so it cannot be cut off."
        raise TestServerError(message)
