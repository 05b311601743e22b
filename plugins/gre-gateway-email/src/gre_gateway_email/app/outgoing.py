"""From the users to the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_gateway_email.mail.envelope_id import envelope_id
from gre_gateway_email.mail.relay import Relay
from gre_gateway_email.relaying.limits import HourlyLimits
from gre_gateway_email.relaying.outbound import Outbound, write_text
from gre_gateway_email.relaying.sending import Sending
from gre_gateway_email.relaying.test_mail import send_test_mail

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.carrier import Carriers
    from gre_gateway_email.config import Config
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.relaying.outbound import AutocryptHeader, PlainWriter
    from gre_gateway_email.relaying.quotas import Quotas
    from gre_gateway_email.relaying.sending import Answers
    from gre_gateway_email.store import OutboundMail, Store, User

DRAIN_SECONDS: Final = 10.0
"""How long a stop waits for mails that are under way."""


class Outgoing:
    """The way out.

    Arguments:
        config: what the gateway is told.
        store: where mails wait.
        carriers: how an encrypted message becomes a mail.
        answers: tells users what became of their messages.
        quotas: how much may wait.
        autocrypt: gives the header with the sender's public key.
        secret: envelope ids are made with it.
        now: seconds since 1970.
        events: told what happens.
        write: makes the mail of a plain message.

    Attributes:
        outbound: takes messages of users.
        sending: brings mails to the relay.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that is tied together here
        self,
        config: Config,
        store: Store,
        carriers: Carriers,
        answers: Answers,
        quotas: Quotas,
        autocrypt: AutocryptHeader,
        secret: bytes,
        *,
        now: Callable[[], float],
        events: Events,
        write: PlainWriter = write_text,
    ) -> None:
        self._relay = Relay(config.smtp)
        self.sending = Sending(
            store.outbox,
            self._relay,
            answers,
            config.retry,
            workers=config.smtp.connections,
            envelope_id=lambda mail: _envelope_id(secret, mail),
            now=now,
            events=events,
        )
        self.outbound = Outbound(
            store,
            self.sending,
            carriers,
            autocrypt,
            HourlyLimits(config.limits),
            quotas,
            now=now,
            encrypted_only=config.encrypted_only,
            write=write,
            events=events,
        )

    async def send_test(self, user: User) -> str:
        """Send a test mail to a user's own address; give a sentence that says what became of it."""
        return await send_test_mail(self._relay, user)

    def start(self) -> None:
        """Begin, with what is in the outbox."""
        self.sending.start()

    async def stop(self) -> None:
        """Take nothing more, and let what is being handed over finish."""
        self.outbound.close()
        await self.sending.stop(DRAIN_SECONDS)
        await self._relay.close()


def _envelope_id(secret: bytes, mail: OutboundMail) -> str:
    if not mail.stanza_id:
        return ""
    return envelope_id(secret, mail.stanza_id, mail.user, several="@" not in mail.stanza_to)
