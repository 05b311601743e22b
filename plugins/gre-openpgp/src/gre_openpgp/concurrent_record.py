"""Several programs on one store: what the user decided in another one is not overwritten.

A look-up, and still more a question to the user, takes long. Whoever writes a record afterwards compares it with the
one that it began with, and takes over what the user said meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gre_openpgp.contact_record import PREFIX, By, ContactRecord, read_record, save_record

if TYPE_CHECKING:
    from gre_core.ports import Store


async def save_over(
    jid: str, record: ContactRecord, base: ContactRecord, store: Store
) -> tuple[ContactRecord, bytes]:
    """Keep a record that was made of an older one; gives what was kept, and as it lies in the store.

    Arguments:
        jid: of the contact.
        record: what is to be kept.
        base: what it was made of.
        store: of the host.

    Raises:
        StoreError: the memory cannot be read or written.
    """
    raw = await store.get(PREFIX + jid)
    stored = read_record(raw, jid)
    if stored != base:
        record = merged(record, base, stored)
    if raw is None or record != stored:
        raw = await save_record(jid, record, store)
    return record, raw


def merged(record: ContactRecord, base: ContactRecord, stored: ContactRecord) -> ContactRecord:
    """Give a record with what was decided about keys between ``base`` and ``stored``."""
    decided = []
    for fingerprint, known in stored.keys.items():
        before, ours = base.keys.get(fingerprint), record.keys.get(fingerprint, known)
        by_user = known.by in {By.USER, By.ANSWER}
        if before is None or (by_user and (known.state, known.by) != (before.state, before.by)):
            ours = replace(ours, state=known.state, by=known.by) if by_user else ours
        elif fingerprint not in record.keys:
            continue
        decided.append(replace(ours, revoked=ours.revoked or known.revoked))
    return record.with_keys(decided)
