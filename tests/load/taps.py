"""A wire in the middle: it passes bytes on between two programs and sees replies go by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gre_core.testing.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 1 << 16


class Tap:
    """A TCP relay on 127.0.0.1 at a port that stays.

    Arguments:
        target: port that connections go on to.
        seen: a reply that holds these bytes is reported,
        before: just before it is passed on,
        after: and just after.
    """

    def __init__(
        self, target: int, seen: bytes, before: Callable[[], None], after: Callable[[], None]
    ) -> None:
        self.port = free_port()
        self._target = target
        self._seen = seen
        self._before = before
        self._after = after
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.ensure_future(self._pass(reader, far_writer, watched=False)),
            asyncio.ensure_future(self._pass(far_reader, writer, watched=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        writer.transport.abort()
        far_writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watched: bool
    ) -> None:
        try:
            while data := await reader.read(_PIECE):
                seen = watched and self._seen in data
                if seen:
                    self._before()
                writer.write(data)
                if seen:
                    self._after()
                await writer.drain()
        except OSError:
            pass
