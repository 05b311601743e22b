"""Brings what users send to the mail relay. Nothing is read of an encrypted message but its outer shape."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_core.errors import Refused, StoreError
from gre_core.gateway import Relayed
from gre_core.log import get_logger
from gre_core.wire import ORIGIN_TAG
from gre_gateway_email.carrier import Envelope
from gre_gateway_email.mail.addresses import ascii_domain, domain_of
from gre_gateway_email.mail.plain_mail import write_plain

if TYPE_CHECKING:
    from gre_core.gateway import Plain
    from gre_core.model import Recipient
    from gre_gateway_email.carrier import Carriers
    from gre_gateway_email.mail.relay import Relay
    from gre_gateway_email.relaying.journal import Journal

AutocryptHeader = Callable[[str], Awaitable[str | None]]
"""Gives the value of the Autocrypt header for a user's bare JID, or None."""

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_ID: Final = 200

_log = get_logger(__name__)


class Outbound:
    """Makes mails and hands them to the relay, each once.

    Arguments:
        carriers: how an encrypted message becomes a mail.
        relay: the way out.
        journal: what was relayed before.
        autocrypt: gives the header with the sender's public key.
    """

    def __init__(
        self, carriers: Carriers, relay: Relay, journal: Journal, autocrypt: AutocryptHeader
    ) -> None:
        self._carriers = carriers
        self._relay = relay
        self._journal = journal
        self._autocrypt = autocrypt
        self._running: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def encrypted(self, message: Relayed) -> None:
        """Relay an encrypted message. Returning means: the relay took it, now or when it came before.

        Raises:
            Refused, BadEncrypted: to be answered as a stanza error.
        """
        carrier = self._carriers.carrier(message.formatter, message.encrypter)
        if carrier is None:
            raise Refused(
                "This gateway cannot carry that pair of formatter and encrypter.",
                condition="not-acceptable",
                error_type="modify",
            )

        async def make() -> bytes:
            return carrier.wrap(message.body, _envelope(message, await self._autocrypt(message.user)))

        await self._once(message, make)

    async def plain(self, message: Plain) -> None:
        """Relay a message that is not encrypted. Returning means: the relay took it.

        Raises:
            Refused: to be answered as a stanza error.
        """

        async def make() -> bytes:
            return write_plain(message.text, message.subject, _envelope(message, None))

        await self._once(message, make)

    async def drain(self, seconds: float) -> None:
        """Wait for what is under way, at most so long."""
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=seconds)

    async def _once(self, message: Relayed | Plain, make: Callable[[], Awaitable[bytes]]) -> None:
        key = _identity(message)
        if key is None:
            await self._send(message, make)
            return
        if self._journal.seen(*key):
            _log.info("resent-stanza", peer_domain=domain_of(_all(message)[0].legacy_id))
            return
        running = self._running.get(key)
        if running is not None:
            # The same stanza came again while the first is under way: both get the one answer.
            await asyncio.shield(running)
            return
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            await self._send(message, make)
            self._remember(key)
        except BaseException as error:
            running.set_exception(error if isinstance(error, Exception) else ConnectionAbortedError())
            running.exception()  # most often nobody else waits for it
            raise
        else:
            running.set_result(None)
        finally:
            del self._running[key]

    async def _send(self, message: Relayed | Plain, make: Callable[[], Awaitable[bytes]]) -> None:
        mail = await make()
        recipients = [recipient.legacy_id for recipient in _all(message)]
        await self._relay.send(message.sender_id, recipients, mail)
        _log.info("mail-relayed", peer_domain=domain_of(recipients[0]), size=len(mail))

    def _remember(self, key: tuple[str, str]) -> None:
        try:
            self._journal.remember(*key)
        except StoreError as error:
            # The mail is on its way: an error to the user would make him send it twice.
            _log.error("journal-failed", code=error.code)


def _identity(message: Relayed | Plain) -> tuple[str, str] | None:
    """Tell what makes a resent message the same: user, origin-id and recipients.

    A client sends the same message to others in a stanza of its own, with the same origin-id: so it does with blind
    copies.
    Without an origin-id (XEP-0359) there is only the stanza's id, which some clients count anew in each session:
    then the content has to be the same as well, or a new message would be taken for an old one, and lost.
    """
    if message.id is None:
        return None
    parts = [message.id, *(recipient.jid for recipient in _all(message))]
    if message.stanza.find(ORIGIN_TAG) is None:
        parts.append(message.body.text if isinstance(message, Relayed) else message.text)
    seed = "\0".join(parts)
    return message.user, hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()


def message_id(origin_id: str | None, address: str) -> str:
    """Give the Message-ID, without angle brackets: the origin-id at the domain of the sender's address.

    An origin-id that RFC 5322, section 3.6.4, does not allow there is hashed, so that a resent one gives the
    same.
    """
    if origin_id is None:
        left = secrets.token_hex(16)
    elif len(origin_id) <= _MAX_ID and _DOT_ATOM.fullmatch(origin_id):
        left = origin_id
    else:
        left = hashlib.sha256(origin_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{left}@{ascii_domain(domain_of(address))}"


def _all(message: Relayed | Plain) -> tuple[Recipient, ...]:
    return (*message.recipients, *message.hidden)


def _envelope(message: Relayed | Plain, autocrypt: str | None) -> Envelope:
    return Envelope(
        sender=message.sender_id,
        recipients=tuple(recipient.legacy_id for recipient in message.recipients),
        message_id=message_id(message.id, message.sender_id),
        date=datetime.now(UTC),
        autocrypt=autocrypt,
    )
