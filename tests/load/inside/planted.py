"""Bugs that are planted into the gateway, to see that the proofs find them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

DELAY = 0.5
_tasks: set[asyncio.Task[Any]] = set()


def _later(work: Any, *arguments: Any, **named: Any) -> None:
    async def wait() -> None:
        await asyncio.sleep(DELAY)
        await work(*arguments, **named)

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

    kind: Any = Relay
    relay = kind.send

    async def send(self: Any, *arguments: Any, **named: Any) -> None:
        _later(relay, self, *arguments, **named)

    kind.send = send


def no_resume() -> None:
    """Do not look into the inbox for what an earlier process left there."""
    from gre_gateway_email.store import inbox

    kind: Any = inbox.SqlInbox

    async def due(_self: Any, *_arguments: Any) -> Any:
        return ()

    kind.due = due


def new_id() -> None:
    """Take each repetition of a message for a new one, with a Message-ID of its own."""
    from gre_gateway_email.relaying import outbound as module

    outbound: Any = module
    envelope_of: Any = outbound.envelope_of

    def envelope(*arguments: Any) -> Any:
        return replace(envelope_of(*arguments), message_id=f"{os.urandom(8).hex()}@example.org")

    outbound.envelope_of = envelope
    outbound.key_of = lambda *_: os.urandom(32)


def kept_rows() -> None:
    """Leave every third message in the inbox, although it is proven to have arrived."""
    from gre_gateway_email.store import inbox

    kind: Any = inbox.SqlInbox
    arrived = kind.arrived

    async def arrived_(self: Any, ids: Any) -> None:
        await arrived(self, [each for each in ids if hash(each) % 3])

    kind.arrived = arrived_


def doubled() -> None:
    """Hand every tenth mail to the relay twice."""
    from gre_gateway_email.mail.relay import Relay

    kind: Any = Relay
    relay = kind.send
    count = 0

    async def send(self: Any, *arguments: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        await relay(self, *arguments, **named)
        if count % 10 == 0:
            await relay(self, *arguments, **named)

    kind.send = send


def ping_for_all() -> None:
    """Take the answer to a ping for enough, also when the client gives receipts."""
    from gre_gateway_email.xmpp.courier import XmppCourier

    kind: Any = XmppCourier

    async def gives_receipts(_self: Any, _user: str) -> bool:
        return False

    kind.gives_receipts = gives_receipts


def leak() -> None:
    """Keep every mail in memory, and a file open for each hundredth."""
    from gre_gateway_email.mail.relay import Relay

    kind: Any = Relay
    relay = kind.send
    kept: list[Any] = []

    async def send(self: Any, sender: Any, recipients: Any, mail: bytes, **named: Any) -> None:
        kept.append(bytearray(mail) * 10)
        if len(kept) % 100 == 0:
            kept.append(os.open(os.devnull, os.O_RDONLY))
        await relay(self, sender, recipients, mail, **named)

    kind.send = send


def plant(name: str) -> None:
    """Plant a bug: one of the functions above, by its name."""
    globals()[name]()
