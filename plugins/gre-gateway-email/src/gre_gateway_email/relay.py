"""Hands mails to the mail relay over a few kept connections (RFC 5321).

::

    relay = Relay(config.smtp)
    await relay.send("juliet@example.org", ["alice@example.net"], mail)  # returns: the relay took it
    await relay.close()
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import aiosmtplib

from gre_core.errors import Refused
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_core.errors import StanzaErrorType
    from gre_gateway_email.config import Smtp

KEPT_IDLE: Final = 60.0
"""How long an idle connection is kept, in seconds. Relays close them after about 300."""

STALL_SECONDS: Final = 5.0
"""After a time-out, messages that wait are refused for so long without another try."""

MAX_REPLY: Final = 200
"""How much of a relay's reply is passed on to the user, in characters."""

_TEMPORARY: Final = 4
_PERMANENT: Final = 5
_TOO_MUCH: Final = 552

_log = get_logger(__name__)


class Relay:
    """A pool of connections to one relay.

    Arguments:
        settings: where the relay is, and the bounds.
    """

    def __init__(self, settings: Smtp) -> None:
        self._settings = settings
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._free = asyncio.Semaphore(settings.connections)
        self._stalled_until = float("-inf")

    async def send(self, sender: str, recipients: Sequence[str], mail: bytes) -> None:
        """Hand over one mail. When this returns, the relay is responsible for it, for every recipient.

        Arguments:
            sender: of the envelope; checked by ``check_address``.
            recipients: of the envelope; checked by ``check_address``.
            mail: with CRLF line ends.

        Raises:
            Refused: the relay did not take it, for any recipient. The text says why, and whether trying again
            helps.
        """
        try:
            async with self._free:
                now = asyncio.get_running_loop().time
                if now() < self._stalled_until:
                    # Whoever waited behind a relay that hangs must not wait for it once more.
                    raise _unreachable()
                try:
                    await self._send(sender, recipients, mail)
                except aiosmtplib.SMTPTimeoutError:
                    self._stalled_until = now() + STALL_SECONDS
                    raise
        except aiosmtplib.SMTPException as error:
            refusal = explain(error)
            _log.warning(
                "relay-refused",
                condition=refusal.condition,
                error_type=refusal.error_type,
                status=_code(error),
            )
            raise refusal from error
        except OSError as error:
            _log.warning("relay-failed", code=type(error).__name__)
            raise _unreachable() from error

    async def check(self) -> None:
        """Connect, log in and leave again.

        Raises:
            Refused: it did not work; the text says why.
        """
        try:
            client = await self._connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise explain(error) from error
        await _leave(client)

    async def close(self) -> None:
        """Close all idle connections."""
        idle, self._idle = self._idle, []
        for client, _since in idle:
            await _leave(client)

    async def _send(self, sender: str, recipients: Sequence[str], mail: bytes) -> None:
        client = self._take()
        if client is not None:
            try:
                await _envelope(client, sender, recipients, len(mail))
            except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
                # The relay had closed the kept connection. No mail was sent over it yet, so another one may
                # be tried.
                client.close()
                client = None
            except BaseException:
                await self._give_back(client, broken=True)
                raise
        try:
            if client is None:
                client = await self._connect()
                await _envelope(client, sender, recipients, len(mail))
            await client.data(mail)
        except BaseException:
            await self._give_back(client, broken=True)
            raise
        await self._give_back(client)

    def _take(self) -> aiosmtplib.SMTP | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and now - since < KEPT_IDLE:
                return client
            client.close()
        return None

    async def _give_back(self, client: aiosmtplib.SMTP | None, *, broken: bool = False) -> None:
        if client is None:
            return
        if broken:
            # Where in the dialogue it stopped is not known for sure: a new connection costs less than a wrong
            # mail.
            client.close()
        if client.is_connected:
            self._idle.append((client, asyncio.get_running_loop().time()))

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self._settings
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
        return client


async def _envelope(client: aiosmtplib.SMTP, sender: str, recipients: Sequence[str], size: int) -> None:
    # Not client.mail() and client.rcpt(): they parse the address anew, which costs time and changes odd ones.
    mail = [b"MAIL", f"FROM:<{sender}>".encode("ascii")]
    if "size" in client.esmtp_extensions:
        mail.append(b"SIZE=%d" % size)
    reply = await client.execute_command(*mail)
    if reply.code != aiosmtplib.SMTPStatus.completed:
        raise aiosmtplib.SMTPSenderRefused(reply.code, reply.message, sender)
    for recipient in recipients:
        reply = await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode("ascii"))
        if reply.code not in {aiosmtplib.SMTPStatus.completed, aiosmtplib.SMTPStatus.will_forward}:
            raise aiosmtplib.SMTPRecipientRefused(reply.code, reply.message, recipient)


async def _leave(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=2)
    client.close()


def explain(error: Exception) -> Refused:
    """Say in a stanza error what went wrong with the relay (RFC 5321, section 4.2.1)."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException) and not isinstance(
        error,
        aiosmtplib.SMTPAuthenticationError | aiosmtplib.SMTPHeloError | aiosmtplib.SMTPConnectResponseError,
    ):
        return _explain_reply(error)
    if isinstance(error, aiosmtplib.SMTPTimeoutError) and not isinstance(
        error, aiosmtplib.SMTPConnectTimeoutError
    ):
        return _refused(
            "wait",
            "remote-server-timeout",
            "The mail relay did not answer in time. The message was most probably not sent: try again later.",
        )
    if isinstance(error, aiosmtplib.SMTPServerDisconnected) and not isinstance(
        error, aiosmtplib.SMTPConnectError
    ):
        return _refused(
            "wait",
            "remote-server-timeout",
            "The mail relay ended the connection. The message was most probably not sent: try again later.",
        )
    return _unreachable()


def _explain_reply(error: aiosmtplib.SMTPResponseException) -> Refused:
    said = f"{error.code} {_one_line(error.message)}".strip()
    if error.code // 100 == _TEMPORARY:
        return _refused(
            "wait",
            "recipient-unavailable",
            f"The mail relay cannot take the message now ({said}): try again later.",
        )
    if error.code // 100 != _PERMANENT:
        return _unreachable()  # whatever answers there, it is no mail server
    if error.code in {530, 534, 535, 538}:
        return _refused(
            "wait",
            "internal-server-error",
            f"The mail relay does not accept the gateway ({said}): tell its operator.",
        )
    if error.code == _TOO_MUCH:
        return _refused(
            "modify", "policy-violation", f"The mail relay says that the message is too large ({said})."
        )
    if isinstance(error, aiosmtplib.SMTPRecipientRefused):
        return _refused("cancel", "item-not-found", f"The mail relay refused the recipient ({said}).")
    return _refused("cancel", "not-acceptable", f"The mail relay refused the message ({said}).")


def _unreachable() -> Refused:
    return _refused(
        "wait",
        "remote-server-timeout",
        "The gateway cannot reach its mail relay. The message was not sent: try again later.",
    )


def _refused(error_type: StanzaErrorType, condition: str, text: str) -> Refused:
    return Refused(text, condition=condition, error_type=error_type)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:MAX_REPLY]).strip()


def _code(error: Exception) -> int | None:
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
