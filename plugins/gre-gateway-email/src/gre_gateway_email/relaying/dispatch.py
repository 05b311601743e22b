"""Messages on their way onto the stream: in their order, in batches, with a ping behind each batch for the proof."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.errors import GreError, PeerTimeout, StoreError
from gre_gateway_email.relaying.feed import STORE_PAUSE
from gre_gateway_email.relaying.proofs import Pinger, Proofs, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from gre_gateway_email.store.records import InboundMessage
    from gre_gateway_email.store.store import Inbox

BATCH: Final = 100
"""Messages that are sent before the next ping."""


class Courier(Pinger, Protocol):
    """The XMPP side, as the delivery needs it."""

    @property
    def connected(self) -> bool:
        """Whether the stream is up."""
        ...

    async def send(self, message: InboundMessage, content: bytes) -> None:
        """Hand a message to the stream.

        Raises:
            PeerTimeout: the stream is down.
            Refused: of type wait: no client is there that it could go to.
            GreError: this message cannot be sent at all.
        """
        ...

    async def gives_receipts(self, user: str) -> bool | None:
        """Tell whether a client of the user is there that sends receipts; None: not known."""
        ...


class Dispatch:
    """Sends messages.

    Arguments:
        inbox: has their content.
        courier: sends them.
        proofs: told what was sent.
        held: ids of the messages that are still to be sent.
        vanished: gets a message that has no content any more: its user was forgotten.
        failed: gets a message that cannot be sent, and why.
    """

    def __init__(
        self,
        inbox: Inbox,
        courier: Courier,
        proofs: Proofs,
        held: Container[str],
        vanished: Callable[[InboundMessage], None],
        failed: Callable[[InboundMessage, GreError], None],
    ) -> None:
        self._inbox = inbox
        self._courier = courier
        self._proofs = proofs
        self._held = held
        self._vanished = vanished
        self._failed = failed
        self._contents: dict[str, bytes] = {}
        self._waiting: deque[InboundMessage] = deque()
        self._wake = asyncio.Event()
        self._stream = 0

    def remember(self, message_id: str, content: bytes) -> None:
        """Keep the content of a message that is sent soon."""
        self._contents[message_id] = content

    def forget(self, message_id: str) -> None:
        """Drop that content."""
        self._contents.pop(message_id, None)

    def put(self, message: InboundMessage) -> None:
        """Send a message behind all others."""
        self._waiting.append(message)
        self._wake.set()

    def new_stream(self) -> None:
        """Forget all that waits."""
        self._stream += 1
        self._waiting.clear()
        self._contents.clear()

    async def run(self) -> None:
        """Send what waits, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and self._courier.connected:
                if not await self._send_batch():
                    asyncio.get_running_loop().call_later(STORE_PAUSE, self._wake.set)
                    break

    async def _send_batch(self) -> bool:
        """Send some messages, and ask their servers for a proof; False: nothing can be sent now."""
        servers: set[str] = set()
        going = True
        for _ in range(min(BATCH, len(self._waiting))):
            if not (going and self._waiting):
                break
            message = self._waiting.popleft()
            servers.add(server_of(message))
            going = await self._send(message)
        for server in servers:
            self._proofs.prove(server)
        return going

    async def _send(self, message: InboundMessage) -> bool:
        """Send one message; False: nothing can be sent now."""
        if message.id not in self._held:
            return True
        stream = self._stream
        try:
            content = self._contents.pop(message.id, None)
            if content is None:
                content = await self._inbox.content(message.id)
            if stream != self._stream:
                return True
            if content is None:
                self._vanished(message)
                return True
            self._proofs.sent(message)
            await self._courier.send(message, content)
        except (StoreError, PeerTimeout):
            self._proofs.settled(message)
            if stream == self._stream:
                self._waiting.appendleft(message)
            return False
        except GreError as error:
            self._proofs.settled(message)
            self._failed(message, error)
        return True
