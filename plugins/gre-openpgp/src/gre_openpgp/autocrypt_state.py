"""The peer state of Autocrypt: what a message changes in it (Autocrypt Level 1, section 5.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gre_openpgp.autocrypt import Autocrypt, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from gre_openpgp.contact_record import AutocryptMemory

MAX_HEADERS = 16
"""How many headers of a message are looked at."""


def effective_date(written: datetime | None, received: datetime | None, now: datetime) -> datetime:
    """Give the effective date of a message: what it says, but never in the future."""
    date = written or received or now
    return min(date, received or now, now)


def only_header(values: Iterable[str], sender: str) -> Autocrypt | None:
    """Give the header of a message; None when there is none, or more than one that could count.

    Arguments:
        values: of all Autocrypt fields.
        sender: the address in From.
    """
    found = [header for header in _parsed(values) if header.address == sender.strip().lower()]
    return found[0] if len(found) == 1 else None


def gossip(values: Iterable[str], recipients: Iterable[str], own: Collection[str]) -> Iterator[Autocrypt]:
    """Give the gossip headers that count: one for each address in To and Cc that is not ours."""
    wanted = {address.strip().lower() for address in recipients} - set(own)
    for header in _parsed(values):
        if header.address in wanted:
            wanted.discard(header.address)
            yield header


def _parsed(values: Iterable[str]) -> Iterator[Autocrypt]:
    for count, value in enumerate(values):
        if count == MAX_HEADERS:
            return
        header = parse(value)
        if header is not None:
            yield header


def heard(
    state: AutocryptMemory, when: datetime, fingerprint: str, *, mutual: bool, vouched: bool
) -> AutocryptMemory:
    """Take in a message of the peer.

    Arguments:
        state: before it.
        when: its effective date.
        fingerprint: of the key in its header, or ``""`` without a header.
        mutual: what the header prefers.
        vouched: the message is signed by a key that counts.
    """
    if state.changed is not None and when < state.changed:
        return state
    seen = max(when, state.last_seen or when)
    if not fingerprint:
        return replace(state, last_seen=seen)
    return replace(
        state, last_seen=seen, changed=when, fingerprint=fingerprint, mutual=mutual, vouched=vouched
    )


def gossiped(state: AutocryptMemory, when: datetime, fingerprint: str) -> AutocryptMemory:
    """Take in what somebody else says about the peer's key."""
    if state.gossip is not None and when < state.gossip:
        return state
    return replace(state, gossip=when, gossip_fingerprint=fingerprint)
