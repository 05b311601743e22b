"""The door for mail: an LMTP or SMTP server on aiosmtpd (RFC 2033, RFC 5321).

What aiosmtpd does otherwise is done here: LMTP answers once for each recipient, the data is read in large
pieces, only CRLF "." CRLF ends it, and mails with bare CR, bare LF or NUL are refused instead of handed on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from gre_core.log import get_logger
from gre_gateway_email.mail.door import MailOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_gateway_email.config import Listen
    from gre_gateway_email.mail.door import Door

MAX_CONNECTIONS: Final = 100
"""Connections at the same time; more get 421."""

IDLE_SECONDS: Final = 300
"""A connection that says nothing for so long is closed (RFC 5321, section 4.5.3.2.7)."""

_END: Final = b"\r\n.\r\n"
_PIECE: Final = 1 << 20
_NAME: Final = "gre-email-gateway"

_log = get_logger(__name__)


class Listener:
    """A listening socket.

    Arguments:
        settings: where and what.
        door: decides about mails.
    """

    def __init__(self, settings: Listen, door: Door) -> None:
        self._settings = settings
        self._hooks = _Hooks(settings, door)
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
        kind = _Lmtp if self._settings.protocol == "lmtp" else _Smtp

        def connection() -> asyncio.Protocol:
            if len(self._hooks.connections) >= MAX_CONNECTIONS:
                return _TooMany()
            return kind(
                self._hooks,
                data_size_limit=self._settings.max_size,
                enable_SMTPUTF8=False,
                hostname=_NAME,
                ident=_NAME,
                timeout=IDLE_SECONDS,
                loop=asyncio.get_running_loop(),
            )

        self._server = await asyncio.get_running_loop().create_server(
            connection, self._settings.host, self._settings.port
        )

    async def stop(self) -> None:
        """Stop listening and close the connections; a mail that was not acknowledged comes again."""
        if self._server is not None:
            self._server.close()
            self._hooks.close_all()
            await self._server.wait_closed()


class _Hooks:
    """What aiosmtpd calls; shared by all connections."""

    def __init__(self, settings: Listen, door: Door) -> None:
        self.door = door
        self.max_recipients = settings.max_recipients
        self.connections: set[_Session] = set()

    def close_all(self) -> None:
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.close()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self.door.sender("" if address == "<>" else address)
        if reply.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self.max_recipients:
            return f"452 4.5.3 Too many recipients, at most {self.max_recipients} at once"
        reply = await self.door.recipient(address)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply

    async def handle_exception(self, error: Exception) -> str:
        _log.error("listener-failed", code=type(error).__name__)
        return "451 4.3.0 The gateway failed, try again later"


class _Session(SMTP):
    """One connection."""

    event_handler: _Hooks
    one_answer = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.connections.discard(self)
        super().connection_lost(error)

    async def answer(self, replies: Sequence[str]) -> None:
        """Answer the end of the data (RFC 5321, section 4.2.5): one reply for the whole mail."""
        bad = [reply for reply in replies if not reply.startswith("2")]
        # Stored for one and not for another: the client sends it all again, and what is stored is recognised.
        await self.push(bad[0] if bad else replies[0])

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds it by this name
        """Take a whole mail in large pieces."""
        if await self.check_helo_needed():
            return
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._content()
        sender = "" if envelope.mail_from in {None, "<>"} else str(envelope.mail_from)
        replies: Sequence[str]
        if content is None:
            replies = [f"552 5.3.4 The mail is larger than {self.data_size_limit} bytes"] * len(
                envelope.rcpt_tos
            )
        elif not _has_clean_lines(content):
            replies = ["554 5.6.0 The mail has a bare CR, a bare LF or a NUL"] * len(envelope.rcpt_tos)
        else:
            try:
                replies = await self.event_handler.door.mail(
                    sender, tuple(envelope.rcpt_tos), content, MailOptions(one_answer=self.one_answer)
                )
            except Exception as error:  # noqa: BLE001 - LMTP answers for each recipient, whatever happened
                replies = [await self.event_handler.handle_exception(error)] * len(envelope.rcpt_tos)
        self.envelope = self._create_envelope()
        await self.answer(replies)

    async def _content(self) -> bytes | None:
        """Read up to CRLF "." CRLF, without the stuffed dots (RFC 5321, section 4.5.2); None: too large."""
        # The line end before the first line lets a first line of one dot be found as the end, too.
        buffer = bytearray(b"\r\n")
        limit = self.data_size_limit or 0
        searched, too_large = 0, False
        while (end := buffer.find(_END, searched)) < 0:
            searched = max(0, len(buffer) - len(_END) + 1)
            if len(buffer) > limit + len(_END):
                too_large = True
                del buffer[:searched]
                searched = 0
            piece = await self._reader.read(_PIECE)
            if not piece:
                raise ConnectionResetError
            self._reset_timeout()
            buffer += piece
        # What was sent ahead of our answer (RFC 2920) goes back. The reader is empty: it gave all that it
        # had.
        rest = bytes(buffer[end + len(_END) :])
        if rest:
            self._reader.feed_data(rest)
        if too_large or end > limit:
            return None
        return bytes(buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]


class _Smtp(_Session):
    """A connection that speaks SMTP."""


class _Lmtp(_Session):
    """A connection that speaks LMTP (RFC 2033)."""

    one_answer = False

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, arg: str) -> None:  # noqa: N802
        """Greet."""
        await super().smtp_EHLO(arg)

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802, ARG002
        """Refuse the greeting of SMTP (RFC 2033, section 4.1)."""
        await self.push("500 5.5.1 This is LMTP: say LHLO")

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        """Refuse the greeting of SMTP (RFC 2033, section 4.1)."""
        await self.smtp_HELO(hostname)

    async def answer(self, replies: Sequence[str]) -> None:
        """Answer once for each recipient (RFC 2033, section 4.2)."""
        for reply in replies:
            await self.push(reply)


class _TooMany(asyncio.Protocol):
    """Says that there are too many connections, and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writer = cast("asyncio.WriteTransport", transport)
        writer.write(b"421 4.3.2 Too many connections, try again later\r\n")
        writer.close()


def _has_clean_lines(content: bytes) -> bool:
    """Tell whether CR and LF stand only together, and NUL nowhere: the rest is how smuggling begins."""
    line_ends = content.count(b"\r\n")
    return content.count(b"\r") == line_ends == content.count(b"\n") and b"\0" not in content
