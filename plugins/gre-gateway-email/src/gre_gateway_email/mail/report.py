"""Makes the report for somebody whose mail was taken and cannot be delivered after all (RFC 3464, RFC 6522).

It is sent with the null sender, so that nobody reports on it, and never for a mail that must not be answered
(:func:`gre_gateway_email.mail.auto_submitted.is_automatic`) or with ``NOTIFY=NEVER``.
"""

from __future__ import annotations

import re
import secrets
import textwrap
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

NULL_SENDER: Final = ""
"""The envelope's sender of every report (RFC 3461, section 6.1)."""

DAEMON: Final = "mailer-daemon"
"""Who reports, at the domain of the recipient."""

MAX_TEXT: Final = 500
MAX_VALUE: Final = 900

_COLUMNS: Final = 72
_STATUS = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}")
_MESSAGE_ID = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]{1,900}")
_ENVELOPE_ID = re.compile(r"[\x21-\x7e]{1,100}")


@dataclass(frozen=True, slots=True)
class Failure:
    """A mail that was taken and cannot be delivered.

    Arguments:
        sender: address of its envelope, where the report goes.
        recipient: address that it was for.
        reason: for a person, one short text; no addresses or content of others.
        status: enhanced status code (RFC 3463): ``5.x.y``, or ``4.4.7`` when it waited too long.
        arrived_at: when it was taken, with time zone.
        message_id: of the mail, without angle brackets, or ``""``. Left out when it is not one.
        envelope_id: what the sender's mail system gave (ENVID, RFC 3461), decoded, or ``""``.
        original_recipient: what the sender's mail system gave (ORCPT), such as ``rfc822;a@example.org``, or ``""``.
    """

    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    reason: str = field(repr=False)
    status: str
    arrived_at: datetime
    message_id: str = ""
    envelope_id: str = ""
    original_recipient: str = field(default="", repr=False)


def failure_report(failure: Failure, now: datetime, *, host: str = "") -> bytes:
    """Make the report: 7bit, CRLF. Of the mail only its Message-ID goes back.

    Arguments:
        failure: what is reported.
        now: with time zone.
        host: name of this gateway's machine; without one the recipient's domain is named.
    """
    domain = failure.recipient.rpartition("@")[2]
    boundary = f"=_report_{secrets.token_hex(12)}"
    message_id = failure.message_id if _MESSAGE_ID.fullmatch(failure.message_id) else ""
    head = [
        f"Date: {format_datetime(now)}",
        f"From: Mail Delivery System <{DAEMON}@{_ascii(domain)}>",
        f"To: <{_ascii(failure.sender)}>",
        "Subject: Undelivered Mail Returned to Sender",
        f"Message-ID: <{secrets.token_hex(16)}@{_ascii(domain)}>",
        *([f"References: <{message_id}>"] if message_id else []),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    parts = [
        ("text/plain; charset=us-ascii", _words(failure)),
        ("message/delivery-status", _status(failure, host or domain)),
        ("text/rfc822-headers", [f"Message-ID: <{message_id}>"] if message_id else []),
    ]
    lines = [*head, "", "This is a report about a mail, in MIME format (RFC 3464)."]
    for kind, content in parts:
        lines += [f"--{boundary}", f"Content-Type: {kind}", "", *content, ""]
    lines += [f"--{boundary}--", ""]
    return "\r\n".join(lines).encode("ascii")


def _words(failure: Failure) -> list[str]:

    said = _ascii(failure.reason)[:MAX_TEXT]
    return [
        "Your mail could not be delivered to this recipient:",
        "",
        f"    {_ascii(failure.recipient)}",
        "",
        *textwrap.wrap(said, _COLUMNS, break_on_hyphens=False),
        "",
        "It is not returned with this report. If it is still needed, send it again or",
        "ask the recipient in another way.",
    ]


def _status(failure: Failure, host: str) -> list[str]:
    status = failure.status if _STATUS.fullmatch(failure.status) else "5.0.0"
    envelope_id = failure.envelope_id if _ENVELOPE_ID.fullmatch(failure.envelope_id) else ""
    return [
        *([f"Original-Envelope-Id: {envelope_id}"] if envelope_id else []),
        f"Reporting-MTA: dns; {_ascii(host)}",
        f"Arrival-Date: {format_datetime(failure.arrived_at)}",
        "",
        *(
            [f"Original-Recipient: {_ascii(failure.original_recipient)}"]
            if failure.original_recipient
            else []
        ),
        f"Final-Recipient: rfc822; {_ascii(failure.recipient)}",
        "Action: failed",
        f"Status: {status}",
        f"Diagnostic-Code: x-gateway; {_ascii(failure.reason)[:MAX_TEXT]}",
    ]


def _ascii(text: str) -> str:
    """Give one line of printable ASCII: nothing in it can begin another field."""
    return " ".join("".join(char if " " <= char <= "~" else "?" for char in text[:MAX_VALUE]).split())
