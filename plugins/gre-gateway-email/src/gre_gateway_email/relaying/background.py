"""What goes on beside the one who asked for it: tasks, and writes that have to succeed in the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gre_core.errors import StoreError
from gre_core.log import get_logger
from gre_gateway_email.relaying.feed import STORE_PAUSE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_log = get_logger(__name__)


class Background:
    """Tasks of one part of the gateway. What fails in one is logged, and the others go on.

    Arguments:
        failed: the event that is logged.
    """

    def __init__(self, failed: str) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None], name: str = "") -> None:
        """Begin some work."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def named(self, name: str) -> set[asyncio.Task[None]]:
        """Give the tasks of a name that are not done."""
        return {task for task in self._tasks if task.get_name() == name}

    async def stop(self) -> None:
        """Cancel all of them."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error(self._failed, error_type=type(task.exception()).__name__)


async def written(write: Callable[[], Awaitable[None]]) -> None:
    """Write as soon as the database can: who waits for it keeps what it is about until then."""
    while True:
        try:
            return await write()
        except StoreError as error:
            _log.error("store-failed", code=error.code)
            await asyncio.sleep(STORE_PAUSE)
