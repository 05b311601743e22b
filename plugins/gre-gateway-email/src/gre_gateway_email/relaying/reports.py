"""Makes the report for the sender of a mail that could not be delivered after all, as a mail to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gre_gateway_email.mail.report import NULL_SENDER, Failure, failure_report
from gre_gateway_email.store.records import OutboundMail

if TYPE_CHECKING:
    from gre_gateway_email.relaying.giving_up import ReportMaker
    from gre_gateway_email.store.records import InboundMessage


def report_maker(now: Callable[[], float], host: str) -> ReportMaker:
    """Give a maker of reports.

    Arguments:
        now: seconds since 1970.
        host: what the gateway calls itself.
    """

    def make(message: InboundMessage, why: str, status: str) -> OutboundMail:
        failure = Failure(
            sender=message.sender,
            recipient=message.address,
            reason=why,
            status=status,
            arrived_at=datetime.fromtimestamp(message.received_at, UTC),
            message_id=message.message_id,
            envelope_id=message.envelope_id,
            original_recipient=message.original_recipient,
        )
        return OutboundMail(
            id=f"report-{message.id}",
            key=hashlib.sha256(f"report\0{message.id}".encode()).digest(),
            user=message.user,
            user_full="",
            stanza_id="",
            stanza_to="",
            stanza_type="",
            wants_receipt=False,
            sender=NULL_SENDER,
            recipients=(message.sender,),
            message_id="",
            mail=failure_report(failure, datetime.now(UTC), host=host),
            kind="report",
            created_at=now(),
            next_at=now(),
        )

    return make
