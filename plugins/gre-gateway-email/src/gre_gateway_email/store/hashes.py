"""What is remembered of a message that is through: keyed hashes, of no use without the secret of the database."""

from __future__ import annotations

import hmac
from functools import lru_cache
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
        self.user = lru_cache(maxsize=1024)(self._user)

    def key(self, key: bytes) -> bytes:
        """Hash the key of a mail in the outbox."""
        return hmac.digest(self._secret, b"key\0" + key, "sha256")[:SIZE]

    def recipient(self, jid: str, message_id: str, recipient: str) -> bytes:
        """Hash what a report names: a mail of a user to an address; upper and lower case of it are the same."""
        # NUL stands in none of the three.
        text = f"recipient\0{jid}\0{message_id}\0{recipient.lower()}"
        return hmac.digest(self._secret, text.encode("utf-8", "replace"), "sha256")[:SIZE]

    def inbound(self, message_id: str) -> bytes:
        """Hash the id of a message in the inbox."""
        return hmac.digest(self._secret, b"inbound\0" + message_id.encode("utf-8", "replace"), "sha256")[
            :SIZE
        ]

    def _user(self, jid: str) -> bytes:
        """Hash a bare JID: finds all that belongs to a user."""
        return hmac.digest(self._secret, b"user\0" + jid.encode("utf-8", "replace"), "sha256")[:SIZE]
