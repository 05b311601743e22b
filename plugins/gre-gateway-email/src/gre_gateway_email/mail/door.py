"""What the listener asks of whoever decides about mails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class RecipientOptions:
    """What the mail server says about one recipient (RFC 3461, section 4.1 and 4.2).

    Arguments:
        wants_report: a report about a failed delivery is wanted: not with ``NOTIFY=NEVER``, nor when NOTIFY leaves
            FAILURE out.
        original: what the sender wrote before aliases changed it (ORCPT), ``rfc822;a@example.org``, decoded, or ``""``.
    """

    wants_report: bool = True
    original: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class MailOptions:
    """What the mail server says about one mail (RFC 3461, RFC 6531).

    Arguments:
        envelope_id: of the sender's mail system (ENVID), decoded, or ``""``.
        smtputf8: the mail has UTF-8 in addresses or header fields.
        one_answer: the dialogue is SMTP, which has one answer for all recipients: the mail is to be stored for all
            of them, or for none, and all answers are the same. Else one that was refused would not be noticed, or
            one that was stored would come again.
        recipients: options by recipient address, as it was given to ``recipient``.
    """

    envelope_id: str = ""
    smtputf8: bool = False
    one_answer: bool = False
    recipients: Mapping[str, RecipientOptions] = field(default_factory=dict, repr=False)

    def of(self, recipient: str) -> RecipientOptions:
        """Give the options of one recipient."""
        return self.recipients.get(recipient, _NONE)


_NONE = RecipientOptions()


class Door(Protocol):
    """Decides about mails. Every answer is an SMTP reply line, ``250 2.1.5 ...``."""

    async def sender(self, address: str) -> str:
        """Answer MAIL FROM; ``""`` is the null sender."""
        ...

    async def recipient(self, address: str) -> str:
        """Answer RCPT TO. It is also asked by mail servers that only want to know whether there is such a user."""
        ...

    async def mail(
        self, sender: str, recipients: Sequence[str], content: bytes, options: MailOptions
    ) -> Sequence[str]:
        """Answer the end of the data, once for each recipient. ``250`` means: stored."""
        ...
