"""Whether a message that its server has may be forgotten, or its receipt is awaited: that is up to the user's clients.

One user's client that does not answer keeps nobody else's messages waiting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from gre_gateway_email.relaying.background import Background
    from gre_gateway_email.store.records import InboundMessage

_log = get_logger(__name__)

PATIENCE: Final = 90.0
"""So long it is asked again what is not known, in seconds; then a receipt is awaited. All users are greeted by then."""
PAUSE: Final = 1.0


class Asked(Protocol):
    """Knows the clients of users."""

    async def gives_receipts(self, user: str) -> bool | None:
        """Tell whether a client of the user is there that sends receipts; None: not known."""
        ...


class Deciding:
    """Messages that their servers have, on one stream.

    Arguments:
        asked: knows who gives receipts.
        left: ids of messages that may be lost with a client that is gone.
        arrived: gets a message that may be forgotten.
        expect: gets one whose receipt is awaited.
        background: runs the tasks.
    """

    def __init__(
        self,
        asked: Asked,
        left: Container[str],
        *,
        arrived: Callable[[InboundMessage], None],
        expect: Callable[[InboundMessage], None],
        background: Background,
    ) -> None:
        self._asked = asked
        self._left = left
        self._arrived = arrived
        self._expect = expect
        self._background = background
        self._open: dict[str, dict[str, InboundMessage]] = {}

    def put(self, messages: Iterable[InboundMessage]) -> None:
        """Decide about messages."""
        for message in messages:
            open_ = self._open.get(message.user)
            if open_ is None:
                open_ = self._open[message.user] = {}
                self._background.start(self._decide(message.user, open_))
            open_[message.id] = message

    def of(self, user: str) -> list[str]:
        """Give the ids of a user's messages that are not decided yet."""
        return list(self._open.get(user, ()))

    def settled(self, message: InboundMessage) -> None:
        """Forget a message whose fate is known."""
        self._open.get(message.user, {}).pop(message.id, None)

    def new_stream(self) -> None:
        """Forget all: it is sent again."""
        for open_ in self._open.values():
            open_.clear()
        self._open.clear()

    async def _decide(self, user: str, open_: dict[str, InboundMessage]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        receipts: bool | None = None
        try:
            while (receipts := await self._asked.gives_receipts(user)) is None and loop.time() < deadline:
                await asyncio.sleep(PAUSE)
                if not open_:
                    break
        except Exception as error:  # noqa: BLE001 - not known then: nothing is forgotten
            _log.error("receipts-unknown", error_type=type(error).__name__)
        if self._open.get(user) is open_:
            del self._open[user]
        for message in tuple(open_.values()):
            awaited = receipts is not False or message.id in self._left
            (self._expect if awaited and message.kind != "error" else self._arrived)(message)
