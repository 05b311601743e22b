"""What is remembered of a contact's keys: one store entry per contact, ``openpgp/contacts/JID``.

It says which keys are known, which source served each of them when, and what the user decided. Nothing here
decides anything: see :mod:`gre_openpgp.key_choice`.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import StoreError
from gre_openpgp.key_origin import from_fields, to_fields
from gre_openpgp.packets import read_certificate
from gre_openpgp.xep0373 import PublicKey, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gre_core.ports import Store

PREFIX: Final = "openpgp/contacts/"

MAX_KNOWN: Final = 48
"""How many keys of one contact are remembered. Those that nobody decided about and nobody serves go first."""

_DAY: Final = timedelta(days=1)


class Source(StrEnum):
    """Where a key comes from, best first."""

    PINNED = "pinned"
    """The user gave it."""
    XEP0373 = "xep-0373"
    """The contact's key list; for a contact on a gateway that is the gateway's word."""
    WKD = "wkd"
    """The mail domain of the contact, asked by this client itself."""
    AUTOCRYPT = "autocrypt"
    """A message of the contact."""
    GOSSIP = "autocrypt-gossip"
    """A message of somebody else."""


class KeyState(StrEnum):
    """What was decided about a key."""

    NEW = "new"
    """Seen, not decided: nothing is encrypted to it."""
    ACCEPTED = "accepted"
    VERIFIED = "verified"
    """The user compared the fingerprint."""
    PINNED = "pinned"
    """The user gave the key: nothing else is used as long as there is one."""
    FORMER = "former"
    """Was accepted; then its source served others instead."""
    BLOCKED = "blocked"
    """The user said no."""


TRUSTED: Final = frozenset({KeyState.ACCEPTED, KeyState.VERIFIED, KeyState.PINNED})


class By(StrEnum):
    """Who accepted a key."""

    NOBODY = ""
    FIRST_USE = "first-use"
    CONFIRMED = "confirmed"
    """An independent source serves it too."""
    ANSWER = "answer"
    """The user said yes to a question about it."""
    USER = "user"
    """The user named this key."""


@dataclass(frozen=True, slots=True)
class Seen:
    """When a source served a key: first and last, to a day."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key of a contact.

    Arguments:
        key: with the date that the contact's key list gave, and the origin that the gateway named.
        state: what was decided.
        by: who decided it.
        sources: who served it, and when.
        revoked: a source served it as revoked. That is never forgotten.
        told: the user was told that only the gateway stands behind it.
    """

    key: PublicKey
    state: KeyState = KeyState.NEW
    by: By = By.NOBODY
    sources: Mapping[Source, Seen] = field(default_factory=dict)
    revoked: bool = False
    told: bool = False

    @property
    def fingerprint(self) -> str:
        """In upper-case hex."""
        return self.key.fingerprint

    def named_by(self, ids: Iterable[str]) -> bool:
        """Tell whether one of these fingerprints or key ids, in upper-case hex, is one of its keys."""
        names = set(ids)
        return any(
            part.fingerprint in names or part.key_id in names for part in read_certificate(self.key.data).keys
        )

    @property
    def origin(self) -> str:
        """Where a gateway says that it has the key from, in words for people, or ``""``. It proves nothing."""
        served = self.key.origin is not None and Source.XEP0373 in self.sources
        return self.key.origin.describe() if served and self.key.origin is not None else ""

    @property
    def trusted(self) -> bool:
        """Whether signatures by it count."""
        return self.state in TRUSTED

    @property
    def source(self) -> Source | None:
        """The best source that served it."""
        if self.state is KeyState.PINNED:
            return Source.PINNED
        return next((source for source in Source if source in self.sources), None)

    @property
    def confirmed(self) -> bool:
        """Whether more than the gateway stands behind it."""
        return (
            self.state in {KeyState.VERIFIED, KeyState.PINNED}
            or self.by is By.USER
            or Source.WKD in self.sources
        )

    def seen(self, source: Source, now: datetime) -> KnownKey:
        """Note that a source serves it."""
        before = self.sources.get(source)
        if before is not None and now - before.last < _DAY:
            return self
        first = now if before is None else before.first
        return replace(self, sources={**self.sources, source: Seen(first, now)})


@dataclass(frozen=True, slots=True)
class WkdMemory:
    """The last answer of the contact's domain.

    Arguments:
        address: that was asked about.
        until: how long it is not asked again.
        fingerprints: of the keys that it gave last; a failed attempt does not change them.
        outcome: of the last attempt: as :class:`gre_openpgp.wkd.WkdOutcome`.
    """

    address: str
    until: datetime
    fingerprints: tuple[str, ...] = ()
    outcome: str = "nothing"


@dataclass(frozen=True, slots=True)
class AutocryptMemory:
    """The peer state of Autocrypt (Autocrypt Level 1, section 5).

    Arguments:
        last_seen: effective date of the newest message.
        changed: effective date of the newest message with a header.
        fingerprint: the key of that header.
        mutual: that header wanted encrypted answers.
        vouched: that message was signed by a key that counted already.
        gossip: effective date of the newest gossip.
        gossip_fingerprint: the key that it named.
    """

    last_seen: datetime | None = None
    changed: datetime | None = None
    fingerprint: str = ""
    mutual: bool = False
    vouched: bool = False
    gossip: datetime | None = None
    gossip_fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """All that is remembered of one contact.

    Arguments:
        keys: by fingerprint.
        wkd: the last answer of the contact's domain; None when it was never asked.
        autocrypt: what the contact's messages said.
        overruled: keys of the contact's domain that the user decided against.
    """

    keys: Mapping[str, KnownKey] = field(default_factory=dict)
    wkd: WkdMemory | None = None
    autocrypt: AutocryptMemory = AutocryptMemory()
    overruled: tuple[str, ...] = ()

    def trusted(self) -> tuple[KnownKey, ...]:
        """The keys whose signatures count."""
        return tuple(known for known in self.keys.values() if known.trusted)

    def with_keys(self, changed: Iterable[KnownKey]) -> ContactRecord:
        """Put keys in, or replace them; forget the oldest undecided ones beyond :data:`MAX_KNOWN`."""
        keys = {**self.keys, **{known.fingerprint: known for known in changed}}
        undecided = [name for name, known in keys.items() if known.state in {KeyState.NEW, KeyState.FORMER}]
        undecided.sort(key=lambda name: (keys[name].revoked, _last(keys[name])))
        for name in undecided[: max(len(keys) - MAX_KNOWN, 0)]:
            del keys[name]
        return replace(self, keys=keys)


def _last(known: KnownKey) -> datetime:
    return max((seen.last for seen in known.sources.values()), default=datetime.min.replace(tzinfo=UTC))


# -- the store -------------------------------------------------------------------------------------


def read_record(raw: bytes | None, jid: str) -> ContactRecord:
    """Read a store entry; nothing remembered is an empty record.

    Raises:
        StoreError: it is damaged. It is never taken for a first use.
    """
    if raw is None:
        return ContactRecord()
    try:
        content = json.loads(raw)
        legacy = content["version"] == 1
        keys = (_read_key(entry, legacy=legacy) for entry in content["keys"])
        return ContactRecord(
            {known.fingerprint: known for known in keys},
            _read_wkd(content.get("wkd")),
            _read_autocrypt(content.get("autocrypt") or {}),
            tuple(map(str, content.get("overruled", ()))),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise StoreError(
            f"What was remembered of the keys of {jid} is damaged. Restore the store, or delete the entry "
            f"{PREFIX}{jid} after you compared the keys with your contact",
            jid=jid,
        ) from None


def write_record(record: ContactRecord) -> bytes:
    """Give the store entry for a record."""
    content: dict[str, Any] = {
        "version": 2,
        "keys": [_write_key(known) for known in record.keys.values()],
        "autocrypt": {
            name: timestamp(value) if isinstance(value, datetime) else value
            for name in AutocryptMemory.__slots__
            if (value := getattr(record.autocrypt, name))
        },
    }
    if record.overruled:
        content["overruled"] = list(record.overruled)
    if record.wkd is not None:
        content["wkd"] = {
            "address": record.wkd.address,
            "until": timestamp(record.wkd.until),
            "fingerprints": list(record.wkd.fingerprints),
            "outcome": record.wkd.outcome,
        }
    return json.dumps(content, separators=(",", ":")).encode("ascii")


async def load_record(jid: str, store: Store) -> ContactRecord:
    """Read what is remembered of a contact; raises :class:`StoreError`."""
    return read_record(await store.get(PREFIX + jid), jid)


async def save_record(jid: str, record: ContactRecord, store: Store) -> bytes:
    """Keep what is known of a contact; gives what was written. Raises :class:`StoreError`."""
    raw = write_record(record)
    await store.put(PREFIX + jid, raw)
    return raw


def _write_key(known: KnownKey) -> dict[str, Any]:
    return {
        "fingerprint": known.fingerprint,
        "date": known.key.date,
        "data": binascii.b2a_base64(known.key.data, newline=False).decode("ascii"),
        "state": known.state.value,
        "by": known.by.value,
        "sources": {
            source.value: [timestamp(seen.first), timestamp(seen.last)]
            for source, seen in known.sources.items()
        },
        **({} if known.key.origin is None else {"origin": to_fields(known.key.origin)}),
        **({"revoked": True} if known.revoked else {}),
        **({"told": True} if known.told else {}),
    }


def _read_key(entry: Mapping[str, Any], *, legacy: bool) -> KnownKey:
    key = PublicKey(
        str(entry["fingerprint"]),
        binascii.a2b_base64(entry["data"]),
        str(entry["date"]),
        from_fields(entry.get("origin") or {}),
    )
    if legacy:
        return KnownKey(key, KeyState.ACCEPTED, By.FIRST_USE)
    return KnownKey(
        key,
        KeyState(entry["state"]),
        By(entry["by"]),
        {Source(name): Seen(_date(dates[0]), _date(dates[1])) for name, dates in entry["sources"].items()},
        entry.get("revoked") is True,
        entry.get("told") is True,
    )


def _read_wkd(entry: Mapping[str, Any] | None) -> WkdMemory | None:
    if not entry:
        return None
    return WkdMemory(
        str(entry["address"]), _date(entry["until"]), tuple(map(str, entry["fingerprints"])), entry["outcome"]
    )


def _read_autocrypt(entry: Mapping[str, Any]) -> AutocryptMemory:
    dates = {name: _date(entry[name]) for name in ("last_seen", "changed", "gossip") if name in entry}
    return AutocryptMemory(
        dates.get("last_seen"),
        dates.get("changed"),
        str(entry.get("fingerprint", "")),
        entry.get("mutual") is True,
        entry.get("vouched") is True,
        dates.get("gossip"),
        str(entry.get("gossip_fingerprint", "")),
    )


def _date(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
