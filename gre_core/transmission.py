"""Hands sealed stanzas to the stream, and keeps each in the outbox until somebody confirms or refuses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core import wire
from gre_core.errors import GreError, PeerTimeout, TooLarge
from gre_core.handled import Mark
from gre_core.model import Direction, Notice
from gre_core.outbox import DamagedEntry, SendState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from xml.etree.ElementTree import Element

    from gre_core.handled import Handled
    from gre_core.outbox import Outbox, Sent
    from gre_core.ports import Network
    from gre_core.sealing import Sealed


class Transmitter:
    """Sends the messages of one account.

    Arguments:
        outbox: where they are kept.
        handled: notes what this device sent: the archive will show it, too.
        network: the stream.
    """

    def __init__(self, outbox: Outbox, handled: Handled, network: Network) -> None:
        self._outbox = outbox
        self._handled = handled
        self._network = network

    async def dispatch(self, stanza_id: str, to: str, stanza: Element) -> Sent:
        """Keep one message and hand it to the stream. When that is down, the message stays queued.

        Raises:
            GreError: it can never be sent, and is not kept.
        """
        sent = await self._outbox.add(stanza_id, to, stanza)
        try:
            return await self._transmit(stanza_id, stanza) or sent
        except PeerTimeout:
            return sent
        except GreError:
            await self.settle(stanza_id, None, SendState.REFUSED)
            raise

    async def dispatch_all(self, sealed: Sequence[Sealed]) -> tuple[Sent, ...]:
        """Keep all stanzas of one message, then hand them to the stream.

        Result:
            The state of each. One that can never be sent is refused, with the reason; the others are on their way.

        Raises:
            StoreError, LocalProtocolError: not all of them can be kept, and nothing was sent.
        """
        kept: list[Sent] = []
        try:
            for one in sealed:
                sent = await self._outbox.add(one.id, one.to, one.stanza, one.recipients)
                kept.append(sent)
        except BaseException:
            for sent in kept:
                await self.settle(sent.id, None, SendState.REFUSED)
            raise
        return tuple([await self._try(one, sent) for one, sent in zip(sealed, kept, strict=True)])

    async def _try(self, sealed: Sealed, sent: Sent) -> Sent:
        try:
            return await self._transmit(sealed.id, sealed.stanza) or sent
        except PeerTimeout:
            return sent
        except GreError as error:
            settled = await self.settle(sealed.id, None, SendState.REFUSED, error=error.text)
            return settled or sent

    async def resend(self, wanted: Callable[[Sent], bool]) -> tuple[Notice, ...]:
        """Hand what nobody has confirmed to the stream again, with the same ids.

        Arguments:
            wanted: chooses among it.

        Result:
            What can never be sent again, to be shown to the user.

        Raises:
            StoreError: the store failed.
        """
        notices = []
        for sent in filter(wanted, await self._outbox.pending()):
            try:
                await self._transmit(sent.id)
            except PeerTimeout:
                break
            except (TooLarge, DamagedEntry) as error:
                await self.settle(sent.id, None, SendState.REFUSED)
                to = ", ".join(sent.recipients) or "an unknown contact"
                text = f"A message to {to} is lost, write it again: {error.text}"
                notices.append(Notice("not-sent", text, {"id": sent.id, "peer": sent.to}))
        return tuple(notices)

    async def settle(
        self, stanza_id: str, peer: str | None, state: SendState, *, error: str = "", condition: str = ""
    ) -> Sent | None:
        """Note the final state of a message; see :meth:`Outbox.settle`."""
        sent = await self._outbox.settle(stanza_id, peer, state, error=error, condition=condition)
        if sent is not None:
            await self._handled.add(Mark(Direction.SENT, sent.to, sent.origin_id))
        return sent

    async def _transmit(self, stanza_id: str, stanza: Element | None = None) -> Sent | None:
        if stanza is None:
            stanza = await self._outbox.stanza(stanza_id)
        await self._network.send_message(stanza)
        sent = await self._outbox.attempted(stanza_id)
        if stanza.find(wire.REQUEST_TAG) is None:
            return await self.settle(stanza_id, None, SendState.SENT) or sent
        return sent
