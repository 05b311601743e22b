"""Public keys that came with mails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, insert, select

from gre_gateway_email.store.records import HarvestedKey
from gre_gateway_email.store.schema import contact_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.writer import Writer

MAX_OF_USER: Final = 2000
"""How many keys are kept for one user. The oldest goes first, and those that are not authenticated before others."""

_OF: Final = and_(contact_keys.c.jid == bindparam("user"), contact_keys.c.address == bindparam("of"))
_GET: Final = select(contact_keys).where(_OF).order_by(contact_keys.c.seen_at.desc(), contact_keys.c.source)
_SAME: Final = and_(_OF, contact_keys.c.source == bindparam("from"))
_RANK: Final = select(contact_keys.c.authenticated).where(_SAME)
_COUNT: Final = select(func.count()).where(contact_keys.c.jid == bindparam("user"))
_LEAST: Final = (
    select(contact_keys.c.address.label("of"), contact_keys.c.source.label("from"))
    .where(contact_keys.c.jid == bindparam("user"))
    .order_by(contact_keys.c.authenticated, contact_keys.c.seen_at)
    .limit(1)
)
_DROP: Final = delete(contact_keys).where(_SAME)
_INSERT: Final = insert(contact_keys)


class SqlContactKeys:
    """See :class:`gre_gateway_email.store.store.ContactKeys`."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def put(self, key: HarvestedKey) -> None:
        """Keep a key in the place of an older one of the same user, address and source."""
        await self._writer.do(_put, key)

    async def get(self, user: str, address: str) -> Sequence[HarvestedKey]:
        """Give what a user has of a contact, the newest first."""
        values = {"user": user, "of": address.lower()}
        rows = await self._database.read(lambda connection: connection.execute(_GET, values).all())
        return tuple(
            HarvestedKey(row.jid, row.address, row.data, row.source, row.authenticated, row.seen_at)
            for row in rows
        )


def _put(connection: Connection, keys: Sequence[HarvestedKey]) -> list[None]:
    for key in keys:
        place = {"user": key.user, "of": key.address.lower(), "from": key.source}
        there = connection.execute(_RANK, place).one_or_none()
        if there is not None:
            if there.authenticated and not key.authenticated:
                continue
            connection.execute(_DROP, place)
        elif connection.execute(_COUNT, place).scalar_one() >= MAX_OF_USER:
            # Whoever sends mails from made-up addresses must not fill the disk.
            least = connection.execute(_LEAST, place).mappings().one()
            connection.execute(_DROP, {**place, **least})
        connection.execute(
            _INSERT,
            {
                "jid": key.user,
                "address": key.address.lower(),
                "source": key.source,
                "authenticated": key.authenticated,
                "seen_at": key.seen_at,
                "data": key.data,
            },
        )
    return [None] * len(keys)
