"""The form that mail systems use for reports: message/delivery-status (RFC 3464), and the returned header."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.typed_address import UTF8, unescaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gre_gateway_email.mail.mime_scan import Entity

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
"""What became of a mail (RFC 3464, section 2.3.3)."""

MAX_REPORTED: Final = 100
"""Most recipients that are read of one report."""

MAX_DIAGNOSTIC: Final = 300
"""How much of a diagnostic is kept, in characters."""

MAX_DEPTH: Final = 4
"""How deep multiparts may stand in each other."""

MAX_PARTS: Final = 100
"""Most parts that are looked at."""

MAX_STATUS_PART: Final = 64 * 1024
"""How much of the part for machines is read, in bytes."""

MAX_RETURNED: Final = 64 * 1024
"""How much of the returned mail is searched for its Message-ID, in bytes."""

MAX_TOKEN: Final = 998
"""Longest Message-ID, ENVID or address that is taken, in characters (RFC 5322, section 2.1.1)."""

STATUS_PARTS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
RETURNED_PARTS: Final = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/global-headers",
        "message/partial",
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/rfc822-headers",
    }
)

_ACTIONS: Final[tuple[tuple[str, Action], ...]] = (
    ("fail", "failed"),
    ("delay", "delayed"),
    ("deliver", "delivered"),
    ("relay", "relayed"),
    ("expand", "expanded"),
)
_BY_CLASS: Final[dict[str, Action]] = {"5": "failed", "4": "delayed", "2": "delivered"}
_STATUS = re.compile(r"(?<![0-9.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9]|\.[0-9])")
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")
_MESSAGE_ID = re.compile(
    rb"^[> \t]{0,4}message-id:[ \t]*(?:\r?\n[ \t]{1,80})?<([^<>\s]{1,998})>", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of a mail for one recipient.

    Arguments:
        action: what happened. ``failed`` is final; after ``delayed`` the mail system still tries.
        status: enhanced status code, ``5.1.1`` (RFC 3463), or ``""``. Its first digit says whether trying again
            helps (4) or not (5).
        diagnostic: what the other mail system said, one printable line, or ``""``.
        recipient: address that the delivery was tried to, or ``""``.
        original_recipient: address that we sent to, when the report names it (ORCPT), or ``""``.
    """

    action: Action
    status: str = ""
    diagnostic: str = field(default="", repr=False)
    recipient: str = field(default="", repr=False)
    original_recipient: str = field(default="", repr=False)

    @property
    def temporary(self) -> bool:
        """Whether the reason may pass by itself: full mailbox, no answer, greylisting."""
        return self.action == "delayed" or self.status.startswith("4")


@dataclass(frozen=True, slots=True)
class Report:
    """One report about one mail.

    Arguments:
        recipients: at least one, at most :data:`MAX_REPORTED`.
        envelope_id: of our mail (ENVID, RFC 3461), or ``""``.
        message_id: of our mail, from its returned header, without angle brackets, or ``""``.
        standard: has the form of RFC 3464; else it was read from words.
    """

    recipients: tuple[RecipientStatus, ...]
    envelope_id: str = ""
    message_id: str = ""
    standard: bool = True

    @property
    def failed(self) -> bool:
        """Whether the mail did not reach somebody, finally."""
        return any(one.action == "failed" for one in self.recipients)


def leaves(part: Entity, depth: int = 0) -> Iterator[tuple[Entity, str]]:
    """Give all parts that are not multiparts, with their kinds. Enclosed mails are not opened.

    Raises:
        Unreadable: a part is beyond the bounds.
    """
    kind, parameters = mime_scan.structured(part.first("content-type", "text/plain"))
    boundary = mime_scan.boundary_of(parameters)
    if not (kind.startswith("multipart/") and boundary):
        yield part, kind
    elif depth < MAX_DEPTH:
        inner = part.parts(boundary, MAX_PARTS)
        if not inner:
            yield part, "text/plain"  # the boundary was lost on the way
        for each in inner:
            yield from leaves(each, depth + 1)


def message_id_in(text: bytes) -> str:
    """Find the first Message-ID in a header, or in a text that holds one; without angle brackets, or ``""``."""
    found = _MESSAGE_ID.search(text[:MAX_RETURNED])
    return printable(found[1].decode("utf-8", "replace")) if found is not None else ""


def status_in(text: str) -> str:
    """Find the first enhanced status code (RFC 3463) in words, or ``""``."""
    found = _STATUS.search(text)
    return found[0] if found is not None else ""


def printable(text: str, limit: int = MAX_TOKEN) -> str:
    """Give one line of at most ``limit`` characters without control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[: 2 * limit]).split())[
        :limit
    ]


def read_status(content: bytes, message_id: str) -> Report | None:
    """Read the part for machines of a report; None: it says nothing.

    Arguments:
        content: of that part, without its transfer encoding.
        message_id: of the returned mail, or ``""``.

    Raises:
        Unreadable: it is beyond the bounds.
    """
    blocks = _BLANK_LINE.split(content[:MAX_STATUS_PART].strip(b"\r\n"), MAX_REPORTED + 1)
    envelope_id, recipients = "", []
    for block in blocks[: MAX_REPORTED + 1]:
        fields = mime_scan.read(block.lstrip(b"\r\n"))
        envelope_id = envelope_id or printable(fields.first("original-envelope-id"))
        status = _recipient_status(fields)
        if status is not None:
            recipients.append(status)
    if not recipients:
        return None
    return Report(tuple(dict.fromkeys(recipients))[:MAX_REPORTED], envelope_id, message_id)


def _recipient_status(fields: Entity) -> RecipientStatus | None:
    """Read one block; None: it is the one about the whole mail, or says nothing."""
    recipient = _typed(fields.first("final-recipient"))
    original = _typed(fields.first("original-recipient"))
    action_word = fields.first("action").strip().lower()
    if not (recipient or original or action_word):
        return None
    # Lotus and others write the whole reply into Status; others leave it at 5.0.0 and say more below.
    status = status_in(fields.first("status")[:MAX_TOKEN])
    diagnostic = printable(_typed(fields.first("diagnostic-code")), MAX_DIAGNOSTIC)
    precise = status_in(diagnostic)
    if precise and (not status or (status.endswith(".0.0") and precise[0] == status[0])):
        status = precise
    known: list[Action] = [action for prefix, action in _ACTIONS if action_word.startswith(prefix)]
    action: Action | None = known[0] if known else _BY_CLASS.get(status[:1])
    if action is None:
        return None
    return RecipientStatus(action, status, diagnostic, recipient, original)


def _typed(value: str) -> str:
    """Give what stands behind ``rfc822;``, ``utf-8;`` or ``smtp;``, without angle brackets."""
    kind, semicolon, rest = value.partition(";")
    text = rest if semicolon and kind.strip().replace("-", "").isalnum() else value
    text = printable(unescaped(text) if kind.strip().lower() == UTF8 else text)
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def returned_header(parts: Sequence[tuple[Entity, str]]) -> bytes:
    """Give the header of the returned mail, or ``b""``."""
    for part, kind in parts:
        if kind in RETURNED_PARTS:
            return _BLANK_LINE.split(part.content(MAX_RETURNED).lstrip(b"\r\n"), 1)[0]
    return b""


def returned_id(root: Entity, parts: Sequence[tuple[Entity, str]]) -> str:
    """Give the Message-ID of the returned mail, without angle brackets, or ``""``."""
    # Where the returned header stands in no part of its own, it stands somewhere in the body.
    found = message_id_in(returned_header(parts))
    return found or message_id_in(root.raw[root.start : min(root.end, root.start + MAX_RETURNED)])
