"""The XMPP side of the delivery: stored messages as stanzas."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from gre_core.api import Body, Kind, Namespace
from gre_core.errors import Refused
from gre_core.wire import RECEIPTS

if TYPE_CHECKING:
    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.mail.reply_ids import ReplyIds
    from gre_gateway_email.store.records import InboundMessage

PRESENCE_SOON: Final = 8.0
"""So long the presence of users may take to come after all of them were asked for it, in seconds."""
PING: Final = "{urn:xmpp:ping}ping"


class XmppCourier:
    """Sends over an attached gateway (see :class:`gre_gateway_email.relaying.dispatch.Courier`).

    Arguments:
        gateway: attached.
        reply_ids: makes the ids of plain messages.
    """

    def __init__(self, gateway: Gateway, reply_ids: ReplyIds) -> None:
        self._gateway = gateway
        self._asked_at = float("inf")
        self._reply_ids = reply_ids

    @property
    def connected(self) -> bool:
        """Whether the stream is up."""
        return self._gateway.stream.up

    async def send(self, message: InboundMessage, content: bytes) -> None:
        """Hand a message to the stream; raises as ``Gateway.deliver`` does.

        Raises:
            Refused: of type wait: only a client could be told, and none is there.
        """
        text = content.decode("utf-8", "replace")
        if message.kind == "encrypted":
            pair = (
                Namespace.parse(message.formatter, Kind.FORMATTER),
                Namespace.parse(message.encrypter, Kind.ENCRYPTER),
            )
            self._gateway.deliver(message.user, message.sender, pair, Body(text), message.id, message.notes)
        elif message.kind == "plain":
            self._gateway.deliver_plain(
                message.user,
                message.sender,
                text,
                message.subject or None,
                self._reply_ids.stanza_id(message.id, message.user, message.message_id),
                message.files,
                thread=self._reply_ids.thread(message.user, message.thread),
            )
        elif message.kind == "notice":
            self._gateway.deliver_notice(message.user, text, message.id)
        else:
            self._send_error(message, text)

    async def ping(self, domain: str) -> None:
        """Ping a server (XEP-0199)."""
        await self._gateway.stream.iq(domain, "get", Element(PING))

    async def gives_receipts(self, user: str) -> bool | None:
        """Tell whether a client of the user is there that sends receipts.

        None when that is not known: a client is there that does not answer, or no presence came and the users were not
        all asked for it on this stream, or only just.
        """
        if RECEIPTS in await self._gateway.features_of(user):
            return True
        announced = await self._gateway.presences.clients.features(user)
        known = all(announced.values()) if announced else monotonic() > self._asked_at + PRESENCE_SOON
        return False if known else None

    def new_stream(self) -> None:
        """Note that the stream has begun."""
        self._asked_at = float("inf")

    def all_asked(self) -> None:
        """Note that all users were asked for their presence."""
        self._asked_at = monotonic()

    def _send_error(self, message: InboundMessage, text: str) -> None:
        condition = message.notes[0] if message.notes else "not-acceptable"
        error = Refused(text, condition=condition, error_type="cancel")
        if not self._gateway.deliver_error(message.user, message.sender or None, message.subject, error):
            raise Refused(
                "No client of the user is there.", condition="recipient-unavailable", error_type="wait"
            )
