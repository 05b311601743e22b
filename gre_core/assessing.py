"""Looks at an opened message beside what is remembered: is it new, is it for us, what does it answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gre_core import wire
from gre_core.judgement import Circumstances, judge
from gre_core.message_index import OWN, Known, content_id
from gre_core.model import Direction, Signature

if TYPE_CHECKING:
    from gre_core.message_index import MessageIndex
    from gre_core.model import Message, Notice, Opened, OpenJob, Verdict
    from gre_core.policy import Memory
    from gre_core.ports import Ports


@dataclass(frozen=True, slots=True)
class Assessed:
    """What the past says about a message.

    Arguments:
        verdict: the final one.
        notices: to be shown.
        reply_to: the stanza id of the message that it answers, ours or theirs; None when it answers none that we know.
        thread: id of the conversation.
    """

    verdict: Verdict
    notices: tuple[Notice, ...]
    reply_to: str | None
    thread: str


class Assessor:
    """Assesses the messages of one account, and remembers them.

    Arguments:
        memory: what each contact and gateway had before.
        index: the messages before.
        ports: for the clock.
    """

    def __init__(self, memory: Memory, index: MessageIndex, ports: Ports) -> None:
        self._memory = memory
        self._index = index
        self._ports = ports

    async def assess(
        self,
        opened: Opened,
        message: Message,
        job: OpenJob,
        notices: tuple[Notice, ...],
        signature_id: str = "",
    ) -> Assessed:
        """Give the final verdict on a message, and its place in the conversation.

        Arguments:
            opened: with the encrypter's verdict.
            message: its content.
            job: how it came.
            notices: what else is known about how it came.
            signature_id: what tells a message without an id from another one that says the same.

        Raises:
            StoreError: the store failed.
        """
        verdict = opened.verdict
        proven = verdict.signature is Signature.GOOD
        content = opened.payload or opened.parsed or b"" if message.signed is None else message.signed.content
        message_id = message.message_id or content_id(content + signature_id.encode())
        found: tuple[Notice, ...] = ()
        if job.direction is Direction.SENT:
            signer = OWN if proven else ""
        else:
            signer = (verdict.signer or job.peer) if proven else ""
            seen_as = await self._index.seen_as(message_id, signer, job.stanza_id) if proven else None
            how = Circumstances(
                job.expected_sender,
                await self._memory.sender_ids(wire.domain(job.peer), job.peer),
                seen_as,
                job.received or self._ports.now(),
                notices,
            )
            verdict, found = judge(verdict, message, how)
            changed = await self._memory.see_signature(job.peer, verdict)
            if changed is not None:
                found = (*found, changed)
        answered = None if message.in_reply_to is None else await self._index.find(message.in_reply_to)
        thread = await self._index.thread(message_id, message.in_reply_to, message.references)
        if verdict.signature is not Signature.REPLAYED:
            references = message.references or ((message.in_reply_to,) if message.in_reply_to else ())
            await self._index.add(
                Known(message_id, job.stanza_id or "", job.peer, thread, references, signer)
            )
        return Assessed(verdict, found, (answered.stanza_id or None) if answered else None, thread)
