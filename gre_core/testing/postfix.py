"""Postfix's ``smtp-sink``: takes every mail and forgets it; for measurements."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from gre_core.testing.server import LOOPBACK, ServerProcess, find_program, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_BACKLOG = 100


class SmtpSink:
    """A mail relay that accepts everything, on 127.0.0.1.

    Example::

        async with SmtpSink() as sink:
            await aiosmtplib.send(mail, hostname=sink.host, port=sink.port)

    Args:
        keep: write each mail to a file of :attr:`mails`; slower, for counting and looking.
        options: more options of ``smtp-sink``, such as ``("-r", "RCPT")`` to refuse recipients for now.
    """

    host = LOOPBACK

    def __init__(self, *, keep: bool = False, options: Sequence[str] = ()) -> None:
        self.port = 0
        self._keep = keep
        self._options = tuple(options)
        self._process = ServerProcess("smtp-sink", "smtp-sink", "apt-get install postfix")

    @staticmethod
    def installed() -> bool:
        """Tell whether there is an ``smtp-sink`` on this machine."""
        return find_program("smtp-sink") is not None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def mails(self) -> list[Path]:
        """The kept mails, oldest first: envelope in ``X-`` header fields, then the mail."""
        files = (self._process.directory / "mails").iterdir()
        return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))

    async def __aenter__(self) -> Self:
        self._process.find()
        self.port = free_port()
        try:
            mails = self._process.directory / "mails"
            mails.mkdir()
            if os.geteuid() == 0 and self._keep:
                self._process.directory.chmod(0o711)
                mails.chmod(0o733)  # it is written to as nobody
            await self.start()
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def start(self) -> None:
        """Start it again after :meth:`kill`, on the same port."""
        arguments = [self._process.find(), *self._options]
        if os.geteuid() == 0:
            arguments += ["-u", "nobody"]  # it refuses to run as root without being told whom to become
        if self._keep:
            arguments += ["-d", str(self._process.directory / "mails" / "mail.")]
        arguments += [f"{LOOPBACK}:{self.port}", str(_BACKLOG)]
        await self._process.start(arguments, ports=[self.port])

    async def kill(self) -> None:
        """Kill it (SIGKILL)."""
        await self._process.kill()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self._process.stop()
