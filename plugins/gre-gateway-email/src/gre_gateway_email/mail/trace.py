"""Trace fields: where a mail went through, so that loops end (RFC 5321, section 3.7.2, 4.4 and 6.3)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from gre_gateway_email.mail.date_time import date_time
from gre_gateway_email.mail.mime_scan import MAX_HEADER

if TYPE_CHECKING:
    from datetime import datetime

MAX_HOPS: Final = 100
"""More Received fields mean that a mail goes round in circles (RFC 5321, section 6.3)."""

MAX_OWN: Final = 1
"""A mail from one user to another comes back once; the second time it goes round in circles."""

_PROGRAM: Final = "gre-email-gateway"
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_OWN = re.compile(
    rb"^received: by ([a-z0-9.-]{1,254}) \(" + _PROGRAM.encode() + rb"\)", re.IGNORECASE | re.MULTILINE
)


def received(domain: str, message: bytes, now: datetime) -> bytes:
    """Make the field that is put before a mail that goes out. It names no user and no client.

    Arguments:
        domain: mail domain of the sender, in ASCII.
        message: the mail; its header gives the id of the field, the same when it is sent again.
        now: with time zone.
    """
    mark = hashlib.sha256(_header(message)).hexdigest()[:16]
    return f"Received: by {domain} ({_PROGRAM}) with XMPP id {mark};\r\n {date_time(now)}\r\n".encode("ascii")


def goes_round(mail: bytes) -> bool:
    """Tell whether a received mail goes round in circles."""
    header = _header(mail).lower()
    # To count words is far quicker than to look for fields, and enough for nearly every mail.
    if header.count(b"received") > MAX_HOPS and sum(1 for _ in _RECEIVED.finditer(header)) > MAX_HOPS:
        return True
    if header.count(_PROGRAM.encode()) <= MAX_OWN:
        return False
    own = Counter(found[1] for found in _OWN.finditer(header))
    return any(count > MAX_OWN for count in own.values())


def _header(mail: bytes) -> bytes:
    if mail.startswith((b"\r\n", b"\n")):
        return b""
    end = _END_OF_HEADER.search(mail, 0, MAX_HEADER)
    return mail[: end.start() if end else MAX_HEADER]
