"""What was given up, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select, update

from gre_gateway_email.store.inbox import HEAD as INBOX_HEAD
from gre_gateway_email.store.inbox import message_of
from gre_gateway_email.store.outbox import HEAD as OUTBOX_HEAD
from gre_gateway_email.store.outbox import mail_of
from gre_gateway_email.store.records import OutboundMail
from gre_gateway_email.store.schema import inbox, outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Executable
    from sqlalchemy.engine import Connection

    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.records import InboundMessage, State
    from gre_gateway_email.store.writer import Writer

_REPLAYS: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("of_id"), outbox.c.state == "dead")
    .values(state="waiting", attempts=0, reason="", next_at=bindparam("at"), created_at=bindparam("at")),
    update(inbox)
    .where(inbox.c.id == bindparam("of_id"), inbox.c.state == "dead")
    .values(
        state="waiting",
        attempts=0,
        reason="",
        next_at=bindparam("at"),
        expires_at=bindparam("at") + inbox.c.expires_at - inbox.c.received_at,
    ),
)
_DROPS: Final = tuple(
    delete(table).where(table.c.id == bindparam("of_id"), table.c.state == "dead")
    for table in (outbox, inbox)
)
_OLD: Final = tuple(
    delete(table).where(table.c.state == "dead", table.c.next_at < bindparam("before"))
    for table in (outbox, inbox)
)
_MAILS: Final = select(*OUTBOX_HEAD).limit(bindparam("most"))
_MESSAGES: Final = select(*INBOX_HEAD).limit(bindparam("most"))


class SqlDeadLetters:
    """See :class:`gre_gateway_email.store.store.DeadLetters`."""

    def __init__(self, database: Database, writer: Writer, now: Callable[[], float]) -> None:
        self._database = database
        self._writer = writer
        self._now = now

    async def all(self, limit: int = 1000) -> Sequence[OutboundMail | InboundMessage]:
        """Give the newest dead letters; of mails without their content."""
        mails, messages = (
            statement.where(table.c.state == "dead").order_by(table.c.next_at.desc())
            for statement, table in ((_MAILS, outbox), (_MESSAGES, inbox))
        )
        found = await self._database.read(lambda connection: _both(connection, mails, messages, limit))
        return sorted(found, key=lambda one: one.next_at, reverse=True)[:limit]

    async def replay(self, letter_id: str) -> bool:
        """Let one be tried again, from the beginning; False when there is none with that id."""
        return await self._writer.do(self._replay, letter_id)

    async def drop(self, letter_id: str) -> bool:
        """Remove one; False when there is none with that id."""
        return await self._writer.do(_drop, letter_id)

    def _replay(self, connection: Connection, ids: Sequence[str]) -> list[bool]:
        at = self._now()
        return [_count(connection, _REPLAYS, {"of_id": one, "at": at}) > 0 for one in ids]


async def queued(
    database: Database, state: State | None, limit: int
) -> Sequence[OutboundMail | InboundMessage]:
    """Give what is in the queues, the oldest first; mails without their content."""
    mails, messages = (
        (statement if state is None else statement.where(table.c.state == state)).order_by(came)
        for statement, table, came in (
            (_MAILS, outbox, outbox.c.created_at),
            (_MESSAGES, inbox, inbox.c.received_at),
        )
    )
    found = await database.read(lambda connection: _both(connection, mails, messages, limit))
    return sorted(found, key=_came)[:limit]


def prune_dead(connection: Connection, bounds: Sequence[float]) -> list[None]:
    """Remove dead letters from before these times."""
    for before in bounds:
        for statement in _OLD:
            connection.execute(statement, {"before": before})
    return [None] * len(bounds)


def _both(
    connection: Connection, mails: Any, messages: Any, limit: int
) -> list[OutboundMail | InboundMessage]:
    return [
        *map(mail_of, connection.execute(mails, {"most": limit})),
        *map(message_of, connection.execute(messages, {"most": limit})),
    ]


def _came(one: OutboundMail | InboundMessage) -> float:
    return one.created_at if isinstance(one, OutboundMail) else one.received_at


def _drop(connection: Connection, ids: Sequence[str]) -> list[bool]:
    return [_count(connection, _DROPS, {"of_id": one}) > 0 for one in ids]


def _count(connection: Connection, statements: Iterable[Executable], values: dict[str, object]) -> int:
    """Execute statements; give how many rows they changed."""
    return sum(connection.execute(statement, values).rowcount for statement in statements)
