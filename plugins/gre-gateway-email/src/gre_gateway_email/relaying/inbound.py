"""Decides about mails from the mail server, and stores what it takes.

Whatever cannot be delivered is refused within the dialogue: so no mail that was taken is lost, and no report
goes to a sender that a spammer made up. The envelope alone says who a mail is from and who it is for.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gre_core.errors import BadEncrypted, InvalidAddress, StoreError
from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.mail.mime_scan import Unreadable
from gre_gateway_email.mail.plain_mail import read_plain
from gre_gateway_email.relaying.spool import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_gateway_email.carrier import Carriers
    from gre_gateway_email.mail.door import MailOptions
    from gre_gateway_email.relaying.delivery import Delivery
    from gre_gateway_email.relaying.spool import Spool
    from gre_gateway_email.relaying.users import Users

MAX_QUEUE: Final = 20_000
"""Messages that may wait for delivery; more mails are put off with 452."""

MAX_REPLY: Final = 400

POSTMASTER: Final = "mailer-daemon"
"""What the contact is called from whom reports of mail systems come, at the domain of the user."""

REPORT: Final = "A mail system sent a report about a mail of yours: most probably it could not be delivered."

_log = get_logger(__name__)


class Inbound:
    """The door of the gateway (see :class:`gre_gateway_email.mail.door.Door`).

    Arguments:
        users: who gets mail.
        carriers: what encrypted mails can be taken apart.
        spool: where messages are stored.
        delivery: who brings them to the users.
        encrypted_only: refuse plain mails.
        max_encrypted: how many bytes an ``<encrypted/>`` element may have.
    """

    def __init__(
        self,
        users: Users,
        carriers: Carriers,
        spool: Spool,
        delivery: Delivery,
        *,
        encrypted_only: bool,
        max_encrypted: int,
    ) -> None:
        self._users = users
        self._carriers = carriers
        self._spool = spool
        self._delivery = delivery
        self._encrypted_only = encrypted_only
        self._max_encrypted = max_encrypted

    async def sender(self, address: str) -> str:
        """Answer MAIL FROM: whoever cannot be a contact is refused."""
        try:
            if address:
                check_address(address)
        except InvalidAddress as error:
            return _reply("553 5.1.7", error.text)
        return "250 2.1.0 OK"

    async def recipient(self, address: str) -> str:
        """Answer RCPT TO: whoever is not a user is refused."""
        if self._users.jid_of(address) is None:
            return "550 5.1.1 There is no such user"
        return "250 2.1.5 OK"

    async def mail(
        self,
        sender: str,
        recipients: Sequence[str],
        content: bytes,
        options: MailOptions | None = None,  # noqa: ARG002
    ) -> Sequence[str]:
        """Answer the end of the data, once for each recipient. ``250`` means: stored."""
        try:
            entry, text = self._take(sender, content)
        except _Unwanted as refusal:
            _log.info(
                "mail-refused", status=refusal.reply[:3], peer_domain=domain_of(sender), size=len(content)
            )
            return [refusal.reply] * len(recipients)
        return [await self._store(entry, address, content, text) for address in recipients]

    def _take(self, sender: str, content: bytes) -> tuple[Entry, str]:
        """Give an entry, still without id and user, and its content."""
        try:
            unwrapped = self._carriers.unwrap(content)
            if unwrapped is None:
                return self._take_plain(sender, content)
        except BadEncrypted as error:
            raise _Unwanted("554 5.6.0", error.text) from error
        except Unreadable as error:
            raise _Unwanted("554 5.6.0", f"The mail {error}") from error
        if not sender:
            raise _Unwanted("554 5.7.1", "A report of a mail system cannot be encrypted")
        carrier, carried = unwrapped
        body = carried.body
        if len(body.text) > self._max_encrypted:
            raise _Unwanted(
                "552 5.3.4",
                f"The mail has {len(body.text)} bytes of encrypted content, and only "
                f"{self._max_encrypted} can go over XMPP",
            )
        pair = str(carrier.formatter), str(carrier.encrypter)
        return Entry("", "", sender, "encrypted", *pair, notes=carried.notes), body.text

    def _take_plain(self, sender: str, content: bytes) -> tuple[Entry, str]:
        if self._encrypted_only and sender:
            raise _Unwanted("523 5.7.10", "This user takes only mail encrypted with OpenPGP (PGP/MIME)")
        mail = read_plain(content)
        text, subject = mail.shown(mail.files), mail.subject
        if not sender:
            # Whoever leaves out the sender must not get plain words past a policy that promises encryption.
            text, subject = (REPORT, "") if self._encrypted_only else (f"{REPORT}\n\n{text}", subject)
        if _escaped_size(text) + _escaped_size(subject) > self._max_encrypted:
            raise _Unwanted("552 5.3.4", "The text of the mail is too long to go over XMPP")
        return Entry("", "", sender, "plain", subject=subject), text

    async def _store(self, template: Entry, address: str, content: bytes, text: str) -> str:
        user = self._users.jid_of(address)
        if user is None:
            return "550 5.1.1 There is no such user"
        # A mail server that did not hear our answer sends the same bytes again: they get the same id.
        seed = f"{user}\0{template.sender}\0".encode() + content
        sender = template.sender or f"{POSTMASTER}@{domain_of(address)}"
        entry = replace(template, id=hashlib.sha256(seed).hexdigest()[:32], user=user, sender=sender)
        if self._delivery.knows(entry.id):
            return "250 2.1.5 Stored"
        if len(self._delivery) >= MAX_QUEUE:
            return "452 4.3.1 Too many messages wait for delivery, try again later"
        try:
            self._delivery.add(await self._spool.add(entry, text))
        except StoreError as error:
            _log.error("spool-failed", code=error.code)
            return "452 4.3.1 The mail cannot be stored now, try again later"
        _log.info("mail-taken", peer_domain=domain_of(sender), size=len(content), stanza_id=entry.id)
        return "250 2.1.5 Stored"


class _Unwanted(Exception):
    """A mail is refused with a reply of one line in ASCII."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.reply = _reply(code, text)


def _escaped_size(text: str) -> int:
    """Give how many bytes a text has in a stanza, at most a little too many."""
    return len(text.encode("utf-8")) + 5 * sum(text.count(char) for char in "&<>\"'")


def _reply(code: str, text: str) -> str:
    """Make a reply of one line in ASCII of any text."""
    line = "".join(char if " " <= char <= "~" else "?" for char in text)
    return f"{code} {line}"[:MAX_REPLY]
