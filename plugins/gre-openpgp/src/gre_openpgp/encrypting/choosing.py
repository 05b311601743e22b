"""Which of our keys a message is for."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from gre_core.errors import NotForUs
from gre_openpgp.encrypting.engine import MAX_TRIES
from gre_openpgp.messages import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_openpgp.messages import CheckedMessage, SessionKey

    Chosen = tuple[tuple[SessionKey, ...], dict[str, Any]]


def choose(checked: CheckedMessage, ours: Mapping[str, Any]) -> Chosen:
    """Pick the session keys that may be ours, and the decryptors for them, by key id, in the order to try.

    Raises:
        NotForUs: there is none.
    """
    wanted = checked.for_keys(ours)
    if not wanted or not ours:
        raise NotForUs(
            "The message is not encrypted to a key of this device. The sender may have an old key of yours, or one "
            "that somebody else serves as yours: compare fingerprints (gre keys list) by another way, and let the "
            "sender fetch your current key",
            key_ids=", ".join(key.key_id for key in checked.session_keys[:8]),
        )
    if any(key.key_id == ANONYMOUS for key in wanted):
        return wanted, dict(islice(ours.items(), max(1, MAX_TRIES // len(wanted))))
    return wanted, {key.key_id: ours[key.key_id] for key in wanted}
