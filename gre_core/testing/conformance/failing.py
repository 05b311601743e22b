"""Ports that fail, as those of a host that is offline or whose disk is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from gre_core.errors import PeerTimeout, StoreError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class FailingStore:
    """Every call raises :class:`StoreError`."""

    async def get(self, _key: str, /) -> NoReturn:
        """Fail."""
        raise StoreError("The disk is broken.")

    async def put(self, _key: str, _value: bytes, /) -> NoReturn:
        """Fail."""
        raise StoreError("The disk is broken.")

    async def delete(self, _key: str, /) -> NoReturn:
        """Fail."""
        raise StoreError("The disk is broken.")

    async def keys(self, _prefix: str, /) -> NoReturn:
        """Fail."""
        raise StoreError("The disk is broken.")


class FailingPubSub:
    """Every call raises :class:`PeerTimeout`."""

    async def items(self, _jid: str, _node: str, /, **_options: object) -> NoReturn:
        """Fail."""
        raise PeerTimeout("The stream is down.")

    async def publish(self, _node: str, _item_id: str, _payload: Element, /, **_options: object) -> NoReturn:
        """Fail."""
        raise PeerTimeout("The stream is down.")

    async def retract(self, _node: str, _item_id: str, /) -> NoReturn:
        """Fail."""
        raise PeerTimeout("The stream is down.")
