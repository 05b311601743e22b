"""Mails to the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, literal_column, select, text, union_all, update

from gre_gateway_email.store.prepared import Prepared
from gre_gateway_email.store.records import OutboundMail
from gre_gateway_email.store.remembered import insert_new, remember
from gre_gateway_email.store.schema import outbox, relayed
from gre_gateway_email.store.statements import padded, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.engine import Connection, Row

    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.hashes import Hashes
    from gre_gateway_email.store.store import Added
    from gre_gateway_email.store.writer import Writer

HEAD: Final = tuple(column for column in outbox.c if column.name != "mail")
"""All but the mail itself."""

_INSERT: Final = Prepared(lambda: insert(outbox))
_INSERT_NEW: Final = insert_new(outbox, "key")
_KNOWN: Final = Prepared(
    lambda keys, hashes: union_all(
        select(outbox.c.key, outbox.c.id, outbox.c.state).where(outbox.c.key.in_(keys)),
        select(relayed.c.hash, literal_column("''"), literal_column("'done'")).where(
            relayed.c.hash.in_(hashes)
        ),
    ),
    keys=outbox.c.key,
    hashes=relayed.c.hash,
)
_TAKE: Final = Prepared(
    lambda ids: delete(outbox).where(outbox.c.id.in_(ids)).returning(outbox.c.id), ids=outbox.c.id
)
_TAKE_AND_REMEMBER: Final = Prepared(
    lambda: text(
        "WITH gone AS (DELETE FROM outbox WHERE id = :of_id RETURNING id) "
        "INSERT INTO relayed (hash, user_hash, at) "
        "SELECT unnest(CAST(:hashes AS bytea[])), CAST(:user_hash AS bytea), CAST(:now AS bigint) FROM gone "
        "ON CONFLICT DO NOTHING"
    )
)
"""What SQLite has no words for, and PostgreSQL does in one round trip."""
_LATER: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("of_id"), outbox.c.state == "waiting")
    .values(attempts=outbox.c.attempts + 1, next_at=bindparam("at"), reason=bindparam("why"))
)
_BURY: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("of_id"), outbox.c.state == "waiting")
    .values(state="dead", next_at=bindparam("at"), reason=bindparam("why"))
)
_WAITING: Final = select(outbox).where(outbox.c.state == "waiting")
_DUE: Final = (
    _WAITING.where(
        outbox.c.next_at <= bindparam("last"),
        outbox.c.id.not_in(some("exclude")),
    )
    .order_by(outbox.c.next_at)
    .limit(bindparam("most"))
)
_WAKE: Final = (
    update(outbox)
    .where(outbox.c.state == "waiting", outbox.c.next_at > bindparam("latest"))
    .values(next_at=bindparam("latest"))
)
_NEXT_AT: Final = (
    select(outbox.c.next_at).where(outbox.c.state == "waiting").order_by(outbox.c.next_at).limit(1)
)
_RECIPIENTS: Final = select(outbox.c.recipients).where(
    outbox.c.jid == bindparam("user"), outbox.c.message_id == bindparam("of_message")
)
_STANZA: Final = select(outbox.c.stanza_id).where(
    outbox.c.jid == bindparam("user"), outbox.c.message_id == bindparam("of_message")
)
_IS_RELAYED: Final = select(relayed.c.hash).where(relayed.c.hash == bindparam("of_hash"))


class SqlOutbox:
    """See :class:`gre_gateway_email.store.store.Outbox`."""

    def __init__(self, database: Database, writer: Writer, hashes: Hashes, now: Callable[[], float]) -> None:
        self._database = database
        self._writer = writer
        self._hashes = hashes
        self._now = now

    async def add(self, mail: OutboundMail) -> Added:
        """Store a mail, unless one with its key is there or was sent in the last days."""
        return await self._writer.do(self._add, mail)

    async def is_known(self, key: bytes) -> Added:
        """Tell what :meth:`add` would say, without storing."""
        known = await self._database.read(lambda connection: self._known(connection, [key]))
        return known[key][1] if key in known else "new"

    async def due(self, now: float, limit: int, exclude: Iterable[str] = ()) -> Sequence[OutboundMail]:
        """Give waiting mails whose time has come, the oldest first."""
        values = {"last": now, "exclude": padded(exclude), "most": limit}
        rows = await self._database.read(lambda connection: connection.execute(_DUE, values).all())
        return tuple(map(mail_of, rows))

    async def next_at(self) -> float | None:
        """Give when the next mail is due, or None when none waits."""
        return await self._database.read(lambda connection: connection.scalar(_NEXT_AT))

    async def sent(self, mail: OutboundMail) -> None:
        """Remove a mail that the relay took; keep hashes of its key and of (message id, each recipient)."""
        await self._writer.do(self._sent, mail)

    async def refused(self, mail: OutboundMail) -> None:
        """Remove a mail that was refused for good and whose user is told so."""
        await self._writer.do(self._refused, mail.id)

    async def later(self, mail: OutboundMail, next_at: float, reason: str) -> None:
        """Note a failed try and when the next one is."""
        await self._writer.do(_later, {"of_id": mail.id, "at": next_at, "why": reason})

    async def bury(self, mail: OutboundMail, reason: str) -> None:
        """Make a mail a dead letter."""
        await self._writer.do(_bury, {"of_id": mail.id, "at": self._now(), "why": reason})

    async def was_sent(self, user: str, message_id: str, recipient: str) -> bool:
        """Tell whether a user sent a mail with that Message-ID to an address in the last days."""
        hashed = self._hashes.recipient(user, message_id, recipient)

        def work(connection: Connection) -> bool:
            if connection.scalar(_IS_RELAYED, {"of_hash": hashed}) is not None:
                return True
            # A report can be quicker than the note that the mail was sent.
            values = {"user": user, "of_message": message_id}
            return any(
                recipient.lower() in map(str.lower, names)
                for names in connection.scalars(_RECIPIENTS, values)
            )

        return await self._database.read(work)

    async def stanza_of(self, user: str, message_id: str) -> str | None:
        """Give the id of the stanza that a mail was made of, while the mail is here; ``""`` when it had none."""
        values = {"user": user, "of_message": message_id}
        return await self._database.read(lambda connection: connection.scalar(_STANZA, values))

    def add_now(self, connection: Connection, mails: Sequence[OutboundMail]) -> list[Added]:
        """Add mails within a transaction of somebody else."""
        first = {mail.key: mail for mail in reversed(mails)}
        answers: dict[bytes, Added] = {}
        if connection.dialect.name == "postgresql":
            rows = [_row_of(mail) | {"hash": self._hashes.key(key)} for key, mail in first.items()]
            answers = {key: "new" for (key,) in _INSERT_NEW.run_each(connection, rows)}
        if rest := [key for key in first if key not in answers]:
            known = self._known(connection, rest)
            answers.update({key: known[key][1] if key in known else "new" for key in rest})
            if dead := [identity for identity, answer in known.values() if answer == "new"]:
                _TAKE.run(connection, ids=dead)
            if new := [_row_of(first[key]) for key in rest if answers[key] == "new"]:
                _INSERT.run_all(connection, new)
        said: list[Added] = []
        for mail in mails:
            said.append(answers[mail.key])
            if said[-1] == "new":
                answers[mail.key] = "waiting"  # of several with one key the first is stored
        return said

    def _add(self, connection: Connection, mails: Sequence[OutboundMail]) -> list[Added]:
        return self.add_now(connection, mails)

    def _known(self, connection: Connection, keys: Iterable[bytes]) -> dict[bytes, tuple[str, Added]]:
        """Give (id, answer) of keys that are there. A dead letter is known, and gives way to a new mail."""
        hashes = {self._hashes.key(key): key for key in keys}
        found: dict[bytes, tuple[str, Added]] = {}
        for key, identity, state in _KNOWN.run(connection, keys=hashes.values(), hashes=hashes):
            if state == "done":
                found[hashes[key]] = "", "done"
            else:
                found[key] = identity, "new" if state == "dead" else "waiting"
        return found

    def _sent(self, connection: Connection, mails: Sequence[OutboundMail]) -> list[None]:
        # One that is not there was sent before, or its user was forgotten: then nothing is kept of it either.
        now = self._now()
        if connection.dialect.name == "postgresql":
            rows = [
                {
                    "of_id": mail.id,
                    "hashes": self._hashes_of(mail),
                    "user_hash": self._hashes.user(mail.user),
                    "now": int(now),
                }
                for mail in mails
            ]
            _TAKE_AND_REMEMBER.run_all(connection, rows)
        else:
            there = {identity for (identity,) in _TAKE.run(connection, ids=(mail.id for mail in mails))}
            remember(
                connection,
                now,
                (
                    (hashed, self._hashes.user(mail.user))
                    for mail in mails
                    if mail.id in there
                    for hashed in self._hashes_of(mail)
                ),
            )
        return [None] * len(mails)

    def _hashes_of(self, mail: OutboundMail) -> list[bytes]:
        recipients = (self._hashes.recipient(mail.user, mail.message_id, one) for one in mail.recipients)
        return [self._hashes.key(mail.key), *recipients]

    def _refused(self, connection: Connection, ids: Sequence[str]) -> list[None]:
        _TAKE.run(connection, ids=ids)
        return [None] * len(ids)


def _later(connection: Connection, tries: Sequence[dict[str, Any]]) -> list[None]:
    connection.execute(_LATER, list(tries))
    return [None] * len(tries)


def _bury(connection: Connection, given_up: Sequence[dict[str, Any]]) -> list[None]:
    connection.execute(_BURY, list(given_up))
    return [None] * len(given_up)


def _row_of(mail: OutboundMail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "key": mail.key,
        "jid": mail.user,
        "user_full": mail.user_full,
        "stanza_id": mail.stanza_id,
        "stanza_to": mail.stanza_to,
        "stanza_type": mail.stanza_type,
        "wants_receipt": mail.wants_receipt,
        "sender": mail.sender,
        "recipients": mail.recipients,
        "message_id": mail.message_id,
        "kind": mail.kind,
        "size": len(mail.mail),
        "created_at": mail.created_at,
        "attempts": mail.attempts,
        "next_at": mail.next_at,
        "state": mail.state,
        "reason": mail.reason,
        "mail": mail.mail,
    }


def mail_of(row: Row[Any]) -> OutboundMail:
    """Make the value of a row; of one without its content too."""
    fields: dict[str, Any] = dict(row._mapping)  # noqa: SLF001 - the public way to the names, spelled like that
    fields["user"] = fields.pop("jid")
    fields.setdefault("mail", b"")
    return OutboundMail(**fields)


def wake(connection: Connection, latest: float) -> None:
    """Let nothing be tried later than at that time."""
    connection.execute(_WAKE, {"latest": latest})
