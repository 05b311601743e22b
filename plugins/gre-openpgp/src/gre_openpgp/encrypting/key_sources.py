"""Asking the sources of a contact's keys, and putting together what they say. Nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gre_core.errors import PeerError, PeerTimeout
from gre_openpgp.contact_record import KnownKey, Source, WkdMemory
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import MAX_CERT
from gre_openpgp.wkd import WkdAnswer, WkdOutcome, look_up
from gre_openpgp.xep0373 import fetch_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from gre_core.ports import PubSub, Web
    from gre_openpgp.contact_record import ContactRecord
    from gre_openpgp.encrypting.engine import Engine
    from gre_openpgp.xep0373 import PublicKey

WKD_AGAIN: Final = {
    WkdOutcome.KEYS: timedelta(days=1),
    WkdOutcome.NOTHING: timedelta(hours=12),
    WkdOutcome.NO_DIRECTORY: timedelta(days=1),
    WkdOutcome.REFUSED: timedelta(hours=6),
    WkdOutcome.OFFLINE: timedelta(minutes=15),
}
"""After how long a contact's domain is asked again."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the sources say.

    Arguments:
        record: with all keys that came, none of them decided.
        served: fingerprints by source; a source that was not asked, or did not answer, speaks as it did last.
        problems: texts for people, by fingerprint or name of the source.
        listed: whether the key list could be read.
        why_none: what the gateway says when it has no key.
    """

    record: ContactRecord
    served: Mapping[Source, tuple[str, ...]]
    problems: Mapping[str, str] = field(default_factory=dict)
    listed: bool = True
    why_none: str = ""


async def ask_list(
    engine: Engine, jid: str, record: ContactRecord, pubsub: PubSub, now: datetime
) -> Gathered:
    """Read the key list of a contact (XEP-0373, section 4).

    Raises:
        PeerTimeout: no answer.
    """
    try:
        fetched = await fetch_keys(jid, pubsub, {name: known.key for name, known in record.keys.items()})
    except (PeerError, BadOpenPGP) as error:
        return Gathered(
            record, {}, {Source.XEP0373: f"the key list cannot be read: {error.text}"}, listed=False
        )
    record, problems = note(engine, record, Source.XEP0373, fetched.keys, now)
    names = tuple(key.fingerprint for key in fetched.keys)
    return Gathered(
        record, {Source.XEP0373: names}, {**fetched.problems, **problems}, why_none=fetched.why_none
    )


async def why_none(jid: str, pubsub: PubSub) -> str:
    """Ask the gateway why it has no key of a contact; ``""`` when it does not say."""
    try:
        return (await fetch_keys(jid, pubsub)).why_none
    except (PeerError, PeerTimeout, BadOpenPGP):
        return ""


def domain_is_due(record: ContactRecord, address: str, now: datetime) -> bool:
    """Tell whether the contact's domain may be asked again."""
    return record.wkd is None or record.wkd.address != address.lower() or record.wkd.until <= now


async def ask_domain(
    engine: Engine, record: ContactRecord, address: str, web: Web, now: datetime
) -> tuple[ContactRecord, WkdAnswer]:
    """Ask the contact's domain (Web Key Directory), and remember the answer. Raises nothing."""
    answer = await look_up(address, web)
    before = record.wkd.fingerprints if record.wkd and record.wkd.address == address.lower() else ()
    names = tuple(key.fingerprint for key in answer.keys)
    if answer.outcome not in {WkdOutcome.KEYS, WkdOutcome.NOTHING}:
        names = before  # who keeps the domain from answering must not make it unsay what it said
    record, _ = note(engine, record, Source.WKD, answer.keys, now)
    until = now + WKD_AGAIN[answer.outcome]
    return replace(record, wkd=WkdMemory(address.lower(), until, names, answer.outcome.value)), answer


def remembered_answers(record: ContactRecord, address: str) -> dict[Source, tuple[str, ...]]:
    """Give what the other sources said last: the domain, the contact's messages, those of others."""
    served: dict[Source, tuple[str, ...]] = {}
    if record.wkd is not None and record.wkd.address == address.lower():
        served[Source.WKD] = record.wkd.fingerprints
    if record.autocrypt.fingerprint:
        served[Source.AUTOCRYPT] = (record.autocrypt.fingerprint,)
    if record.autocrypt.gossip_fingerprint:
        served[Source.GOSSIP] = (record.autocrypt.gossip_fingerprint,)
    return served


def note(
    engine: Engine, record: ContactRecord, source: Source, keys: Iterable[PublicKey], now: datetime
) -> tuple[ContactRecord, dict[str, str]]:
    """Put served keys into the record; give the problems of those that cannot be read, by fingerprint."""
    changed: list[KnownKey] = []
    problems: dict[str, str] = {}
    for key in keys:
        known = record.keys.get(key.fingerprint)
        try:
            if known is None:
                new = KnownKey(key, revoked=engine.read(key).revoked)
            elif known.key.data == key.data:
                new = known
            else:
                new = _united(engine, known, key)
        except BadOpenPGP as error:
            problems[key.fingerprint] = error.text
            continue
        if source is Source.XEP0373 and (new.key.date, new.key.origin) != (key.date, key.origin):
            new = replace(new, key=replace(new.key, date=key.date, origin=key.origin))
        new = new.seen(source, now)
        if new is not known:
            changed.append(new)
    return (record.with_keys(changed) if changed else record), problems


def _united(engine: Engine, known: KnownKey, served: PublicKey) -> KnownKey:
    """Put together what two sources know of one key, so that none can take back a revocation by leaving it out."""
    merged = replace(known.key, data=engine.merge(known.key, served))
    if len(merged.data) > MAX_CERT:
        return replace(known, revoked=known.revoked or engine.read(served).revoked)
    return replace(known, key=merged, revoked=known.revoked or engine.read(merged).revoked)


def all_served(served: Mapping[Source, Sequence[str]]) -> list[str]:
    """Give every fingerprint once, best source first."""
    return list(dict.fromkeys(name for names in served.values() for name in names))
