"""Runs one piece of work in eight threads at once."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from gre_core.testing.conformance.rules import NonConformance

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS: Final = 8
_INTERVAL: Final = 1e-4
"""Seconds after which another thread gets its turn: short, so that they meet."""

T = TypeVar("T")


def in_threads(work: Callable[[int], T]) -> list[T | BaseException]:
    """Call ``work`` with the numbers 0 to 7, each in a thread, all starting together.

    Result:
        What each gave or raised, in the order of the numbers.

    Raises:
        NonConformance: one of them broke a rule of its own.
    """
    results: list[T | BaseException] = [RuntimeError("the thread did not end")] * THREADS
    start = threading.Barrier(THREADS)

    def body(number: int) -> None:
        start.wait()
        try:
            results[number] = work(number)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            results[number] = error

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(THREADS)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(_INTERVAL)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
    finally:
        sys.setswitchinterval(before)
    for result in results:
        if isinstance(result, NonConformance):
            raise result
    return results
