"""Forgets what is over, now and then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gre_core.errors import StoreError
from gre_core.log import get_logger

if TYPE_CHECKING:
    from gre_gateway_email.config import Retention
    from gre_gateway_email.store.store import Store

EVERY: Final = 3600.0
FIRST: Final = 60.0

_log = get_logger(__name__)


async def keep_house(store: Store, retention: Retention) -> None:
    """Remove hashes of delivered messages and dead letters that are old enough, every hour, for ever."""
    await asyncio.sleep(FIRST)
    while True:
        try:
            await store.prune(retention.relayed, retention.dead)
        except StoreError as error:
            _log.warning("store-away", code=error.code)
        await asyncio.sleep(EVERY)
