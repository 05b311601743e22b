"""What an answer to a message is made of: subject, references, recipients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gre_core import wire
from gre_core.jid_escape import escape, unescape
from gre_core.message_index import trim
from gre_core.model import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.model import Message
    from gre_core.opening import Received


def answer(received: Received, message: Message) -> Message:
    """Make a message the answer to another one.

    It gets the subject, unless it has one, and the place in the conversation; and what the message answered kept
    confidential stays so (RFC 9788, section 6.1).
    """
    asked = received.message
    subject = message.subject
    if subject is None and asked.subject is not None:
        subject = asked.subject if asked.subject[:3].casefold() == "re:" else f"Re: {asked.subject}"
    message = replace(message, subject=subject, hidden=asked.hidden)
    if asked.message_id is None:
        return message
    before = asked.references or ((asked.in_reply_to,) if asked.in_reply_to else ())
    return replace(message, in_reply_to=asked.message_id, references=trim((*before, asked.message_id)))


def author(received: Received) -> str:
    """Give the legacy id of who wrote a message, as its protected part says; else as its JID says.

    Raises:
        InvalidAddress: the JID is not that of a contact.
    """
    return received.message.claimed_sender or unescape(received.peer.rpartition("@")[0])


def is_another(received: Received) -> bool:
    """Tell whether a message says that it is from somebody else than its JID."""
    claimed = received.message.claimed_sender
    return (
        received.direction is Direction.RECEIVED
        and claimed is not None
        and claimed.casefold() != unescape(received.peer.rpartition("@")[0]).casefold()
    )


def recipients(
    received: Received, ours: Iterable[str], *, to_all: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the JIDs in To and Cc of an answer, as the protected part of the message names them.

    Arguments:
        received: what is answered; of a message that we sent ourselves, its recipients get the answer.
        ours: our own legacy ids, which are left out.
        to_all: whether everybody gets it, not only the author.

    Raises:
        InvalidAddress: somebody cannot be written as a JID.
    """
    message, gateway = received.message, wire.domain(received.peer)
    own = received.direction is Direction.SENT
    if own and not message.to:
        return (received.peer,), ()
    to = list(message.to) if own else [author(received)]
    cc: list[str] = []
    if to_all:
        to += () if own else message.to
        cc += message.cc
    known = {name.casefold() for name in ours}
    return (
        tuple(f"{escape(name)}@{gateway}" for name in to if name.casefold() not in known),
        tuple(f"{escape(name)}@{gateway}" for name in cc if name.casefold() not in known),
    )
