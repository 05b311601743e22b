"""Messages that have arrived leave the inbox: all those at once that arrived while the ones before were removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError
from gre_core.log import get_logger
from gre_gateway_email.relaying.feed import STORE_PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.relaying.background import Background
    from gre_gateway_email.store.store import Inbox

TOGETHER: Final = 0.02
"""So long messages that arrived are collected, in seconds: one commit removes all of them."""

_log = get_logger(__name__)


class Leaving:
    """Removes messages.

    Arguments:
        inbox: from there.
        gone: told the id of each that was removed.
        background: runs the work.
    """

    def __init__(self, inbox: Inbox, gone: Callable[[str], None], background: Background) -> None:
        self._inbox = inbox
        self._gone = gone
        self._background = background
        self.ids: dict[str, None] = {}
        self._flushing = False

    def add(self, message_id: str) -> None:
        """Remove a message soon."""
        self.ids[message_id] = None
        if not self._flushing:
            self._flushing = True
            self._background.start(self._flush())

    async def finish(self) -> None:
        """Remove what is left, in one try."""
        if self.ids:
            await self._flush_once()

    async def _flush(self) -> None:
        try:
            while self.ids:
                # Nobody waits for it, and mails that come in wait for each commit.
                await asyncio.sleep(TOGETHER)
                await self._flush_once()
        finally:
            self._flushing = False

    async def _flush_once(self) -> None:
        leaving = list(self.ids)
        try:
            await self._inbox.arrived(leaving)
        except StoreError as error:
            _log.error("store-failed", code=error.code)
            await asyncio.sleep(STORE_PAUSE)
            return
        for message_id in leaving:
            self.ids.pop(message_id, None)
            self._gone(message_id)
