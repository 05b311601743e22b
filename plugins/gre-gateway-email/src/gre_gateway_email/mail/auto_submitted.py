"""Tells mails of programs from those of people: no program answers them, or two would go on for ever (RFC 3834)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.mime_scan import Unreadable

if TYPE_CHECKING:
    from gre_gateway_email.mail.mime_scan import Entity

_BULK: Final = frozenset({"bulk", "list", "junk", "auto_reply"})
_LIST_FIELDS: Final = frozenset({"list-id", "list-post", "list-unsubscribe", "feedback-id"})
_AUTOMATIC_FIELDS: Final = frozenset(
    {"x-autoreply", "x-autorespond", "x-auto-response-suppress", "x-failed-recipients"}
)
_REPORTS: Final = frozenset(
    {"multipart/report", "message/delivery-status", "message/disposition-notification"}
)
_ROLES: Final = frozenset({"mailer-daemon", "noreply", "no-reply", "listserv", "majordomo"})


def is_automatic(mail: bytes | Entity, sender: str) -> bool:
    """Tell whether a mail must not be answered by a program.

    Arguments:
        mail: a raw mail, which may be hostile, or one that is read already.
        sender: of the envelope; ``""`` is the null sender.

    Returns:
        True for the null sender, anything but ``Auto-Submitted: no``, lists, bulk mail, reports, senders that no
        person reads, and a mail whose header is beyond the bounds.
    """
    if not sender or _is_role(sender):
        return True
    try:
        header = mime_scan.read(mail) if isinstance(mail, bytes) else mail
    except Unreadable:
        return True
    submitted = header.first("auto-submitted", "no").partition(";")[0].partition("(")[0].strip().lower()
    if submitted != "no" or header.first("precedence").strip().lower() in _BULK:
        return True
    if mime_scan.structured(header.first("content-type"))[0] in _REPORTS:
        return True
    return any(name in _LIST_FIELDS or name in _AUTOMATIC_FIELDS for name, _ in header.fields)


def _is_role(sender: str) -> bool:
    # RFC 3834, section 2.
    local = sender.partition("@")[0].lower()
    return local in _ROLES or local.startswith("owner-") or local.endswith("-request")
