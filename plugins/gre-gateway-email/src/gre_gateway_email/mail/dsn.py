"""Reads what mail systems report about a mail of ours: delivery status notifications (RFC 3464, RFC 6533).

::

    report = read_report(mail)
    if report is not None and any(one.action == "failed" for one in report.recipients):
        ...  # report.envelope_id or report.message_id says which mail it was

Many mail systems write for people only: what is certain in such texts is read by
:mod:`gre_gateway_email.mail.bounce_text`. Whoever knows the address of a user can send a report: it counts only
with an authentic ENVID (:mod:`gre_gateway_email.mail.envelope_id`) or a Message-ID that the gateway knows.
"""

from __future__ import annotations

from itertools import islice

from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.bounce_text import read_words
from gre_gateway_email.mail.delivery_status import (
    MAX_PARTS,
    MAX_STATUS_PART,
    STATUS_PARTS,
    Action,
    RecipientStatus,
    Report,
    leaves,
    read_status,
    returned_id,
)
from gre_gateway_email.mail.mime_scan import Unreadable

__all__ = ["Action", "RecipientStatus", "Report", "read_report"]


def read_report(mail: bytes) -> Report | None:
    """Read a report, which may be hostile, in linear time.

    Returns:
        The report, or None: the mail is something else (a person's mail, an automatic answer, a read receipt, an
        abuse report), or says nothing that is certain.
    """
    try:
        root = mime_scan.read(mail)
        parts = list(islice(leaves(root), MAX_PARTS))
        for part, kind in parts:
            if kind in STATUS_PARTS:
                report = read_status(part.content(MAX_STATUS_PART), returned_id(root, parts))
                if report is not None:
                    return report
        return read_words(root, parts)
    except Unreadable:
        return None
