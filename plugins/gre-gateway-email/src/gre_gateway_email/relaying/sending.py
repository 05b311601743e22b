"""Brings stored mails to the relay, and the relay's answer to the users.

A mail leaves the outbox when the relay took it or refused it for good; then its user gets the receipt or the error.
What cannot be relayed now is tried again with growing pauses, until ``retry.outbound`` has passed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.errors import GreError, Refused
from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import domain_of
from gre_gateway_email.mail.relay import Unreachable
from gre_gateway_email.relaying.background import Background, written
from gre_gateway_email.relaying.backoff import pause
from gre_gateway_email.relaying.events import NoEvents
from gre_gateway_email.relaying.feed import Feed
from gre_gateway_email.relaying.words import for_so_long

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from gre_gateway_email.config import Retry
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.store.records import OutboundMail
    from gre_gateway_email.store.store import Outbox

MOST: Final = 500
MOST_BYTES: Final = 16 * 1024 * 1024
PAGE: Final = 20
"""Mails that are read at once; each may have as many bytes as a stanza."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries to reach a relay that is away."""

_log = get_logger(__name__)


class Way(Protocol):
    """The relay, as it is needed here (see :class:`gre_gateway_email.mail.relay.Relay`)."""

    async def send(
        self, sender: str, recipients: Sequence[str], mail: bytes, *, envelope_id: str = ""
    ) -> None:
        """Hand over a mail for all recipients, or raise Refused: then nobody gets it."""
        ...


class Answers(Protocol):
    """Tells users what became of their messages."""

    @property
    def up(self) -> bool:
        """Whether the stream is there."""
        ...

    def confirm(self, mail: OutboundMail) -> None:
        """Send the receipt, now or with the next stream."""
        ...

    def refuse(self, mail: OutboundMail, error: GreError) -> None:
        """Send the stanza error."""
        ...


class Sending:
    """A pool of workers between outbox and relay.

    Arguments:
        outbox: the mails.
        relay: the way out.
        answers: who tells the users.
        retry: when and how long is tried.
        workers: mails that are handed over at the same time.
        envelope_id: gives what reports about a mail will name, or ``""``.
        events: told what happens.
        now: seconds since 1970.
    """

    def __init__(
        self,
        outbox: Outbox,
        relay: Way,
        answers: Answers,
        retry: Retry,
        *,
        workers: int,
        envelope_id: Callable[[OutboundMail], str] = lambda _: "",
        now: Callable[[], float],
        events: Events | None = None,
    ) -> None:
        self._outbox = outbox
        self._relay = relay
        self._answers = answers
        self._retry = retry
        self._count = workers
        self._envelope_id = envelope_id
        self._now = now
        self._events = events or NoEvents()
        self._feed: Feed[OutboundMail] = Feed(
            outbox.due,
            outbox.next_at,
            self._begin,
            lambda mail: len(mail.mail),
            now,
            most=MOST,
            most_bytes=MOST_BYTES,
            page=PAGE,
        )
        self._queue: deque[OutboundMail] = deque()
        self._ready = asyncio.Event()
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._away: Refused | None = None
        self._pause = FIRST_PAUSE
        self._workers: list[asyncio.Task[None]] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._background = Background("sending-failed")
        self._stopping = False

    # -- from outside --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, with what is in the outbox."""
        self._background.start(self._feed.run())
        self._workers = [asyncio.get_running_loop().create_task(self._work()) for _ in range(self._count)]

    def storing(self, mail: OutboundMail) -> AbstractContextManager[None]:
        """Leave a mail alone while it is written; within, :meth:`push` it when it is."""
        return self._feed.storing([mail.id])

    def push(self, mail: OutboundMail) -> None:
        """Bring a mail on its way that was just stored."""
        self._feed.offer(mail)

    def wake(self) -> None:
        """Look for a mail that was stored without :meth:`push`."""
        self._feed.wake()

    def forget(self, user: str) -> None:
        """Send no mail of a user any more whose data were erased, but those that the relay gets in this moment."""
        for mail in self._feed.of_user(user):
            self._feed.release(mail.id)

    def answer_to(self, mail: OutboundMail) -> None:
        """Note that a message came again, from another client perhaps: the answer goes there."""
        for held in self._feed.held.values():
            if held.key == mail.key:
                self._feed.held[held.id] = replace(
                    held,
                    user_full=mail.user_full,
                    stanza_id=mail.stanza_id,
                    stanza_to=mail.stanza_to,
                    stanza_type=mail.stanza_type,
                    wants_receipt=mail.wants_receipt,
                )
                return

    async def stop(self, seconds: float) -> None:
        """End: what is being handed over may finish within so many seconds; the rest stays in the outbox."""
        self._stopping = True
        for task in self._workers:
            if task not in self._busy:
                task.cancel()
        under_way = {*self._busy, *self._background.named(_SETTLING)}
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)
        settling = self._background.named(_SETTLING)
        if settling:
            await asyncio.wait(settling, timeout=1)
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._background.stop()

    # -- the workers ---------------------------------------------------------------------------------

    def _begin(self, mail: OutboundMail) -> None:
        self._queue.append(mail)
        self._ready.set()

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self._stopping:
            mail = await self._next()
            if mail.id not in self._feed.held:  # the user was forgotten
                continue
            if self._away is not None and self._is_over(mail):
                self._settle(mail, self._give_up(mail, self._away))
                continue
            if not self._reachable.is_set():
                self._queue.appendleft(mail)
                await self._reachable.wait()
                continue
            self._busy.add(task)
            try:
                await self._try(mail)
            finally:
                self._busy.discard(task)

    async def _next(self) -> OutboundMail:
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()

    async def _try(self, mail: OutboundMail) -> None:
        try:
            await self._relay.send(
                mail.sender, mail.recipients, mail.mail, envelope_id=self._envelope_id(mail)
            )
        except Refused as error:
            self._failed(mail, error)
        except Exception as error:  # noqa: BLE001 - whatever happens, the mail is still there
            _log.error("relay-failed", error_type=type(error).__name__)
            self._failed(mail, _broken())
        else:
            self._pause, self._away = FIRST_PAUSE, None
            self._settle(mail, self._sent(mail))

    def _failed(self, mail: OutboundMail, error: Refused) -> None:
        if error.error_type != "wait":
            self._settle(mail, self._refused(mail, error))
        elif self._is_over(mail):
            self._settle(mail, self._give_up(mail, error))
        elif isinstance(error, Unreachable):
            self._wait_for_relay(error)
            self._queue.appendleft(mail)
            self._ready.set()
        else:
            self._settle(mail, self._later(mail, error.text))

    def _wait_for_relay(self, error: Refused) -> None:
        """Let all wait for a while: a relay that is away is not the fault of one mail, and is not asked by each."""
        self._away = error
        if self._reachable.is_set():
            self._reachable.clear()
            asyncio.get_running_loop().call_later(self._pause, self._reachable.set)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._events.retried("out")

    def _is_over(self, mail: OutboundMail) -> bool:
        return self._now() - mail.created_at >= self._retry.outbound

    # -- what became of it ---------------------------------------------------------------------------

    async def _sent(self, mail: OutboundMail) -> None:
        await written(lambda: self._outbox.sent(mail))
        self._events.relayed(max(0.0, self._now() - mail.created_at))
        _note("mail-relayed", mail)
        if mail.kind != "report":
            self._answers.confirm(self._feed.held.get(mail.id, mail))

    async def _refused(self, mail: OutboundMail, error: Refused) -> None:
        if await self._tell(mail, error):
            _note("mail-not-relayed", mail, error.condition)
            self._events.refused("out", error.condition)
            if mail.kind == "report":
                # Nobody waits for an answer: only the operator can learn that somebody was not told.
                self._events.dead("out")
                await written(lambda: self._outbox.bury(mail, error.text))
            else:
                await written(lambda: self._outbox.refused(mail))

    async def _give_up(self, mail: OutboundMail, error: Refused) -> None:
        over = Refused(
            f"The message could not be sent for {for_so_long(self._retry.outbound)}, and was given up. "
            f"The last answer was: {error.text}",
            condition=error.condition,
            error_type="cancel",
        )
        if await self._tell(mail, over):
            _note("mail-given-up", mail, error.condition)
            self._events.dead("out")
            await written(lambda: self._outbox.bury(mail, error.text))

    async def _tell(self, mail: OutboundMail, error: Refused) -> bool:
        """Tell the user; False: the stream is down, and it is tried once more when there may be one."""
        if mail.kind == "report":
            return True
        if not self._answers.up:
            await self._later(mail, error.text)
            return False
        self._answers.refuse(self._feed.held.get(mail.id, mail), error)
        return True

    async def _later(self, mail: OutboundMail, reason: str) -> None:
        at = self._now() + pause(self._retry, mail.attempts)
        self._events.retried("out")
        await written(lambda: self._outbox.later(mail, at, reason))

    def _settle(self, mail: OutboundMail, work: Coroutine[None, None, None]) -> None:
        async def settle() -> None:
            try:
                await work
            finally:
                self._feed.release(mail.id)

        self._background.start(settle(), _SETTLING)


_SETTLING: Final = "settling"


def _note(event: str, mail: OutboundMail, condition: str | None = None) -> None:
    _log.info(
        event,
        peer_domain=domain_of(mail.recipients[0]),
        size=len(mail.mail),
        condition=condition,
        user=mail.user,
        address=", ".join(mail.recipients),
    )


def _broken() -> Refused:
    return Refused(
        "The gateway failed to send the message.", condition="internal-server-error", error_type="wait"
    )
