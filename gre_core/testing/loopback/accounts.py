"""What the router keeps in memory: accounts, their sessions, rosters, offline messages and nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.nodes import Node

Subscription = Literal["none", "to", "from", "both"]


class Origin(Protocol):
    """Where a stanza came from: a client's session, a component, or the server itself."""

    @property
    def account(self) -> Account | None:
        """The local account that sent it, if one did."""

    def send(self, stanza: Element, /) -> bool:
        """Answer over the same connection; tell whether it could be written."""
        ...

    def close(self, condition: str, text: str | None = None, /) -> None:
        """Close the connection with a stream error."""


@dataclass
class RosterItem:
    """One contact (RFC 6121 section 2.1)."""

    subscription: Subscription = "none"
    ask: bool = False
    approved: bool = False
    name: str | None = None
    groups: tuple[str, ...] = ()

    @property
    def to_them(self) -> bool:
        """The user receives the contact's presence."""
        return self.subscription in {"to", "both"}

    @property
    def from_them(self) -> bool:
        """The contact receives the user's presence."""
        return self.subscription in {"from", "both"}

    def set(self, *, to: bool | None = None, from_: bool | None = None) -> None:
        """Change one or both directions of the subscription."""
        wanted_to = self.to_them if to is None else to
        wanted_from = self.from_them if from_ is None else from_
        both: dict[tuple[bool, bool], Subscription] = {
            (False, False): "none",
            (True, False): "to",
            (False, True): "from",
            (True, True): "both",
        }
        self.subscription = both[wanted_to, wanted_from]


@dataclass(eq=False)
class Session:
    """A bound resource."""

    account: Account
    resource: str
    write: Callable[[Element], bool]
    shut: Callable[[str, str | None], None]
    presence: Element | None = None
    priority: int | None = None
    carbons: bool = False
    interested: bool = False
    directed: set[str] = field(default_factory=set)

    @property
    def jid(self) -> str:
        """The full JID."""
        return f"{self.account.bare}/{self.resource}"

    def send(self, stanza: Element, /) -> bool:
        """Write a stanza to the client."""
        return self.write(stanza)

    def close(self, condition: str, text: str | None = None, /) -> None:
        """Close the client's stream with an error."""
        self.shut(condition, text)


@dataclass(eq=False)
class Account:
    """One user of the domain."""

    bare: str
    password: str = field(repr=False)
    sessions: dict[str, Session] = field(default_factory=dict)
    roster: dict[str, RosterItem] = field(default_factory=dict)
    pending_in: dict[str, Element] = field(default_factory=dict)
    offline: list[Element] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    interests: dict[str, frozenset[str]] = field(default_factory=dict)
    """Full JID to the nodes that it wants to hear of (``+notify``)."""

    def available(self) -> list[Session]:
        """The sessions that sent presence."""
        return [session for session in self.sessions.values() if session.presence is not None]

    def top(self) -> list[Session]:
        """The sessions that receive messages to the bare JID: highest priority, not negative."""
        ranked = [s for s in self.sessions.values() if s.priority is not None and s.priority >= 0]
        best = max((s.priority or 0 for s in ranked), default=0)
        return [session for session in ranked if session.priority == best]

    def lets_see(self, contact: str) -> bool:
        """Tell whether a bare JID is subscribed to this account's presence."""
        item = self.roster.get(contact)
        return item is not None and item.from_them
