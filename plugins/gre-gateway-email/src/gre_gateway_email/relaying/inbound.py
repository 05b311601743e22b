"""Decides about mails from the mail server, and stores what it takes.

Whatever cannot be delivered is refused within the dialogue: so no mail that was taken is lost, and no report
goes to a sender that a spammer made up. The envelope alone says who a mail is from and who it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress, PeerTimeout, StoreError
from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.mail.door import MailOptions
from gre_gateway_email.mail.dsn import read_report
from gre_gateway_email.mail.mime_scan import Unreadable
from gre_gateway_email.relaying.events import NoEvents
from gre_gateway_email.relaying.messages import Mail, encrypted_message, held_notice, plain_message
from gre_gateway_email.relaying.reading import (
    PlainContent,
    Unwanted,
    escaped_size,
    read_header,
    read_text,
    unwrap,
    with_author,
)
from gre_gateway_email.store.errors import NoRoom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_gateway_email.carrier import Carriers
    from gre_gateway_email.config import Retry
    from gre_gateway_email.mail.dsn import Report
    from gre_gateway_email.relaying.bounces import Bounces
    from gre_gateway_email.relaying.delivery import Delivery
    from gre_gateway_email.relaying.events import Events
    from gre_gateway_email.relaying.messages import Stored
    from gre_gateway_email.relaying.quotas import Quotas
    from gre_gateway_email.relaying.reading import Encrypted, PlainReader
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Store

REPORT: Final = "A mail system sent a report about a mail of yours: most probably it could not be delivered."

STORED: Final = "250 2.1.5 Stored"
FULL: Final = "452 4.3.1 The gateway has no room left on its disk, try again later"
LARGE: Final = 256 * 1024
"""Mails of so many bytes are taken apart in a thread."""

AWAY: Final = "451 4.3.0 The gateway's database does not answer, try again later"

Taken = Callable[[Sequence["User"], str, bytes], Awaitable[None]]
"""Told of each mail that was stored, before it is delivered: for whom, from whom, and all of it."""

_log = get_logger(__name__)


async def _nobody(_users: Sequence[User], _sender: str, _content: bytes) -> None:
    """Is told, and does nothing."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is taken.

    Arguments:
        encrypted_only: refuse plain mails to everybody.
        max_encrypted: how many bytes an ``<encrypted/>`` element may have; larger ones are held.
        retry: how long messages are kept.
    """

    encrypted_only: bool
    max_encrypted: int
    retry: Retry


@dataclass(slots=True)
class _Answer:
    """What one recipient gets."""

    reply: str = STORED
    mail: Mail | None = None
    """None: it is refused."""
    stored: list[Stored] = field(default_factory=list)


class Inbound:
    """The door of the gateway (see :class:`gre_gateway_email.mail.door.Door`).

    Arguments:
        store: who gets mail, and what is stored.
        carriers: what encrypted mails can be taken apart.
        delivery: who brings messages to the users.
        quotas: how much may wait.
        bounces: reads reports.
        policy: what is taken.
        now: seconds since 1970.
        read: reads plain mails.
        taken: told of each mail that was stored, before it is delivered.
        events: told what happens.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that it needs
        self,
        store: Store,
        carriers: Carriers,
        delivery: Delivery,
        quotas: Quotas,
        bounces: Bounces,
        policy: Policy,
        *,
        now: Callable[[], float],
        read: PlainReader = read_text,
        taken: Taken = _nobody,
        events: Events | None = None,
    ) -> None:
        self._store = store
        self._carriers = carriers
        self._delivery = delivery
        self._quotas = quotas
        self._bounces = bounces
        self._policy = policy
        self._now = now
        self._read = read
        self._taken = taken
        self._events = events or NoEvents()

    # -- the dialogue --------------------------------------------------------------------------------

    async def sender(self, address: str) -> str:
        """Answer MAIL FROM: whoever cannot be a contact is refused."""
        try:
            if address:
                check_address(address)
        except InvalidAddress as error:
            return self._refused(Unwanted("553 5.1.7", error.text))
        return "250 2.1.0 OK"

    async def recipient(self, address: str) -> str:
        """Answer RCPT TO: whoever is not a user, or has no room, is refused."""
        try:
            await self._user(address)
        except Unwanted as refusal:
            return self._refused(refusal)
        except StoreError as error:
            return self._away(error)
        return "250 2.1.5 OK"

    async def mail(
        self, sender: str, recipients: Sequence[str], content: bytes, options: MailOptions | None = None
    ) -> Sequence[str]:
        """Answer the end of the data, once for each recipient. ``250`` means: stored."""
        try:
            answers = await self._answers(sender, recipients, content, options or MailOptions())
        except Unwanted as refusal:
            _log.info(
                "mail-refused",
                status=refusal.status,
                peer_domain=domain_of(sender),
                size=len(content),
                user=", ".join(recipients),
                address=sender,
            )
            return [self._refused(refusal)] * len(recipients)
        except StoreError as error:
            return [self._away(error)] * len(recipients)
        return [answer.reply for answer in answers]

    # -- inside --------------------------------------------------------------------------------------

    async def _answers(
        self, sender: str, recipients: Sequence[str], content: bytes, options: MailOptions
    ) -> list[_Answer]:
        if len(content) < LARGE:
            encrypted = unwrap(self._carriers, sender, content)
        else:
            # Tens of milliseconds for each megabyte, in which nothing else would go on.
            encrypted = await asyncio.to_thread(unwrap, self._carriers, sender, content)
        header = read_header(sender, content)
        answers = []
        for address in recipients:
            try:
                user = await self._user(address, len(content))
                if encrypted is None and sender:
                    self._require_plain(user)
            except Unwanted as refusal:
                answers.append(_Answer(self._refused(refusal)))
                continue
            of_one = options.of(address)
            mail = Mail(user, address, sender, content, header, of_one, options.envelope_id, self._now())
            answers.append(_Answer(mail=mail))
        if options.one_answer and (refused := [each for each in answers if each.mail is None]):
            return [refused[0]] * len(recipients)
        await self._make_messages([each for each in answers if each.mail is not None], encrypted)
        users = list(
            {each.mail.user.jid: each.mail.user for each in answers if each.mail is not None}.values()
        )
        await self._keep(answers, partial(self._tell, users, sender, content))
        if users:
            _log.info(
                "mail-taken",
                peer_domain=domain_of(sender),
                size=len(content),
                count=len(users),
                user=", ".join(user.jid for user in users),
                address=sender,
            )
        return answers

    async def _user(self, address: str, size: int = 0) -> User:
        """Give whom an address leads to.

        Raises:
            Unwanted: nobody, or somebody who gets nothing now.
        """
        user = await self._store.users.by_address(address) if address else None
        if user is None:
            raise Unwanted("550 5.1.1", "There is no such user")
        if user.blocked:
            raise Unwanted("550 5.7.1", "This user gets no mail")
        if await self._quotas.user_full(user.jid, size):
            raise Unwanted("452 4.2.2", "Too much waits for this user, try again later")
        if await self._quotas.inbound_full():
            raise Unwanted("452 4.3.1", "Too many messages wait for delivery, try again later")
        return user

    def _require_plain(self, user: User) -> None:
        if self._policy.encrypted_only or user.encrypted_only:
            raise Unwanted("523 5.7.10", "This user takes only mail encrypted with OpenPGP (PGP/MIME)")

    async def _make_messages(self, answers: list[_Answer], encrypted: Encrypted | None) -> None:
        """Make what is stored for each; the mail is the same for all.

        Raises:
            Unwanted: it cannot be taken for anybody.
        """
        mails = [(each, each.mail) for each in answers if each.mail is not None]
        if encrypted is not None:
            for each, mail in mails:
                each.stored = self._encrypted(mail, encrypted)
        elif mails and mails[0][1].sender:
            # Its files are uploaded once: not again for a mail that comes again.
            new = [(each, mail) for each, mail in mails if await self._is_new(mail)]
            users = list(dict.fromkeys(mail.user.jid for _, mail in new))
            plain = await _readable(self._read(users, mails[0][1].content)) if users else {}
            for each, mail in new:
                shown = with_author(mail.sender, mail.content, plain[mail.user.jid])
                each.stored = [self._plain(mail, shown)]
        elif mails:
            # Read once, however many it is for.
            content = mails[0][1].content
            report = (
                await asyncio.to_thread(read_report, content)
                if len(content) >= LARGE
                else read_report(content)
            )
            for each, mail in mails:
                each.stored = await self._report(mail, report)

    async def _is_new(self, mail: Mail) -> bool:
        known = await self._store.inbox.is_known(mail.id)
        if known != "new":
            self._events.repeated("in")
        return known == "new"

    def _encrypted(self, mail: Mail, encrypted: Encrypted) -> list[Stored]:
        retry = self._policy.retry
        message, content = encrypted_message(mail, encrypted, retry)
        if len(content) <= self._policy.max_encrypted:
            return [(message, content)]
        held = replace(message, state="held", expires_at=mail.now + retry.large)
        return [(held, content), held_notice(held, retry.inbound)]

    async def _report(self, mail: Mail, report: Report | None) -> list[Stored]:
        understood = await self._bounces.understand(mail, report)
        stored = list(understood.errors)
        if not understood.rest:
            return stored
        plain = (await _readable(read_text([mail.user.jid], mail.content)))[mail.user.jid]
        # Whoever leaves out the sender must not get plain words past a policy that promises encryption.
        strict = self._policy.encrypted_only or mail.user.encrypted_only
        shown = PlainContent(REPORT) if strict else replace(plain, text=f"{REPORT}\n\n{plain.text}")
        return [*stored, self._plain(mail, shown)]

    def _plain(self, mail: Mail, plain: PlainContent) -> Stored:
        size = sum(map(escaped_size, (plain.text, plain.subject, *plain.files)))
        if size > self._policy.max_encrypted:
            raise Unwanted("552 5.3.4", "The text of the mail is too long to go over XMPP")
        return plain_message(mail, plain, self._policy.retry)

    async def _keep(self, answers: list[_Answer], tell: Callable[[], Awaitable[None]]) -> None:
        """Store all messages in one commit, and bring the new ones on their way."""
        # Two addresses of one user are one message.
        stored = list({pair[0].id: pair for answer in answers for pair in answer.stored}.values())
        if not stored:
            return
        with self._delivery.storing([message.id for message, _ in stored]):
            added = await self._store.inbox.add(stored)
            new = [pair for pair, state in zip(stored, added, strict=True) if state == "new"]
            for message, _ in new:
                self._quotas.received(message.user, message.size)
                self._events.taken("in", message.kind, message.size)
            for _ in range(len(stored) - len(new)):
                self._events.repeated("in")
            # First what the mail brings: whoever answers at once asks for the key that came with it.
            await tell()
            for message, content in new:
                if message.state == "waiting":
                    self._delivery.push(message, content)

    async def _tell(self, users: Sequence[User], sender: str, content: bytes) -> None:
        try:
            await self._taken(users, sender, content)
        except Exception as error:  # noqa: BLE001 - the mail is stored: whatever fails here, the answer is 250
            _log.error("harvest-failed", error_type=type(error).__name__)

    def _away(self, error: StoreError) -> str:
        _log.error("store-failed", code=error.code)
        reply = FULL if isinstance(error, NoRoom) else AWAY
        self._events.refused("in", reply.split()[1])
        return reply

    def _refused(self, refusal: Unwanted) -> str:
        self._events.refused("in", refusal.status)
        return refusal.reply


async def _readable(work: Awaitable[Mapping[str, PlainContent]]) -> Mapping[str, PlainContent]:
    try:
        return await work
    except Unreadable as error:
        raise Unwanted("554 5.6.0", f"The mail {error}") from error
    except PeerTimeout as error:
        raise Unwanted("451 4.4.1", "Attachments cannot be passed on now, try again later") from error
