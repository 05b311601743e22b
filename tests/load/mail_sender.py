"""A mail server's way of handing mails on: by SMTP or LMTP, each again until it is taken."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from gre_core.testing.ports import LOOPBACK


class NotTakenNow(Exception):
    """The other side is away, hung up, or said 4xx: the same bytes are to be sent again."""


class Refused(Exception):
    """The other side said 5xx."""


class MailSender:
    """One kept connection.

    Arguments:
        port: of 127.0.0.1.
        lmtp: speak LMTP (RFC 2033) instead of SMTP.
    """

    def __init__(self, port: int, *, lmtp: bool) -> None:
        self._port = port
        self._hello = b"LHLO mx.example.net\r\n" if lmtp else b"EHLO mx.example.net\r\n"
        self._line: _Line | None = None

    async def send(self, sender: str, to: str, content: bytes, patience: float = 20) -> str:
        """Hand over a mail; give the reply that acknowledges it.

        Raises:
            NotTakenNow: not now.
            Refused: never.
        """
        try:
            async with asyncio.timeout(patience):
                line = await self._connected()
                # As Postfix does where it may (RFC 2920): all commands at once.
                await line.say(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode(), "223")
                return await line.say(content.replace(b"\r\n.", b"\r\n..") + b".\r\n", "2")
        except Refused:
            self.close()
            raise
        except (OSError, NotTakenNow, TimeoutError) as error:
            self.close()
            raise NotTakenNow(repr(error)) from error

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.transport.abort()
            self._line = None

    async def _connected(self) -> _Line:
        if self._line is None:
            loop = asyncio.get_running_loop()
            _, line = await loop.create_connection(_Line, LOOPBACK, self._port)
            self._line = line
            await line.say(b"", "2")
            await line.say(self._hello, "2")
        return self._line


class _Line(asyncio.Protocol):
    """A dialogue, without the layers of a stream: what is measured is the gateway."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""
        self._wanted = ""
        self._answer: asyncio.Future[str] | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._end(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._read()

    async def say(self, data: bytes, wanted: str) -> str:
        """Send something; give the last of as many replies as there are digits, with which they have to begin."""
        if self._lost:
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self.transport.write(data)
        self._read()
        return await self._answer

    def _read(self) -> None:
        while self._wanted and b"\n" in self._received:
            raw, _, self._received = self._received.partition(b"\n")
            reply = raw.decode(errors="replace").strip()
            if reply[3:4] == "-":
                continue
            wanted, self._wanted = self._wanted[0], self._wanted[1:]
            if not reply.startswith(wanted):
                self._end(Refused(reply) if reply.startswith("5") else NotTakenNow(reply))
            elif not self._wanted and self._answer is not None and not self._answer.done():
                self._answer.set_result(reply)

    def _end(self, error: Exception) -> None:
        self._wanted = ""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


async def persist(sender: MailSender, from_: str, to: str, content: bytes, pause: float = 0.1) -> str:
    """Send until it is taken, as a mail server does with what it is responsible for."""
    while True:
        with contextlib.suppress(NotTakenNow):
            return await sender.send(from_, to, content)
        await asyncio.sleep(pause)
