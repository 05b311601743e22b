"""A process that the demo starts, talks to, and ends by its own process id."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Self

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_GRACE = 5.0
_LINE = 1 << 22


class ChildFailed(GreError):
    """A process of the demo ended or stayed silent; the text holds the end of what it wrote."""

    code = "demo-process"


class Child:
    """A running program. An asynchronous context manager; at its end the program is gone.

    Arguments:
        name: for people.
        command: the program and its arguments.
        order: a line for its standard input.
    """

    def __init__(self, name: str, command: Sequence[str], order: str = "") -> None:
        self.name = name
        self.output = bytearray()
        """Everything that it wrote to standard output and standard error so far."""
        self._command = command
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._readers: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    async def __aenter__(self) -> Self:
        # A session of its own: at Ctrl-C the demo ends it in order, and not the terminal.
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LINE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        if process.stdin is None or process.stdout is None or process.stderr is None:  # pragma: no cover
            raise ChildFailed(f"{self.name} has no pipes.")
        if self._order:
            process.stdin.write(self._order.encode() + b"\n")
        process.stdin.close()
        self._readers = [
            asyncio.create_task(self._read(process.stdout, lines=True)),
            asyncio.create_task(self._read(process.stderr, lines=False)),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.stop()

    async def _read(self, stream: asyncio.StreamReader, *, lines: bool) -> None:
        with contextlib.suppress(ValueError):
            while line := await stream.readline():
                self.output += line
                if lines:
                    self._lines.put_nowait(line.decode(errors="replace").rstrip("\n"))
        if lines:
            self._lines.put_nowait("")

    async def line(self, seconds: float) -> str:
        """Give the next line of its standard output.

        Raises:
            ChildFailed: it ended, or wrote nothing in time.
        """
        try:
            line = await asyncio.wait_for(self._lines.get(), seconds)
        except TimeoutError:
            raise ChildFailed(f"{self.name} did nothing for {seconds:.0f} seconds. {self._tail()}") from None
        if not line:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*self._readers), 1)
            raise ChildFailed(f"{self.name} ended before its work was done. {self._tail()}")
        return line

    def _tail(self) -> str:
        written = bytes(self.output[-2000:]).decode(errors="replace").strip()
        return f"The end of what it wrote:\n{written}" if written else "It wrote nothing."

    async def stop(self) -> None:
        """End it, first politely. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _GRACE)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()
            for reader in self._readers:
                with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                    await asyncio.wait_for(reader, 1)
