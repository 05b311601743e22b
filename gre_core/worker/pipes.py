"""The host's ends of the two pipes to a worker process. Nothing here waits."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from gre_core.worker.child import ANSWER

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    OnAnswer = Callable[[int, int, bytes], bool]

CHUNK: Final = 1 << 20
"""Bytes that are read or written at once: the loop turns between two of them."""


class Pipes:
    """Sends requests, and cuts what comes into answers.

    Arguments:
        loop: the host's.
        requests: file descriptor to write to; it is closed with this object.
        answers: file descriptor to read from; it is closed with this object.
        max_answer: longest answer, in bytes.
        on_answer: called with number, status and data of each answer; False when no more is to be read.
        on_end: called once when the other side ended, or sent what is no answer.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        requests: int,
        answers: int,
        max_answer: int,
        on_answer: OnAnswer,
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._requests = requests
        self._answers = answers
        self._max_answer = max_answer
        self._on_answer = on_answer
        self._on_end = on_end
        self._waiting: deque[memoryview] = deque()
        self._head: tuple[int, int] | None = None
        self._parts: list[bytes] = []
        self._missing = ANSWER.size
        self._open = True
        for descriptor in (requests, answers):
            os.set_blocking(descriptor, False)
            _widen(descriptor)
        loop.add_reader(answers, self._readable)

    def send(self, *pieces: bytes) -> None:
        """Write now what goes without waiting, and the rest when there is room."""
        if not self._open:
            return
        if self._waiting:
            self._waiting.extend(map(memoryview, pieces))
            return
        try:
            written = os.writev(self._requests, pieces)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # what it sent before it ended is still to be read, then the end
        for piece in pieces:
            if written < len(piece):
                self._waiting.append(memoryview(piece)[written:])
            written = max(written - len(piece), 0)
        if self._waiting:
            self._loop.add_writer(self._requests, self._writable)

    def _writable(self) -> None:
        try:
            written = os.write(self._requests, self._waiting[0][:CHUNK])
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()
        else:
            self._waiting[0] = self._waiting[0][written:]
            if not self._waiting[0]:
                self._waiting.popleft()
        if not self._waiting:
            self._loop.remove_writer(self._requests)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._answers, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not (chunk and self._take(chunk)) and self._open:
            self.close()
            self._on_end()

    def _take(self, chunk: bytes) -> bool:
        """Cut a piece of the stream into answers; False when it is none, or no more is wanted."""
        at = 0
        while self._open:
            piece = chunk[at : at + self._missing]
            self._parts.append(piece)
            at += len(piece)
            self._missing -= len(piece)
            if self._missing:
                return True
            whole = b"".join(self._parts)
            self._parts.clear()
            if self._head is None:
                number, status, self._missing = ANSWER.unpack(whole)
                self._head = (number, status)
                if self._missing > self._max_answer:
                    return False
            else:
                (number, status), self._head = self._head, None
                self._missing = ANSWER.size
                if not self._on_answer(number, status, whole):
                    return False
        return True

    def close(self) -> None:
        """Close both ends."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._answers)
        self._loop.remove_writer(self._requests)
        self._waiting.clear()
        self._parts.clear()
        os.close(self._requests)
        os.close(self._answers)


def _widen(descriptor: int) -> None:
    """Let a pipe hold more (Linux), so that large payloads take fewer turns."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl  # noqa: PLC0415 - not everywhere

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK)
