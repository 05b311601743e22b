"""When a delayed message reached our server (XEP-0203)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

DELAY: Final = "{urn:xmpp:delay}delay"
_LONGEST_STAMP: Final = 40


def delayed(parent: Element, account: str, *, trusted: bool = False) -> datetime | None:
    """Give the time of the delay element of our own server or account.

    What others claim to have delayed counts for nothing: it would make an old message look as if it had just been
    late. The last one counts, since a server puts its own behind what was there.

    Arguments:
        parent: the message, or the ``<forwarded/>`` around it (XEP-0297).
        account: our bare JID.
        trusted: the parent was made by our own server or account, so that its delay needs no ``from``.
    """
    ours = {account, account.rpartition("@")[2]}
    for delay in reversed(parent.findall(DELAY)):
        if trusted or delay.get("from", "") in ours:
            return read_stamp(delay.get("stamp", ""))
    return None


def read_stamp(text: str) -> datetime | None:
    """Read a time of XEP-0082, section 3.2; None when it is none, or has no time zone."""
    try:
        moment = datetime.fromisoformat(text) if len(text) <= _LONGEST_STAMP else None
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
