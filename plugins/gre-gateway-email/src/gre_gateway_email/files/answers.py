"""Which mails a plain message answers or corrects: what the client says, and nothing that would have to be guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gre_core.wire import bare, child

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.gateway import Plain
    from gre_gateway_email.mail.reply_ids import ReplyIds

_CORRECTION: Final = "{urn:xmpp:message-correct:0}replace"
_REPLY: Final = "{urn:xmpp:reply:0}reply"


@dataclass(frozen=True, slots=True)
class Before:
    """What came before a message.

    Arguments:
        answers: Message-ID of the mail that it answers or corrects, without angle brackets, or None.
        first: Message-ID of the first mail of the conversation, or None.
        corrects: it takes the place of that mail (XEP-0308).
    """

    answers: str | None = None
    first: str | None = None
    corrects: bool = False

    @property
    def references(self) -> tuple[str, ...]:
        """What a References field names, the oldest first (RFC 5322, section 3.6.4)."""
        return tuple(dict.fromkeys(each for each in (self.first, self.answers) if each is not None))


class Answered:
    """Finds it out.

    Arguments:
        message_id: gives the Message-ID, without angle brackets, of an origin-id and the address of its sender.
        reply_ids: reads the ids of stanzas and threads that the gateway made.
    """

    def __init__(self, message_id: Callable[[str | None, str], str], reply_ids: ReplyIds) -> None:
        self._message_id = message_id
        self._reply_ids = reply_ids

    def __call__(self, message: Plain) -> Before:
        """Give what came before a message."""
        thread = child(message.stanza, "thread")
        said = "" if thread is None else (thread.text or "").strip()
        first = self._reply_ids.first_of(said, message.user)
        corrected = message.stanza.find(_CORRECTION)
        if corrected is not None and corrected.get("id"):
            return Before(self._own(message, corrected.get("id")), first, corrects=True)
        reply = message.stanza.find(_REPLY)
        if reply is None or not reply.get("id"):
            return Before(first=first)
        # An id of our own making needs no more; any other one is that of a message of the user, if they say so.
        answers = self._reply_ids.mail_of(reply.get("id", ""), message.user)
        if answers is None and bare(reply.get("to", "")).lower() == message.user:
            answers = self._own(message, reply.get("id"))
        return Before(answers, first)

    def _own(self, message: Plain, origin_id: str | None) -> str:
        return self._message_id(origin_id, message.sender_id)
