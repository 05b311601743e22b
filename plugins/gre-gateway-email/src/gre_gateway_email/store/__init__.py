"""Everything durable, in one database: users, messages under way, keys of contacts, what was relayed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gre_gateway_email.store.errors import AddressTaken, NoRoom
from gre_gateway_email.store.records import (
    Contact,
    HarvestedKey,
    InboundKind,
    InboundMessage,
    KeySource,
    OutboundMail,
    QueueCount,
    State,
    User,
)
from gre_gateway_email.store.store import (
    Added,
    ContactKeys,
    Contacts,
    DeadLetters,
    Inbox,
    Outbox,
    Store,
    Users,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "Added",
    "AddressTaken",
    "Contact",
    "ContactKeys",
    "Contacts",
    "DeadLetters",
    "HarvestedKey",
    "InboundKind",
    "InboundMessage",
    "Inbox",
    "KeySource",
    "NoRoom",
    "OutboundMail",
    "Outbox",
    "QueueCount",
    "State",
    "Store",
    "User",
    "Users",
    "default_url",
    "open_store",
]


async def open_store(
    url: str, now: Callable[[], float] = time.time, *, claim: Callable[[], None] | None = None
) -> Store:
    """Open a database, make its tables or bring them up to date.

    Arguments:
        url: ``sqlite:////path/gateway.db`` (the folder is made with mode 0700, the file with 0600), or
            ``postgresql://user:password@host/name``.
        now: gives the time in seconds since 1970.
        claim: for the gateway itself: no other gateway can open the database so as long as this store is open. It is
            called when one has, because this one lost its connection; then nothing can be written any more.

    Raises:
        StoreError: it cannot be opened, another gateway has claimed it, or a newer version of this program wrote it.
            The text says what to do.
    """
    from gre_gateway_email.store.sql_store import open_sql_store  # noqa: PLC0415 - --help does not wait for it

    return await open_sql_store(url, now, claim)


def default_url(state: Path) -> str:
    """Give the URL of the database in a state folder."""
    return f"sqlite:///{state.absolute() / 'gateway.db'}"
