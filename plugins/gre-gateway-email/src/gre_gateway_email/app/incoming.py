"""From the mail server to the users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_gateway_email.mail.listener import Listener
from gre_gateway_email.relaying.bounces import Bounces
from gre_gateway_email.relaying.delivery import Delivery
from gre_gateway_email.relaying.giving_up import GivingUp
from gre_gateway_email.relaying.inbound import Inbound, Policy
from gre_gateway_email.relaying.reading import read_text
from gre_gateway_email.relaying.reports import report_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.carrier import Carriers
    from gre_gateway_email.config import Config
    from gre_gateway_email.relaying.dispatch import Courier
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.relaying.inbound import Taken
    from gre_gateway_email.relaying.quotas import Quotas
    from gre_gateway_email.relaying.reading import PlainReader
    from gre_gateway_email.store.store import Store


class Incoming:
    """The way in.

    Arguments:
        config: what the gateway is told.
        store: where messages wait.
        carriers: what encrypted mails can be taken apart.
        courier: brings messages to users.
        quotas: how much may wait.
        secret: envelope ids are made with it.
        reported: called when there is a report in the outbox.
        taken: told of each mail that was stored.
        now: seconds since 1970.
        events: told what happens.
        read: reads plain mails.

    Attributes:
        delivery: brings messages to users.
        listener: takes mails.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that is tied together here
        self,
        config: Config,
        store: Store,
        carriers: Carriers,
        courier: Courier,
        quotas: Quotas,
        secret: bytes,
        *,
        reported: Callable[[], None],
        taken: Taken,
        now: Callable[[], float],
        events: Events,
        read: PlainReader = read_text,
    ) -> None:
        giving_up = GivingUp(
            store.inbox,
            report_maker(now, config.smtp.helo),
            config.retry,
            reported=reported,
            noticed=self._noticed,
            now=now,
            events=events,
        )
        self.delivery = Delivery(store.inbox, courier, giving_up, config.retry, now=now, events=events)
        inbound = Inbound(
            store,
            carriers,
            self.delivery,
            quotas,
            Bounces(store.outbox, secret),
            Policy(config.encrypted_only, config.max_encrypted, config.retry),
            now=now,
            read=read,
            taken=taken,
            events=events,
        )
        self.listener = Listener(config.listen, inbound)

    def _noticed(self) -> None:
        self.delivery.wake()

    async def start(self) -> None:
        """Take mails, and bring on what is in the inbox.

        Raises:
            OSError: the listener's address cannot be used.
        """
        await self.listener.start()
        self.delivery.start()

    async def stop(self) -> None:
        """Take nothing more; what has not arrived stays in the inbox."""
        await self.listener.stop()
        await self.delivery.stop()
