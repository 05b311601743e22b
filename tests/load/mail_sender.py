"""A mail server's way of handing mails on: by SMTP or LMTP, each again until it is taken."""

from __future__ import annotations

import asyncio
import contextlib

from gre_core.testing.server import LOOPBACK


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
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, sender: str, to: str, content: bytes, patience: float = 20) -> str:
        """Hand over a mail; give the reply that acknowledges it.

        Raises:
            NotTakenNow: not now.
            Refused: never.
        """
        reply = ""
        try:
            async with asyncio.timeout(patience):
                reader, writer = await self._connected()
                # As Postfix does where it may (RFC 2920): all commands at once.
                writer.write(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode())
                for wanted in "223":
                    await _reply(reader, wanted)
                writer.write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                reply = await _reply(reader, "2")
        except (OSError, asyncio.IncompleteReadError, NotTakenNow, Refused, TimeoutError) as error:
            self.close()
            if isinstance(error, Refused):
                raise
            raise NotTakenNow(repr(error)) from error
        return reply

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            reader, writer = self._streams = await asyncio.open_connection(LOOPBACK, self._port)
            await _reply(reader, "2")
            writer.write(self._hello)
            await _reply(reader, "2")
        return self._streams


async def _reply(reader: asyncio.StreamReader, wanted: str) -> str:
    while True:
        line = (await reader.readuntil(b"\n")).decode(errors="replace").strip()
        if line[3:4] != "-":
            break
    if line.startswith("5"):
        raise Refused(line)
    if not line.startswith(wanted):
        raise NotTakenNow(line)
    return line


async def persist(sender: MailSender, from_: str, to: str, content: bytes, pause: float = 0.1) -> str:
    """Send until it is taken, as a mail server does with what it is responsible for."""
    while True:
        with contextlib.suppress(NotTakenNow):
            return await sender.send(from_, to, content)
        await asyncio.sleep(pause)
