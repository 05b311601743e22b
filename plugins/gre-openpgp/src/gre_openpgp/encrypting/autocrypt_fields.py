"""The Autocrypt fields that travel inside the encryption: written for our messages, learned from those of others.

Inside, no gateway can change them: they are signed. What they say never counts by itself, unless nothing else is
known of a contact.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress
from gre_core.jid_escape import escape
from gre_core.model import Direction, Notice, Signature
from gre_openpgp.autocrypt import header_value
from gre_openpgp.autocrypt_state import effective_date, gossip, gossiped, heard, only_header
from gre_openpgp.contact_record import Source
from gre_openpgp.encrypting.key_sources import note
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.user_ids import address_of, is_bound
from gre_openpgp.wkd import only_user_ids_of
from gre_openpgp.xep0373 import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from gre_core.model import Message, Opened, OpenJob
    from gre_core.ports import Ports
    from gre_openpgp.autocrypt import Autocrypt
    from gre_openpgp.encrypting.contacts import Contact, Contacts

_REST: Final = timedelta(days=1)
"""The date of a contact's last message is kept to a day, so that not every message writes to the store."""


# -- writing ---------------------------------------------------------------------------------------


def fields_for(
    address: str, own: bytes, recipients: Sequence[tuple[str, bytes]]
) -> Iterable[tuple[str, str]]:
    """Give the fields of one message.

    Arguments:
        address: ours, as the user confirmed it.
        own: our public key. We prefer encrypted answers (``mutual``): this program writes no others.
        recipients: addresses and public keys of those in To and Cc; with several, each learns of the others' keys.
    """
    value = _value(address, own, mutual=True)
    if value:
        yield "Autocrypt", value
    if len(recipients) > 1:
        for theirs, key in recipients:
            value = _value(theirs, key, mutual=False)
            if value:
                yield "Autocrypt-Gossip", value


@lru_cache(maxsize=256)
def _value(address: str, key: bytes, *, mutual: bool) -> str:
    try:
        return header_value(address, key, mutual=mutual).replace("\r\n", "")
    except BadOpenPGP:
        return ""  # too large for a header, say: mail programs find it otherwise


# -- learning --------------------------------------------------------------------------------------


async def learn(
    contacts: Contacts,
    message: Message,
    opened: Opened,
    job: OpenJob,
    ports: Ports,
    own_user_ids: Iterable[str],
) -> list[Notice]:
    """Take in the Autocrypt fields of a message whose signature is judged.

    Nothing is taken from copies of what we sent, and from messages whose signature is not good. The one
    exception is a key that would make an unknown signature good: it is noted, and counts for nothing until that
    is checked.

    Raises:
        StoreError: the memory failed.
    """
    sender = (message.claimed_sender or "").strip().lower()
    if job.direction is not Direction.RECEIVED or not sender or sender != (job.expected_sender or "").lower():
        return []
    values = message.headers.get("autocrypt", ())
    signature = opened.verdict.signature
    contact = await contacts.recall(job.peer, ports)
    if signature is Signature.UNKNOWN_SIGNER and opened.missing and values:
        await _note_signer(contacts, contact, only_header(values, sender), opened.missing, ports)
        return []
    if signature is not Signature.GOOD:
        return []
    when = effective_date(message.date, job.received, ports.now())
    notices = await _hear(contacts, contact, values, sender, when, ports)
    others = message.headers.get("autocrypt-gossip", ())
    if others:
        own = {found for user_id in own_user_ids if (found := address_of(user_id))} | {sender}
        for header in gossip(others, (*message.to, *message.cc), own):
            await _hear_gossip(contacts, job.peer, header, when, ports)
    return notices


async def _note_signer(
    contacts: Contacts, contact: Contact, header: Autocrypt | None, missing: Sequence[str], ports: Ports
) -> None:
    key = None if header is None else _key_of(contacts, header)
    if key is None or key.fingerprint in contact.record.keys:
        return
    record, _ = note(contacts.engine, contact.record, Source.AUTOCRYPT, [key], ports.now())
    if key.fingerprint in record.keys and record.keys[key.fingerprint].named_by(missing):
        await contacts.keep(contact, record, ports.store)


async def _hear(
    contacts: Contacts,
    contact: Contact,
    values: Sequence[str],
    sender: str,
    when: datetime,
    ports: Ports,
) -> list[Notice]:
    state, notices = contact.record.autocrypt, list[Notice]()
    if values and tuple(values) == contact.heard and state.fingerprint in contact.record.keys:
        rested = state.changed is not None and when - state.changed < _REST
        if rested:
            return []
    elif not values and (state.last_seen is None or when - state.last_seen < _REST):
        return []
    header = only_header(values, sender)
    key = None if header is None else _key_of(contacts, header)
    record = contact.record
    if key is not None:
        new = key.fingerprint not in record.keys
        record, _ = note(contacts.engine, record, Source.AUTOCRYPT, [key], ports.now())
        if key.fingerprint not in record.keys:
            return []
        if new:
            notices.append(_announced(contact.jid, key.fingerprint))
    after = heard(
        state,
        when,
        "" if key is None else key.fingerprint,
        mutual=header is not None and header.mutual,
        vouched=True,
    )
    await contacts.keep(contact, replace(record, autocrypt=after), ports.store)
    if after.fingerprint != state.fingerprint:
        contact.current = False
    contact.heard = tuple(values)
    return notices


async def _hear_gossip(
    contacts: Contacts, peer: str, header: Autocrypt, when: datetime, ports: Ports
) -> None:
    try:
        jid = f"{escape(header.address)}@{peer.rpartition('@')[2]}"
    except InvalidAddress:
        return
    contact = await contacts.recall(jid, ports)
    state = contact.record.autocrypt
    if state.gossip is not None and when - state.gossip < _REST:
        return
    key = _key_of(contacts, header)
    if key is None:
        return
    record, _ = note(contacts.engine, contact.record, Source.GOSSIP, [key], ports.now())
    if key.fingerprint in record.keys:
        after = replace(record, autocrypt=gossiped(state, when, key.fingerprint))
        await contacts.keep(contact, after, ports.store)


def _key_of(contacts: Contacts, header: Autocrypt) -> PublicKey | None:
    """Give the key of a header, with the address's user ids only; None when it does not bear the address."""
    try:
        kept = only_user_ids_of(header.address, header.keydata)
        key = None if kept is None else PublicKey.read(kept)
        if key is None or not is_bound(contacts.engine.read(key).user_ids, header.address):
            return None
    except BadOpenPGP:
        return None
    return key


def _announced(jid: str, fingerprint: str) -> Notice:
    return Notice(
        "autocrypt-key",
        f"This message names a key of {jid} that was not known: {fingerprint}. Nothing is encrypted to it before "
        f"you agree: gre keys trust {jid} {fingerprint}",
        {"peer": jid, "fingerprint": fingerprint},
    )
