"""A gateway process with all that it needs: an XMPP server, users who are there, and a mail server that records."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from gateway_process import GatewayProcess
from ledger import Ledger
from letters import GATEWAY, MAIL_DOMAIN, PEER, checksum, mail, stanza
from mail_sender import MailSender
from mail_sink import MailSink
from xmpp_user import XmppUser

from gre_core.testing.prosody import ProsodyServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

USERS = {"juliet": True, "romeo": False}
"""Whether the client of each gives receipts."""

QUICK = "[retry]\nfirst_seconds = 1\nlongest_seconds = 2\n"
"""Retries for tests that wait for them."""

PATIENT = "[limits]\nmessages_per_hour = 10_000_000\nrecipients_per_hour = 10_000_000\nmegabytes_per_hour = 1_000_000\n"
"""No limit that a test could reach."""


class Stage:
    """All that takes part; everything runs within the block but the gateway, which :meth:`start` starts.

    Arguments:
        folder: for files.
        users: names, and whether their clients give receipts.
        database: URL, or None for SQLite.
        extra: more tables of the gateway's configuration.
        environment: of the gateway.
        ledger: what happens is noted there.
        patience: after so many seconds a user sends a message again.
    """

    gateway: GatewayProcess
    xmpp: ProsodyServer

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, bool] = USERS,
        database: str | None = None,
        extra: str = QUICK + PATIENT,
        environment: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
        patience: float = 5.0,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.sink = MailSink(self.ledger.mail)
        self.users: dict[str, XmppUser] = {}
        self.stack = AsyncExitStack()
        self._folder = folder
        self._receipts = users
        self._database = database
        self._extra = extra
        self._environment = environment
        self._patience = patience

    async def __aenter__(self) -> Self:
        async with self.stack:
            accounts, components = dict.fromkeys(self._receipts, "secret"), {GATEWAY: "secret-of-gateway"}
            self.xmpp = ProsodyServer(accounts=accounts, components=components, offline=True)
            await self.stack.enter_async_context(self.xmpp)
            await self.sink.start()
            self.stack.push_async_callback(self.sink.stop)
            self.gateway = self.another_gateway("gateway")
            self.stack.push_async_callback(self.gateway.end)
            for name, receipts in self._receipts.items():
                user = XmppUser(self.xmpp, name, self.ledger, receipts=receipts, patience=self._patience)
                await user.start()
                self.stack.push_async_callback(user.stop)
                self.users[name] = user
            self.stack = self.stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.stack.aclose()

    def another_gateway(self, name: str, relay_port: int | None = None) -> GatewayProcess:
        """Give a gateway with a configuration of its own, for the same database if that has a URL; not started."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        addresses = {f"{user}@{MAIL_DOMAIN}": f"{user}@{self.xmpp.domain}" for user in self._receipts}
        return GatewayProcess(
            folder,
            self.xmpp,
            relay_port or self.sink.port,
            addresses,
            database=self._database,
            extra=self._extra,
            environment=self._environment,
        )

    def send(self, user: str, number: int, size: int = 500, *, plain: bool = False) -> str:
        """Let a user send a message; give its marker."""
        marker = f"out-{user}-{number}"
        self.ledger.begin(
            marker, "out", 0 if plain else checksum(marker, size), receipts=self._receipts[user]
        )
        self.users[user].send(marker, stanza(marker, size, plain=plain))
        return marker

    async def deliver(
        self, sender: MailSender, user: str, number: int, size: int = 500, *, plain: bool = False
    ) -> str:
        """Hand over a mail for a user once; give its marker.

        Raises:
            NotTakenNow, Refused: it was not taken.
        """
        marker, to = f"in-{user}-{number}", f"{user}@{MAIL_DOMAIN}"
        if marker not in self.ledger.letters:
            self.ledger.begin(
                marker, "in", 0 if plain else checksum(marker, size), receipts=self._receipts[user]
            )
        self.ledger.accepted(marker, await sender.send(PEER, to, mail(marker, size, to, plain=plain)))
        return marker

    def lmtp(self) -> MailSender:
        """Give a way to hand mails to the gateway."""
        return MailSender(self.gateway.lmtp_port, lmtp=True)
