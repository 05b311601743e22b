"""Test servers that are programs: begun when they are entered, ended with all their files when they are left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from gre_core.testing.ports import LOOPBACK, free_port
from gre_core.testing.server import ServerProcess, kick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType


class ProgramServer(ABC):
    """A server that is one program.

    Args:
        process: the program, which is not started yet.
    """

    host = LOOPBACK

    def __init__(self, process: ServerProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """Where the server logs; removed at the end."""
        return self._process.log_file

    async def kill(self) -> None:
        """Kill it with all that it started (SIGKILL); what it has stored stays."""
        await self._process.kill()

    @abstractmethod
    async def _begin(self) -> None:
        """Write its files and start it."""

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self._process.stop()


class XmppProgram(ProgramServer):
    """An XMPP server that is a program.

    Args:
        process: the program.
        domain: what it serves.
        accounts: names and passwords.
        components: domains and secrets.
        upload: it has an upload service, at ``upload.`` and its domain.
    """

    def __init__(
        self,
        process: ServerProcess,
        domain: str,
        accounts: Mapping[str, str] | None,
        components: Mapping[str, str] | None,
        *,
        upload: bool,
    ) -> None:
        super().__init__(process)
        self.domain = domain
        self.accounts: Mapping[str, str] = dict(accounts or {})
        self.components: Mapping[str, str] = dict(components or {})
        self.c2s_port = self.component_port = self.upload_port = self._control_port = 0
        self._upload = upload

    @property
    def upload_host(self) -> str:
        """Host and port that shared files are at."""
        return f"localhost:{self.upload_port}"

    async def kick(self, jid_or_domain: str) -> None:
        """Cut the connection of a full JID, of all resources of a bare JID, or of a component domain.

        Raises:
            TestServerError: nobody was connected under that name.
        """
        await kick(self._control_port, jid_or_domain)

    def _choose_ports(self) -> None:
        self.c2s_port, self.component_port, self._control_port = free_port(), free_port(), free_port()
        if self._upload:
            self.upload_port = free_port()

    @property
    def _ports(self) -> list[int]:
        """Those that it listens on."""
        ports = [self.c2s_port, self._control_port]
        if self.components:
            ports.append(self.component_port)
        if self._upload:
            ports.append(self.upload_port)
        return ports
