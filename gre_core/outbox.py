"""Keeps each sent message until a receipt or an error comes (a gateway acknowledges nothing else)."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError, fromstring, tostring

from gre_core import wire
from gre_core.errors import LocalProtocolError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from gre_core.ports import Store

_PREFIX = "outbox/"
_CONFIRMED = "outbox-confirmed"
"""One key for all: it holds ids and JIDs, never a message."""

MAX_CONFIRMED: Final = 512
"""How many confirmed messages are remembered; their networks may still give them back."""

CONFIRMED_SECONDS: Final = 7 * 86_400.0
"""For how long: mail systems give up after about five days."""

_MAX_RECIPIENTS: Final = 20


class DamagedEntry(StoreError):
    """An entry of the outbox cannot be read. The message is lost; tell the user."""

    code = "outbox-damaged"


class SendState(StrEnum):
    """How far a message came."""

    QUEUED = "queued"
    """Kept; handed to the stream, or waiting for it."""
    SENT = "sent"
    """Handed to the stream; the gateway gives no receipts, so nothing more will be known."""
    RELAYED = "relayed"
    """The gateway's network took it."""
    REFUSED = "refused"
    """The gateway or a server refused it; see the error."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message on its way.

    Arguments:
        id: of the stanza; mostly its origin-id as well.
        to: bare JID of the recipient; the gateway's domain when there are several.
        state: how far it came.
        error: why it was refused, for people; ``""`` otherwise.
        condition: the stanza error condition when it was refused.
        attempts: how often it was handed to the stream.
        recipients: bare JIDs of all who get it by this stanza; one of them is refused, and it goes to none.
        origin_id: that of the message, which several stanzas may carry.
    """

    id: str
    to: str
    state: SendState
    error: str = ""
    condition: str = ""
    attempts: int = 0
    recipients: tuple[str, ...] = ()
    origin_id: str = ""


class Outbox:
    """The messages that nobody has confirmed yet, in their order. Survives a restart when the store does."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._confirmed: dict[str, _Confirmed] | None = None
        self._pending: dict[str, tuple[str, Sent]] | None = None
        self._number = 0

    async def _load(self) -> dict[str, tuple[str, Sent]]:
        if self._pending is None:
            pending: dict[str, tuple[str, Sent]] = {}
            for key in await self._store.keys(_PREFIX):
                value = await self._store.get(key)
                if value is None:
                    continue
                sent = _read_head(key, value)
                pending[sent.id] = (key, sent)
                number = key.removeprefix(_PREFIX)
                self._number = max(self._number, int(number) if number.isdecimal() else 0)
            self._pending = pending
        return self._pending

    async def add(self, stanza_id: str, to: str, stanza: Element, recipients: tuple[str, ...] = ()) -> Sent:
        """Keep a stanza before it is sent.

        Raises:
            LocalProtocolError: a message with that id is waiting already.
        """
        pending = await self._load()
        if stanza_id in pending:
            raise LocalProtocolError(
                "A message with that id is waiting already. Give each its own.", id=stanza_id
            )
        self._number += 1
        key = f"{_PREFIX}{self._number:012d}"
        origin_id = wire.stanza_id(stanza) or stanza_id
        sent = Sent(stanza_id, to, SendState.QUEUED, recipients=recipients or (to,), origin_id=origin_id)
        pending[stanza_id] = (key, sent)
        fields = {"id": stanza_id, "to": to, "recipients": sent.recipients, "origin": origin_id}
        head = json.dumps(fields).encode()
        try:
            await self._store.put(key, head + b"\n" + tostring(stanza, "utf-8"))
        except BaseException:
            del pending[stanza_id]
            raise
        return sent

    async def pending(self) -> list[Sent]:
        """List what nobody has confirmed yet, oldest first."""
        return [sent for _, sent in (await self._load()).values()]

    async def stanza(self, stanza_id: str) -> Element:
        """Give the kept stanza.

        Raises:
            DamagedEntry: it is not there or damaged.
        """
        entry = (await self._load()).get(stanza_id)
        value = await self._store.get(entry[0]) if entry is not None and entry[1].to else None
        try:
            return fromstring((value or b"").partition(b"\n")[2])  # noqa: S314 - we wrote it
        except ParseError as error:
            raise DamagedEntry(
                f"The outbox entry {stanza_id!r} is missing or damaged.", id=stanza_id
            ) from error

    async def attempted(self, stanza_id: str) -> Sent | None:
        """Count that a message was handed to the stream."""
        pending = await self._load()
        if stanza_id not in pending:
            return None
        key, sent = pending[stanza_id]
        pending[stanza_id] = (key, replace(sent, attempts=sent.attempts + 1))
        return pending[stanza_id][1]

    async def settle(
        self, stanza_id: str, peer: str | None, state: SendState, *, error: str = "", condition: str = ""
    ) -> Sent | None:
        """Take a message out, with its final state.

        Arguments:
            stanza_id: which one.
            peer: bare JID of who confirmed or refused it; only the recipient or a server on the way to it counts.
                None: we ourselves.
            state: the final state.
            error: why it was refused, for people.
            condition: the stanza error condition.

        Result:
            None when no such message waits, or when it is none of the peer's business. A message that was relayed some
            days ago at most may still be refused: the network gave it back.
        """
        pending = await self._load()
        entry = pending.get(stanza_id)
        if entry is None:
            if state is SendState.REFUSED and peer is not None:
                return await self._given_back(stanza_id, peer, error, condition)
            return None
        key, sent = entry
        if peer is not None and peer not in {sent.to, wire.domain(sent.to)}:
            return None
        del pending[stanza_id]
        try:
            await self._store.delete(key)
        except BaseException:
            pending[stanza_id] = entry
            raise
        if state in {SendState.RELAYED, SendState.SENT}:
            await self._remember(sent)
        return replace(sent, state=state, error=error, condition=condition)

    async def _given_back(self, stanza_id: str, peer: str, error: str, condition: str) -> Sent | None:
        confirmed = await self._load_confirmed()
        kept = confirmed.get(stanza_id)
        if kept is None or peer not in {kept.to, wire.domain(kept.to)}:
            return None
        del confirmed[stanza_id]
        await self._save_confirmed(confirmed)
        recipients = kept.recipients or (kept.to,)
        return Sent(
            stanza_id,
            kept.to,
            SendState.REFUSED,
            error,
            condition,
            recipients=recipients,
            origin_id=kept.origin_id,
        )

    async def _remember(self, sent: Sent) -> None:
        confirmed = await self._load_confirmed()
        confirmed.pop(sent.id, None)
        recipients = sent.recipients[:_MAX_RECIPIENTS]
        confirmed[sent.id] = _Confirmed(sent.to, recipients, sent.origin_id, self._now())
        oldest = self._now() - CONFIRMED_SECONDS
        for stanza_id in [one for one, kept in confirmed.items() if kept.at < oldest]:
            del confirmed[stanza_id]
        while len(confirmed) > MAX_CONFIRMED:
            del confirmed[next(iter(confirmed))]
        await self._save_confirmed(confirmed)

    async def _load_confirmed(self) -> dict[str, _Confirmed]:
        if self._confirmed is None:
            value = None
            with suppress(StoreError):
                value = await self._store.get(_CONFIRMED)
            self._confirmed = {} if value is None else _read_confirmed(value)
        return self._confirmed

    async def _save_confirmed(self, confirmed: dict[str, _Confirmed]) -> None:
        rows = [[one, kept.to, kept.recipients, kept.origin_id, kept.at] for one, kept in confirmed.items()]
        # That a message arrived counts more than that it may come back.
        with suppress(StoreError):
            await self._store.put(_CONFIRMED, json.dumps(rows).encode())


@dataclass(frozen=True, slots=True)
class _Confirmed:
    to: str
    recipients: tuple[str, ...]
    origin_id: str
    at: float


def _read_confirmed(value: bytes) -> dict[str, _Confirmed]:
    """Read what is remembered; of damaged data nothing."""
    try:
        return {
            str(stanza_id): _Confirmed(str(to), tuple(map(str, recipients)), str(origin_id), float(at))
            for stanza_id, to, recipients, origin_id, at in json.loads(value)[-MAX_CONFIRMED:]
        }
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _read_head(key: str, value: bytes) -> Sent:
    """Read whose message an entry keeps; a damaged entry is listed too, so that its loss can be told."""
    try:
        head = json.loads(value.partition(b"\n")[0])
        stanza_id, to = str(head["id"]), str(head["to"])
        recipients = tuple(map(str, head.get("recipients", (to,))))
        origin_id = str(head.get("origin", stanza_id))
    except (ValueError, KeyError, TypeError, RecursionError):
        stanza_id, to, recipients, origin_id = key, "", (), key
    return Sent(stanza_id, to, SendState.QUEUED, recipients=recipients, origin_id=origin_id)
