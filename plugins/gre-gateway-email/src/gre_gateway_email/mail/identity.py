"""Tells whether two mails are one mail that came twice, on whatever way each of them came."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gre_gateway_email.mail.mime_scan import Entity

OF_THE_AUTHOR: Final = frozenset(
    {
        *("from", "sender", "reply-to", "to", "cc", "subject"),
        *("message-id", "in-reply-to", "references", "content-type", "content-transfer-encoding"),
    }
)
"""Fields that mail systems on the way leave as they are (RFC 5322, section 3.6, and RFC 2045).

Not the date: a server adds one where it is missing, and another one when the mail comes again.
"""


def digest(root: Entity) -> bytes:
    """Give the SHA-256 of what the author of a mail wrote: some fields and the body.

    A mail server that dies after it queued a mail, and before it said so, gets the mail again: then two are on their
    way, with the same Message-ID, and other trace fields (RFC 5321, section 4.4). They have one digest. The
    Message-ID alone does not do: a stranger could use up that of a mail that is yet to come. Without one, mails that
    look the same may be two: then all of the mail counts.

    Arguments:
        root: the mail.
    """
    seen = hashlib.sha256()
    if not root.first("message-id").strip():
        seen.update(root.raw)
        return seen.digest()
    for name, value in root.fields:
        if name in OF_THE_AUTHOR:
            seen.update(f"{name}:{' '.join(value.split())}\n".encode("utf-8", "replace"))
    seen.update(b"\n")
    seen.update(memoryview(root.raw)[root.start :])
    return seen.digest()
