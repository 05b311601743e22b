"""The XMPP side of the outbound way: what became of a stored mail, told to its user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.gateway import Answer

if TYPE_CHECKING:
    from gre_core.errors import GreError
    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.store.records import OutboundMail


class XmppAnswers:
    """Sends receipts and errors over an attached gateway.

    Arguments:
        gateway: attached.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def up(self) -> bool:
        """Whether the stream is there."""
        return self._gateway.stream.up

    def confirm(self, mail: OutboundMail) -> None:
        """Send the receipt, now or with the next stream."""
        self._gateway.confirm(_answer(mail))

    def refuse(self, mail: OutboundMail, error: GreError) -> None:
        """Send the stanza error."""
        self._gateway.refuse(_answer(mail), error)


def _answer(mail: OutboundMail) -> Answer:
    return Answer(mail.user_full, mail.stanza_id, mail.stanza_to, mail.stanza_type, mail.wants_receipt)
