"""Bugs that are planted into the gateway, to see that the proofs find them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

DELAY = 0.1
_tasks: set[asyncio.Task[Any]] = set()


def _later(work: Any, *arguments: Any) -> None:
    async def wait() -> None:
        await asyncio.sleep(DELAY)
        await work(*arguments)

    task = asyncio.ensure_future(wait())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def early_250() -> None:
    """Acknowledge mails before they are stored."""
    from gre_gateway_email.store.inbox import SqlInbox

    store: Any = SqlInbox.add

    async def add(self: Any, messages: Any) -> Any:
        _later(store, self, messages)
        return ["new"] * len(messages)

    SqlInbox.add = add  # type: ignore[method-assign]


def early_receipt() -> None:
    """Give receipts before the relay took the mail."""
    from gre_gateway_email.mail.relay import Relay

    relay: Any = Relay.send

    async def send(self: Any, *arguments: Any) -> None:
        _later(relay, self, *arguments)

    Relay.send = send  # type: ignore[assignment, method-assign]


def no_resume() -> None:
    """Do not look into the inbox for what an earlier process left there."""
    from gre_gateway_email.store.inbox import SqlInbox

    async def due(_self: Any, *_arguments: Any) -> Any:
        return ()

    SqlInbox.due = due  # type: ignore[method-assign]


def new_id() -> None:
    """Take each repetition of a message for a new one, with a Message-ID of its own."""
    from gre_gateway_email.relaying import outbound

    envelope_of: Any = outbound.envelope_of

    def envelope(*arguments: Any) -> Any:
        return replace(envelope_of(*arguments), message_id=f"{os.urandom(8).hex()}@example.org")

    outbound.envelope_of = envelope
    outbound.key_of = lambda *_: os.urandom(32)  # type: ignore[assignment]


def leak() -> None:
    """Keep every mail in memory, and a file open for each hundredth."""
    from gre_gateway_email.mail.relay import Relay

    relay: Any = Relay.send
    kept: list[Any] = []

    async def send(self: Any, sender: Any, recipients: Any, mail: bytes) -> None:
        kept.append(bytearray(mail) * 10)
        if len(kept) % 100 == 0:
            kept.append(os.open(os.devnull, os.O_RDONLY))
        await relay(self, sender, recipients, mail)

    Relay.send = send  # type: ignore[method-assign]


def plant(name: str) -> None:
    """Plant a bug: one of the functions above, by its name."""
    globals()[name]()
