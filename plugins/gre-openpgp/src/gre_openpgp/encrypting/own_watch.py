"""Watching what the Web Key Directory serves as our own key: an alarm when it is not ours."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gre_core.model import Notice
from gre_openpgp.user_ids import address_of
from gre_openpgp.wkd import WkdOutcome, look_up
from gre_openpgp.xep0373 import timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gre_core.ports import Ports

LOOKED: Final = "openpgp/own-wkd"
"""Store key: when each of our addresses was looked up last."""

AGAIN: Final = timedelta(days=1)
MAX_ADDRESSES: Final = 8


async def watch_own(user_ids: Iterable[str], ours: Collection[str], ports: Ports) -> list[Notice]:
    """Compare what is served for our addresses with our keys; once a day, and only with a web port.

    Arguments:
        user_ids: of our key.
        ours: fingerprints of all our keys, in upper-case hex.
        ports: of the host.

    Raises:
        StoreError: the store failed.
    """
    addresses = {found for user_id in user_ids if (found := address_of(user_id))}
    if ports.web is None or not addresses or not ours:
        return []
    now, looked = ports.now(), _read(await ports.store.get(LOOKED))
    notices: list[Notice] = []
    for address in sorted(addresses)[:MAX_ADDRESSES]:
        if address in looked and timedelta() <= now - looked[address] < AGAIN:
            continue
        answer = await look_up(address, ports.web)
        if answer.outcome is WkdOutcome.OFFLINE:
            continue
        looked[address] = now
        foreign = [key.fingerprint for key in answer.keys if key.fingerprint not in ours]
        if foreign:
            notices.append(_alarm(address, foreign))
    kept = {address: timestamp(date) for address, date in looked.items() if address in addresses}
    await ports.store.put(LOOKED, json.dumps(kept).encode())
    return notices


def _alarm(address: str, foreign: list[str]) -> Notice:
    names = ", ".join(foreign)
    return Notice(
        "own-key-foreign",
        f"The Web Key Directory of your mail domain serves the key {names} for {address}, which is not yours. Who "
        f"trusts it encrypts to somebody else. If you did not put it there, tell the domain's operator",
        {"address": address, "fingerprints": names},
    )


def _read(raw: bytes | None) -> dict[str, datetime]:
    try:
        found = json.loads(raw or b"{}")
        return {str(address): datetime.fromisoformat(date) for address, date in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
