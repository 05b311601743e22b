"""Makes what is stored of a received mail for one user."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypedDict

from gre_gateway_email.mail.addresses import domain_of
from gre_gateway_email.relaying.words import so_large
from gre_gateway_email.store.records import InboundMessage

if TYPE_CHECKING:
    from gre_gateway_email.config import Retry
    from gre_gateway_email.mail.door import RecipientOptions
    from gre_gateway_email.relaying.reading import Encrypted, Header, PlainContent
    from gre_gateway_email.store.records import User

POSTMASTER: Final = "mailer-daemon"
"""What the contact is called from whom reports of mail systems come, at the domain of the user."""

Stored = tuple[InboundMessage, bytes]


@dataclass(frozen=True, slots=True)
class Mail:
    """One received mail for one of its recipients.

    Arguments:
        user: who gets it.
        address: what it was sent to.
        sender: of the envelope.
        content: all of it.
        header: what a later report, and an answer, need.
        options: what the mail server said about this recipient.
        envelope_id: of the sender's mail system, or ``""``.
        now: seconds since 1970.
    """

    user: User
    address: str
    sender: str
    content: bytes
    header: Header
    options: RecipientOptions
    envelope_id: str
    now: float

    @property
    def id(self) -> str:
        """The stanza's id: the same when a mail server, which did not hear an answer, sends the mail again."""
        seed = f"{self.user.jid}\0{self.sender}\0".encode() + self.header.digest
        return hashlib.sha256(seed).hexdigest()[:32]

    @property
    def shown_sender(self) -> str:
        """Whom the message comes from: reports of mail systems have no sender."""
        return self.sender or f"{POSTMASTER}@{domain_of(self.address)}"


class _Common(TypedDict):
    """What a message says of its mail, of whatever kind it is."""

    id: str
    user: str
    address: str
    size: int
    wants_report: bool
    envelope_id: str
    original_recipient: str
    message_id: str
    received_at: float
    next_at: float
    expires_at: float


def derived_id(*parts: str) -> str:
    """Give the id of a message that follows from something: the same whenever it follows again."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def encrypted_message(mail: Mail, encrypted: Encrypted, retry: Retry) -> Stored:
    """Make an encrypted message."""
    content = encrypted.text.encode("utf-8")
    message = InboundMessage(
        kind="encrypted",
        sender=mail.sender,
        formatter=encrypted.formatter,
        encrypter=encrypted.encrypter,
        notes=encrypted.notes,
        **_common(mail, content, retry),
    )
    return message, content


def plain_message(mail: Mail, plain: PlainContent, retry: Retry) -> Stored:
    """Make a message of text."""
    content = plain.text.encode("utf-8")
    message = InboundMessage(
        kind="plain",
        sender=mail.shown_sender,
        subject=plain.subject,
        thread=mail.header.first,
        files=plain.files,
        **_common(mail, content, retry),
    )
    return message, content


def _common(mail: Mail, content: bytes, retry: Retry) -> _Common:
    return {
        "id": mail.id,
        "user": mail.user.jid,
        "address": mail.address,
        "size": len(content),
        "wants_report": bool(mail.sender) and mail.options.wants_report and not mail.header.automatic,
        "envelope_id": mail.envelope_id,
        "original_recipient": mail.options.original,
        "message_id": mail.header.message_id,
        "received_at": mail.now,
        "next_at": mail.now,
        "expires_at": mail.now + retry.inbound,
    }


def notice(user: str, address: str, text: str, message_id: str, now: float, seconds: float) -> Stored:
    """Make words of the gateway itself, kept for so many seconds."""
    content = text.encode("utf-8")
    message = InboundMessage(
        id=message_id,
        user=user,
        address=address,
        sender="",
        kind="notice",
        size=len(content),
        received_at=now,
        next_at=now,
        expires_at=now + seconds,
    )
    return message, content


def held_notice(held: InboundMessage, seconds: float) -> Stored:
    """Announce a message that is too large for a stanza."""
    until = datetime.fromtimestamp(held.expires_at, UTC)
    text = (
        f"An encrypted mail of {so_large(held.size)} from {held.sender} has come for you. It is too large to be sent "
        f"to you as a message. The gateway keeps it, encrypted as it is, until {until:%Y-%m-%d %H:%M} UTC. It cannot "
        "be fetched yet; if it is urgent, ask the sender for smaller mails."
    )
    return notice(held.user, held.address, text, derived_id("held", held.id), held.received_at, seconds)


def bounced_notice(error: InboundMessage, said: str, now: float, seconds: float) -> Stored:
    """Tell in words that a message could not be delivered, which no client of the user was there to be told of.

    Arguments:
        error: that the clients would have got.
        said: its text.
        now: seconds since 1970.
        seconds: how long it is kept.
    """
    came = datetime.fromtimestamp(error.received_at, UTC)
    text = (
        f"A message of yours could not be delivered, and none of your programs was there to mark it. {said} "
        f"(The report came on {came:%Y-%m-%d} at {came:%H:%M} UTC.)"
    )
    return notice(error.user, error.address, text, derived_id("bounced", error.id), now, seconds)


def dropped_notice(held: InboundMessage, now: float, seconds: float) -> Stored:
    """Say that such a message is not kept any longer."""
    told = "Its sender is told so." if held.wants_report else "Its sender cannot be told."
    text = (
        f"The encrypted mail of {so_large(held.size)} from {held.sender} that was too large for a message is not kept "
        f"any longer. {told}"
    )
    return notice(held.user, held.address, text, derived_id("dropped", held.id), now, seconds)
