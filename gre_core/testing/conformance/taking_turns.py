"""Lets coroutines take turns without an event loop: each port waits once, so that others get in between."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Sequence

    from gre_core.ports import Ports

T = TypeVar("T")


class _Pause:
    """Lets the others go on."""

    def __await__(self) -> Generator[_Pause, None, None]:
        yield self


PAUSE: Final = _Pause()
"""``await PAUSE`` ends a turn."""


class _Pausing:
    """A port that ends the turn before each of its methods."""

    def __init__(self, port: object) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def paused(*args: object, **options: object) -> Any:
            await PAUSE
            return await method(*args, **options)

        return paused


def pausing(ports: Ports) -> Ports:
    """Give ports whose store and pubsub service end a turn with each call."""
    store: Any = _Pausing(ports.store)
    pubsub: Any = _Pausing(ports.pubsub)
    return replace(ports, store=store, pubsub=pubsub)


def take_turns(works: Sequence[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    """Drive coroutines in turns until all ended; give what each gave or raised, in their order."""
    results: dict[int, T | BaseException] = {}
    while len(results) < len(works):
        for number, work in enumerate(works):
            if number in results:
                continue
            try:
                waits_for = work.send(None)
            except StopIteration as done:
                results[number] = done.value
            except Exception as error:  # noqa: BLE001 - handed to the caller
                results[number] = error
            else:
                if waits_for is not PAUSE:
                    work.close()
                    results[number] = RuntimeError("it waits for something that is no port")
    return [results[number] for number in range(len(works))]
