"""The command ``gre send``, without its options."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gre_cli.addresses import legacy_id
from gre_cli.asking import Asker, how_to_approve
from gre_cli.describe import agreed_json, data_fields, notice_json, pair, question_json, sent_json
from gre_cli.exits import Exit
from gre_cli.safe import clean
from gre_cli.session import online
from gre_core.errors import PolicyChanged
from gre_core.outbox import SendState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.client import Sent
    from gre_core.model import Message, Notice
    from gre_core.slixmpp import Client

_ORDER = (SendState.RELAYED, SendState.SENT, SendState.QUEUED, SendState.REFUSED)
"""From the best to the worst."""

_EXIT = {SendState.REFUSED: Exit.FAILED, SendState.QUEUED: Exit.WAITING}
_MARK = {
    SendState.RELAYED: ("✓", "green", "relayed: the gateway's network took it"),
    SendState.SENT: ("✓", "green", "sent; the gateway gives no receipts, so nothing more will be known"),
    SendState.QUEUED: (
        "…",
        "yellow",
        "queued: it is kept, and sent again with the next `gre send` or `gre listen`",
    ),
    SendState.REFUSED: ("✗", "bold red", "refused"),
}


@dataclass(frozen=True, slots=True)
class People:
    """Where a message goes.

    Arguments:
        to: JIDs of the contacts, at least one.
        cc: of those who get a copy.
        bcc: of those who get a copy that nobody else learns of.
        reply_to: id of the message that it answers.
    """

    to: Sequence[str]
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    reply_to: str | None = None


async def send(
    output: Output,
    settings: Settings,
    people: People,
    message: Message,
    *,
    wait: float,
    approved: Collection[str],
) -> Exit:
    """Send one message, and say how far it came.

    Arguments:
        output: where to.
        settings: the account.
        people: whom.
        message: what.
        wait: seconds to wait for the receipt.
        approved: what the user approved ahead.

    Raises:
        GreError: it was not sent.
    """
    asker = Asker(output, approved)
    notices: list[Notice] = []
    async with online(
        settings, asker, available=False, setup=lambda _, client: client.on_notice(notices.append)
    ) as (_, client):
        try:
            parts = await client.engine.send_all(
                people.to, message, cc=people.cc, bcc=people.bcc, reply_to=people.reply_to
            )
        except PolicyChanged as error:
            return undecided(output, error)
        if not output.json:
            await _show_agreement(output, client, people.to[0])
        parts = await _settled(output, client, parts, wait)
        agreed = (await client.engine.explain(people.to[0])).agreed
    worst = max(parts, key=lambda sent: _ORDER.index(sent.state))
    if output.json:
        output.result(
            {
                **sent_json(worst),
                "parts": [sent_json(sent) for sent in parts],
                "agreed": None if agreed is None else agreed_json(agreed),
                "notices": [notice_json(notice) for notice in notices],
            },
            ok=worst.state in {SendState.RELAYED, SendState.SENT},
        )
    else:
        for notice in notices:
            output.warn(notice.text)
        for sent in parts:
            _show_state(output, sent, several=len(parts) > 1)
    return _EXIT.get(worst.state, Exit.OK)


def _show_state(output: Output, sent: Sent, *, several: bool) -> None:
    mark, style, text = _MARK[sent.state]
    who = f"{clean(', '.join(map(legacy_id, sent.recipients)))}: " if several else ""
    output.console.print(
        f"{mark} {who}{text}" + (f": {clean(sent.error)}" if sent.error else ""), style=style
    )


def undecided(output: Output, error: PolicyChanged) -> Exit:
    """Say what the user has to decide, and how."""
    how = how_to_approve(error.question)
    code = output.fail(error, Exit.DECIDE, question=question_json(error.question), approve=how)
    if not output.json:
        output.errors.print(f"Nothing was sent. If you agree, say so with: {how}", style="yellow")
    return code


async def _settled(output: Output, client: Client, parts: Sequence[Sent], wait: float) -> tuple[Sent, ...]:
    async def settled(sent: Sent) -> Sent:
        try:
            return await client.settled(sent, wait)
        except TimeoutError:
            return sent

    with output.status("Waiting for the receipt…"):
        return tuple(await asyncio.gather(*map(settled, parts)))


async def _show_agreement(output: Output, client: Client, jid: str) -> None:
    agreed = (await client.engine.explain(jid)).agreed
    if agreed is None:
        return
    output.console.print(f"to {clean(legacy_id(jid))} with {pair(agreed.agreement)}")
    for name, value in data_fields(agreed):
        output.console.print(f"  {name}: {value}", style="dim")
