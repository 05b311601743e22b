"""The XMPP side of the delivery: stored messages as stanzas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from gre_core.api import Body, Kind, Namespace
from gre_core.wire import RECEIPTS

if TYPE_CHECKING:
    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.relaying.spool import Entry

PING: Final = "{urn:xmpp:ping}ping"


class XmppCourier:
    """Sends over an attached gateway (see :class:`gre_gateway_email.relaying.delivery.Courier`)."""

    def __init__(self) -> None:
        self._gateway: Gateway | None = None

    def attach(self, gateway: Gateway) -> None:
        """Say which gateway it is, as soon as there is one."""
        self._gateway = gateway

    @property
    def connected(self) -> bool:
        """Whether the stream is up."""
        return self._gateway is not None and self._gateway.stream.up

    async def send(self, entry: Entry, content: str) -> None:
        """Hand a message to the stream; raises as ``Gateway.deliver`` does."""
        if self._gateway is None:
            return
        if entry.kind == "encrypted":
            pair = (
                Namespace.parse(entry.formatter, Kind.FORMATTER),
                Namespace.parse(entry.encrypter, Kind.ENCRYPTER),
            )
            self._gateway.deliver(entry.user, entry.sender, pair, Body(content), entry.id, entry.notes)
        else:
            self._gateway.deliver_plain(entry.user, entry.sender, content, entry.subject or None, entry.id)

    async def ping(self, domain: str) -> None:
        """Ping a server (XEP-0199)."""
        if self._gateway is not None:
            await self._gateway.stream.iq(domain, "get", Element(PING))

    async def gives_receipts(self, user: str) -> bool:
        """Tell whether a client of the user is there that sends receipts."""
        return self._gateway is not None and RECEIPTS in await self._gateway.features_of(user)
