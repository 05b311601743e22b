"""An SMTP server for a program that sends by SMTP: it takes everything, and keeps it."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from gre_core.testing.ports import free_port

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"


class Outbox:
    """Listens until it is stopped.

    Attributes:
        port: where.
        mails: what came.
    """

    def __init__(self) -> None:
        self.mails: queue.Queue[bytes] = queue.Queue()
        self.port = free_port()
        self._server = Controller(self, HOST, self.port, authenticator=_anybody, auth_require_tls=False)
        self._server.start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.put(envelope.content)
        return "250 OK"


def _anybody(*_: object) -> AuthResult:
    return AuthResult(success=True)
