"""What is remembered of a message that is through: keyed hashes, of no use without the secret of the database."""

from __future__ import annotations

import hmac
from typing import Final

SIZE: Final = 16
"""Of each hash, in bytes."""


class Hashes:
    """HMAC-SHA256, cut to 16 bytes.

    Arguments:
        secret: of this database, 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def user(self, jid: str) -> bytes:
        """Hash a bare JID: finds all that belongs to a user."""
        return self._hash(b"user", jid.encode("utf-8", "replace"))

    def key(self, key: bytes) -> bytes:
        """Hash the key of a mail in the outbox."""
        return self._hash(b"key", key)

    def recipient(self, jid: str, message_id: str, recipient: str) -> bytes:
        """Hash what a report names: a mail of a user to an address; upper and lower case of it are the same."""
        return self._hash(
            b"recipient", *(text.encode("utf-8", "replace") for text in (jid, message_id, recipient.lower()))
        )

    def inbound(self, message_id: str) -> bytes:
        """Hash the id of a message in the inbox."""
        return self._hash(b"inbound", message_id.encode("utf-8", "replace"))

    def _hash(self, *parts: bytes) -> bytes:
        # Each part has its length before it: no two lists of parts give the same bytes.
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._secret, message, "sha256")[:SIZE]
