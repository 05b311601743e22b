"""The door for mail: a listening socket for LMTP or SMTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from gre_gateway_email.mail.smtp_session import LmtpSession, Session, keep_out_of_log

if TYPE_CHECKING:
    from gre_gateway_email.config import Listen
    from gre_gateway_email.mail.door import Door

MAX_CONNECTIONS: Final = 100
"""Connections at the same time; more get 421."""

IDLE_SECONDS: Final = 300
"""A connection that says nothing for so long is closed (RFC 5321, section 4.5.3.2.7)."""

ROOM: Final = 64 * 1024 * 1024
"""Bytes of mails that are received at the same time, at least; larger ones beyond that are put off."""

BACKLOG: Final = 1024
"""Connections that the system keeps until they are taken."""


class Listener:
    """A listening socket.

    Arguments:
        settings: where and what.
        door: decides about mails.
    """

    def __init__(self, settings: Listen, door: Door) -> None:
        self._settings = settings
        self.door = door
        self.max_recipients = settings.max_recipients
        self.max_size = settings.max_size
        self.room = max(ROOM, 2 * settings.max_size)
        self.held = 0
        self.connections: set[Session] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port, once started."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be used.
        """
        keep_out_of_log()
        kind = LmtpSession if self._settings.protocol == "lmtp" else Session
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            if len(self.connections) >= MAX_CONNECTIONS:
                return _TooMany()
            return kind(self, timeout=IDLE_SECONDS, loop=loop)

        self._server = await loop.create_server(
            connection, self._settings.host, self._settings.port, backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Stop listening and close the connections; a mail that was not acknowledged comes again."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                if connection.transport is not None:
                    connection.transport.close()
            await self._server.wait_closed()


class _TooMany(asyncio.Protocol):
    """Says that there are too many connections, and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writer = cast("asyncio.WriteTransport", transport)
        writer.write(b"421 4.3.2 Too many connections, try again later\r\n")
        writer.close()
