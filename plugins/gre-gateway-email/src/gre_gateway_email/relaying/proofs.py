"""Which of the messages that were sent have arrived: pings on the same stream tell, where no receipts come.

When a ping is answered that was sent later on the same stream, the server has worked on everything before it, and has
handed the messages on or kept them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.errors import PeerError, PeerTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gre_gateway_email.store.records import InboundMessage

REST: Final = 0.1
"""Seconds between an answer and the next ping: it does for all that was sent meanwhile."""

AGAIN: Final = 30.0
"""Seconds until a server that did not answer is asked again."""

_UNREACHED: Final = frozenset({"remote-server-not-found", "remote-server-timeout"})


class Pinger(Protocol):
    """Pings servers."""

    async def ping(self, domain: str) -> None:
        """Ask a server for a sign of life, behind everything that was sent before (XEP-0199).

        Raises:
            PeerError: it answered with an error.
            PeerTimeout: it did not answer, or the stream broke.
        """
        ...


class Proofs:
    """Messages that were sent on this stream and are not proven to have arrived.

    Arguments:
        pinger: pings servers.
        proven: gets those that a server has.
        spawn: runs a task.
    """

    def __init__(
        self,
        pinger: Pinger,
        proven: Callable[[list[InboundMessage]], Awaitable[None]],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._pinger = pinger
        self._proven = proven
        self._spawn = spawn
        self._stream = 0
        self._sent: dict[str, dict[str, InboundMessage]] = {}
        self._pinging: set[str] = set()

    def new_stream(self) -> None:
        """Forget what was sent: the new stream proves nothing about it."""
        self._stream += 1
        self._sent.clear()

    def sent(self, message: InboundMessage) -> None:
        """Note a message that goes onto the stream."""
        self._sent.setdefault(server_of(message), {})[message.id] = message

    def settled(self, message: InboundMessage) -> None:
        """Forget a message whose fate is known."""
        sent = self._sent.get(server_of(message))
        if sent is not None:
            sent.pop(message.id, None)
            if not sent:
                del self._sent[server_of(message)]

    def unproven(self, user: str) -> list[str]:
        """Give the ids of messages that were sent to a user, and that nothing proves yet."""
        sent = self._sent.get(user.rpartition("@")[2], {})
        return [message.id for message in sent.values() if message.user == user]

    def prove(self, server: str) -> None:
        """Ping a server, unless nothing waits for it, or a ping is under way: then another one follows."""
        if self._sent.get(server) and server not in self._pinging:
            self._pinging.add(server)
            self._spawn(self._ping(server))

    async def _ping(self, server: str) -> None:
        stream, before = self._stream, list(self._sent.get(server, {}).values())
        try:
            await self._pinger.ping(server)
            answered = True
        except PeerTimeout:
            answered = False
        except PeerError as error:
            # Any other error is an answer, too. Of an unreachable server each message comes back as an error.
            answered = error.condition not in _UNREACHED
        except BaseException:
            self._pinging.discard(server)
            raise
        if stream != self._stream:
            self._next(server)  # all of it is sent again
        elif answered:
            there = self._sent.get(server, {})
            proven = [message for message in before if there.pop(message.id, None) is not None]
            if not there:
                self._sent.pop(server, None)
            asyncio.get_running_loop().call_later(REST, self._next, server)
            await self._proven(proven)
        else:
            self._pinging.discard(server)
            asyncio.get_running_loop().call_later(AGAIN, self.prove, server)

    def _next(self, server: str) -> None:
        self._pinging.discard(server)
        self.prove(server)


def server_of(message: InboundMessage) -> str:
    """Give the XMPP domain of a message's user."""
    return message.user.rpartition("@")[2]
