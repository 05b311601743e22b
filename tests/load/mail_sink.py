"""A mail server that records what it took before it says so, and can be told when it is to be away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gre_core.testing.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable


class MailSink:
    """An SMTP server (RFC 5321 with PIPELINING) for test mails.

    Arguments:
        on_mail: called with each mail before it is acknowledged.
        acknowledged: called after each acknowledgement was written.
    """

    def __init__(
        self, on_mail: Callable[[bytes], None], acknowledged: Callable[[], None] = lambda: None
    ) -> None:
        self.port = free_port()
        self.on_mail = on_mail
        self.acknowledged = acknowledged
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, at the same port each time."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port, limit=1 << 20)

    async def stop(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            writer.write(b"220 sink.example.net ESMTP\r\n")
            while command := (await reader.readline()).strip():
                verb = command[:4].upper()
                if verb in {b"EHLO", b"LHLO"}:
                    writer.write(
                        b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 70000000\r\n"
                    )
                elif verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await self._data(reader, writer)
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(b"250 2.0.0 Ok\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = (await reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n.", b"\r\n")
        self.on_mail(content)
        writer.write(b"250 2.0.0 Ok: queued as SINK\r\n")
        self.acknowledged()
