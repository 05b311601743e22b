"""Group commit: what is written at the same time is committed together.

A change is a function that takes a connection and a list of arguments, and gives a result or an error for each. What
was queued while the last transaction ran becomes the next one, and each caller wakes when it is committed. Changes
that are queued at the same time may be applied in any order: whoever needs an order waits for the first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gre_core.errors import GreError, StoreError
from gre_gateway_email.store.failures import is_of_a_row, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Connection

    from gre_gateway_email.store.database import Database

A = TypeVar("A")
R = TypeVar("R")

MOST: Final = 500
"""Changes in one transaction."""


class _Operation:
    __slots__ = ("argument", "change", "future", "outcome")

    def __init__(self, change: Callable[[Connection, Sequence[Any]], Sequence[Any]], argument: Any) -> None:
        self.change = change
        self.argument = argument
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.outcome: Any = None


class Writer:
    """The only one that writes to a database.

    Arguments:
        database: where to.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: list[_Operation] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="gre-store-writer")

    async def do(self, change: Callable[[Connection, Sequence[A]], Sequence[R | GreError]], argument: A) -> R:
        """Make a change, together with what others change now.

        Raises:
            StoreError: it is not stored.
            GreError: the result of the change for this argument.
        """
        if self._closing:
            raise StoreError("The store is closed.")
        operation = _Operation(change, argument)
        self._queue.append(operation)
        self._wake.set()
        result: R = await operation.future
        return result

    async def close(self) -> None:
        """Finish what is queued."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            # Whom the last commit woke gets a turn first, so that the next transaction takes all of them along.
            await asyncio.sleep(0)
            # One whose caller gave up before it began is not begun.
            batch = [each for each in self._queue[:MOST] if not each.future.done()]
            del self._queue[:MOST]
            if not self._queue:
                self._wake.clear()
            if batch:
                await self._commit(batch)
            if self._closing and not self._queue:
                return

    async def _commit(self, batch: Sequence[_Operation]) -> None:
        try:
            await self._database.write(lambda connection: _apply(connection, batch))
        except Exception as error:  # noqa: BLE001 - each caller gets it
            if len(batch) > 1 and is_of_a_row(error):
                for operation in batch:
                    await self._commit([operation])
                return
            for operation in batch:
                operation.outcome = told(error, self._database.name)
        for operation in batch:
            if operation.future.done():
                continue
            if isinstance(operation.outcome, GreError):
                operation.future.set_exception(operation.outcome)
            else:
                operation.future.set_result(operation.outcome)


def _apply(connection: Connection, batch: Sequence[_Operation]) -> None:
    groups: dict[Any, list[_Operation]] = {}
    for operation in batch:
        groups.setdefault(operation.change, []).append(operation)
    for change, operations in groups.items():
        outcomes = change(connection, [operation.argument for operation in operations])
        for operation, outcome in zip(operations, outcomes, strict=True):
            operation.outcome = outcome
