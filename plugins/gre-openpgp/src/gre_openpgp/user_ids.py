"""Mail addresses and XMPP users in OpenPGP user ids (RFC 9580, section 5.11; XEP-0373, section 8.5).

>>> address_of("Alice Example (work) <alice@example.org>")
'alice@example.org'
>>> is_bound(["Alice <alice@example.org>"], "Alice@Example.org")
True
>>> is_bound(
...     ["xmpp:juliet@example.org"], "juliet@example.org"
... )  # the mail user of that name may be another person
False
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_USER_ID: Final = 1024
"""Longest user id that is looked at, in characters."""

XMPP: Final = "xmpp:"
"""How the name of an XMPP user begins (XEP-0373, section 8.5); the bare JID follows, and nothing else."""

_ADDRESS: Final = r"[^<>@\s\"(),:;\\\[\]\x00-\x1f\x7f]+@[^<>@\s\"(),:;\\\[\]\x00-\x1f\x7f]+"
# One pair of angle brackets, at the end. "Bob <bob@x.org> <eve@y.org>" names nobody.
_USER_ID: Final = re.compile(rf"(?:[^<>\x00-\x1f\x7f]*<({_ADDRESS})>|({_ADDRESS}))\s*")


@lru_cache(maxsize=1024)
def address_of(user_id: str) -> str | None:
    """Give the mail address that a user id names, in lower case; None when there is no clear one."""
    found = _USER_ID.fullmatch(user_id) if len(user_id) <= MAX_USER_ID else None
    return (found[1] or found[2]).lower() if found else None


def is_bound(user_ids: Iterable[str], address: str) -> bool:
    """Tell whether one of the user ids names the address. Case does not matter: a JID has none (RFC 7622).

    Other identifiers, such as ``xmpp:juliet@example.org``, match a user id that is the identifier and nothing else.
    """
    wanted = address.strip().lower()
    whole = {wanted, f"<{wanted}>"}
    return bool(wanted) and any(
        address_of(user_id) == wanted or user_id.strip().lower() in whole for user_id in user_ids
    )
