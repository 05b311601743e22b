"""Messages to users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, func, insert, literal_column, select, union_all, update

from gre_gateway_email.store.prepared import Prepared
from gre_gateway_email.store.records import InboundMessage
from gre_gateway_email.store.remembered import insert_new, remember
from gre_gateway_email.store.schema import inbox, relayed
from gre_gateway_email.store.statements import padded, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.engine import Connection, Row

    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.hashes import Hashes
    from gre_gateway_email.store.outbox import SqlOutbox
    from gre_gateway_email.store.records import OutboundMail
    from gre_gateway_email.store.store import Added
    from gre_gateway_email.store.writer import Writer

HEAD: Final = tuple(column for column in inbox.c if column.name != "content")
"""All but the content."""

_ALIVE: Final = ("waiting", "held")
_INSERT: Final = Prepared(lambda: insert(inbox))
_INSERT_NEW: Final = insert_new(inbox, "id")
_KNOWN: Final = Prepared(
    lambda ids, hashes: union_all(
        select(inbox.c.id, inbox.c.state, literal_column("NULL").label("hash")).where(inbox.c.id.in_(ids)),
        select(literal_column("''"), literal_column("'done'"), relayed.c.hash).where(
            relayed.c.hash.in_(hashes)
        ),
    ),
    ids=inbox.c.id,
    hashes=relayed.c.hash,
)
_TAKE: Final = Prepared(
    lambda ids: delete(inbox).where(inbox.c.id.in_(ids)).returning(inbox.c.id, inbox.c.jid), ids=inbox.c.id
)
_LATER: Final = (
    update(inbox)
    .where(inbox.c.id == bindparam("of_id"), inbox.c.state.in_(_ALIVE))
    .values(attempts=inbox.c.attempts + 1, next_at=bindparam("at"), reason=bindparam("why"))
)
_BURY: Final = (
    update(inbox)
    .where(inbox.c.id == bindparam("of_id"), inbox.c.state.in_(_ALIVE))
    .values(state="dead", next_at=bindparam("at"), reason=bindparam("why"))
)
_GET: Final = select(*HEAD).where(inbox.c.id == bindparam("of_id"))
_CONTENT: Final = select(inbox.c.content).where(inbox.c.id == bindparam("of_id"))
_DUE: Final = (
    select(*HEAD)
    .where(
        inbox.c.state == "waiting",
        inbox.c.next_at <= bindparam("last"),
        inbox.c.id.not_in(some("exclude")),
    )
    .order_by(inbox.c.next_at)
    .limit(bindparam("most"))
)
_EXPIRED: Final = (
    select(*HEAD)
    .where(inbox.c.state.in_(_ALIVE), inbox.c.expires_at <= bindparam("last"))
    .order_by(inbox.c.expires_at)
    .limit(bindparam("most"))
)
_WAKE: Final = (
    update(inbox)
    .where(inbox.c.state == "waiting", inbox.c.next_at > bindparam("latest"))
    .values(next_at=bindparam("latest"))
)
_NEXT_AT: Final = union_all(
    select(func.min(inbox.c.next_at)).where(inbox.c.state == "waiting"),
    *(select(func.min(inbox.c.expires_at)).where(inbox.c.state == state) for state in _ALIVE),
)
_OF_USER: Final = select(func.count(), func.coalesce(func.sum(inbox.c.size), 0)).where(
    inbox.c.jid == bindparam("user"), inbox.c.state.in_(_ALIVE)
)


class SqlInbox:
    """See :class:`gre_gateway_email.store.store.Inbox`."""

    def __init__(
        self, database: Database, writer: Writer, hashes: Hashes, now: Callable[[], float], outbox: SqlOutbox
    ) -> None:
        self._database = database
        self._writer = writer
        self._hashes = hashes
        self._now = now
        self._outbox = outbox

    async def add(self, messages: Sequence[tuple[InboundMessage, bytes]]) -> Sequence[Added]:
        """Store messages with their content, all or none of them."""
        return await self._writer.do(self._add, tuple(messages))

    async def is_known(self, message_id: str) -> Added:
        """Tell what :meth:`add` would say of a message with that id, without storing."""
        known, _ = await self._database.read(lambda connection: self._known(connection, [message_id]))
        return known.get(message_id, "new")

    async def get(self, message_id: str) -> InboundMessage | None:
        """Give a message by its stanza id."""
        row = await self._database.read(
            lambda connection: connection.execute(_GET, {"of_id": message_id}).one_or_none()
        )
        return None if row is None else message_of(row)

    async def content(self, message_id: str) -> bytes | None:
        """Give the content of a message; None when it is gone."""
        return await self._database.read(
            lambda connection: connection.scalar(_CONTENT, {"of_id": message_id})
        )

    async def due(self, now: float, limit: int, exclude: Iterable[str] = ()) -> Sequence[InboundMessage]:
        """Give waiting messages whose time has come, the oldest first, without those of these ids."""
        values = {"last": now, "exclude": padded(exclude), "most": limit}
        rows = await self._database.read(lambda connection: connection.execute(_DUE, values).all())
        return tuple(map(message_of, rows))

    async def next_at(self) -> float | None:
        """Give when the next message is due or expires, or None."""
        times = await self._database.read(lambda connection: list(connection.scalars(_NEXT_AT)))
        return min((time for time in times if time is not None), default=None)

    async def expired(self, now: float, limit: int) -> Sequence[InboundMessage]:
        """Give waiting and held messages whose time is over."""
        values = {"last": now, "most": limit}
        rows = await self._database.read(lambda connection: connection.execute(_EXPIRED, values).all())
        return tuple(map(message_of, rows))

    async def arrived(self, message_ids: Iterable[str]) -> None:
        """Remove messages that the users have; keep hashes of their ids."""
        await self._writer.do(self._arrived, tuple(message_ids))

    async def later(self, message_id: str, next_at: float, reason: str) -> None:
        """Note a failed try and when the next one is."""
        await self._writer.do(_later, {"of_id": message_id, "at": next_at, "why": reason})

    async def bury(self, message_id: str, reason: str, report: OutboundMail | None = None) -> None:
        """Make a message a dead letter; store the report for its sender in the same commit."""
        await self._writer.do(self._bury, (message_id, reason, report))

    async def waiting_of(self, user: str) -> tuple[int, int]:
        """Give how many messages wait for a user, and their bytes."""
        row = await self._database.read(lambda connection: connection.execute(_OF_USER, {"user": user}).one())
        return int(row[0]), int(row[1])

    def _add(
        self, connection: Connection, additions: Sequence[Sequence[tuple[InboundMessage, bytes]]]
    ) -> list[Sequence[Added]]:
        first: dict[str, dict[str, Any]] = {}
        for addition in additions:
            for message, content in addition:
                if message.id not in first:
                    first[message.id] = _row_of(message, content)
        answers: dict[str, Added] = {}
        if connection.dialect.name == "postgresql":
            rows = [row | {"hash": self._hashes.inbound(identity)} for identity, row in first.items()]
            answers = {identity: "new" for (identity,) in _INSERT_NEW.run_each(connection, rows)}
        if rest := [identity for identity in first if identity not in answers]:
            known, dead = self._known(connection, rest)
            answers.update({identity: known.get(identity, "new") for identity in rest})
            if dead:
                _TAKE.run(connection, ids=dead)
            if new := [first[identity] for identity in rest if identity not in known]:
                _INSERT.run_all(connection, new)
        said: list[Sequence[Added]] = []
        for addition in additions:
            each: list[Added] = []
            for message, _ in addition:
                each.append(answers[message.id])
                if each[-1] == "new":
                    answers[message.id] = "waiting"  # of several with one id the first is stored
            said.append(tuple(each))
        return said

    def _known(self, connection: Connection, ids: Iterable[str]) -> tuple[dict[str, Added], list[str]]:
        """Give the answers for ids that are there, and the ids of dead letters, which give way."""
        hashes = {self._hashes.inbound(identity): identity for identity in ids}
        known: dict[str, Added] = {}
        dead: list[str] = []
        for identity, state, hashed in _KNOWN.run(connection, ids=hashes.values(), hashes=hashes):
            if state == "done":
                known[hashes[hashed]] = "done"
            elif state == "dead":
                dead.append(identity)
            else:
                known[identity] = "waiting"
        return known, dead

    def _arrived(self, connection: Connection, groups: Sequence[Sequence[str]]) -> list[None]:
        there = _TAKE.run(connection, ids=(one for group in groups for one in group))
        remember(
            connection,
            self._now(),
            ((self._hashes.inbound(identity), self._hashes.user(jid)) for identity, jid in there),
        )
        return [None] * len(groups)

    def _bury(
        self, connection: Connection, given_up: Sequence[tuple[str, str, OutboundMail | None]]
    ) -> list[None]:
        for identity, reason, report in given_up:
            values = {"of_id": identity, "at": self._now(), "why": reason}
            # One that is gone or dead already gets no second report.
            if connection.execute(_BURY, values).rowcount and report is not None:
                self._outbox.add_now(connection, [report])
        return [None] * len(given_up)


def _later(connection: Connection, tries: Sequence[dict[str, Any]]) -> list[None]:
    connection.execute(_LATER, list(tries))
    return [None] * len(tries)


def _row_of(message: InboundMessage, content: bytes) -> dict[str, Any]:
    return {
        "id": message.id,
        "jid": message.user,
        "address": message.address,
        "sender": message.sender,
        "kind": message.kind,
        "formatter": message.formatter,
        "encrypter": message.encrypter,
        "subject": message.subject,
        "thread": message.thread,
        "notes": message.notes,
        "files": message.files,
        "size": message.size,
        "wants_report": message.wants_report,
        "envelope_id": message.envelope_id,
        "original_recipient": message.original_recipient,
        "message_id": message.message_id,
        "received_at": message.received_at,
        "attempts": message.attempts,
        "next_at": message.next_at,
        "expires_at": message.expires_at,
        "state": message.state,
        "reason": message.reason,
        "content": content,
    }


def message_of(row: Row[Any]) -> InboundMessage:
    """Make the value of a row."""
    fields: dict[str, Any] = dict(row._mapping)  # noqa: SLF001 - the public way to the names, spelled like that
    fields["user"] = fields.pop("jid")
    return InboundMessage(**fields)


def wake(connection: Connection, latest: float) -> None:
    """Let nothing be tried later than at that time."""
    connection.execute(_WAKE, {"latest": latest})
