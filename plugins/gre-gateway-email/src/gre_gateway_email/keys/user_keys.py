"""The users' own public keys, as they publish them on their accounts (XEP-0373), for Autocrypt headers and WKD.

::

    keys = UserKeys(gateway.ports.pubsub, asyncio.get_running_loop().time)
    header = await keys.autocrypt("juliet@example.org", "juliet@mail.example")
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_openpgp.autocrypt import header_value
from gre_openpgp.certificate_parts import life_of
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.xep0373 import fetch_keys

from gre_core.errors import GreError
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gre_openpgp.xep0373 import PublicKey

    from gre_core.ports import PubSub

FRESH_SECONDS: Final = 600.0
"""After this a user's key is read again, beside the mail that asked for it."""

RETRY_SECONDS: Final = 60.0
"""After this a key that could not be read is asked for again."""

PATIENCE_SECONDS: Final = 2.0
"""A mail waits so long for a key that was never read, then it goes without."""

MAX_USERS: Final = 10_000
MAX_BYTES: Final = 16 * 1024 * 1024
"""How many users' keys, and how many bytes of them, are kept in memory."""

_log = get_logger(__name__)


@dataclass(slots=True)
class _Cached:
    keys: tuple[PublicKey, ...] = field(default=(), repr=False)
    headers: dict[str, tuple[str, int | None]] = field(default_factory=dict, repr=False)
    asked: float = float("-inf")
    read_at: float = float("-inf")
    reading: asyncio.Task[None] | None = None
    until: float = float("-inf")
    failed: bool = False
    size: int = 0


class UserKeys:
    """Reads the users' own keys from their PEP nodes, keeps them, and reads them anew now and then.

    Arguments:
        pubsub: reads nodes.
        clock: in seconds, that never goes back.
        now: seconds since 1970: expired keys go into no header.
    """

    def __init__(
        self, pubsub: PubSub, clock: Callable[[], float], now: Callable[[], float] = time.time
    ) -> None:
        self._pubsub = pubsub
        self._clock = clock
        self._now = now
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        self._size = 0

    async def autocrypt(self, user: str, address: str) -> str | None:
        """Give the value of the Autocrypt header for a mail; takes at most two seconds.

        Arguments:
            user: bare JID.
            address: that the mail comes from. The key has to name it.

        Result:
            None when there is no such key, or only one that is revoked, expired, or too large for a header.
        """
        cached = self._entry(user)
        wait = RETRY_SECONDS if cached.failed else FRESH_SECONDS
        if cached.reading is None and self._clock() - cached.asked >= wait:
            first = not cached.keys and not cached.failed
            self._read_again(user, cached)
            cached.until = asyncio.get_running_loop().time() + (PATIENCE_SECONDS if first else 0)
        patience = cached.until - asyncio.get_running_loop().time()
        if cached.reading is not None and patience > 0:
            await asyncio.wait([cached.reading], timeout=patience)
        header, ends = self._header(cached, address.lower())
        return header if header and (ends is None or ends > self._now()) else None

    async def published(self, user: str, *, max_age: float, patience: float) -> Sequence[PublicKey] | None:
        """Give what a user publishes now.

        Arguments:
            user: bare JID.
            max_age: seconds since it was read last, at most.
            patience: seconds to wait for the user's server, at most.

        Result:
            None when it cannot be found out.
        """
        cached = self._entry(user)
        if self._clock() - cached.read_at < max_age:
            return cached.keys
        if cached.reading is None:
            if cached.failed and self._clock() - cached.asked < patience:
                return None  # the server is away: not every request knocks
            self._read_again(user, cached)
        if cached.reading is not None:
            await asyncio.wait([cached.reading], timeout=patience)
        return cached.keys if self._clock() - cached.read_at < max_age else None

    def forget(self, user: str) -> None:
        """Drop what is kept of a user."""
        cached = self._cache.pop(user, None)
        if cached is not None:
            self._size -= cached.size
            if cached.reading is not None:
                cached.reading.cancel()

    async def stop(self) -> None:
        """End what is under way."""
        tasks = [cached.reading for cached in self._cache.values() if cached.reading is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _entry(self, user: str) -> _Cached:
        cached = self._cache.setdefault(user, _Cached())
        self._cache.move_to_end(user)
        if len(self._cache) > MAX_USERS:
            self._drop_oldest()
        return cached

    def _drop_oldest(self) -> None:
        user = next((user for user, cached in self._cache.items() if cached.reading is None), None)
        if user is not None:
            self.forget(user)

    def _read_again(self, user: str, cached: _Cached) -> None:
        cached.asked = self._clock()
        cached.reading = asyncio.get_running_loop().create_task(self._read(user, cached))

    async def _read(self, user: str, cached: _Cached) -> None:
        try:
            fetched = await fetch_keys(user, self._pubsub)
            if fetched.problems and not fetched.keys:
                _log.info("user-key-unusable", count=len(fetched.problems))
            self._hold(user, cached, fetched.keys)
            cached.failed = False
        except GreError as error:
            # An old key stays in use: a server that is away is no reason to mail without.
            cached.failed = True
            _log.info("user-key-unavailable", code=error.code, condition=getattr(error, "condition", None))
        finally:
            cached.reading = None

    def _hold(self, user: str, cached: _Cached, keys: tuple[PublicKey, ...]) -> None:
        cached.keys, cached.read_at = keys, cached.asked
        cached.headers.clear()
        if self._cache.get(user) is cached:
            before, cached.size = cached.size, sum(len(key.data) for key in keys)
            self._size += cached.size - before
            while self._size > MAX_BYTES and len(self._cache) > 1 and next(iter(self._cache)) != user:
                self.forget(next(iter(self._cache)))

    def _header(self, cached: _Cached, address: str) -> tuple[str, int | None]:
        found = cached.headers.get(address)
        if found is None:
            found = cached.headers[address] = _first_header(address, cached.keys, self._now())
        return found


def _first_header(address: str, keys: Iterable[PublicKey], now: float) -> tuple[str, int | None]:
    """Give the header of the first key that can be used, and when the key ends."""
    for key in keys:
        try:
            life = life_of(key.data)
            if not life.over(now):
                return header_value(address, key.data, mutual=True), life.ends
        except BadOpenPGP:
            continue  # a key of another program for another address, or one that is too large
    return "", None
