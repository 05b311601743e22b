"""The contacts whose keys are to be fetched when the next session starts: their messages bore an unknown signature."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gre_core.ports import Store

WANTED: Final = "openpgp/wanted"
"""Store key: a list of bare JIDs, oldest first."""

MAX_WANTED: Final = 32
"""Longest list. Who writes to us puts contacts there, so the oldest go."""


async def wanted(store: Store) -> list[str]:
    """Give the list; raises :class:`StoreError`."""
    try:
        found = json.loads(await store.get(WANTED) or b"[]")
    except ValueError:
        return []
    return [jid for jid in found if isinstance(jid, str)][-MAX_WANTED:] if isinstance(found, list) else []


async def want(jid: str, store: Store) -> None:
    """Put a contact on the list; raises :class:`StoreError`."""
    present = await wanted(store)
    if jid not in present:
        await store.put(WANTED, json.dumps([*present, jid][-MAX_WANTED:]).encode("ascii"))


async def unwant(jid: str, store: Store) -> None:
    """Take a contact from the list; raises :class:`StoreError`."""
    present = await wanted(store)
    if jid in present:
        await store.put(WANTED, json.dumps([one for one in present if one != jid]).encode("ascii"))
