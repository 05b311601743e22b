"""Questions to the user: the same one is not asked twice at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gre_core.ports import AskPassphrase, PassphraseRequest


def once_at_a_time(ask: AskPassphrase) -> AskPassphrase:
    """Let all that ask for the same passphrase at the same time wait for one answer.

    Arguments:
        ask: of the host.
    """
    pending: dict[PassphraseRequest, asyncio.Future[str | None]] = {}

    async def asked(request: PassphraseRequest) -> str | None:
        answer = pending.get(request)
        if answer is None:
            answer = pending[request] = asyncio.ensure_future(ask(request))
            answer.add_done_callback(lambda _: pending.pop(request, None))
        return await asyncio.shield(answer)

    return asked
