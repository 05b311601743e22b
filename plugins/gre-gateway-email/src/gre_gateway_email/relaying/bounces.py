"""Reports of mail systems about mails of our users: which message it was, and what the user is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress
from gre_gateway_email.mail.addresses import check_address
from gre_gateway_email.mail.envelope_id import read_envelope_id
from gre_gateway_email.relaying.composing import NO_ID
from gre_gateway_email.relaying.messages import derived_id
from gre_gateway_email.store.records import InboundMessage

if TYPE_CHECKING:
    from gre_gateway_email.mail.dsn import RecipientStatus, Report
    from gre_gateway_email.relaying.messages import Mail, Stored
    from gre_gateway_email.store.store import Outbox

KEPT_SECONDS: Final = 86_400.0
"""How long the error waits for a client of the user that is there, before the user is told in words as well."""

_HASHED = re.compile(r"[0-9a-f]{64}")
_CONDITIONS: Final = (
    ("5.1.", "item-not-found"),
    ("5.2.2", "resource-constraint"),
    ("5.2.", "recipient-unavailable"),
    ("5.3.4", "policy-violation"),
    ("5.4.", "remote-server-not-found"),
    ("5.7.", "not-allowed"),
    ("4.", "recipient-unavailable"),
)
_OTHER: Final = "not-acceptable"


@dataclass(frozen=True, slots=True)
class Understood:
    """What a report means for a user.

    Arguments:
        errors: for each message and recipient that failed.
        rest: something is left that only a person can read: what is late, or what cannot be told to be ours.
    """

    errors: tuple[Stored, ...] = field(default=(), repr=False)
    rest: bool = False


class Bounces:
    """Reads reports.

    Arguments:
        outbox: knows what was sent.
        secret: the envelope ids are made with it.
    """

    def __init__(self, outbox: Outbox, secret: bytes) -> None:
        self._outbox = outbox
        self._secret = secret

    async def understand(self, mail: Mail, report: Report | None) -> Understood:
        """Tell what a mail with the null sender means.

        Arguments:
            mail: for the user.
            report: what it says (:func:`gre_gateway_email.mail.dsn.read_report`).

        Raises:
            StoreError: it cannot be looked up now.
        """
        if report is None:
            return Understood(rest=True)
        errors, rest = [], False
        for one in report.recipients:
            if one.action == "failed":
                error = await self._error(mail, report, one)
                rest = rest or error is None
                if error is not None:
                    errors.append(error)
            elif one.action == "delayed":
                rest = True
        return Understood(tuple(errors), rest)

    async def _error(self, mail: Mail, report: Report, one: RecipientStatus) -> Stored | None:
        contact = _address(one.original_recipient) or _address(one.recipient)
        original = read_envelope_id(self._secret, report.envelope_id, mail.user.jid)
        if original is not None:
            return _stored(mail, one, original.stanza_id, "" if original.several else contact, contact)
        for address in dict.fromkeys((_address(one.original_recipient), _address(one.recipient))):
            if address and await self._outbox.was_sent(mail.user.jid, report.message_id, address):
                stanza_id = await self._stanza_of(mail.user.jid, report.message_id)
                return _stored(mail, one, stanza_id, address, address)
        return None

    async def _stanza_of(self, user: str, message_id: str) -> str:
        """Give the id of the stanza that a mail was made of, or ``""``.

        After the mail went out nothing but a hash is left: then it is the origin-id (XEP-0359), which the Message-ID
        holds. Most clients make both the same, and the others know their origin-ids too.
        """
        known = await self._outbox.stanza_of(user, message_id)
        if known is not None:
            return known
        left = message_id.rpartition("@")[0]
        return "" if _HASHED.fullmatch(left) or left.startswith(NO_ID) else left


def _stored(mail: Mail, one: RecipientStatus, stanza_id: str, source: str, contact: str) -> Stored | None:
    if not stanza_id:
        return None
    said = one.diagnostic or one.status or "no reason was given"
    to = f" to {contact}" if contact else ""
    content = f"The mail{to} came back. A mail system says: {said}".encode()
    condition = next((name for prefix, name in _CONDITIONS if one.status.startswith(prefix)), _OTHER)
    message = InboundMessage(
        id=derived_id("bounce", mail.user.jid, stanza_id, contact),
        user=mail.user.jid,
        address=mail.address,
        sender=source,
        kind="error",
        subject=stanza_id,
        notes=(condition,),
        size=len(content),
        received_at=mail.now,
        next_at=mail.now,
        expires_at=mail.now + KEPT_SECONDS,
    )
    return message, content


def _address(text: str) -> str:
    """Give an address that may become a JID, or ``""``."""
    try:
        check_address(text)
    except InvalidAddress:
        return ""
    return text
