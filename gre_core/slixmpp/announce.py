"""What a client announces: its features, and their hash in each presence (XEP-0030, XEP-0115)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gre_core.log import get_logger
from gre_core.slixmpp.traps import plugin

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from slixmpp import ClientXMPP

_log = get_logger(__name__)


class Announcer:
    """Announces features under the JID that the server gives.

    slixmpp keeps features under the full JID of the moment, which the server may change at each login; and it computes
    the hash only when it is told to, so that presence would go without.

    Arguments:
        xmpp: the client.
        features: gives what to announce, asked once a session.
    """

    def __init__(self, xmpp: ClientXMPP, features: Callable[[], Iterable[str]]) -> None:
        self._features = features
        self._disco: Any = plugin(xmpp, "xep_0030")
        self._caps: Any = plugin(xmpp, "xep_0115")
        self._loop = xmpp.loop
        self._task: asyncio.Task[None] | None = None
        xmpp.add_event_handler("session_bind", self._on_bind)

    def _on_bind(self, _jid: object = None) -> None:
        # Begun before the session starts, and nothing in it waits: it ends before the first presence is sent.
        self._task = self._loop.create_task(self._announce())

    async def _announce(self) -> None:
        try:
            for feature in self._features():
                await self._disco.add_feature(feature)
            await self._caps.update_caps(broadcast=False)
        except Exception as error:  # noqa: BLE001 - a client without capabilities still works
            _log.error("not-announced", error_type=type(error).__name__)
