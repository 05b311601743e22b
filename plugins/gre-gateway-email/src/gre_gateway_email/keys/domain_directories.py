"""Asks the mail domains of contacts for keys (Web Key Directory), and remembers what they say.

The domain learns from it that somebody at this gateway is about to write to an address, before any mail comes. It is
asked only when a client wants to know the keys, never because a mail came in.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gre_openpgp.certificate_parts import Parts
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.wkd import WkdAnswer, WkdOutcome, look_up

from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import domain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gre_core.ports import Web

SECONDS: Final = 5.0
"""How long one look-up may take."""

AT_ONCE: Final = 16
"""How many domains are asked at the same time."""

MAX_ENTRIES: Final = 10_000
MAX_BYTES: Final = 16 * 1024 * 1024
"""How many answers, and how many bytes of keys, are remembered."""

PER_HOUR: Final = 500
"""How many addresses one user may have looked up in an hour that are not remembered."""

REMEMBERED: Final = {
    WkdOutcome.KEYS: 4 * 3600.0,
    WkdOutcome.NOTHING: 3600.0,
    WkdOutcome.NO_DIRECTORY: 3600.0,
    WkdOutcome.REFUSED: 900.0,
    WkdOutcome.OFFLINE: 120.0,
}
"""For how many seconds each kind of answer counts."""

_EXAMPLES: Final = frozenset({"example.com", "example.net", "example.org"})
"""Domains of documentation (RFC 2606, section 3) belong to nobody who has a directory."""

_MAX_USERS: Final = 10_000

_log = get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    answer: WkdAnswer
    until: float
    size: int


class DomainDirectories:
    """Looks up, one request at a time for each address.

    Arguments:
        web: guards against foreign addresses and endless answers.
        own: our own mail domains, in lower case, which are never asked.
        clock: in seconds, that never goes back.
    """

    def __init__(self, web: Web, own: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._web = web
        self._own = frozenset(own)
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0
        self._running: dict[str, asyncio.Task[WkdAnswer]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asked: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def remembered(self, address: str) -> WkdAnswer | None:
        """Give the answer that counts now, without asking."""
        entry = self._entries.get(address.lower())
        return entry.answer if entry is not None and entry.until > self._clock() else None

    async def look_up(self, address: str, user: str) -> WkdAnswer:
        """Ask the domain of an address, or remember. Raises nothing, takes at most five seconds.

        Arguments:
            address: of the contact.
            user: bare JID of who wants to know.
        """
        address = address.lower()
        domain = domain_of(address)
        if domain in self._own or ".".join(domain.rsplit(".", 2)[-2:]) in _EXAMPLES:
            return WkdAnswer(WkdOutcome.NO_DIRECTORY)
        answer = self.remembered(address)
        if answer is not None:
            self._entries.move_to_end(address)
            return answer
        running = self._running.get(address)
        if running is None:
            if not self._may_ask(user):
                return WkdAnswer(WkdOutcome.OFFLINE)
            running = self._running[address] = asyncio.get_running_loop().create_task(self._ask(address))
            running.add_done_callback(lambda _: self._running.pop(address, None))
        # Whoever asked first may go away meanwhile: the others still get the answer.
        return await asyncio.shield(running)

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, address: str) -> WkdAnswer:
        started = self._clock()
        try:
            async with asyncio.timeout(SECONDS), self._slots:
                answer = _slim(address, await look_up(address, self._web))
        except TimeoutError:
            answer = WkdAnswer(WkdOutcome.OFFLINE)
        except Exception as error:  # noqa: BLE001 - whatever a foreign server makes fail is no word about keys
            _log.warning(
                "wkd-failed",
                peer_domain=domain_of(address),
                error_type=type(error).__name__,
                address=address,
            )
            answer = WkdAnswer(WkdOutcome.REFUSED)
        ms = round((self._clock() - started) * 1000)
        _log.debug("wkd-asked", peer_domain=domain_of(address), state=str(answer.outcome), ms=ms)
        self._remember(address, answer)
        return answer

    def _remember(self, address: str, answer: WkdAnswer) -> None:
        self._forget(address)
        size = sum(len(key.data) for key in answer.keys)
        self._entries[address] = _Entry(answer, self._clock() + REMEMBERED[answer.outcome], size)
        self._size += size
        while len(self._entries) > MAX_ENTRIES or (self._size > MAX_BYTES and len(self._entries) > 1):
            self._forget(next(iter(self._entries)))

    def _forget(self, address: str) -> None:
        entry = self._entries.pop(address, None)
        if entry is not None:
            self._size -= entry.size

    def _may_ask(self, user: str) -> bool:
        now = self._clock()
        since, count = self._asked.pop(user, (now, 0))
        if now - since >= 3600:  # noqa: PLR2004 - an hour
            since, count = now, 0
        self._asked[user] = since, count + 1
        while len(self._asked) > _MAX_USERS:
            self._asked.popitem(last=False)
        return count < PER_HOUR


def _slim(address: str, answer: WkdAnswer) -> WkdAnswer:
    """Leave out what others certified: a key that was flooded with signatures fits into a stanza again."""
    try:
        keys = tuple(replace(key, data=Parts(key.data).public(address) or key.data) for key in answer.keys)
    except BadOpenPGP:
        return WkdAnswer(WkdOutcome.REFUSED)
    return replace(answer, keys=keys)
