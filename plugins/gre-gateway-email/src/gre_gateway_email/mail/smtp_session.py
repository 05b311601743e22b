"""One connection of the listener: SMTP (RFC 5321) or LMTP (RFC 2033), with the extensions that it announces.

What aiosmtpd does otherwise is done here: LMTP answers once for each recipient, the data is read in large pieces,
only CRLF "." CRLF ends it, mails with bare CR, bare LF or NUL are refused instead of handed on, and the parameters of
MAIL and RCPT are understood (RFC 1870, RFC 3461, RFC 6152, RFC 6531).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, AnyStr, Final, Protocol

from aiosmtpd.smtp import SMTP, syntax

from gre_core.log import get_logger
from gre_gateway_email.mail.door import MailOptions
from gre_gateway_email.mail.line_ends import has_clean_lines, unstuffed
from gre_gateway_email.mail.smtp_parameters import BadCommand, read_mail, read_recipient
from gre_gateway_email.mail.trace import goes_round

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gre_gateway_email.mail.door import Door, RecipientOptions
    from gre_gateway_email.mail.smtp_parameters import MailCommand

DATA_SECONDS: Final = 600.0
"""A mail that has not ended after so long is given up: a byte a second would hold a connection that others need."""

MAX_COMMAND: Final = 990
"""Longest command line, in bytes: what RFC 3461, section 5, asks for, below what the reader holds."""

NAME: Final = "gre-email-gateway"

CROWDED: Final = "452 4.3.1 Too many large mails at once, try again later"

_EXTENSIONS: Final = ("PIPELINING", "ENHANCEDSTATUSCODES", "DSN")
_END: Final = b"\r\n.\r\n"
_PIECE: Final = 1 << 20

_log = get_logger(__name__)

_in_dialogue: ContextVar[bool] = ContextVar("gre_smtp_session", default=False)


def keep_out_of_log() -> None:
    """Keep what our connections say out of the library's log: it writes all of it there, with all addresses.

    What other servers in this process write there, by the same library, stays as it is.
    """
    logging.getLogger("mail.log").addFilter(_is_of_others)


def _is_of_others(_record: logging.LogRecord) -> bool:
    return not _in_dialogue.get()


class Shared(Protocol):
    """What all connections of a listener share."""

    door: Door
    max_recipients: int
    max_size: int
    room: int
    held: int
    connections: set[Session]


class Session(SMTP):
    """One connection."""

    one_answer = True
    """Whether there is one answer to the data, whoever it was for."""

    def __init__(self, shared: Shared, **settings: Any) -> None:
        # The library has one dictionary for all servers of a process.
        self.command_size_limits = defaultdict(lambda: self.command_size_limit)
        super().__init__(
            _Silent(),
            data_size_limit=shared.max_size,
            enable_SMTPUTF8=True,
            hostname=NAME,
            ident=NAME,
            **settings,
        )
        self._shared = shared
        self._greeted = False
        self._held = 0
        self._heard_at = 0.0
        self._mail: MailCommand | None = None
        self._recipients: list[tuple[str, RecipientOptions]] = []
        self._replies: list[str] = []
        for command in ("MAIL", "RCPT"):
            self.command_size_limits[command] = MAX_COMMAND

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it is there."""
        self._shared.connections.add(self)
        token = _in_dialogue.set(True)  # the task that begins here takes it along
        super().connection_made(transport)
        _in_dialogue.reset(token)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is gone."""
        self._shared.connections.discard(self)
        super().connection_lost(error)

    # -- commands ------------------------------------------------------------------------------------

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd finds them by these names
        """Greet and say what is understood."""
        if not hostname:
            await self.push("501 5.5.4 Say who you are")
            return
        self._reset()
        self._greeted = True
        if self.session is not None:
            self.session.extended_smtp = True
            self.session.host_name = hostname
        extensions = (f"SIZE {self._shared.max_size}", "8BITMIME", "SMTPUTF8", *_EXTENSIONS)
        lines = [NAME, *extensions]
        for line in lines[:-1]:
            await self.push(f"250-{line}")
        await self.push(f"250 {lines[-1]}")

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        """Greet an old program."""
        if not hostname:
            await self.push("501 5.5.4 Say who you are")
            return
        self._reset()
        self._greeted = True
        if self.session is not None:
            self.session.host_name = hostname
        await self.push(f"250 {NAME}")

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: ARG002, N802
        """Take no logins: there are no users here."""
        await self.push("502 5.5.1 There is no login here")

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: ARG002, N802
        """Take no TLS: the listener is for programs on the same machine."""
        await self.push("502 5.5.1 There is no TLS here")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: ARG002, N802
        """Tell nobody who the users are (RFC 5321, section 7.3)."""
        await self.push("252 2.5.2 Cannot verify a user, send the mail and see")

    async def smtp_EXPN(self, arg: str) -> None:  # noqa: ARG002, N802
        """Tell nobody who the users are."""
        await self.push("502 5.5.1 There are no lists here")

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Take the sender."""
        if not await self._may_begin():
            return
        try:
            command = read_mail(arg or "", self._shared.max_size)
        except BadCommand as error:
            await self.push(error.reply)
            return
        reply = await self._ask(lambda: self._shared.door.sender(command.sender))
        if reply.startswith("2"):
            self._mail = command
        await self._answer_soon(reply)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """Take a recipient."""
        if self._mail is None:
            await self.push("503 5.5.1 Say MAIL first")
            return
        if len(self._recipients) >= self._shared.max_recipients:
            await self.push(f"452 4.5.3 Too many recipients, at most {self._shared.max_recipients} at once")
            return
        try:
            address, options = read_recipient(arg or "", smtputf8=self._mail.smtputf8)
        except BadCommand as error:
            await self.push(error.reply)
            return
        reply = await self._ask(lambda: self._shared.door.recipient(address))
        if reply.startswith("2"):
            self._recipients.append((address, options))
        await self._answer_soon(reply)

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        """Forget the mail."""
        self._reset()
        await super().smtp_RSET(arg)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Take a whole mail in large pieces."""
        mail, recipients = self._mail, self._recipients
        if mail is None or not recipients:
            await self.push("503 5.5.1 Say MAIL and RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 DATA takes no argument")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        try:
            replies = await self._take(mail, recipients)
        finally:
            self._hold(0)
        await self.answer(replies)

    async def _take(
        self, mail: MailCommand, recipients: Sequence[tuple[str, RecipientOptions]]
    ) -> Sequence[str]:
        content = await self._content()
        self._reset()
        refusal = content if isinstance(content, str) else _refusal(content)
        if isinstance(content, str) or refusal:
            return [refusal] * len(recipients)
        options = MailOptions(mail.envelope_id, mail.smtputf8, self.one_answer, dict(recipients))
        addresses = tuple(address for address, _ in recipients)
        try:
            return await self._shared.door.mail(mail.sender, addresses, content, options)
        except Exception as error:  # noqa: BLE001 - LMTP answers for each recipient, whatever happened
            return [_failed(error)] * len(recipients)

    async def answer(self, replies: Sequence[str]) -> None:
        """Answer the end of the data (RFC 5321, section 4.2.5): one reply for the whole mail."""
        bad = [reply for reply in replies if not reply.startswith("2")]
        await self.push(bad[0] if bad else replies[0])

    async def handle_exception(self, error: Exception) -> str:
        """Answer what should not happen."""
        return _failed(error)

    async def push(self, status: AnyStr) -> None:
        """Send a reply, together with those that wait."""
        text = status if isinstance(status, str) else status.decode()
        said = "\r\n".join([*self._replies, text])
        self._replies.clear()
        await super().push(said)

    # -- inside --------------------------------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Note that something was said: one timer looks now and then, instead of a new one for each command."""
        self._heard_at = self.loop.time()
        if self._timeout_handle is None:
            super()._reset_timeout(duration)

    def _timeout_cb(self) -> None:
        left = self._heard_at + self._timeout_duration - self.loop.time()
        if left > 0:
            self._timeout_handle = self.loop.call_later(left, self._timeout_cb)
        else:
            super()._timeout_cb()  # type: ignore[no-untyped-call]

    async def _answer_soon(self, reply: str) -> None:
        """Send a reply together with those to the commands that came with this one (RFC 2920, section 3.2)."""
        self._replies.append(reply)
        if len(self._replies) == 1:
            self.loop.call_soon(self._answer_now)
        await self._writer.drain()  # whoever does not read the replies has to wait

    def _answer_now(self) -> None:
        if self._replies and self.transport is not None:
            self._writer.write("".join(f"{reply}\r\n" for reply in self._replies).encode())
        self._replies.clear()

    def _reset(self) -> None:
        self._mail, self._recipients = None, []

    async def _may_begin(self) -> bool:
        if not self._greeted:
            await self.push("503 5.5.1 Say hello first")
            return False
        if self._mail is not None:
            await self.push("503 5.5.1 There is a mail already: say RSET")
            return False
        return True

    async def _ask(self, question: Callable[[], Awaitable[str]]) -> str:
        try:
            return await question()
        except Exception as error:  # noqa: BLE001 - the mail server tries again
            return _failed(error)

    def _hold(self, size: int) -> None:
        self._shared.held += size - self._held
        self._held = size

    async def _content(self) -> bytes | str:
        """Read up to CRLF "." CRLF, without the stuffed dots (RFC 5321, section 4.5.2); a text: why it is not taken."""
        # The line end before the first line lets a first line of one dot be found as the end, too.
        buffer = bytearray(b"\r\n")
        limit = self._shared.max_size
        too_large = f"552 5.3.4 The mail is larger than {limit} bytes"
        searched, refusal = 0, ""
        clock = asyncio.get_running_loop().time
        deadline = clock() + DATA_SECONDS
        while (end := buffer.find(_END, searched)) < 0:
            searched = max(0, len(buffer) - len(_END) + 1)
            if not refusal and len(buffer) > limit + len(_END):
                refusal = too_large
            elif not refusal and self._shared.held > self._shared.room:
                refusal = CROWDED
            if refusal:
                del buffer[:searched]
                searched = 0
            piece = await self._reader.read(_PIECE)
            if not piece:
                raise ConnectionResetError
            if clock() > deadline:
                await self.push("421 4.4.2 The mail takes too long")
                raise ConnectionResetError
            self._reset_timeout()
            buffer += piece
            self._hold(len(buffer))
        # What was sent ahead of our answer (RFC 2920) goes back. The reader is empty: it gave all that it
        # had.
        rest = bytes(buffer[end + len(_END) :])
        if rest:
            self._reader.feed_data(rest)
        if refusal or end > limit:
            return refusal or too_large
        return unstuffed(bytes(buffer[: end + 2]))


class LmtpSession(Session):
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


class _Silent:
    """aiosmtpd wants a handler; all that it would be asked is done above."""


def _refusal(content: bytes) -> str:
    if not has_clean_lines(content):
        return "554 5.6.0 The mail has a bare CR, a bare LF or a NUL"
    if goes_round(content):
        return "554 5.4.6 The mail goes round in circles"
    return ""


def _failed(error: Exception) -> str:
    _log.error("listener-failed", code=type(error).__name__)
    return "451 4.3.0 The gateway failed, try again later"
