"""What a user's stanza becomes: the identity that a repetition has as well, the Message-ID, the envelope."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_core.gateway import Answer, Relayed
from gre_core.wire import ORIGIN_TAG
from gre_gateway_email.carrier import Envelope
from gre_gateway_email.mail.addresses import ascii_domain, domain_of
from gre_gateway_email.store.records import OutboundMail

if TYPE_CHECKING:
    from gre_core.gateway import Plain
    from gre_core.model import Recipient

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_ID: Final = 200

NO_ID: Final = "no-id."
"""How the Message-ID of a message begins that had no id: no report can be told on it."""


def recipients_of(message: Relayed | Plain) -> tuple[Recipient, ...]:
    """Give all recipients, hidden ones too."""
    return (*message.recipients, *message.hidden)


def key_of(message: Relayed | Plain) -> bytes:
    """Give what makes a resent message the same: user, origin-id and recipients, as a hash.

    A client sends the same message to others in a stanza of its own, with the same origin-id: so it does with blind
    copies.
    Without an origin-id (XEP-0359) there is only the stanza's id, which some clients count anew in each session:
    then the content has to be the same as well, or a new message would be taken for an old one, and lost.
    """
    if message.id is None:
        return secrets.token_bytes(32)
    parts = [message.user, message.id, *(recipient.jid for recipient in recipients_of(message))]
    if message.stanza.find(ORIGIN_TAG) is None:
        parts.append(message.body.text if isinstance(message, Relayed) else message.text)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()


def message_id(origin_id: str | None, address: str) -> str:
    """Give the Message-ID, without angle brackets: the origin-id at the domain of the sender's address.

    An origin-id that RFC 5322, section 3.6.4, does not allow there is hashed, so that a resent one gives the
    same.
    """
    if origin_id is None:
        left = NO_ID + secrets.token_hex(16)
    elif len(origin_id) <= _MAX_ID and _DOT_ATOM.fullmatch(origin_id):
        left = origin_id
    else:
        left = hashlib.sha256(origin_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{left}@{ascii_domain(domain_of(address))}"


def envelope_of(message: Relayed | Plain, autocrypt: str | None = None) -> Envelope:
    """Give what is known about the mail that a message becomes."""
    return Envelope(
        sender=message.sender_id,
        recipients=tuple(recipient.legacy_id for recipient in message.recipients),
        message_id=message_id(message.id, message.sender_id),
        date=datetime.now(UTC),
        autocrypt=autocrypt,
    )


def outbound_mail(
    message: Relayed | Plain, key: bytes, envelope: Envelope, mail: bytes, now: float
) -> OutboundMail:
    """Give what is stored of a message: all that the relay needs, and all that the answer needs."""
    answer = Answer.to(message)
    return OutboundMail(
        id=secrets.token_hex(16),
        key=key,
        user=message.user,
        user_full=answer.user_full,
        stanza_id=answer.stanza_id,
        stanza_to=answer.stanza_to,
        stanza_type=answer.stanza_type,
        wants_receipt=answer.wants_receipt,
        sender=message.sender_id,
        recipients=tuple(recipient.legacy_id for recipient in recipients_of(message)),
        message_id=envelope.message_id,
        mail=mail,
        kind="encrypted" if isinstance(message, Relayed) else "plain",
        created_at=now,
        next_at=now,
    )
