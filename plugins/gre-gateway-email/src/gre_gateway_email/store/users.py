"""Who is registered, with a memory of who was asked for."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gre_gateway_email.store.errors import AddressTaken
from gre_gateway_email.store.records import User
from gre_gateway_email.store.schema import addresses, users, versions
from gre_gateway_email.store.statements import padded, some

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Select
    from sqlalchemy.engine import Connection, Row

    from gre_core.errors import GreError
    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.writer import Writer

T = TypeVar("T")

FRESH: Final = 5.0
"""So long an answer from memory is given without asking whether another program changed a user, in seconds."""
_REMEMBERED: Final = 30_000
_STRANGERS: Final = 2_000
"""Addresses and JIDs of nobody that are remembered; apart, so that guesses do not push users out of memory."""
_PAGE: Final = 500

_COLUMNS: Final = (*users.c, addresses.c.written)
_JOINED: Final = select(*_COLUMNS).outerjoin_from(users, addresses).order_by(users.c.jid, addresses.c.place)
_BY_JID: Final = _JOINED.where(users.c.jid == bindparam("of"))
_BY_JIDS: Final = _JOINED.where(users.c.jid.in_(some("jids")))
_BY_ADDRESS: Final = _JOINED.where(
    users.c.jid == select(addresses.c.jid).where(addresses.c.folded == bindparam("of")).scalar_subquery()
)
_AFTER: Final = select(users.c.jid).where(users.c.jid > bindparam("last")).order_by(users.c.jid).limit(_PAGE)
_PAGE_AFTER: Final = _JOINED.where(users.c.jid.in_(_AFTER))
_FROM_CONFIG: Final = _JOINED.where(users.c.from_config)
_COUNT: Final = select(func.count()).select_from(users)
_VERSION: Final = select(versions.c.number).where(versions.c.name == "users")
_CHANGED: Final = update(versions).where(versions.c.name == "users").values(number=versions.c.number + 1)

_TAKEN: Final = select(addresses.c.folded).where(addresses.c.folded.in_(some("wanted"))).limit(1)
_TAKEN_BY_OTHERS: Final = _TAKEN.where(addresses.c.jid != bindparam("of"))
_FREE: Final = delete(addresses).where(addresses.c.jid == bindparam("of"))
_GIVE: Final = insert(addresses)
_REMOVE: Final = delete(users).where(users.c.jid == bindparam("of"))


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(users)
    changes = {column.name: statement.excluded[column.name] for column in users.c if column.name != "jid"}
    return statement.on_conflict_do_update(index_elements=["jid"], set_=changes)


_PUT: Final = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}


class SqlUsers:
    """See :class:`gre_gateway_email.store.store.Users`."""

    def __init__(self, database: Database, writer: Writer, now: Callable[[], float]) -> None:
        self._database = database
        self._writer = writer
        self._now = now
        self._found: OrderedDict[tuple[str, str], User] = OrderedDict()
        self._strangers: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._version: int | None = None
        self._asked = float("-inf")
        self._age = 0
        self._lock = asyncio.Lock()

    async def get(self, jid: str) -> User | None:
        """Give the user with a bare JID."""
        return await self._one(_BY_JID, "jid", jid)

    async def by_address(self, address: str) -> User | None:
        """Give the user whom a mail address leads to; upper and lower case are the same."""
        return await self._one(_BY_ADDRESS, "address", address.lower())

    async def put(self, user: User) -> None:
        """Add a user or change one, addresses included."""
        try:
            await self._writer.do(self._put, user)
        finally:
            self.changed()

    async def remove(self, jid: str) -> None:
        """Remove a user, and nothing else of them."""
        try:
            await self._writer.do(_remove, jid)
        finally:
            self.changed()

    async def count(self) -> int:
        """Give how many there are."""
        return await self._database.read(lambda connection: int(connection.scalar(_COUNT) or 0))

    async def all(self) -> AsyncIterator[User]:
        """Give all users, page by page, ordered by JID."""
        last = ""
        while page := await self._read(_PAGE_AFTER, {"last": last}):
            for user in page:
                yield user
            last = page[-1].jid

    async def sync_config(self, pairs: Iterable[tuple[str, str]]) -> tuple[User, ...]:
        """Make the users of the operator's file what the file says: (address, bare JID)."""
        wanted: dict[str, list[str]] = {}
        for address, jid in pairs:
            wanted.setdefault(jid, []).append(address)
        try:
            return await self._writer.do(self._sync, wanted)
        finally:
            self.changed()

    def changed(self) -> None:
        """Forget all answers: somebody changed a user."""
        self._age += 1
        self._found.clear()
        self._strangers.clear()

    async def _one(self, statement: Select[Any], how: str, of: str) -> User | None:
        if time.monotonic() - self._asked > FRESH:
            await self._ask_version()
        key = how, of
        if (user := self._found.get(key)) is not None:
            self._found.move_to_end(key)
            return user
        if key in self._strangers:
            return None
        age = self._age
        found = await self._read(statement, {"of": of})
        user = found[0] if found else None
        if age == self._age:  # else it was changed while we read
            if user is None:
                _remember(self._strangers, key, None, _STRANGERS)
            else:
                _remember(self._found, key, user, _REMEMBERED)
        return user

    async def _ask_version(self) -> None:
        async with self._lock:
            started = time.monotonic()
            if started - self._asked <= FRESH:
                return
            version = await self._database.read(lambda connection: connection.scalar(_VERSION))
            if version != self._version:
                self._version = version
                self.changed()
            self._asked = started

    async def _read(self, statement: Select[Any], values: dict[str, object]) -> list[User]:
        return await self._database.read(lambda connection: _select(connection, statement, values))

    def _put(self, connection: Connection, changed: Sequence[User]) -> list[GreError | None]:
        outcomes = [_put(connection, user) for user in changed]
        connection.execute(_CHANGED)
        return outcomes

    def _sync(
        self, connection: Connection, files: Sequence[dict[str, list[str]]]
    ) -> list[tuple[User, ...] | GreError]:
        return [self._sync_one(connection, wanted) for wanted in files]

    def _sync_one(self, connection: Connection, wanted: dict[str, list[str]]) -> tuple[User, ...]:
        there = {user.jid: user for user in _select(connection, _FROM_CONFIG, {})}
        others = [jid for jid in wanted if jid not in there]
        for start in range(0, len(others), _PAGE):
            values = {"jids": padded(others[start : start + _PAGE])}
            there.update((user.jid, user) for user in _select(connection, _BY_JIDS, values))
        changed = [
            replace(old, addresses=tuple(mine), from_config=True)
            for jid, mine in wanted.items()
            for old in (there.get(jid) or User(jid, (), registered_at=self._now()),)
            if old.addresses != tuple(mine) or not old.from_config
        ]
        gone = tuple(user for jid, user in there.items() if jid not in wanted)
        # All give up theirs first: an address may go from one to another.
        freed = [{"of": user.jid} for user in (*gone, *changed) if user.jid in there]
        if freed:
            connection.execute(_FREE, freed)
        if gone:
            connection.execute(_REMOVE, [{"of": user.jid} for user in gone])
        for start in range(0, len(changed), _PAGE):
            _store(connection, changed[start : start + _PAGE])
        if gone or changed:
            connection.execute(_CHANGED)
        return gone


def _store(connection: Connection, changed: Sequence[User]) -> None:
    """Store users whose addresses were given up before."""
    rows = [
        {"folded": address.lower(), "jid": user.jid, "place": place, "written": address}
        for user in changed
        for place, address in enumerate(user.addresses)
    ]
    taken = connection.execute(_TAKEN, {"wanted": padded(row["folded"] for row in rows)}).scalars().all()
    if taken:
        raise AddressTaken(taken[0])
    connection.execute(_PUT[connection.dialect.name], [_row_of(user) for user in changed])
    if rows:
        connection.execute(_GIVE, rows)


def _put(connection: Connection, user: User) -> GreError | None:
    wanted = padded(address.lower() for address in user.addresses)
    taken = connection.scalar(_TAKEN_BY_OTHERS, {"wanted": wanted, "of": user.jid})
    if taken is not None:
        return AddressTaken(taken)
    connection.execute(_FREE, {"of": user.jid})
    _store(connection, [user])
    return None


def remove_user(connection: Connection, jid: str) -> int:
    """Remove a user with the addresses; give how many rows that were."""
    rows = connection.execute(_FREE, {"of": jid}).rowcount + connection.execute(_REMOVE, {"of": jid}).rowcount
    connection.execute(_CHANGED)
    return rows


def _remove(connection: Connection, jids: Sequence[str]) -> list[None]:
    for jid in jids:
        remove_user(connection, jid)
    return [None] * len(jids)


def _row_of(user: User) -> dict[str, Any]:
    return {
        "jid": user.jid,
        "encrypted_only": user.encrypted_only,
        "publish_key": user.publish_key,
        "blocked": user.blocked,
        "from_config": user.from_config,
        "registered_at": user.registered_at,
    }


def _select(connection: Connection, statement: Select[Any], values: Mapping[str, object]) -> list[User]:
    """Read users; each stands once for each address."""
    found: dict[str, tuple[Row[Any], list[str]]] = {}
    for row in connection.execute(statement, values):
        _, written = found.setdefault(row.jid, (row, []))
        if row.written is not None:
            written.append(row.written)
    return [
        User(
            jid,
            tuple(written),
            encrypted_only=row.encrypted_only,
            publish_key=row.publish_key,
            blocked=row.blocked,
            from_config=row.from_config,
            registered_at=row.registered_at,
        )
        for jid, (row, written) in found.items()
    ]


def _remember(answers: OrderedDict[tuple[str, str], T], key: tuple[str, str], answer: T, most: int) -> None:
    answers[key] = answer
    if len(answers) > most:
        answers.popitem(last=False)
