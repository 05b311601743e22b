"""Sends messages that belong to conversations: to one or several people, as answers, in threads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gre_core import replies, wire
from gre_core.errors import LocalProtocolError
from gre_core.message_index import OWN, Known, is_content_id, trim
from gre_core.model import Question

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.distribution import Distributor
    from gre_core.message_index import MessageIndex
    from gre_core.model import Message
    from gre_core.opening import Received
    from gre_core.outbox import Sent
    from gre_core.policy import Memory
    from gre_core.sealing import Sealed, Sealer
    from gre_core.transmission import Transmitter

ANSWER_ANOTHER = "answer-another"
"""Code of the question whether an answer goes to the address inside a message, which is not whom it came from."""


class Correspondent:
    """Sends for one account, and remembers what was sent, so that answers find it.

    Arguments:
        sealer: seals.
        distributor: seals for several people.
        transmitter: sends.
        index: the messages before.
        memory: who we are, and the user's decisions.
    """

    def __init__(
        self,
        sealer: Sealer,
        distributor: Distributor,
        transmitter: Transmitter,
        index: MessageIndex,
        memory: Memory,
    ) -> None:
        self._sealer = sealer
        self._distributor = distributor
        self._transmitter = transmitter
        self._index = index
        self._memory = memory

    async def send(
        self, jid: str, message: Message, stanza_id: str | None, reply_to: str | None, thread: str | None
    ) -> Sent:
        """Send a message to one contact; see ``ClientEngine.send``."""
        message = await self._placed(message, reply_to, thread)
        sealed = await self._sealer.seal(jid, message, stanza_id)
        sent = await self._transmitter.dispatch(sealed.id, sealed.to, sealed.stanza)
        await self._remember(message, sealed)
        return sent

    async def send_all(
        self,
        message: Message,
        people: tuple[Iterable[str], Iterable[str], Iterable[str]],
        stanza_id: str | None,
        reply_to: str | None,
        thread: str | None,
    ) -> tuple[Sent, ...]:
        """Send a message to people in To, Cc and Bcc; see ``ClientEngine.send_all``."""
        message = await self._placed(message, reply_to, thread)
        sealed = await self._distributor.seal(message, *people, stanza_id)
        sent = await self._transmitter.dispatch_all(sealed)
        await self._remember(message, sealed[0])
        return sent

    async def reply(self, received: Received, message: Message, *, to_all: bool) -> tuple[Sent, ...]:
        """Answer a message; see ``ClientEngine.reply``."""
        if replies.is_another(received):
            claimed, peer = replies.author(received), received.peer
            text = (
                f"The message came from {peer}, but says that it is from {claimed}. An answer goes to {claimed}. "
                "Send it there?"
            )
            await self._memory.require(Question(ANSWER_ANOTHER, peer, text, before=peer, after=claimed))
        ours = await self._memory.sender_ids(wire.domain(received.peer), received.peer)
        to, cc = replies.recipients(received, ours, to_all=to_all)
        if not to and not cc:
            raise LocalProtocolError("Nobody but you is named in the message. Send a new one.")
        return await self.send_all(replies.answer(received, message), (to, cc, ()), None, None, None)

    async def _placed(self, message: Message, reply_to: str | None, thread: str | None) -> Message:
        """Give a message its place in the conversation, inside the encryption."""
        if reply_to is None:
            return message if thread is None else replace(message, references=(thread,))
        known = await self._index.by_stanza(reply_to)
        if known is None:
            raise LocalProtocolError(
                "The message to answer is not remembered here. Send yours without naming it.", id=reply_to
            )
        if is_content_id(known.message_id):
            return message
        references = trim((*known.references, known.message_id))
        return replace(message, in_reply_to=known.message_id, references=references)

    async def _remember(self, message: Message, sealed: Sealed) -> None:
        if sealed.message_id is None:
            return
        thread = await self._index.thread(sealed.message_id, message.in_reply_to, message.references)
        entry = Known(sealed.message_id, sealed.id, sealed.to, thread, message.references, OWN)
        await self._index.add(entry)
