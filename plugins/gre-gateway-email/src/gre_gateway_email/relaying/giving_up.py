"""What happens to messages that cannot be delivered: dead letters, one report to the sender, a word to the user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError
from gre_core.log import get_logger
from gre_gateway_email.relaying.background import written
from gre_gateway_email.relaying.events import NoEvents
from gre_gateway_email.relaying.messages import bounced_notice, derived_id, dropped_notice
from gre_gateway_email.relaying.words import for_so_long

if TYPE_CHECKING:
    from collections.abc import Container

    from gre_gateway_email.config import Retry
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.store.records import InboundMessage, OutboundMail
    from gre_gateway_email.store.store import Inbox

ReportMaker = Callable[["InboundMessage", str, str], "OutboundMail"]
"""Makes the report for the sender of a message: why (for a person), and the enhanced status code (RFC 3463)."""

EVERY: Final = 30.0
"""Seconds between two looks for messages whose time is over."""

PAGE: Final = 50
EXPIRED: Final = "4.4.7"
TOLD: Final = "told"
"""Among the notes of an error: the user was told in words."""
REFUSED: Final = "5.2.0"

_log = get_logger(__name__)


class GivingUp:
    """Makes messages dead letters, each with at most one report.

    Arguments:
        inbox: the messages.
        report: makes reports.
        reported: called when there is one in the outbox.
        noticed: called when there is a message for a user in the inbox.
        retry: how long messages are kept.
        now: seconds since 1970.
        events: told what happens.
    """

    def __init__(
        self,
        inbox: Inbox,
        report: ReportMaker,
        retry: Retry,
        *,
        reported: Callable[[], None],
        noticed: Callable[[], None],
        now: Callable[[], float],
        events: Events | None = None,
    ) -> None:
        self._inbox = inbox
        self._report = report
        self._retry = retry
        self._reported = reported
        self._noticed = noticed
        self._now = now
        self._events = events or NoEvents()

    async def refused(self, message: InboundMessage, condition: str, said: str) -> None:
        """Give up a message that came back from the user's side.

        Arguments:
            message: it.
            condition: of the stanza error; the sender is told.
            said: for the operator; the sender is not told.
        """
        why = f"The recipient's chat system refused the message ({condition})."
        await self._bury(message, f"{condition}: {said}", why, REFUSED)

    async def run(self, under_way: Container[str]) -> None:
        """Look for messages whose time is over, for ever; those under way wait for the next time."""
        while True:
            try:
                await self._sweep(under_way)
            except StoreError as error:
                _log.warning("store-away", code=error.code)
            await asyncio.sleep(EVERY)

    async def _sweep(self, under_way: Container[str]) -> None:
        while expired := await self._inbox.expired(self._now(), PAGE):
            left = [message for message in expired if message.id not in under_way]
            for message in left:
                await self._expire(message)
            if len(left) < PAGE:
                return

    async def _expire(self, message: InboundMessage) -> None:
        if message.kind == "error" and TOLD not in message.notes:
            await self._tell_in_words(message)
            return
        if message.state == "held":
            # First, and with an id that follows from the message: also when we are killed in between, it is told once.
            await self._inbox.add([dropped_notice(message, self._now(), self._retry.inbound)])
            self._noticed()
            kept = for_so_long(self._retry.large)
            why = f"The message is too large for the recipient's chat system, and was not fetched within {kept}."
        elif message.kind == "error":
            # For the operator alone: nobody outside waits for it.
            kept = for_so_long(self._retry.inbound)
            why = (
                f"a message of the user came back, and no client came within {kept} to mark it; told in words"
            )
            message = replace(message, reason="")
        else:
            why = f"The message could not be delivered within {for_so_long(self._retry.inbound)}."
        await self._bury(message, message.reason or why, why, EXPIRED)

    async def _tell_in_words(self, error: InboundMessage) -> None:
        """Tell by a message, which the user's server keeps, and go on waiting for a client that can mark its own."""
        now, kept = self._now(), self._retry.inbound
        said = await self._inbox.content(error.id)
        if said is None:  # the user was forgotten
            return
        told = replace(
            error,
            id=derived_id(TOLD, error.id),
            notes=(*error.notes, TOLD),
            attempts=0,
            next_at=now,
            expires_at=error.received_at + kept,
        )
        # The ids follow from the error: also when we are killed in between, each is told once.
        await self._inbox.add(
            [bounced_notice(error, said.decode("utf-8", "replace"), now, kept), (told, said)]
        )
        await self._inbox.arrived([error.id])
        self._noticed()

    async def _bury(self, message: InboundMessage, reason: str, why: str, status: str) -> None:
        report = self._report(message, why, status) if message.wants_report else None
        await written(lambda: self._inbox.bury(message.id, reason, report))
        _log.error("message-undeliverable", stanza_id=message.id, user=message.user, address=message.sender)
        self._events.dead("in")
        if report is not None:
            self._reported()
