"""Keys: those of contacts are found and served to users, those of users go into mails and are published."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gre_openpgp.keydirectory import KeyDirectory
from gre_openpgp.xep0373 import PUBLIC_KEYS

from gre_core.errors import GreError
from gre_core.log import get_logger
from gre_core.web import HttpsWeb
from gre_gateway_email.keys.contact_nodes import ContactNodes
from gre_gateway_email.keys.domain_directories import SECONDS, DomainDirectories
from gre_gateway_email.keys.harvest import Harvest
from gre_gateway_email.keys.lookup import KeyFinder
from gre_gateway_email.keys.publishing import Publishing
from gre_gateway_email.keys.user_keys import UserKeys
from gre_gateway_email.keys.vouching import Vouching
from gre_gateway_email.keys.wkd_server import WkdServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gre_core.ports import Item
    from gre_core.slixmpp.gateway import Gateway
    from gre_gateway_email.config import Config
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Store


_log = get_logger(__name__)


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
        self._domains = (
            DomainDirectories(HttpsWeb(timeout=SECONDS), config.mail.domains) if config.keys.wkd else None
        )
        self._harvest: Harvest | None = None
        self._user_keys: UserKeys | None = None
        self._contact_nodes: ContactNodes | None = None
        self._wkd: WkdServer | None = None

    def attach(self, gateway: Gateway) -> None:
        """Say how users are reached, as soon as there is a component."""
        config, store = self._config, self._store

        def changed(user: str, address: str) -> None:
            try:
                gateway.node_changed(user, address, PUBLIC_KEYS)
            except GreError as error:
                # Without a stream: clients ask anew in their next session.
                _log.debug("key-change-not-told", code=error.code)

        if config.keys.harvest:
            self._harvest = Harvest(store.contact_keys, Vouching(config), changed, self._now)
        self._user_keys = UserKeys(gateway.ports.pubsub, time.monotonic, self._now)
        publishing = Publishing(store.users, self._user_keys, config.mail.domains)
        finder = KeyFinder(
            None if config.keys.directory is None else KeyDirectory(config.keys.directory),
            self._domains,
            store.contact_keys if config.keys.harvest else None,
            publishing.of_own,
            self._now,
        )
        self._contact_nodes = ContactNodes(store.users, finder)
        self._wkd = WkdServer(config.wkd, publishing) if config.wkd.enabled else None

    async def start(self) -> None:
        """Begin to answer whoever asks for published keys.

        Raises:
            OSError: the address to listen on cannot be used.
        """
        if self._wkd is not None:
            await self._wkd.start()

    async def stop(self) -> None:
        """End what is under way."""
        if self._wkd is not None:
            await self._wkd.stop()
        if self._domains is not None:
            await self._domains.stop()
        if self._user_keys is not None:
            await self._user_keys.stop()

    async def nodes(self, contact: str, node: str, item_ids: Sequence[str], reader: str) -> Sequence[Item]:
        """Serve the pubsub nodes of a contact to a user."""
        return (
            ()
            if self._contact_nodes is None
            else await self._contact_nodes.nodes(contact, node, item_ids, reader)
        )

    async def autocrypt(self, user: str, address: str) -> str | None:
        """Give the value of the Autocrypt header for a mail of a user."""
        return None if self._user_keys is None else await self._user_keys.autocrypt(user, address)

    async def sees_key_of(self, user: User) -> bool:
        """Tell whether a user has published a key for the address that mails come from."""
        return await self.autocrypt(user.jid, user.addresses[0]) is not None

    async def taken(self, users: Sequence[User], sender: str, content: bytes) -> None:
        """Learn from a mail that was stored."""
        if self._harvest is not None:
            await self._harvest.mail(users, sender, content)
