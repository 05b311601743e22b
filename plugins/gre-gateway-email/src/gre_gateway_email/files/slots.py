"""Asks upload services for slots (XEP-0363): which service there is, what it takes, where a file goes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from xml.etree.ElementTree import Element

from gre_core.errors import GreError, PeerError, PeerTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

UPLOAD: Final = "urn:xmpp:http:upload:0"
REMEMBERED: Final = 3600.0
"""How long it is remembered which service a server has, in seconds."""

FORGOTTEN: Final = 300.0
"""How long it is remembered that there was none, in seconds."""

SEARCH_SECONDS: Final = 10.0
"""How long the search for a service may take."""

MAX_ITEMS: Final = 50
"""Parts of a server that are asked."""

MAX_URL: Final = 2048
MAX_HEADERS: Final = 20
MAX_HEADER: Final = 8192

_ITEMS: Final = "{http://jabber.org/protocol/disco#items}"
_INFO: Final = "{http://jabber.org/protocol/disco#info}"
_FORM: Final = "{jabber:x:data}"
_SLOT: Final = f"{{{UPLOAD}}}"
_ALLOWED: Final = {"authorization": "Authorization", "cookie": "Cookie", "expires": "Expires"}
_URL: Final = re.compile(r"https?://[!-~]+")


class Requests(Protocol):
    """The stream (see :class:`gre_core.slixmpp.stream.Stream`)."""

    @property
    def up(self) -> bool:
        """Whether there is one now."""
        ...

    async def iq(self, jid: str | None, type_: str, payload: Element, /) -> Element | None:
        """Send a request and give the child of the answer.

        Raises:
            PeerError: the peer answered with an error.
            PeerTimeout: nothing came.
        """
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """An upload service.

    Arguments:
        jid: its address.
        max_size: largest file in bytes, or None when it does not say.
    """

    jid: str
    max_size: int | None


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one file.

    Arguments:
        put: where it is stored.
        get: where it is fetched from.
        headers: that belong to the request that stores it; only those that the specification allows.
    """

    put: str = field(repr=False)
    get: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)


class Services:
    """Finds the service for a user, and gets slots from it.

    Arguments:
        requests: asks.
        service: JID of the service for all users; None looks for one at each user's server.
        clock: in seconds, never set back.
    """

    def __init__(self, requests: Requests, service: str | None, clock: Callable[[], float]) -> None:
        self._requests = requests
        self._service = service
        self._clock = clock
        self._known: dict[str, tuple[float, Service | None]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def of(self, user: str) -> Service | None:
        """Give the service for a user; None when there is none, or none that answers.

        Raises:
            PeerTimeout: there is no connection to the XMPP server now.
        """
        domain = user.rpartition("@")[2]
        lock = self._asking.setdefault(domain, asyncio.Lock())
        try:
            async with lock:
                known = self._known.get(domain)
                if known is None or known[0] <= self._clock():
                    found = await self._find_in_time(domain)
                    until = self._clock() + (REMEMBERED if found else FORGOTTEN)
                    known = self._known[domain] = until, found
                return known[1]
        finally:
            if not lock.locked():
                self._asking.pop(domain, None)

    async def slot(self, service: Service, name: str, size: int, media_type: str) -> Slot:
        """Get a slot.

        Raises:
            PeerError: the service refused, or gave something else.
            PeerTimeout: nothing came.
        """
        request = Element(
            f"{_SLOT}request", {"filename": name, "size": str(size), "content-type": media_type}
        )
        return _read_slot(await self._requests.iq(service.jid, "get", request))

    async def _find_in_time(self, domain: str) -> Service | None:
        if not self._requests.up:
            raise PeerTimeout("There is no connection to the XMPP server now.")
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                return await self._find(domain)
        except TimeoutError:
            return None

    async def _find(self, domain: str) -> Service | None:
        if self._service is not None:
            return await self._ask(self._service) or Service(self._service, None)
        try:
            answer = await self._requests.iq(domain, "get", Element(f"{_ITEMS}query"))
        except GreError:
            return None
        items = [] if answer is None else answer.findall(f"{_ITEMS}item")[:MAX_ITEMS]
        jids = [domain, *(item.get("jid", "") for item in items if not item.get("node"))]
        asked = [asyncio.ensure_future(self._ask(jid)) for jid in dict.fromkeys(jids) if jid]
        try:
            # Some part of the server may not answer at all: who has files is not waited for longer than it takes.
            for first in asyncio.as_completed(asked):
                service = await first
                if service is not None:
                    return service
            return None
        finally:
            for one in asked:
                one.cancel()

    async def _ask(self, jid: str) -> Service | None:
        try:
            answer = await self._requests.iq(jid, "get", Element(f"{_INFO}query"))
        except GreError:
            return None
        if answer is None or all(one.get("var") != UPLOAD for one in answer.findall(f"{_INFO}feature")):
            return None
        for form in answer.findall(f"{_FORM}x"):
            fields = {
                one.get("var", ""): one.findtext(f"{_FORM}value") or ""
                for one in form.findall(f"{_FORM}field")
            }
            size = fields.get("max-file-size", "")
            if fields.get("FORM_TYPE") == UPLOAD and size.isascii() and size.isdigit() and len(size) < 16:  # noqa: PLR2004 - petabytes
                return Service(jid, int(size))
        return Service(jid, None)


def _read_slot(slot: Element | None) -> Slot:
    put = None if slot is None else slot.find(f"{_SLOT}put")
    get = None if slot is None else slot.find(f"{_SLOT}get")
    urls = [("" if one is None else one.get("url", "")) for one in (put, get)]
    if put is None or not all(_URL.fullmatch(url) and len(url) <= MAX_URL for url in urls):
        raise PeerError("The upload service gave no usable address.", condition="undefined-condition")
    headers = []
    for header in put.findall(f"{_SLOT}header")[:MAX_HEADERS]:
        name = _ALLOWED.get(header.get("name", "").replace("\r", "").replace("\n", "").strip().lower())
        value = (header.text or "").replace("\r", "").replace("\n", "").strip()
        if name and value.isprintable() and value.isascii() and len(value) <= MAX_HEADER:
            headers.append((name, value))
    return Slot(urls[0], urls[1], tuple(headers))
