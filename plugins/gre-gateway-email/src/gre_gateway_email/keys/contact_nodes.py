"""Serves the keys of mail users as pubsub nodes of their JIDs (XEP-0373, section 4), to registered users only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_openpgp.xep0373 import PUBLIC_KEYS, key_item, metadata_items

from gre_core.errors import InvalidAddress, PeerError
from gre_core.jid_escape import unescape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_core.ports import Item
    from gre_gateway_email.keys.lookup import KeyFinder
    from gre_gateway_email.store.store import Users

STRANGER: Final = "You are not registered with this gateway. Ask its operator."
_NO_NODE: Final = "The gateway has no such node."


class ContactNodes:
    """The nodes of contacts.

    Arguments:
        users: who may ask. All others get one and the same answer, before anything is looked up.
        finder: finds keys.
    """

    def __init__(self, users: Users, finder: KeyFinder) -> None:
        self._users = users
        self._finder = finder

    async def nodes(self, contact: str, node: str, item_ids: Sequence[str], reader: str) -> Sequence[Item]:
        """Give the items of a node of a contact's bare JID, all or those with the ids.

        Arguments:
            contact: bare JID.
            node: the name.
            item_ids: of the wanted items; none for all.
            reader: bare JID of who asks.

        Raises:
            PeerError: there is no such node, or not for this reader.
            StoreError: the store cannot be asked.
        """
        user = await self._users.get(reader)
        if user is None or user.blocked:
            raise PeerError(STRANGER, condition="registration-required", error_type="auth")
        items: Sequence[Item]
        if node == PUBLIC_KEYS:
            items = await self._list(reader, _address(contact))
        elif node.startswith(f"{PUBLIC_KEYS}:"):
            items = await self._key(reader, _address(contact), node.removeprefix(f"{PUBLIC_KEYS}:"))
        else:
            raise _not_found(_NO_NODE)
        return [item for item in items if not item_ids or item.id in item_ids]

    async def _list(self, reader: str, address: str) -> Sequence[Item]:
        found = await self._finder.find(reader, address)
        items = metadata_items(found.keys)
        if not items:
            raise _not_found(found.why_none())
        return items

    async def _key(self, reader: str, address: str, fingerprint: str) -> Sequence[Item]:
        item = key_item(await self._finder.known(reader, address), fingerprint)
        if item is None:
            # It was forgotten since it was announced, or somebody asks without having read the list.
            item = key_item((await self._finder.find(reader, address)).keys, fingerprint)
        if item is None:
            raise _not_found("The gateway has no such key of this contact, or not any more.")
        return (item,)


def _address(contact: str) -> str:
    try:
        return unescape(contact.rpartition("@")[0])
    except InvalidAddress:
        return ""


def _not_found(text: str) -> PeerError:
    return PeerError(text, condition="item-not-found", error_type="cancel")
