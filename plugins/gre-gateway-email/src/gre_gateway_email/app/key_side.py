"""Keys: those of contacts are served to users, those of users go into mails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gre_openpgp.keydirectory import KeyDirectory

from gre_gateway_email.keys.user_keys import UserKeys
from gre_gateway_email.keys.xep0373_nodes import ContactKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gre_core.ports import Item, PubSub
    from gre_gateway_email.config import Config
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Store


class KeySide:
    """All that moves keys around.

    Arguments:
        config: where keys come from.
        store: what is known of users and contacts.
        now: seconds since 1970.
    """

    def __init__(self, config: Config, store: Store, now: Callable[[], float]) -> None:
        self._config = config
        self._store = store
        self._now = now
        directory = None if config.keys.directory is None else KeyDirectory(config.keys.directory)
        self._contact_keys = ContactKeys(directory)
        self._user_keys: UserKeys | None = None

    def attach(self, pubsub: PubSub) -> None:
        """Say how the nodes of users are read, as soon as there is a component."""
        self._user_keys = UserKeys(pubsub, time.monotonic, self._now)

    async def start(self) -> None:
        """Begin to answer whoever asks for published keys."""

    async def stop(self) -> None:
        """End what is under way."""
        if self._user_keys is not None:
            await self._user_keys.stop()

    async def nodes(self, contact: str, node: str, item_ids: Sequence[str]) -> Sequence[Item]:
        """Serve the pubsub nodes of a contact."""
        return await self._contact_keys.nodes(contact, node, item_ids)

    async def autocrypt(self, user: str, address: str) -> str | None:
        """Give the value of the Autocrypt header for a mail of a user."""
        return None if self._user_keys is None else await self._user_keys.autocrypt(user, address)

    async def taken(self, users: Sequence[User], sender: str, content: bytes) -> None:
        """Learn from a mail that was stored."""
