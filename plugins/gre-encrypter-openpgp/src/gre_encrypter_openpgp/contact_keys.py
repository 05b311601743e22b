"""The keys of contacts, for hosts and command-line tools: look, pin, verify, trust, fetch.

::

    keys = ContactKeys("juliet@example.org", client.engine.ports)
    for info in await keys.list():
        print(info.address, info.fingerprint, info.state, ", ".join(info.sources))
    await keys.verify(r"romeo\\40example.net@mail.example.org", "ABCD ...")
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from gre_openpgp.contact_record import KeyState, Seen, Source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gre_core.ports import Ports

__all__ = ["ContactKeyInfo", "ContactKeys", "FetchResult", "KeyState", "Outcome", "Seen", "Source"]


@dataclass(frozen=True, slots=True)
class ContactKeyInfo:
    """One key of a contact.

    Arguments:
        jid: bare JID of the contact.
        address: its legacy id, ``""`` when the JID holds none.
        fingerprint: in upper-case hex.
        user_ids: those that its owner bound to it.
        sources: who served it, with first and last date, best source first.
        state: what was decided about it.
        by: who decided: ``first-use``, ``confirmed``, ``answer``, ``user`` or ``""``.
        problem: why nothing is encrypted to it, for people, or ``""``.
        expires: or None.
        data: the binary public key.
    """

    jid: str
    address: str
    fingerprint: str
    user_ids: tuple[str, ...]
    sources: Mapping[Source, Seen]
    state: KeyState
    by: str
    problem: str
    expires: datetime | None
    data: bytes = field(repr=False)


class Outcome(StrEnum):
    """What asking one source gave."""

    KEYS = "keys"
    NOTHING = "nothing"
    OFFLINE = "offline"
    REFUSED = "refused"
    """The source answered with something that is not accepted; the text says what."""
    CONTRADICTS = "contradicts"
    """Keys, but none of those that count or that another source serves."""
    OFF = "off"
    """Not asked: the user switched it off, or the host cannot."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What one source said.

    Arguments:
        source: which.
        outcome: what came.
        fingerprints: the keys that it serves for the contact.
        detail: for people.
    """

    source: Source
    outcome: Outcome
    fingerprints: tuple[str, ...] = ()
    detail: str = ""


class ContactKeys:
    """The keys of the contacts of one account.

    What is changed here counts at once, also for engines that run: they look at the store for each message.

    Arguments:
        account: our bare JID.
        ports: of the host.
    """

    def __init__(self, account: str, ports: Ports) -> None:
        self._account = account
        self._ports = ports

    async def list(self, jid: str | None = None) -> tuple[ContactKeyInfo, ...]:
        """Give the known keys of one contact, or of all.

        Raises:
            StoreError: the store failed.
        """
        raise NotImplementedError

    async def show(self, fingerprint: str) -> tuple[ContactKeyInfo, ...]:
        """Give a key by its fingerprint or the end of it (at least 16 digits): once for each contact that has it.

        Raises:
            NoUsableKey: there is none.
        """
        raise NotImplementedError

    async def pin(self, jid: str, data: bytes) -> ContactKeyInfo:
        """Use this key for a contact and no other, whatever any source serves.

        Arguments:
            jid: of the contact.
            data: the public key, binary or armored.

        Raises:
            NoUsableKey: it is no public key, or cannot be used for this contact; the text says why.
        """
        raise NotImplementedError

    async def unpin(self, jid: str, fingerprint: str = "") -> tuple[str, ...]:
        """Take the pin from one key, or from all of a contact; they stay accepted. Gives their fingerprints."""
        raise NotImplementedError

    async def verify(self, jid: str, fingerprint: str) -> ContactKeyInfo:
        """Note that the user compared the whole fingerprint with the contact by another way.

        Raises:
            NoUsableKey: the contact has no such key; the text names those that are known.
        """
        raise NotImplementedError

    async def trust(self, jid: str, fingerprint: str, *, yes: bool) -> ContactKeyInfo:
        """Take the user's word on a key: accept it, or block it.

        Raises:
            NoUsableKey: the contact has no such key.
        """
        raise NotImplementedError

    async def fetch(self, jid: str, address: str = "") -> tuple[FetchResult, ...]:
        """Ask every source now: the key list of the JID, then the mail domain. Decides nothing.

        Arguments:
            jid: of the contact.
            address: its legacy id; taken from the JID otherwise.

        Raises:
            StoreError: the store failed.
        """
        raise NotImplementedError

    async def export(self, jid: str) -> bytes:
        """Give the keys that messages to a contact are encrypted to, armored.

        Raises:
            NoUsableKey: there is none.
        """
        raise NotImplementedError
