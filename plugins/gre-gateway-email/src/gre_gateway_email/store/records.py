"""What the store keeps, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

InboundKind = Literal["encrypted", "plain", "notice", "error"]
"""``notice``: words of the gateway itself. ``error``: a mail of the user could not be delivered after all; the content
says why, and the subject is the id of the user's stanza."""
State = Literal["waiting", "held", "dead"]
"""``waiting``: under way or to be tried again. ``held``: too large for a stanza, until it is fetched or expires.
``dead``: given up; an admin can look at it, send it again, or drop it."""
KeySource = Literal["autocrypt", "gossip"]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is registered.

    Arguments:
        jid: bare JID, canonical.
        addresses: mail addresses as they are written; the first is the one that mails come from.
        encrypted_only: the user's own policy; the gateway's can be stricter.
        publish_key: agrees that the own key is served in the Web Key Directory.
        blocked: by an admin: sends and receives nothing.
        from_config: given by the operator's file; cannot unregister by itself.
        registered_at: in seconds since 1970.
    """

    jid: str
    addresses: tuple[str, ...]
    encrypted_only: bool = False
    publish_key: bool = False
    blocked: bool = False
    from_config: bool = False
    registered_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Contact:
    """What is between a user and a contact in the user's roster.

    Arguments:
        user: bare JID, canonical.
        contact: bare JID of the contact, canonical; the gateway's domain for the gateway itself.
        sees: the user subscribed to the presence of the contact.
        agreed: what the user answered when the contact asked to see the user's presence; None without an answer.
    """

    user: str
    contact: str
    sees: bool = False
    agreed: bool | None = None


@dataclass(frozen=True, slots=True)
class OutboundMail:
    """A mail that a user sends, complete as it goes to the relay.

    Arguments:
        id: chosen by the caller, unique; also what a report about the mail is found by (ENVID, RFC 3461).
        key: hash that a stanza sent again has as well (user, origin-id, recipients); unique.
        user: bare JID.
        user_full: JID that the receipt goes to.
        stanza_id: of the stanza, for receipt and error; ``""`` when it had none.
        stanza_to: what the stanza was addressed to, which receipt and error come from.
        stanza_type: ``chat`` or another.
        wants_receipt: the stanza asked for one (XEP-0184).
        sender: of the envelope.
        recipients: of the envelope, hidden ones too.
        message_id: without angle brackets.
        mail: all of it, with CRLF line ends.
        kind: ``encrypted``, ``plain``, or ``report`` (made by the gateway: no user waits for an answer).
        created_at: in seconds since 1970.
        attempts: how often it was tried.
        next_at: when it is tried next, in seconds since 1970.
        state: waiting or dead.
        reason: why the last try failed, or it was given up.
        size: of the mail, in bytes; the store sets it.
    """

    id: str
    key: bytes
    user: str
    user_full: str
    stanza_id: str
    stanza_to: str
    stanza_type: str
    wants_receipt: bool
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    mail: bytes = field(repr=False)
    kind: Literal["encrypted", "plain", "report"] = "encrypted"
    created_at: float = 0.0
    attempts: int = 0
    next_at: float = 0.0
    state: State = "waiting"
    reason: str = ""
    size: int = 0

    def __repr__(self) -> str:
        return f"OutboundMail({self.id}, {self.state})"


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """What one received mail means for one user; the content is read apart.

    Arguments:
        id: the id of the stanza. The same mail for the same user has the same id.
        user: bare JID.
        address: the address of the user that the mail was sent to.
        sender: mail address that the message comes from.
        kind: what it is.
        formatter: of an encrypted message, else ``""``.
        encrypter: of an encrypted message, else ``""``.
        subject: of a plain message; of an error the id of the stanza that failed.
        thread: Message-ID of the first mail of the conversation of a plain message, or ``""``; for answers.
        notes: codes of what stood around an encrypted message.
        files: links of uploaded attachments of a plain message.
        size: of the content, in bytes.
        wants_report: a report about a failed delivery may go to the sender (not for the null sender, NOTIFY=NEVER).
        envelope_id: of the sender's mail system (ENVID, RFC 3461), or ``""``.
        original_recipient: whom the sender wrote to, with its type (ORCPT, RFC 3461), or ``""``.
        message_id: of the mail without angle brackets, or ``""``; for the report, and for answers.
        received_at: in seconds since 1970.
        attempts: how often it was tried.
        next_at: when it is tried next, in seconds since 1970.
        expires_at: when it is given up.
        state: waiting, held or dead.
        reason: why the last try failed, or it was given up.
    """

    id: str
    user: str
    address: str
    sender: str
    kind: InboundKind
    formatter: str = ""
    encrypter: str = ""
    subject: str = ""
    thread: str = ""
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    size: int = 0
    wants_report: bool = False
    envelope_id: str = ""
    original_recipient: str = ""
    message_id: str = ""
    received_at: float = 0.0
    attempts: int = 0
    next_at: float = 0.0
    expires_at: float = 0.0
    state: State = "waiting"
    reason: str = ""

    def __repr__(self) -> str:
        return f"InboundMessage({self.id}, {self.state})"


@dataclass(frozen=True, slots=True)
class HarvestedKey:
    """A public key that came with a mail to one user.

    Arguments:
        user: bare JID of the user who received it; served to nobody else.
        address: of the contact, in lower case.
        data: binary certificate.
        source: where in the mail it stood.
        authenticated: DKIM passed for the domain of the address, and is aligned with From (RFC 7489, section 3.1).
        seen_at: date of the newest mail with it, in seconds since 1970.
    """

    user: str
    address: str
    data: bytes = field(repr=False)
    source: KeySource
    authenticated: bool
    seen_at: float


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How much waits.

    Arguments:
        waiting: messages.
        size: their bytes.
        oldest_at: when the oldest came, in seconds since 1970, or None.
        held: messages that are too large for a stanza.
        dead: messages that were given up.
    """

    waiting: int
    size: int
    oldest_at: float | None
    held: int
    dead: int
