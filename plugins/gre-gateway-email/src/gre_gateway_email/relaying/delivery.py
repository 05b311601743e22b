"""Brings stored messages to the users, and forgets each only when it has arrived.

A message leaves the inbox when a receipt of the user's client came (XEP-0184). When the client gives none, it
leaves when a ping that was sent later on the same stream was answered (:mod:`gre_gateway_email.relaying.proofs`).
After a new connection all messages without that proof are sent again with the same stanza id; so are those that may
have been lost with a client, when the user comes back (:mod:`gre_gateway_email.relaying.receipts`). What still can be
lost: a message without receipts that the server had when it died itself.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gre_core.errors import GreError, Refused, StoreError
from gre_core.log import get_logger
from gre_gateway_email.relaying.background import Background, written
from gre_gateway_email.relaying.backoff import pause
from gre_gateway_email.relaying.deciding import Deciding
from gre_gateway_email.relaying.dispatch import Dispatch
from gre_gateway_email.relaying.events import NoEvents
from gre_gateway_email.relaying.feed import STORE_PAUSE, Feed
from gre_gateway_email.relaying.leaving import Leaving
from gre_gateway_email.relaying.proofs import Proofs
from gre_gateway_email.relaying.receipts import Receipts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractContextManager

    from gre_core.errors import PeerError
    from gre_gateway_email.config import Retry
    from gre_gateway_email.relaying.dispatch import Courier
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.relaying.giving_up import GivingUp
    from gre_gateway_email.store.records import InboundMessage
    from gre_gateway_email.store.store import Inbox

RECEIPT_GRACE: Final = 3600.0
"""How long a receipt is waited for while the user is there, in seconds. A server notices within a quarter of an hour
that the connection to a client is dead that it writes to."""

MOST: Final = 1000
MOST_BYTES: Final = 16 * 1024 * 1024
PAGE: Final = 100
MOST_ABSENT: Final = 10_000
"""Messages for clients that are away, which go out as soon as one comes."""

_AWAITING: Final = "the server has it, and a receipt is awaited"
_OFFLINE: Final = "service-unavailable"
"""What a server answers that keeps no messages for users who are away (RFC 6121, section 8.5.2.2)."""

_log = get_logger(__name__)


class Delivery:
    """The way of messages from the inbox to the users.

    Arguments:
        inbox: the messages.
        courier: who sends them.
        giving_up: what happens to those that cannot be delivered.
        retry: when and how long is tried.
        now: seconds since 1970.
        events: told what happens.
    """

    def __init__(
        self,
        inbox: Inbox,
        courier: Courier,
        giving_up: GivingUp,
        retry: Retry,
        *,
        now: Callable[[], float],
        events: Events | None = None,
    ) -> None:
        self._inbox = inbox
        self._courier = courier
        self._giving_up = giving_up
        self._retry = retry
        self._now = now
        self._events = events or NoEvents()
        self._feed: Feed[InboundMessage] = Feed(
            inbox.due,
            inbox.next_at,
            self._begin,
            lambda message: message.size,
            now,
            most=MOST,
            most_bytes=MOST_BYTES,
            page=PAGE,
            ready=lambda: courier.connected,
        )
        self._background = Background("delivery-failed")
        self._proofs = Proofs(courier, self._proven, self._background.start)
        self._dispatch = Dispatch(
            inbox, courier, self._proofs, self._feed.held, vanished=self._drop, failed=self._failed
        )
        self._receipts = Receipts(
            self._park, lambda message_id: self._background.start(self._send_again(message_id))
        )
        self._deciding = Deciding(
            courier,
            self._receipts.left,
            arrived=self._arrived,
            expect=self._receipts.expect,
            background=self._background,
        )
        self._leaving = Leaving(inbox, self._feed.release, self._background)
        self._settling: set[str] = set()
        self._confirmed: set[str] = set()
        self._absent: dict[str, set[str]] = {}
        self._stream = ""

    # -- from outside --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, with what is in the inbox."""
        self._background.start(self._feed.run())
        self._background.start(self._dispatch.run())
        self._background.start(self._giving_up.run(self._feed.held.keys()))

    async def stop(self) -> None:
        """End the work; what is in the inbox stays there."""
        self._receipts.stop()
        await self._leaving.finish()
        await self._background.stop()

    def storing(self, ids: Iterable[str]) -> AbstractContextManager[None]:
        """Leave messages alone while they are written; within, :meth:`push` those that are."""
        return self._feed.storing(ids)

    def push(self, message: InboundMessage, content: bytes) -> None:
        """Bring a message on its way that was just stored."""
        self._dispatch.remember(message.id, content)
        if not self._feed.offer(message):
            self._dispatch.forget(message.id)

    def wake(self) -> None:
        """Look for messages that were stored without :meth:`push`."""
        self._feed.wake()

    def forget(self, user: str) -> None:
        """Send no message to a user any more whose data were erased."""
        self._receipts.forget(user)
        for message in self._feed.of_user(user):
            if message.id not in self._leaving.ids and message.id not in self._settling:
                self._drop(message)

    def connected(self) -> None:
        """Note a new stream: whatever has not arrived is sent again, with the same stanza ids."""
        self._stream = secrets.token_hex(8)
        self._proofs.new_stream()
        self._dispatch.new_stream()
        self._deciding.new_stream()
        self._receipts.stop()
        self._feed.clear(keep=self._leaving.ids.keys() | self._settling)

    async def receipt(self, message_id: str, user: str) -> None:
        """Note a receipt from a user."""
        message = self._feed.held.get(message_id) or await self._look_up(message_id)
        if message is not None and message.user == user:
            self._arrived(message)

    async def refused(self, message_id: str, user: str, error: PeerError) -> None:
        """Note that a message came back as an error stanza from a user's address."""
        message = self._feed.held.get(message_id) or await self._look_up(message_id)
        if (
            message is None
            or message.user != user
            or message_id in self._leaving.ids
            or message_id in self._settling
        ):
            return
        _log.warning(
            "delivery-refused",
            condition=error.condition,
            stanza_id=message_id,
            attempt=message.attempts + 1,
            user=message.user,
            address=message.sender,
        )
        self._receipts.settled(message_id)
        if error.error_type == "wait" or error.condition == _OFFLINE:
            self._settle(message, self._later(message, error.condition))
        else:
            said = error.peer_text or error.text
            self._settle(message, self._giving_up.refused(message, error.condition, said))

    def user_came(self, user: str) -> None:
        """Note that a client of a user is there: what only clients can be told goes out now."""
        for message_id in self._absent.pop(user, ()):
            self._background.start(self._again(message_id))
        self._receipts.user_came(user)

    def user_left(self, user: str) -> None:
        """Note that the last client of a user is gone: what was just sent to it may be lost."""
        self._receipts.user_left(user, (*self._proofs.unproven(user), *self._deciding.of(user)))

    # -- sending -------------------------------------------------------------------------------------

    def _begin(self, message: InboundMessage) -> None:
        if message.reason == _AWAITING + self._stream:
            self._background.start(self._overdue(message))
            return
        self._dispatch.put(message)

    def _failed(self, message: InboundMessage, error: GreError) -> None:
        self._settle(message, self._not_sent(message, error))

    async def _not_sent(self, message: InboundMessage, error: GreError) -> None:
        if isinstance(error, Refused) and error.error_type == "wait":
            if sum(map(len, self._absent.values())) < MOST_ABSENT:
                self._absent.setdefault(message.user, set()).add(message.id)
            await self._later(message, error.text)
        else:
            await self._giving_up.refused(message, "not-acceptable", error.text)

    async def _again(self, message_id: str) -> None:
        """Send a message now that was put off."""
        message = await self._look_up(message_id)
        if message is not None and message.state == "waiting" and message_id not in self._feed.held:
            self._feed.take(message)

    async def _send_again(self, message_id: str) -> None:
        """Send a message once more that may be lost with a client."""
        while message_id in self._settling:  # noqa: ASYNC110 - for the moment in which it is parked
            await asyncio.sleep(STORE_PAUSE / 10)
        message = self._feed.held.get(message_id)
        if message is None:
            message = await self._look_up(message_id)
            if message is not None and message_id not in self._feed.held:
                self._feed.take(replace(message, reason=""))
        elif message_id not in self._leaving.ids:
            self._dispatch.put(message)

    # -- what became of it ---------------------------------------------------------------------------

    async def _proven(self, messages: list[InboundMessage]) -> None:
        self._deciding.put(
            message
            for message in messages
            if message.id in self._feed.held and message.id not in self._leaving.ids
        )

    async def _overdue(self, message: InboundMessage) -> None:
        """Wait no longer for a receipt of a user who is there; who is away may give it later."""
        if await self._courier.gives_receipts(message.user) is not False:
            self._arrived(message)
        else:
            self._park(message)

    def _park(self, message: InboundMessage) -> None:
        """Wait for the receipt in the database, which has more room."""
        at, why = self._now() + RECEIPT_GRACE, _AWAITING + self._stream
        self._settle(message, written(lambda: self._inbox.later(message.id, at, why)), parked=True)

    async def _later(self, message: InboundMessage, reason: str) -> None:
        at = self._now() + pause(self._retry, message.attempts)
        self._events.retried("in")
        await written(lambda: self._inbox.later(message.id, at, reason))

    def _arrived(self, message: InboundMessage) -> None:
        """Remove a message from the inbox, with others that arrive at the same time."""
        if message.id in self._leaving.ids:
            return
        if message.id in self._settling:
            self._confirmed.add(message.id)
            return
        self._receipts.settled(message.id)
        self._deciding.settled(message)
        self._proofs.settled(message)
        self._feed.guard(message)
        self._events.delivered(max(0.0, self._now() - message.received_at))
        self._leaving.add(message.id)

    async def _look_up(self, message_id: str) -> InboundMessage | None:
        try:
            message = await self._inbox.get(message_id)
        except StoreError as error:
            # It is sent again, and the client confirms it again.
            _log.error("store-failed", code=error.code)
            return None
        return message if message is not None and message.state == "waiting" else None

    def _settle(self, message: InboundMessage, work: Awaitable[None], *, parked: bool = False) -> None:
        """Write what became of a message, then forget it; one that is parked may have been confirmed meanwhile."""
        self._deciding.settled(message)
        self._proofs.settled(message)
        self._feed.guard(message)
        self._settling.add(message.id)

        async def settle() -> None:
            try:
                await work
            finally:
                self._settling.discard(message.id)
                self._drop(message)
                confirmed = message.id in self._confirmed
                self._confirmed.discard(message.id)
            if confirmed and parked:
                self._arrived(message)

        self._background.start(settle())

    def _drop(self, message: InboundMessage) -> None:
        self._dispatch.forget(message.id)
        self._feed.release(message.id)
