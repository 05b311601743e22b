"""Takes what users send: checks it, makes the mail, and stores it. From then on it is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gre_core.errors import GreError, Refused, RemoteProtocolError, StoreError
from gre_core.gateway import ENCRYPT_TEXT, LATER, Later, Relayed
from gre_core.log import get_logger
from gre_gateway_email.mail.plain_writing import write_plain
from gre_gateway_email.relaying.composing import envelope_of, key_of, outbound_mail
from gre_gateway_email.relaying.events import NoEvents
from gre_gateway_email.store.errors import NoRoom

if TYPE_CHECKING:
    from gre_core.gateway import Plain
    from gre_gateway_email.carrier import Carriers, Envelope
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.relaying.limits import HourlyLimits
    from gre_gateway_email.relaying.quotas import Quotas
    from gre_gateway_email.relaying.sending import Sending
    from gre_gateway_email.store.records import OutboundMail
    from gre_gateway_email.store.store import Store

AutocryptHeader = Callable[[str, str], Awaitable[str | None]]
"""Gives the value of the Autocrypt header for a user's bare JID and the address that the mail comes from, or None."""

PlainWriter = Callable[["Plain", "Envelope"], Awaitable[bytes]]
"""Makes the mail of a plain message, with what it links to; may raise a GreError for the user."""

_log = get_logger(__name__)


async def write_text(message: Plain, envelope: Envelope) -> bytes:
    """Make a mail of text and subject alone."""
    return write_plain(message.text, message.subject, envelope)


class Outbound:
    """Takes messages.

    Arguments:
        store: where the mails are kept.
        sending: who brings them to the relay.
        carriers: how an encrypted message becomes a mail.
        autocrypt: gives the header with the sender's public key.
        limits: what a user may send in an hour.
        quotas: how much may wait.
        encrypted_only: nobody may send plain messages.
        write: makes the mail of a plain message.
        events: told what happens.
        now: seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that it needs
        self,
        store: Store,
        sending: Sending,
        carriers: Carriers,
        autocrypt: AutocryptHeader,
        limits: HourlyLimits,
        quotas: Quotas,
        *,
        now: Callable[[], float],
        encrypted_only: bool = False,
        write: PlainWriter = write_text,
        events: Events | None = None,
    ) -> None:
        self._store = store
        self._sending = sending
        self._carriers = carriers
        self._autocrypt = autocrypt
        self._limits = limits
        self._quotas = quotas
        self._encrypted_only = encrypted_only
        self._write = write
        self._events = events or NoEvents()
        self._now = now
        self._closed = False
        self._plain: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def encrypted(self, message: Relayed) -> Later | None:
        """Take an encrypted message.

        Result:
            LATER: it is stored, and the answer comes when the relay has answered. None: the relay took it before.

        Raises:
            Refused, BadEncrypted: to be answered as a stanza error. Nothing was stored.
        """
        return await self._counted(self._take_encrypted(message))

    async def plain(self, message: Plain) -> Later | None:
        """Take a message that is not encrypted; otherwise as :meth:`encrypted`."""
        return await self._counted(self._take_plain(message))

    def close(self) -> None:
        """Take nothing more: the gateway stops."""
        self._closed = True

    async def _counted(self, work: Awaitable[Later | None]) -> Later | None:
        try:
            return await work
        except StoreError as error:
            _log.error("store-failed", code=error.code)
            full = isinstance(error, NoRoom)
            condition = "resource-constraint" if full else "internal-server-error"
            self._events.refused("out", condition)
            raise _wait("The gateway cannot store messages now", condition) from error
        except (Refused, RemoteProtocolError) as error:
            self._events.refused("out", error.condition)
            raise
        except GreError:
            self._events.refused("out", "internal-server-error")
            raise

    async def _take_encrypted(self, message: Relayed) -> Later | None:
        await self._check_user(message)
        carrier = self._carriers.carrier(message.formatter, message.encrypter)
        if carrier is None:
            raise Refused(
                "This gateway cannot carry that pair of formatter and encrypter.",
                condition="not-acceptable",
                error_type="modify",
            )
        envelope = envelope_of(message, await self._autocrypt(message.user, message.sender_id))
        content = carrier.wrap(message.body, envelope)
        mail = outbound_mail(message, key_of(message), envelope, content, self._now())
        counts = (mail.user, len(mail.recipients), len(content))
        try:
            await self._check_room(*counts)
        except Refused:
            # A repetition costs nothing, and whoever waits for its receipt must not be told of limits.
            known = await self._store.outbox.is_known(mail.key)
            if known == "new":
                raise
            return self._repeated(mail, known)
        return await self._store_mail(mail, counts)

    async def _take_plain(self, message: Plain) -> Later | None:
        strict = await self._check_user(message)
        if self._encrypted_only or strict:
            raise Refused(ENCRYPT_TEXT, condition="policy-violation", error_type="modify")
        key = key_of(message)
        # What it links to is fetched once, and only for who may still send: neither for a repetition, also of one that
        # is being fetched, nor beyond the limits.
        lock = self._plain.setdefault(key, asyncio.Lock())
        async with lock:
            envelope = envelope_of(message)
            known = await self._store.outbox.is_known(key) if message.id is not None else "new"
            if known != "new":
                return self._repeated(outbound_mail(message, key, envelope, b"", self._now()), known)
            said = len(message.text.encode("utf-8", "replace"))
            counts = (message.user, len(message.recipients) + len(message.hidden), said)
            await self._check_room(*counts)
            try:
                content = await self._write(message, envelope)
            except BaseException:
                self._limits.give_back(*counts)
                raise
            # Bytes that were fetched count, also when they are too many.
            more = max(0, len(content) - said)
            self._limits.take_bytes(message.user, more)
            mail = outbound_mail(message, key, envelope, content, self._now())
            return await self._store_mail(mail, (message.user, len(mail.recipients), said + more))

    async def _check_user(self, message: Relayed | Plain) -> bool:
        """Refuse who may not send; tell whether the user wants only encrypted messages."""
        if self._closed:
            raise _wait("The gateway is being stopped", "resource-constraint")
        user = await self._store.users.get(message.user)
        if user is None:
            raise Refused(
                "You are not registered with this gateway.",
                condition="registration-required",
                error_type="auth",
            )
        if user.blocked:
            raise Refused(
                "The operator of this gateway has blocked you. Ask them why.",
                condition="forbidden",
                error_type="auth",
            )
        return user.encrypted_only

    async def _check_room(self, user: str, recipients: int, size: int) -> None:
        if await self._quotas.outbound_full():
            raise _wait("Too many messages wait in this gateway", "resource-constraint")
        self._limits.take(user, recipients, size)

    async def _store_mail(self, mail: OutboundMail, counts: tuple[str, int, int]) -> Later | None:
        """Store a mail that counts already; what is not new, or cannot be stored, is given back."""
        try:
            with self._sending.storing(mail):
                added = await self._store.outbox.add(mail)
                if added == "new":
                    self._sending.push(mail)
        except BaseException:
            self._limits.give_back(*counts)
            raise
        if added != "new":
            self._limits.give_back(*counts)
            return self._repeated(mail, added)
        self._quotas.sent()
        self._events.taken("out", mail.kind, len(mail.mail))
        return LATER

    def _repeated(self, mail: OutboundMail, state: str) -> Later | None:
        self._events.repeated("out")
        _log.info("resent-stanza", state=state)
        if state == "done":
            return None
        self._sending.answer_to(mail)
        return LATER


def _wait(what: str, condition: str) -> Refused:
    return Refused(f"{what}. Send the message again later.", condition=condition, error_type="wait")
