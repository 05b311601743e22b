"""Runs one piece of work in eight threads at once, and lets them meet in the middle of it.

Work of microseconds ends before another thread gets its turn, and what two threads share would go unnoticed. So each
thread stops for a moment after lines of code that it runs, as if it had been interrupted there.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gre_core.testing.conformance.rules import NonConformance

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

THREADS: Final = 8
_INTERVAL: Final = 1e-4
"""Seconds after which another thread gets its turn: short, so that they meet."""
_STOPS: Final = 400
"""How often a thread stops."""
_MOMENT: Final = 5e-4
"""Seconds of a stop, at most: long enough for others to run some lines of theirs."""
_PATIENCE: Final = 600.0
"""Seconds until threads that hang are given up."""
_NOT_STOPPED: Final = frozenset({"gre_core", "structlog", *sys.stdlib_module_names})
"""Libraries that go on: what is shared is shared by the plugin, or by a library of its own."""

_tracing: Final = threading.Lock()

T = TypeVar("T")


class _Stops:
    """A trace function that stops its thread after about every second line, some hundred times."""

    def __init__(self, number: int) -> None:
        self._left = _STOPS
        self._random = random.Random(number)  # each thread stops elsewhere, and at the same places each time

    def on_call(self, frame: FrameType, _event: str, _arg: object) -> Any:
        """Choose the frames whose lines count."""
        if self._left <= 0 or str(frame.f_globals.get("__name__", "")).partition(".")[0] in _NOT_STOPPED:
            return None
        return self.on_line

    def on_line(self, _frame: FrameType, event: str, _arg: object) -> Any:
        """Stop, perhaps."""
        if self._left > 0 and event == "line" and self._random.random() < 0.5:
            self._left -= 1
            time.sleep(self._random.random() * _MOMENT)
        return self.on_line


def in_threads(work: Callable[[int], T]) -> list[T | BaseException]:
    """Call ``work`` with the numbers 0 to 7, each in a thread, all starting together.

    Result:
        What each gave or raised, in the order of the numbers.

    Raises:
        NonConformance: one of them broke a rule of its own.
    """
    results: list[T | BaseException] = [RuntimeError("the thread did not end")] * THREADS
    start = threading.Event()

    def body(number: int) -> None:
        start.wait()
        try:
            with _tracing, contextlib.suppress(RuntimeError):  # CPython lets one thread do it at a time
                sys.settrace(_Stops(number).on_call)
            results[number] = work(number)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            results[number] = error

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(_INTERVAL)
    try:
        start.set()
        end = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    finally:
        sys.setswitchinterval(before)
    for result in results:
        if isinstance(result, NonConformance):
            raise result
    return results
