"""What the way of a message tells to whoever counts: metrics, as a rule."""

from __future__ import annotations

from typing import Literal, Protocol

Direction = Literal["out", "in"]
"""``out``: from a user to the relay. ``in``: from the mail server to a user."""


class Events(Protocol):
    """Told as things happen. Must return at once and must not raise; gets no address and no content."""

    def taken(self, direction: Direction, kind: str, size: int) -> None:
        """Note that a message was stored: from now on it is the gateway's to bring on.

        Arguments:
            direction: out or in.
            kind: ``encrypted``, ``plain``, ``report``, ``notice`` or ``error``.
            size: in bytes.
        """
        ...

    def repeated(self, direction: Direction) -> None:
        """Note that a message came again that is stored, or was brought on before."""
        ...

    def refused(self, direction: Direction, reason: str) -> None:
        """Note that a message was refused.

        Arguments:
            direction: out: with a stanza error; in: within the SMTP dialogue.
            reason: out: the condition of the stanza error; in: the enhanced status code. Both come from small sets.
        """
        ...

    def relayed(self, seconds: float) -> None:
        """Note that the relay took a mail, so long after it was stored."""
        ...

    def delivered(self, seconds: float) -> None:
        """Note that a user has a message, so long after it was stored."""
        ...

    def retried(self, direction: Direction) -> None:
        """Note that a try failed and another one follows."""
        ...

    def dead(self, direction: Direction) -> None:
        """Note that a message was given up."""
        ...


class NoEvents:
    """Nobody counts."""

    def taken(self, direction: Direction, kind: str, size: int) -> None:
        """Do nothing."""

    def repeated(self, direction: Direction) -> None:
        """Do nothing."""

    def refused(self, direction: Direction, reason: str) -> None:
        """Do nothing."""

    def relayed(self, seconds: float) -> None:
        """Do nothing."""

    def delivered(self, seconds: float) -> None:
        """Do nothing."""

    def retried(self, direction: Direction) -> None:
        """Do nothing."""

    def dead(self, direction: Direction) -> None:
        """Do nothing."""
