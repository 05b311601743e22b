"""Remembers which messages were sent and received: what answers what, and what came before.

The memory is bounded: it holds about the last 8,000 messages whose author is proven, and 4,000 others. They have
places of their own, so that nobody without a key can crowd out what a key has proven; and which messages share a place
depends on a secret of the account, so that nobody can aim at one. Contents are not kept.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.ports import Store

OWN: Final = "="
"""The signer of what we sent ourselves."""

MAX_REFERENCES: Final = 20

_PLACES: Final = 512
_PROVEN: Final = 16
_UNPROVEN: Final = 8
_MAX_ID: Final = 250
_LOOKED_UP: Final = 8
_FIELDS: Final = 6


@dataclass(frozen=True, slots=True)
class Known:
    """A message that was sent or received.

    Arguments:
        message_id: on the legacy network, without angle brackets; of a message without one, made of its content.
        stanza_id: its origin-id, or the id of its stanza; ``""`` when it had none.
        peer: bare JID of the contact.
        thread: id of the conversation: the message id of its first message.
        references: message ids of the conversation before it, oldest first.
        signer: who signed it; :data:`OWN` for what we sent; ``""`` when nobody is proven.
    """

    message_id: str
    stanza_id: str
    peer: str
    thread: str
    references: tuple[str, ...] = ()
    signer: str = ""


class MessageIndex:
    """The messages of one account.

    Arguments:
        store: of the account.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret: bytes | None = None
        self._places: dict[int, list[Known]] = {}
        self._lines: dict[Known, bytes] = {}
        self._by_stanza: dict[str, Known] | None = None

    async def find(self, message_id: str) -> Known | None:
        """Give the message with an id of the legacy network; one whose author is proven before another."""
        message_id = _short(message_id)
        found = [entry for entry in await self._place(message_id) if entry.message_id == message_id]
        return next((entry for entry in found if entry.signer), found[0] if found else None)

    async def by_stanza(self, stanza_id: str) -> Known | None:
        """Give the message with a stanza's id. The first call reads the whole memory."""
        if self._by_stanza is None:
            self._by_stanza = {}
            for number in range(_PLACES):
                self._by_stanza |= {entry.stanza_id: entry for entry in await self._read(number)}
        return self._by_stanza.get(_short(stanza_id))

    async def seen_as(self, message_id: str, signer: str, stanza_id: str | None) -> str | None:
        """Give the stanza id under which a message by a signer came before, if it was another one."""
        message_id, stanza_id = _short(message_id), _short(stanza_id or "")
        for entry in await self._place(message_id):
            if entry.message_id == message_id and entry.signer == signer:
                # Without an id it cannot be the same stanza once more: each of ours and of a gateway has one.
                return None if stanza_id and entry.stanza_id == stanza_id else entry.stanza_id
        return None

    async def thread(self, message_id: str, in_reply_to: str | None, references: Iterable[str]) -> str:
        """Give the id of the conversation that a message belongs to.

        Programs shorten the list of references: then a message of it that we know tells how it began.
        """
        before = list(references)
        nearest = [*([in_reply_to] if in_reply_to else []), *reversed(before)]
        for name in nearest[:_LOOKED_UP]:
            known = await self.find(name)
            if known is not None:
                return known.thread
        return _short(next(iter((*before, *nearest[:1])), message_id))

    async def add(self, entry: Known) -> None:
        """Remember a message. The first one of an id and a signer stays.

        Raises:
            StoreError: it cannot be kept.
        """
        entry = Known(
            _short(entry.message_id),
            _short(entry.stanza_id),
            entry.peer,
            _short(entry.thread),
            trim(name for name in entry.references if len(name) <= _MAX_ID),
            entry.signer,
        )
        place = await self._place(entry.message_id)
        if any((old.message_id, old.signer) == (entry.message_id, entry.signer) for old in place):
            return
        same_kind = [old for old in place if bool(old.signer) == bool(entry.signer)]
        if len(same_kind) >= (_PROVEN if entry.signer else _UNPROVEN):
            place.remove(same_kind[0])
            self._lines.pop(same_kind[0], None)
            if self._by_stanza is not None:
                self._by_stanza.pop(same_kind[0].stanza_id, None)
        place.append(entry)
        if self._by_stanza is not None:
            self._by_stanza[entry.stanza_id] = entry
        lines = [self._lines.get(old) or self._lines.setdefault(old, _encode(old)) for old in place]
        await self._store.put(_key(await self._number(entry.message_id)), b"\n".join(lines))

    # -- inside --------------------------------------------------------------------------------------

    async def _place(self, message_id: str) -> list[Known]:
        return await self._read(await self._number(message_id))

    async def _number(self, message_id: str) -> int:
        if self._secret is None:
            secret = await self._store.get("messages/secret")
            if not secret:
                secret = secrets.token_bytes(16)
                await self._store.put("messages/secret", secret)
            self._secret = self._secret or secret
        digest = hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=4)
        return int.from_bytes(digest.digest(), "big") % _PLACES

    async def _read(self, number: int) -> list[Known]:
        if number not in self._places:
            value = await self._store.get(_key(number))
            self._places.setdefault(number, [] if value is None else _decode(value))
        return self._places[number]


def trim(references: Iterable[str]) -> tuple[str, ...]:
    """Keep the first reference, which names the conversation, and the last ones."""
    kept = tuple(references)
    return kept if len(kept) <= MAX_REFERENCES else (kept[0], *kept[1 - MAX_REFERENCES :])


def content_id(payload: bytes) -> str:
    """Make an id for a message that has none, of what is signed."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"


def is_content_id(name: str) -> bool:
    """Tell whether an id was made by :func:`content_id`, so that nobody else knows it."""
    return name.startswith("sha256:")


def _short(name: str) -> str:
    return name if len(name) <= _MAX_ID else content_id(name.encode("utf-8", "surrogatepass"))


def _key(number: int) -> str:
    return f"messages/{number:03d}"


def _encode(entry: Known) -> bytes:
    fields = (entry.message_id, entry.stanza_id, entry.peer, entry.thread, entry.references, entry.signer)
    return json.dumps(fields).encode()


def _decode(value: bytes) -> list[Known]:
    """Read the lines that :func:`_encode` wrote; damaged ones are left out."""
    entries = []
    for line in value.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not (isinstance(row, list) and len(row) == _FIELDS and isinstance(row[4], list)):
            continue
        message_id, stanza_id, peer, thread, references, signer = row
        if all(isinstance(text, str) for text in (message_id, stanza_id, peer, thread, signer, *references)):
            entries.append(Known(message_id, stanza_id, peer, thread, tuple(references), signer))
    return entries
