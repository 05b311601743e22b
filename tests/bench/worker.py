"""Opening through the worker process, against bare pysequoia in this process, in one run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gre_core import Message, Received
from gre_core.worker import WorkerProcess

from crypto import TEXT, Bare, Figures, _seal_job, _secret_key, interleave  # isort: skip - beside this script
from parties import MIME, two_parties  # isort: skip

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROUNDS = 300
AT_ONCE = 16


async def worker() -> tuple[Figures, Figures]:
    """Measure 1 KB from the stanza to the message: engine, decryption, verdict, parser; one at a time and 16 at once.

    Result:
        The ratios (our time over theirs), and the medians for one message in milliseconds.
    """
    sender, recipient = await two_parties(worker=True)
    keys = [await _secret_key(engine) for engine in (sender, recipient)]
    message = Message(text=TEXT, subject="A kilobyte")
    bare = Bare(*keys)
    payload = sender.plugins.formatter(MIME).format(message, _seal_job(sender, recipient))

    async def received() -> Element:
        stanza = (await sender.seal(recipient.account, message)).stanza
        stanza.set("from", sender.account)
        return stanza

    count = ROUNDS * 2 + AT_ONCE
    waiting = iter([await received() for _ in range(count)])
    waiting_bare = iter([bare.seal(payload) for _ in range(count)])

    async def open_() -> None:
        opened = await recipient.handle(next(waiting))
        assert isinstance(opened, Received)
        assert opened.verdict.signature == "good"

    async def open_many() -> None:
        await asyncio.gather(*(open_() for _ in range(AT_ONCE)))

    def bare_many() -> None:
        for _ in range(AT_ONCE):
            bare.open(next(waiting_bare))

    process = recipient.ports.worker
    assert isinstance(process, WorkerProcess)
    try:
        one, one_bare = await interleave(ROUNDS - 1, open_, lambda: bare.open(next(waiting_bare)))
        many, many_bare = await interleave(ROUNDS // AT_ONCE - 1, open_many, bare_many)
    finally:
        await process.close()
    ratios = {
        "open_1k_worker_vs_pysequoia": one / one_bare,
        "open_1k_worker_16_vs_pysequoia": many / many_bare,
    }
    return ratios, {"open_1k_worker_ms": one, "open_1k_worker_16_ms": many / AT_ONCE}
