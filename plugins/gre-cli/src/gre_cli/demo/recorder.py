"""A TCP proxy on 127.0.0.1 that keeps a copy of what goes through: so the demo sees what a server received."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 1 << 16


class Recorder:
    """Stands in front of one server. An asynchronous context manager.

    Arguments:
        name: of the connection, for the files of ``--keep`` (``client-to-server``).
        target: the port of the server on 127.0.0.1.
    """

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.requests = bytearray()
        """What the server received."""
        self.answers = bytearray()
        """What the server sent."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port to connect to instead of the server's."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            self._open.discard(writer)
            return
        self._open.add(server_writer)
        await asyncio.gather(
            self._pump(reader, server_writer, self.requests), self._pump(server_reader, writer, self.answers)
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copy: bytearray
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                copy += piece
                writer.write(piece)
                await writer.drain()
        self._open.discard(writer)
        writer.close()
