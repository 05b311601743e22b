"""Makes mails of plain messages: what they link to is fetched and attached.

::

    compose = Compose(config.files, HttpsWeb(hosts=config.files.hosts, timeout=FETCH_SECONDS), before)
    mail = await compose(message, envelope)

Nothing vanishes: the link of what cannot be fetched stays in the text, with the reason.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

from gre_core.errors import GreError, NoSuchHost, PeerTimeout
from gre_core.log import get_logger
from gre_core.mime_text.file_names import safe_name
from gre_gateway_email.files import links
from gre_gateway_email.mail.plain_writing import File, write_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gre_core.gateway import Plain
    from gre_core.web import Document
    from gre_gateway_email.carrier import Envelope
    from gre_gateway_email.config import Files
    from gre_gateway_email.files.answers import Before
    from gre_gateway_email.files.links import Link

FETCH_SECONDS: Final = 60.0
"""How long the files of one message may take in all."""

AT_ONCE: Final = 4
"""Messages whose files are fetched at the same time, of one user one: each holds its files in memory."""

LARGE: Final = 256 * 1024
"""Bytes from which on a mail is put together in a thread."""

CORRECTION: Final = "Correction"

_OK: Final = 200
_OCTETS: Final = "application/octet-stream"
_TOKEN: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}"  # noqa: S105 - the token of RFC 6838
_MEDIA_TYPE: Final = re.compile(rf"({_TOKEN}/{_TOKEN})[ \t]*(?:;.*)?", re.DOTALL)
_CHARSET: Final = re.compile(
    r"""[ \t]*charset[ \t]*=[ \t]*["']?([A-Za-z0-9][A-Za-z0-9_.:+-]{0,39})["']?[ \t]*""", re.IGNORECASE
)

_log = get_logger(__name__)


class Downloads(Protocol):
    """Fetches files (see :class:`gre_core.web.HttpsWeb`)."""

    async def download(self, url: str, /, *, max_size: int) -> Document:
        """Fetch a file.

        Raises:
            GreError: it cannot be fetched; the text says why.
        """
        ...


class Compose:
    """Makes mails of plain messages.

    Arguments:
        settings: whether, how much and how many files are fetched.
        web: fetches them, from public hosts only and from those that are listed.
        before: finds out which mails a message answers or corrects.
    """

    def __init__(self, settings: Files, web: Downloads, before: Callable[[Plain], Before]) -> None:
        self._settings = settings
        self._web = web
        self._before = before
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._users: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, message: Plain, envelope: Envelope) -> bytes:
        """Make the mail, with what the message links to. Takes at most a minute.

        Raises:
            Refused: a file is encrypted for XMPP programs only.
        """
        found = links.links_of(message.stanza, message.text)
        subject = message.subject
        before = self._before(message)
        if before.corrects:
            subject = f"{CORRECTION}: {subject}" if subject else CORRECTION
        if not (found and self._settings.download):
            text = links.with_links(message.text, found)
            return await _write(text, subject, envelope, (), before)
        lock = self._users.setdefault(message.user, asyncio.Lock())
        files: dict[Link, File] = {}
        reasons: dict[Link, str] = {}
        try:
            async with asyncio.timeout(FETCH_SECONDS), lock, self._slots:
                await self._fetch(found, files, reasons)
        except TimeoutError:
            pass
        text = links.without_links(message.text, tuple(files))
        missing = tuple(link for link in found if link not in files)
        if missing:
            why = dict.fromkeys(reasons.get(link, "it took too long") for link in missing)
            text = f"{links.with_links(text, missing)}\n\n[Not attached, because {'; '.join(why)}.]"
        return await _write(text, subject, envelope, tuple(files.values()), before)

    async def _fetch(self, found: Sequence[Link], files: dict[Link, File], reasons: dict[Link, str]) -> None:
        room = self._settings.max_size
        for link in found:
            if len(files) >= self._settings.max_count:
                reasons[link] = f"a mail gets at most {self._settings.max_count} files"
                continue
            try:
                document = await self._web.download(link.address, max_size=room)
            except (GreError, ValueError) as error:
                reasons[link] = _reason(error)
                _log.info("file-not-fetched", code=getattr(error, "code", "value"))
                continue
            if document.status != _OK:
                reasons[link] = f"the server answered {document.status}"
                continue
            files[link] = _file(link, document)
            room -= len(document.body)
            _log.info("file-fetched", size=len(document.body))


async def _write(
    text: str, subject: str | None, envelope: Envelope, files: Sequence[File], before: Before
) -> bytes:
    write = partial(
        write_plain,
        text,
        subject,
        envelope,
        files=files,
        in_reply_to=before.answers,
        references=before.references,
    )
    if len(text) + sum(len(file.content) for file in files) < LARGE:
        return write()
    return await asyncio.to_thread(write)


def _file(link: Link, document: Document) -> File:
    last = unquote(urlsplit(link.address).path.rpartition("/")[2])
    given = _media_type(document.content_type)
    guessed = mimetypes.guess_type(link.name or last)[0]
    if given in {"", _OCTETS}:
        given = _media_type(link.media_type) or guessed or _OCTETS
    return File(safe_name(link.name or last, given.partition(";")[0]), given, document.body)


def _media_type(value: str) -> str:
    """Give a media type in lower case, with the charset of a text, or ``""`` when it is of no good shape."""
    found = _MEDIA_TYPE.fullmatch(value.strip()[:400])
    if found is None:
        return ""
    kind = found[1].lower()
    if kind.startswith("text/"):
        for parameter in value[:400].split(";")[1:]:
            charset = _CHARSET.fullmatch(parameter)
            if charset is not None:
                return f"{kind}; charset={charset[1].lower()}"
    return kind


def _reason(error: Exception) -> str:
    """Say why in words that tell whoever gets the mail nothing about the network of the gateway."""
    if isinstance(error, NoSuchHost):
        return "its server does not exist"
    if isinstance(error, PeerTimeout):
        return "its server did not answer"
    if isinstance(error, GreError) and "limit" in error.params:
        return "it is too large"
    return "it cannot be fetched from there"
