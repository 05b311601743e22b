"""One open connection to a relay, and mails over it in two round trips instead of four (RFC 2920).

aiosmtplib connects, starts TLS and logs in; then its connection is taken over, because it waits for the answer to
each command before it sends the next. At a thousand mails a second that costs more than all the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import aiosmtplib

from gre_gateway_email.mail.line_ends import stuffed
from gre_gateway_email.mail.typed_address import UTF8, escaped
from gre_gateway_email.mail.xtext import to_xtext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_gateway_email.config import Smtp

MAX_REPLY: Final = 64 * 1024
"""Longest reply that is read, in bytes."""

_START_INPUT: Final = 354
_CLOSING: Final = 421
_CODE: Final = 3


class Reply(NamedTuple):
    """A reply of the relay; ``text`` is joined of all its lines."""

    code: int
    text: str

    @property
    def positive(self) -> bool:
        """Whether it is a 2xx reply."""
        return self.code // 100 == 2  # noqa: PLR2004 - RFC 5321, section 4.2.1


class NotTaken(Exception):
    """The relay refused a mail. The connection is of no more use.

    Attributes:
        reply: what it said.
        refused: the recipients that it refused, with what it said of each; empty when it was about something else.
        others: whether there were recipients besides the first.
    """

    def __init__(
        self, reply: Reply, refused: Sequence[tuple[str, Reply]] = (), *, others: bool = False
    ) -> None:
        super().__init__(reply.code)
        self.reply = reply
        self.refused = tuple(refused)
        self.others = others


class Broken(Exception):
    """The connection broke or speaks no SMTP.

    Attributes:
        began: whether the content of the mail was on its way, so that the relay may have it.
    """

    def __init__(self, *, began: bool) -> None:
        super().__init__(began)
        self.began = began


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the relay announced.

    Arguments:
        pipelining: it takes several commands at once (RFC 2920).
        size: it wants to know the size of a mail (RFC 1870).
        dsn: it can be asked for reports (RFC 3461).
        smtputf8: it takes addresses beyond ASCII (RFC 6531).
    """

    pipelining: bool = False
    size: bool = False
    dsn: bool = False
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail with its envelope.

    Arguments:
        sender: checked by ``check_address``, or ``""``: the null sender, which wants no reports.
        recipients: checked by ``check_address``.
        mail: with clean lines.
        envelope_id: for reports (ENVID, RFC 3461), printable ASCII, or ``""``.
        smtputf8: addresses or header fields are beyond ASCII.
    """

    sender: str = field(repr=False)
    recipients: tuple[str, ...] = field(repr=False)
    mail: bytes = field(repr=False)
    envelope_id: str = ""
    smtputf8: bool = False


class Dialogue(asyncio.Protocol):
    """A connection between two mails. Made by :func:`open_dialogue`.

    Arguments:
        transport: the connection.
        timeout: for each step, in seconds.
        extensions: what the relay announced.
    """

    def __init__(self, transport: asyncio.Transport, *, timeout: float, extensions: Extensions) -> None:
        self._transport = transport
        self._timeout = timeout
        self.extensions = extensions
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether the connection stands and the relay has said nothing out of turn (as 421 before it closes)."""
        return not (self._lost or self._transport.is_closing() or self._replies or self._buffer)

    async def send(self, letter: Letter) -> None:
        """Hand over a mail for all recipients, or for none.

        Raises:
            NotTaken: the relay said no.
            Broken: the connection broke.
            TimeoutError: the relay did not answer.
        """
        recipients = letter.recipients
        commands = self._commands(letter)
        last = len(commands) - 1
        refused: list[tuple[str, Reply]] = []
        if self.extensions.pipelining:
            self._write("".join(commands).encode("utf-8"))
        for number, command in enumerate(commands):
            if not self.extensions.pipelining:
                self._write(command.encode("utf-8"))
            reply = await self._reply(began=False)
            if 0 < number < last and not reply.positive:
                refused.append((recipients[number - 1], reply))
            if refused and (number >= last - 1 or reply.code == _CLOSING):
                raise NotTaken(refused[0][1], refused, others=len(recipients) > 1)
            if not refused and not (reply.code == _START_INPUT if number == last else reply.positive):
                raise NotTaken(reply)
        self._write(stuffed(letter.mail))
        reply = await self._reply(began=True)
        if not reply.positive:
            raise NotTaken(reply)

    def _commands(self, letter: Letter) -> list[str]:
        mail, rcpt = "", ""
        if self.extensions.size:
            mail += f" SIZE={len(letter.mail)}"
        if letter.smtputf8:
            mail += " BODY=8BITMIME SMTPUTF8"
        if self.extensions.dsn:
            # Nobody wants a report about a report (RFC 3461, section 6.1).
            rcpt = " NOTIFY=FAILURE,DELAY" if letter.sender else " NOTIFY=NEVER"
            mail += " RET=HDRS" + (f" ENVID={to_xtext(letter.envelope_id)}" if letter.envelope_id else "")
        return [
            f"MAIL FROM:<{letter.sender}>{mail}\r\n",
            *(f"RCPT TO:<{to}>{rcpt}{self._original(to)}\r\n" for to in letter.recipients),
            "DATA\r\n",
        ]

    def _original(self, recipient: str) -> str:
        if not self.extensions.dsn:
            return ""
        if recipient.isascii():
            return f" ORCPT=rfc822;{to_xtext(recipient)}"
        return f" ORCPT={UTF8};{escaped(recipient)}"  # RFC 6533, section 3

    def close(self) -> None:
        """Say good-bye, without waiting for the answer."""
        if not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    def abort(self) -> None:
        """Hang up in the middle of a mail, which the relay then throws away."""
        self._transport.abort()

    # -- what asyncio calls --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what the relay says."""
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest
        for line in lines:
            self._take_line(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._buffer) + sum(map(len, self._lines)) > MAX_REPLY or len(self._replies) > MAX_REPLY:
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note that the connection is gone."""
        self._lost = True
        self._wake()

    # -- inside --------------------------------------------------------------------------------------

    def _take_line(self, line: str) -> None:
        code = line[:_CODE]
        if not (len(code) == _CODE and code.isascii() and code.isdigit()):
            self.abort()
            return
        self._lines.append(line[_CODE + 1 :])
        if line[_CODE : _CODE + 1] != "-":
            self._replies.append(Reply(int(code), " ".join(self._lines)))
            self._lines.clear()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _write(self, data: bytes) -> None:
        if self._lost or self._transport.is_closing():
            raise Broken(began=False)
        self._transport.write(data)

    async def _reply(self, *, began: bool) -> Reply:
        if not self._replies:
            async with asyncio.timeout(self._timeout):
                while not self._replies:
                    if self._lost or self._transport.is_closing():
                        raise Broken(began=began)
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        return self._replies.popleft()


async def open_dialogue(settings: Smtp) -> Dialogue:
    """Connect, start TLS and log in as the settings say.

    Raises:
        aiosmtplib.SMTPException, OSError: it did not work.
    """
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        username=settings.user,
        password=settings.password,
        local_hostname=settings.helo,
        timeout=settings.timeout,
        use_tls=settings.tls == "implicit",
        start_tls=settings.tls == "starttls",
    )
    await client.connect()
    if client.is_ehlo_or_helo_needed:
        await client.ehlo()
    if client.protocol is None or client.protocol.transport is None:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    return Dialogue(
        cast("asyncio.Transport", client.protocol.transport),
        timeout=settings.timeout,
        extensions=Extensions(
            pipelining="pipelining" in client.esmtp_extensions,
            size="size" in client.esmtp_extensions,
            dsn=settings.dsn and "dsn" in client.esmtp_extensions,
            smtputf8={"smtputf8", "8bitmime"} <= client.esmtp_extensions.keys(),
        ),
    )
