"""Who may use the gateway, and with which mail address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Users:
    """Mail addresses and bare JIDs, found both ways. Upper and lower case of an address are the same user.

    Arguments:
        pairs: (mail address, bare JID). When several addresses lead to one JID, it sends from the first.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._jids: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        for address, jid in pairs:
            self._jids.setdefault(address.lower(), jid)
            self._addresses.setdefault(jid, address)

    def __len__(self) -> int:
        return len(self._addresses)

    @property
    def jids(self) -> tuple[str, ...]:
        """All bare JIDs."""
        return tuple(self._addresses)

    def jid_of(self, address: str) -> str | None:
        """Give the bare JID that a mail address leads to."""
        return self._jids.get(address.lower())

    def address_of(self, jid: str) -> str | None:
        """Give the mail address that a bare JID sends from."""
        return self._addresses.get(jid)

    async def sender_id(self, jid: str) -> str | None:
        """Give the mail address of a bare JID, in the form that the gateway engine asks for it."""
        return self.address_of(jid)
