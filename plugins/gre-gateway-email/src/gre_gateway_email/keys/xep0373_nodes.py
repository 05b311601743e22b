"""Public keys: those of contacts are served, those of users go into Autocrypt headers.

Keys are moved around, never used: nothing here encrypts, decrypts or verifies.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_openpgp.autocrypt import header_value
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.xep0373 import PUBLIC_KEYS, fetch_keys, key_item, metadata_items

from gre_core.errors import GreError, InvalidAddress, PeerError
from gre_core.jid_escape import unescape
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gre_openpgp.keydirectory import KeyDirectory
    from gre_openpgp.xep0373 import PublicKey

    from gre_core.ports import Item, PubSub

FRESH_SECONDS: Final = 600.0
"""After this a user's key is read again, beside the mail that asked for it."""

RETRY_SECONDS: Final = 60.0
"""After this a key that could not be read is asked for again."""

PATIENCE_SECONDS: Final = 2.0
"""A mail waits so long for a key that was never read, then it goes without."""

_log = get_logger(__name__)


class ContactKeys:
    """Serves the keys of mail users as pubsub nodes of their JIDs (XEP-0373, section 4).

    Arguments:
        directory: the operator's, or None: then no contact has a key.
    """

    def __init__(self, directory: KeyDirectory | None) -> None:
        self._directory = directory

    async def nodes(self, contact: str, node: str, item_ids: Sequence[str]) -> Sequence[Item]:
        """Give the items of a node of a contact's bare JID, all or those with the ids.

        Raises:
            PeerError: there is no such node.
        """
        try:
            address = unescape(contact.rpartition("@")[0])
        except InvalidAddress:
            address = ""
        keys = self._directory.keys(address) if self._directory is not None and address else ()
        items: Sequence[Item] = ()
        if node == PUBLIC_KEYS:
            items = metadata_items(keys)
        elif node.startswith(f"{PUBLIC_KEYS}:"):
            item = key_item(keys, node.removeprefix(f"{PUBLIC_KEYS}:"))
            items = () if item is None else (item,)
        if not items:
            raise PeerError(
                "The gateway knows no such key of this contact.",
                condition="item-not-found",
                error_type="cancel",
            )
        return [item for item in items if not item_ids or item.id in item_ids]


@dataclass(slots=True)
class _Cached:
    header: str | None = field(default=None, repr=False)
    asked: float = float("-inf")
    reading: asyncio.Task[None] | None = None
    until: float = float("-inf")
    failed: bool = False


class UserKeys:
    """Reads the users' own keys from their PEP nodes, keeps them, and reads them anew now and then.

    Arguments:
        pubsub: reads nodes.
        address_of_user: gives the mail address of a bare JID.
        clock: in seconds.
    """

    def __init__(
        self, pubsub: PubSub, address_of_user: Callable[[str], str | None], clock: Callable[[], float]
    ) -> None:
        self._pubsub = pubsub
        self._address_of_user = address_of_user
        self._clock = clock
        self._cache: dict[str, _Cached] = {}

    async def autocrypt(self, user: str) -> str | None:
        """Give the value of a user's Autocrypt header, or None; takes at most two seconds."""
        cached = self._cache.setdefault(user, _Cached())
        wait = RETRY_SECONDS if cached.failed else FRESH_SECONDS
        if cached.reading is None and self._clock() - cached.asked >= wait:
            first = cached.header is None and not cached.failed
            cached.reading = asyncio.get_running_loop().create_task(self._read(user, cached))
            cached.until = asyncio.get_running_loop().time() + (PATIENCE_SECONDS if first else 0)
        patience = cached.until - asyncio.get_running_loop().time()
        if cached.reading is not None and patience > 0:
            await asyncio.wait([cached.reading], timeout=patience)
        return cached.header

    async def stop(self) -> None:
        """End what is under way."""
        tasks = [cached.reading for cached in self._cache.values() if cached.reading is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, user: str, cached: _Cached) -> None:
        cached.asked = self._clock()
        try:
            fetched = await fetch_keys(user, self._pubsub)
            cached.header = _first_header(self._address_of_user(user) or "", fetched.keys)
            cached.failed = False
        except GreError as error:
            # An old key stays in use: a server that is away is no reason to mail without.
            cached.failed = True
            _log.info("user-key-unavailable", code=error.code, condition=getattr(error, "condition", None))
        finally:
            cached.reading = None


def _first_header(address: str, keys: Iterable[PublicKey]) -> str | None:
    for key in keys:
        try:
            return header_value(address, key.data, mutual=True)
        except BadOpenPGP:
            continue  # a key of another program for another address, or one that is too large
    return None
