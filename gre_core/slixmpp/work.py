"""Work that a stream gives: in its order, bounded in number, time and memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from gre_core.log import get_logger

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from slixmpp import BaseXMPP

PATIENCE: Final = 300.0
"""Seconds that a handler of the host may take."""

PAUSE: Final = 1.0
"""Seconds for which nothing is read while too much waits."""

_ELEMENT: Final = 500
"""Bytes of memory for an element without text, roughly."""

T = TypeVar("T")
Job = Callable[[], Awaitable[None]]
_log = get_logger(__name__)


class WorkQueue:
    """Runs jobs in the order in which they came, a number of them at the same time.

    While more than half of the memory is taken, the stream is read only now and then (a job may wait for an answer
    that comes over the same stream, so reading never stops); when all is taken, jobs are turned away.

    Arguments:
        xmpp: the stream.
        workers: how many jobs run at the same time.
        max_bytes: how much memory waiting and running jobs may hold.
    """

    def __init__(self, xmpp: BaseXMPP, *, workers: int, max_bytes: int) -> None:
        self._xmpp = xmpp
        self._workers = workers
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: deque[tuple[Job, int]] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False

    def put(self, job: Job, size: int = 0) -> bool:
        """Queue a job. What it raises is logged and forgotten.

        Arguments:
            job: called once.
            size: the memory that it holds, in bytes.

        Result:
            False when it was turned away: there is no room.
        """
        if self._bytes and self._bytes + size > self._max_bytes:
            return False
        self._bytes += size
        self._waiting.append((job, size))
        if self._running < self._workers:
            self._running += 1
            task = self._xmpp.loop.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._bytes > self._max_bytes // 2:
            self._pause()
        return True

    async def _work(self) -> None:
        try:
            while self._waiting:
                job, size = self._waiting.popleft()
                try:
                    await within(None, job())
                except Exception as error:  # noqa: BLE001 - one job must not end the others
                    _log.error("job-failed", error_type=type(error).__name__)
                finally:
                    self._bytes -= size
        finally:
            self._running -= 1  # here, not when the task is seen to be done: a job may come in between

    def _pause(self) -> None:
        transport = cast("Any", self._xmpp.transport)
        if not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()
            self._xmpp.loop.call_later(PAUSE, self._resume, transport)

    def _resume(self, transport: Any) -> None:
        self._paused = False
        transport.resume_reading()


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """Await what a host or a plugin gave, but not for ever.

    Raises:
        TimeoutError: it took longer, and was cancelled.
        RuntimeError: it was cancelled by somebody else than us.
    """
    try:
        if seconds is None:
            return await work
        async with asyncio.timeout(seconds):
            return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        msg = "the handler was cancelled"
        raise RuntimeError(msg) from error


def weight(stanza: Element) -> int:
    """Estimate the memory that a stanza holds, in bytes."""
    return sum(_ELEMENT + len(node.text or "") + len(node.tail or "") for node in stanza.iter())
