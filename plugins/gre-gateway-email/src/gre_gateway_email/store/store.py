"""The store: all tables behind one object.

::

    store = await open_store("sqlite:////var/lib/gre/gateway.db")
    await store.outbox.add(mail)  # returns when it is on the disk
    await store.close()

What is written at the same time is committed together, and each call returns when its commit is on the disk. Every
method raises :class:`~gre_core.errors.StoreError` when the database cannot do it: then nothing of the call was stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from gre_gateway_email.store.records import (
        Contact,
        HarvestedKey,
        InboundMessage,
        OutboundMail,
        QueueCount,
        State,
        User,
    )

Added = Literal["new", "waiting", "done"]
"""``new``: stored. ``waiting``: it is there already and under way. ``done``: it was delivered before."""


class Users(Protocol):
    """Who is registered. Answers come from memory as a rule: other programs' changes are seen within 10 seconds."""

    async def get(self, jid: str) -> User | None:
        """Give the user with a bare JID."""
        ...

    async def by_address(self, address: str) -> User | None:
        """Give the user whom a mail address leads to; upper and lower case are the same."""
        ...

    async def put(self, user: User) -> None:
        """Add a user or change one, addresses included.

        Raises:
            AddressTaken: an address belongs to another user. Nothing was changed.
        """
        ...

    async def remove(self, jid: str) -> None:
        """Remove a user, and nothing else of them (see :meth:`Store.forget`)."""
        ...

    def changed(self) -> None:
        """Forget what is in memory: another program changed a user."""
        ...

    async def count(self) -> int:
        """Give how many there are."""
        ...

    def all(self) -> AsyncIterator[User]:
        """Give all users, page by page, ordered by JID."""
        ...

    async def sync_config(self, pairs: Iterable[tuple[str, str]]) -> tuple[User, ...]:
        """Make the users of the operator's file what the file says: (address, bare JID).

        Result:
            The users who are not registered any more.
        """
        ...


class Outbox(Protocol):
    """Mails to the relay. They leave it with :meth:`sent` or :meth:`refused`, or stay as dead letters."""

    async def add(self, mail: OutboundMail) -> Added:
        """Store a mail, unless one with its key is there or was sent in the last days."""
        ...

    async def is_known(self, key: bytes) -> Added:
        """Tell what :meth:`add` would say, without storing."""
        ...

    async def due(self, now: float, limit: int, exclude: Iterable[str] = ()) -> Sequence[OutboundMail]:
        """Give waiting mails whose time has come, the oldest first, without those of these ids."""
        ...

    async def next_at(self) -> float | None:
        """Give when the next mail is due, or None when none waits."""
        ...

    async def sent(self, mail: OutboundMail) -> None:
        """Remove a mail that the relay took; keep hashes of its key and of (message id, each recipient)."""
        ...

    async def refused(self, mail: OutboundMail) -> None:
        """Remove a mail that was refused for good and whose user is told so."""
        ...

    async def later(self, mail: OutboundMail, next_at: float, reason: str) -> None:
        """Note a failed try and when the next one is."""
        ...

    async def bury(self, mail: OutboundMail, reason: str) -> None:
        """Make a mail a dead letter."""
        ...

    async def was_sent(self, user: str, message_id: str, recipient: str) -> bool:
        """Tell whether a user sent a mail with that Message-ID to an address in the last days."""
        ...

    async def stanza_of(self, user: str, message_id: str) -> str | None:
        """Give the id of the stanza that a mail was made of, while the mail is here; ``""`` when it had none."""
        ...


class Inbox(Protocol):
    """Messages to users. They leave it with :meth:`arrived`, or stay as dead letters."""

    async def add(self, messages: Sequence[tuple[InboundMessage, bytes]]) -> Sequence[Added]:
        """Store messages with their content, all or none of them."""
        ...

    async def is_known(self, message_id: str) -> Added:
        """Tell what :meth:`add` would say of a message with that id, without storing."""
        ...

    async def get(self, message_id: str) -> InboundMessage | None:
        """Give a message by its stanza id."""
        ...

    async def content(self, message_id: str) -> bytes | None:
        """Give the content of a message; None when it is gone."""
        ...

    async def due(self, now: float, limit: int, exclude: Iterable[str] = ()) -> Sequence[InboundMessage]:
        """Give waiting messages whose time has come, the oldest first, without those of these ids."""
        ...

    async def next_at(self) -> float | None:
        """Give when the next message is due or expires, or None."""
        ...

    async def expired(self, now: float, limit: int) -> Sequence[InboundMessage]:
        """Give waiting and held messages whose time is over."""
        ...

    async def arrived(self, message_ids: Iterable[str]) -> None:
        """Remove messages that the users have; keep hashes of their ids."""
        ...

    async def later(self, message_id: str, next_at: float, reason: str) -> None:
        """Note a failed try and when the next one is."""
        ...

    async def bury(self, message_id: str, reason: str, report: OutboundMail | None = None) -> None:
        """Make a message a dead letter; store the report for its sender in the same commit."""
        ...

    async def waiting_of(self, user: str) -> tuple[int, int]:
        """Give how many messages wait for a user, and their bytes."""
        ...


class ContactKeys(Protocol):
    """Keys that came with mails."""

    async def put(self, key: HarvestedKey) -> None:
        """Keep a key in the place of another one of the same user, address and source.

        One that is not authenticated never takes the place of one that is. Which is newer is for the caller to judge.
        Of one user at most 2,000 are kept: the oldest goes first, those that are not authenticated before others.
        """
        ...

    async def get(self, user: str, address: str) -> Sequence[HarvestedKey]:
        """Give what a user has of a contact."""
        ...


class Contacts(Protocol):
    """Which contacts are in the rosters of users."""

    async def of(self, users: Sequence[str]) -> Sequence[Contact]:
        """Give the contacts of users; of the gateway itself too."""
        ...

    async def put(self, contact: Contact) -> None:
        """Add a contact or change one; nothing happens for who is no user, and beyond 1,000 of one user."""
        ...

    async def remove(self, user: str, contact: str) -> None:
        """Remove one."""
        ...

    async def forget(self, user: str) -> None:
        """Remove all of a user."""
        ...

    async def leftovers(self) -> Sequence[str]:
        """Give who has contacts and is no user: 10,000 at most."""
        ...


class DeadLetters(Protocol):
    """What was given up, in both directions, for people."""

    async def all(self, limit: int = 1000) -> Sequence[OutboundMail | InboundMessage]:
        """Give the newest dead letters; of mails without their content."""
        ...

    async def replay(self, letter_id: str) -> bool:
        """Let one be tried again, from the beginning; False when there is none with that id."""
        ...

    async def drop(self, letter_id: str) -> bool:
        """Remove one; False when there is none with that id."""
        ...


class Store(Protocol):
    """All tables. Made by :func:`gre_gateway_email.store.open_store`."""

    @property
    def users(self) -> Users:
        """Who is registered."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Mails to the relay."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Messages to users."""
        ...

    @property
    def contact_keys(self) -> ContactKeys:
        """Keys that came with mails."""
        ...

    @property
    def contacts(self) -> Contacts:
        """Which contacts are in the rosters of users."""
        ...

    @property
    def dead(self) -> DeadLetters:
        """What was given up."""
        ...

    async def wake(self, latest: float) -> None:
        """Let nothing that waits, in both directions, be tried later than at that time.

        For a start: what waited then is tried soon, also when a clock that was wrong had put it off for years.
        """
        ...

    async def secret(self, name: str) -> bytes:
        """Give 32 random bytes that are made at the first call and stay the same."""
        ...

    async def counts(self) -> tuple[QueueCount, QueueCount]:
        """Give how much waits: outbound, inbound."""
        ...

    async def queue(
        self, state: State | None = None, limit: int = 1000
    ) -> Sequence[OutboundMail | InboundMessage]:
        """Give what is in the queues, the oldest first, for people; mails without their content."""
        ...

    async def forget(self, jid: str) -> int:
        """Erase everything of a user: registration, addresses, messages, keys, hashes. Gives how many rows."""
        ...

    def on_forget(self, tell: Callable[[str], None]) -> None:
        """Call something with the JID of each user who is forgotten through this object, after the rows are gone."""
        ...

    async def prune(self, relayed: float, dead: float) -> None:
        """Remove hashes and dead letters that are older than so many seconds."""
        ...

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        ...
