"""Makes the report for somebody whose mail was taken and cannot be delivered after all (RFC 3464, 6522, 6533).

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

from gre_core.errors import InvalidAddress
from gre_gateway_email.mail.addresses import ascii_domain, check_address, on_the_wire
from gre_gateway_email.mail.typed_address import escaped, typed

if TYPE_CHECKING:
    from datetime import datetime

NULL_SENDER: Final = ""
"""The envelope's sender of every report (RFC 3461, section 6.1)."""

DAEMON: Final = "mailer-daemon"
"""Who reports, at the domain of the recipient."""

MAX_TEXT: Final = 500
MAX_VALUE: Final = 900

UTF_8: Final = "utf-8"
US_ASCII: Final = "us-ascii"

_COLUMNS: Final = 72
_KINDS: Final = {
    False: ("delivery-status", "message/delivery-status", "text/rfc822-headers"),
    True: ("global-delivery-status", "message/global-delivery-status", "message/global-headers"),
}
"""Type of the report and of its two last parts, in ASCII and in UTF-8 (RFC 6533, section 5)."""

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
    """Make the report, with CRLF. Of the mail only its Message-ID goes back.

    It is ASCII, unless it goes to an address that is not: then it is UTF-8, in the form of RFC 6533, and only a relay
    with SMTPUTF8 can take it.

    Arguments:
        failure: what is reported.
        now: with time zone.
        host: name of this gateway's machine; without one the recipient's domain is named.
    """
    sender, recipient = _address(failure.sender), _address(failure.recipient)
    utf8 = not sender.isascii()
    domain = _domain(recipient)
    boundary = f"=_report_{secrets.token_hex(12)}"
    message_id = failure.message_id if _MESSAGE_ID.fullmatch(failure.message_id) else ""
    head = [
        f"Date: {format_datetime(now)}",
        f"From: Mail Delivery System <{DAEMON}@{domain}>",
        f"To: <{sender}>",
        "Subject: Undelivered Mail Returned to Sender",
        f"Message-ID: <{secrets.token_hex(16)}@{domain}>",
        *([f"References: <{message_id}>"] if message_id else []),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={_KINDS[utf8][0]};\r\n boundary="{boundary}"',
    ]
    # Without an encoding a part is 7bit.
    eight_bit = ["Content-Transfer-Encoding: 8bit"] if utf8 else []
    parts = [
        (
            [f"Content-Type: text/plain; charset={UTF_8 if utf8 else US_ASCII}", *eight_bit],
            _words(failure, recipient, utf8=utf8),
        ),
        (
            [f"Content-Type: {_KINDS[utf8][1]}", *eight_bit],
            _status(failure, recipient, host or domain, utf8=utf8),
        ),
        (
            [f"Content-Type: {_KINDS[utf8][2]}", *eight_bit],
            [f"Message-ID: <{message_id}>"] if message_id else [],
        ),
    ]
    lines = [*head, *eight_bit, "", "This is a report about a mail, in MIME format (RFC 3464)."]
    for fields, content in parts:
        lines += [f"--{boundary}", *fields, "", *content, ""]
    lines += [f"--{boundary}--", ""]
    return "\r\n".join(lines).encode("utf-8")


def _words(failure: Failure, recipient: str, *, utf8: bool) -> list[str]:
    said = _line(failure.reason)[:MAX_TEXT]
    return [
        "Your mail could not be delivered to this recipient:",
        "",
        f"    {recipient if utf8 else escaped(recipient)}",
        "",
        *textwrap.wrap(said, _COLUMNS, break_on_hyphens=False),
        "",
        "It is not returned with this report. If it is still needed, send it again or",
        "ask the recipient in another way.",
    ]


def _status(failure: Failure, recipient: str, host: str, *, utf8: bool) -> list[str]:
    status = failure.status if _STATUS.fullmatch(failure.status) else "5.0.0"
    envelope_id = failure.envelope_id if _ENVELOPE_ID.fullmatch(failure.envelope_id) else ""
    original = _line(failure.original_recipient)
    return [
        *([f"Original-Envelope-Id: {envelope_id}"] if envelope_id else []),
        f"Reporting-MTA: dns; {_line(host)}",
        f"Arrival-Date: {format_datetime(failure.arrived_at)}",
        "",
        *([f"Original-Recipient: {original}"] if original else []),
        f"Final-Recipient: {typed(recipient, utf8=utf8)}",
        "Action: failed",
        f"Status: {status}",
        f"Diagnostic-Code: x-gateway; {_line(failure.reason)[:MAX_TEXT]}",
    ]


def _address(address: str) -> str:
    """Give an address as mail systems get it; of what is none, one line of ASCII."""
    try:
        check_address(address)
    except InvalidAddress:
        return _line(address)
    return on_the_wire(address)


def _domain(address: str) -> str:
    try:
        return ascii_domain(address.rpartition("@")[2])
    except UnicodeError:
        return "invalid"


def _line(text: str) -> str:
    """Give one line of printable ASCII: nothing in it can begin another field."""
    return " ".join("".join(char if " " <= char <= "~" else "?" for char in text[:MAX_VALUE]).split())
