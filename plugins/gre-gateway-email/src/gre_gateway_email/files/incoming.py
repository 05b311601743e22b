"""Makes messages of plain mails: their files go to the upload service of the user, as the user's own would.

::

    shown = await receive(["juliet@example.org"], content)
    shown["juliet@example.org"].text, shown["juliet@example.org"].links

Nothing vanishes: a file that cannot be uploaded is named in the text. Encrypted mails never come here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from gre_core.errors import GreError, PeerTimeout
from gre_core.log import get_logger
from gre_gateway_email.mail.plain_reading import NO_TEXT, PlainMail, read_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gre_gateway_email.config import Files
    from gre_gateway_email.files.slots import Service, Services
    from gre_gateway_email.mail.plain_reading import MailFile

UPLOAD_SECONDS: Final = 30.0
"""How long the files of one mail may take in all, while the mail server waits for the answer."""

AT_ONCE: Final = 4
"""Mails whose files are uploaded at the same time: each holds one file in memory."""

TRIES: Final = 2
LARGE: Final = 64 * 1024
"""Bytes from which on a mail is read in a thread."""

_STORED: Final = frozenset({200, 201, 204})
_SERVER_ERROR: Final = 500

_NOT_WANTED: Final = "Files of unencrypted mails are not passed on here."
_NO_SERVICE: Final = "Your XMPP server has no upload service that the gateway may use."
_TOO_LARGE: Final = "Files of up to {limit:,} bytes are passed on."
_TOO_MANY: Final = "At most {limit} files of a mail are passed on."
_FAILED: Final = "The upload service of your XMPP server did not take it."

_log = get_logger(__name__)


class Uploads(Protocol):
    """Stores files (see :class:`gre_core.web.HttpsWeb`)."""

    async def put(
        self, url: str, content: bytes, /, *, content_type: str, headers: Iterable[tuple[str, str]] = ()
    ) -> int:
        """Store a file; give the status of HTTP.

        Raises:
            GreError: it cannot be stored.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What a user gets of a mail.

    Arguments:
        text: with a note about files that do not come; ``""`` when the mail has only files.
        subject: or ``""``.
        links: addresses of the files.
    """

    text: str = field(repr=False)
    subject: str = field(repr=False)
    links: tuple[str, ...] = field(default=(), repr=False)


class Receive:
    """Reads plain mails and uploads their files.

    Arguments:
        settings: whether, how much and how many files are uploaded.
        services: where slots come from.
        web: stores files, at public hosts and those that are listed.
    """

    def __init__(self, settings: Files, services: Services, web: Uploads) -> None:
        self._settings = settings
        self._services = services
        self._web = web
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, users: Sequence[str], content: bytes) -> Mapping[str, Shown]:
        """Read a mail and upload its files; give what each user gets of it.

        Users with the same service get the same links. Takes less than a minute.

        Arguments:
            users: bare JIDs.
            content: the mail.

        Raises:
            Unreadable: its header is beyond the bounds.
            PeerTimeout: it has files, and there is no connection to the XMPP server now.
        """
        mail = read_plain(content) if len(content) < LARGE else await asyncio.to_thread(read_plain, content)
        if not mail.files:
            return dict.fromkeys(users, _shown(mail, (), (), ""))
        if not self._settings.upload:
            return dict.fromkeys(users, _shown(mail, (), mail.files, _NOT_WANTED))
        services = await asyncio.gather(*map(self._services.of, users))
        different = list(dict.fromkeys(services))
        shown = await asyncio.gather(*(self._publish(service, mail) for service in different))
        of_service = dict(zip(different, shown, strict=True))
        return {user: of_service[service] for user, service in zip(users, services, strict=True)}

    async def _publish(self, service: Service | None, mail: PlainMail) -> Shown:
        if service is None:
            return _shown(mail, (), mail.files, _NO_SERVICE)
        batch = _Batch(mail.files)
        try:
            async with asyncio.timeout(UPLOAD_SECONDS), self._slots:
                await self._upload(service, batch)
        except TimeoutError:
            batch.why = batch.why or _FAILED
        return _shown(mail, tuple(batch.links), batch.missing, batch.why)

    async def _upload(self, service: Service, batch: _Batch) -> None:
        limit = self._settings.max_size
        if service.max_size is not None:
            limit = min(limit, service.max_size)
        while batch.todo:
            file = batch.todo[0]
            if len(batch.links) >= self._settings.max_count:
                batch.leave_out(_TOO_MANY.format(limit=self._settings.max_count))
                continue
            # Decoded, a file is at least a third of its size in the mail (RFC 2045, section 6.7).
            content = b"" if file.encoded_size > 3 * limit + LARGE else await _content(file)
            if len(content) > limit or (not content and file.encoded_size > limit):
                batch.leave_out(_TOO_LARGE.format(limit=limit))
                continue
            try:
                link = await self._store(service, file, content)
            except GreError as error:
                _log.warning("file-not-uploaded", code=error.code, peer_domain=service.jid)
                batch.leave_out(_FAILED)
            else:
                batch.stored(link)
                _log.info("file-uploaded", size=len(content), peer_domain=service.jid)

    async def _store(self, service: Service, file: MailFile, content: bytes) -> str:
        for last in range(TRIES):
            slot = await self._services.slot(service, file.name, len(content), file.media_type)
            try:
                status = await self._web.put(
                    slot.put, content, content_type=file.media_type, headers=slot.headers
                )
            except PeerTimeout:
                if last == TRIES - 1:
                    raise
                continue
            if status in _STORED:
                return slot.get
            if status < _SERVER_ERROR:
                break
        raise PeerTimeout("The upload service did not store the file.")


class _Batch:
    """The files of a mail on their way to one service."""

    def __init__(self, files: Iterable[MailFile]) -> None:
        self.todo = list(files)
        self.links: list[str] = []
        self.why = ""
        self._left_out: list[MailFile] = []

    @property
    def missing(self) -> tuple[MailFile, ...]:
        return (*self._left_out, *self.todo)

    def stored(self, link: str) -> None:
        self.links.append(link)
        del self.todo[0]

    def leave_out(self, why: str) -> None:
        self._left_out.append(self.todo.pop(0))
        self.why = self.why or why


async def _content(file: MailFile) -> bytes:
    if file.encoded_size < LARGE:
        return file.content()
    return await asyncio.to_thread(file.content)


def _shown(mail: PlainMail, links: tuple[str, ...], missing: Sequence[MailFile], why: str) -> Shown:
    text = mail.shown(missing, why)
    if not text and mail.subject:
        text = NO_TEXT
    return Shown(text, mail.subject, links)
