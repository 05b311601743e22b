"""The mail relay of the demo: takes every mail, puts it into the reader's mailbox or hands it to the gateway."""

from __future__ import annotations

import asyncio
import itertools
import smtplib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as the relay saw it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)


class Relay:
    """Listens on 127.0.0.1 as long as its block runs. An asynchronous context manager.

    Arguments:
        mailbox: folder of the mail user; each mail becomes a file there, complete when it is seen.
        mail_user: whose mailbox that is; everybody else's mail goes to the gateway.
    """

    def __init__(self, mailbox: Path, mail_user: str) -> None:
        self.mails: list[Mail] = []
        self.gateway_port = 0
        """Where the gateway takes mail by LMTP; set before mail for its users comes."""
        self._mailbox = mailbox
        self._mail_user = mail_user
        self._number = itertools.count(1)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it takes mail by SMTP."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="relay.example", ident="demo relay", loop=loop), "127.0.0.1", 0
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail; aiosmtpd calls it so."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        mail = Mail(str(envelope.mail_from or ""), tuple(envelope.rcpt_tos), content)
        self.mails.append(mail)
        for recipient in mail.recipients:
            if recipient.casefold() == self._mail_user.casefold():
                self._into_mailbox(mail)
            else:
                try:
                    await asyncio.to_thread(_deliver, self.gateway_port, mail, recipient)
                except (OSError, smtplib.SMTPException):
                    return "451 4.4.1 The gateway did not take the mail"
        return "250 2.0.0 OK"

    def _into_mailbox(self, mail: Mail) -> None:
        name = f"{next(self._number):04d}.eml"
        hidden = self._mailbox / f".{name}"
        hidden.write_bytes(f"Return-Path: <{mail.sender}>\r\n".encode() + mail.content)
        hidden.rename(self._mailbox / name)


def _deliver(port: int, mail: Mail, recipient: str) -> None:
    with smtplib.LMTP("127.0.0.1", port, timeout=10) as connection:
        connection.sendmail(mail.sender, [recipient], mail.content)
