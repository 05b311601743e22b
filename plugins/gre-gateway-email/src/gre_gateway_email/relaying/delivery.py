"""Brings stored messages to the users, and forgets each only when it has arrived.

A message leaves the spool when a receipt of the user's client came (XEP-0184). When the client gives none, it
leaves when a ping that was sent later on the same stream was answered: then the server has worked on
everything before it, and has handed the message on or kept it. After a new connection all messages without
that proof are sent again with the same stanza id. What still can be lost: a message that the server had when
it died itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.errors import GreError, PeerError, PeerTimeout, StoreError
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gre_gateway_email.relaying.spool import Entry, Spool

RECEIPT_GRACE: Final = 600.0
"""How long a receipt is waited for after the server has the message, in seconds."""

FIRST_RETRY: Final = 30.0
LAST_RETRY: Final = 3600.0
MAX_ATTEMPTS: Final = 100
"""About four days of tries when the server answers that it cannot deliver now."""

BATCH: Final = 100
"""Messages that are sent before the next ping."""

_FAILED: Final = "\0"
_OFFLINE: Final = "service-unavailable"
"""What a server answers that keeps no messages for users who are away (RFC 6121, section 8.5.2.2)."""
_UNREACHED: Final = frozenset({"remote-server-not-found", "remote-server-timeout"})

_log = get_logger(__name__)


class Courier(Protocol):
    """The XMPP side, as the delivery needs it."""

    @property
    def connected(self) -> bool:
        """Whether the stream is up."""
        ...

    async def send(self, entry: Entry, content: str) -> None:
        """Hand a message to the stream.

        Raises:
            PeerTimeout: the stream is down.
            GreError: this message cannot be sent at all.
        """
        ...

    async def ping(self, domain: str) -> None:
        """Ask a server for a sign of life, behind everything that was sent before (XEP-0199).

        Raises:
            PeerError: it answered with an error.
            PeerTimeout: it did not answer, or the stream broke.
        """
        ...

    async def gives_receipts(self, user: str) -> bool:
        """Tell whether a client of the user is there that sends receipts."""
        ...


class Delivery:
    """The queue of what is in the spool.

    Arguments:
        spool: where the messages are.
        courier: who sends them.
    """

    def __init__(self, spool: Spool, courier: Courier) -> None:
        self._spool = spool
        self._courier = courier
        self._known: dict[str, Entry] = {}
        self._waiting: deque[Entry] = deque()
        self._unproven: dict[str, dict[str, Entry]] = {}
        self._pinging: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._attempts: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._stream = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, entry_id: str) -> bool:
        """Tell whether a message is on its way."""
        return entry_id in self._known

    def start(self) -> None:
        """Read the spool and begin to work.

        Raises:
            StoreError: the spool cannot be read.
        """
        for entry in self._spool.entries():
            self.add(entry)
        self._spawn(self._work())

    async def stop(self) -> None:
        """End the work; what is in the spool stays there."""
        for timer in self._timers.values():
            timer.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, entry: Entry) -> None:
        """Take over a message that is in the spool."""
        if entry.id not in self._known:
            self._known[entry.id] = entry
            self._enqueue(entry)

    def connected(self) -> None:
        """Note a new stream: whatever is still here is sent again, with the same stanza ids."""
        self._stream += 1
        self._unproven.clear()
        self._waiting.clear()
        for entry in self._known.values():
            self._cancel_timer(entry.id)
            self._enqueue(entry)

    def receipt(self, entry_id: str, user: str) -> None:
        """Note a receipt from a user."""
        entry = self._known.get(entry_id)
        if entry is not None and entry.user == user:
            self._arrived(entry)

    def refused(self, entry_id: str, user: str, error: PeerError) -> None:
        """Note that a message came back as an error stanza from a user's address."""
        entry = self._known.get(entry_id)
        if entry is None or entry.user != user:
            return
        attempts = self._attempts[entry_id] = self._attempts.get(entry_id, 0) + 1
        _log.warning("delivery-refused", condition=error.condition, stanza_id=entry_id, attempt=attempts)
        if (error.error_type == "wait" or error.condition == _OFFLINE) and attempts < MAX_ATTEMPTS:
            self._unproven.get(_server_of(entry), {}).pop(entry_id, None)
            self._after(min(FIRST_RETRY * 2 ** min(attempts - 1, 10), LAST_RETRY), self._enqueue, entry)
        else:
            self._bury(entry, f"{error.condition}: {error.peer_text or error.text}")

    # -- inside --------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and self._courier.connected:
                servers = {
                    await self._send(self._waiting.popleft()) for _ in range(min(BATCH, len(self._waiting)))
                }
                if _FAILED in servers:
                    asyncio.get_running_loop().call_later(1, self._wake.set)
                    break
                for server in servers:
                    self._prove(server)

    async def _send(self, entry: Entry) -> str:
        """Send one message; give the server to ping, ``""`` for none."""
        if entry.id not in self._known:
            return ""
        server = _server_of(entry)
        self._unproven.setdefault(server, {})[entry.id] = entry
        try:
            await self._courier.send(entry, self._spool.content(entry))
        except PeerTimeout:
            self._unproven[server].pop(entry.id, None)
            self._waiting.appendleft(entry)
            return _FAILED
        except GreError as error:
            self._bury(entry, error.text)
        return server

    def _prove(self, server: str) -> None:
        if server and self._unproven.get(server) and server not in self._pinging:
            self._pinging.add(server)
            self._spawn(self._ping(server))

    async def _ping(self, server: str) -> None:
        """Ping, and take what was sent before as arrived when the answer comes on the same stream."""
        stream, before = self._stream, list(self._unproven.get(server, {}).values())
        try:
            await self._courier.ping(server)
            answered = True
        except PeerTimeout:
            answered = False
        except PeerError as error:
            # Any other error is an answer, too. Of an unreachable server each message comes back as an error.
            answered = error.condition not in _UNREACHED
        finally:
            self._pinging.discard(server)
        if stream != self._stream:
            self._prove(server)  # all of it was sent again
        elif answered:
            await self._proven(server, before)
            self._prove(server)
        else:
            asyncio.get_running_loop().call_later(FIRST_RETRY, self._prove, server)

    async def _proven(self, server: str, entries: list[Entry]) -> None:
        receipts: dict[str, bool] = {}
        for entry in entries:
            if self._unproven.get(server, {}).pop(entry.id, None) is None:
                continue
            if entry.user not in receipts:
                receipts[entry.user] = await self._courier.gives_receipts(entry.user)
            if entry.id not in self._known:
                continue
            if receipts[entry.user]:
                self._after(RECEIPT_GRACE, self._arrived, entry)
            else:
                self._arrived(entry)

    def _enqueue(self, entry: Entry) -> None:
        self._timers.pop(entry.id, None)
        self._waiting.append(entry)
        self._wake.set()

    def _arrived(self, entry: Entry) -> None:
        self._forget(entry)
        try:
            self._spool.remove([entry])
        except StoreError as error:
            _log.error("spool-failed", code=error.code, stanza_id=entry.id)

    def _bury(self, entry: Entry, reason: str) -> None:
        self._forget(entry)
        _log.error("message-undeliverable", stanza_id=entry.id)
        try:
            self._spool.bury(entry, reason)
        except StoreError as error:
            _log.error("spool-failed", code=error.code, stanza_id=entry.id)

    def _forget(self, entry: Entry) -> None:
        self._known.pop(entry.id, None)
        self._unproven.get(_server_of(entry), {}).pop(entry.id, None)
        self._attempts.pop(entry.id, None)
        self._cancel_timer(entry.id)

    def _after(self, delay: float, call: Callable[[Entry], None], entry: Entry) -> None:
        self._cancel_timer(entry.id)
        self._timers[entry.id] = asyncio.get_running_loop().call_later(delay, call, entry)

    def _cancel_timer(self, entry_id: str) -> None:
        timer = self._timers.pop(entry_id, None)
        if timer is not None:
            timer.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("delivery-failed", code=type(task.exception()).__name__)


def _server_of(entry: Entry) -> str:
    return entry.user.rpartition("@")[2]
