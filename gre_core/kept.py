"""Keeps messages that could not be opened, so that they can be tried again with another key or plugin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError, fromstring, tostring

from gre_core.delay import read_stamp
from gre_core.incoming import Incoming
from gre_core.jid_escape import canonical
from gre_core.model import Direction
from gre_core.wire import stanza_id
from gre_core.xml_text import depth_within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from gre_core.ports import Store

_PREFIX: Final = "unopened/"
_MOST: Final = 256
"""How many are kept; the oldest go first."""


class Kept:
    """The messages of one account that could not be opened."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number = 0

    async def add(self, incoming: Incoming, now: datetime) -> None:
        """Keep a message; one that is nested too deep to be written again is left to the host."""
        if not depth_within(incoming.stanza):
            return
        head = {
            "direction": incoming.direction,
            "peer": incoming.peer_full,
            "carbon": incoming.carbon,
            "received": (incoming.received or now).isoformat(),
        }
        keys = await self._store.keys(_PREFIX)
        for old in keys[: max(len(keys) - _MOST + 1, 0)]:
            await self._store.delete(old)
        self._number += 1
        key = f"{_PREFIX}{now:%Y%m%dT%H%M%S.%f}-{self._number:06d}"
        await self._store.put(key, json.dumps(head).encode() + b"\n" + tostring(incoming.stanza, "utf-8"))

    async def entries(self) -> AsyncIterator[tuple[str, Incoming]]:
        """Give what is kept, oldest first, each with its key. Damaged entries are passed over."""
        for key in await self._store.keys(_PREFIX):
            head, _, xml = (await self._store.get(key) or b"").partition(b"\n")
            try:
                fields, stanza = json.loads(head), fromstring(xml)  # noqa: S314 - we wrote it, from a parsed stanza
                direction, peer, carbon = (
                    Direction(fields["direction"]),
                    str(fields["peer"]),
                    fields["carbon"],
                )
            except (ValueError, KeyError, TypeError, RecursionError, ParseError):
                continue
            received = read_stamp(str(fields.get("received", "")))
            yield (
                key,
                Incoming(
                    stanza, direction, canonical(peer), peer, carbon is True, stanza_id(stanza), received
                ),
            )

    async def remove(self, key: str) -> None:
        """Keep a message no longer."""
        await self._store.delete(key)
