"""The command ``gre send``, without its options."""

from __future__ import annotations

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
    from collections.abc import Collection

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.client import Sent
    from gre_core.model import Message, Notice
    from gre_core.slixmpp import Client

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


async def send(
    output: Output, settings: Settings, jid: str, message: Message, *, wait: float, approved: Collection[str]
) -> Exit:
    """Send one message, and say how far it came.

    Arguments:
        output: where to.
        settings: the account.
        jid: of the contact.
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
            sent = await client.send(jid, message)
        except PolicyChanged as error:
            return undecided(output, error)
        if not output.json:
            await _show_agreement(output, client, jid)
        sent = await _settled(output, client, sent, wait)
        agreed = (await client.engine.explain(jid)).agreed
    if output.json:
        output.result(
            {
                **sent_json(sent),
                "agreed": None if agreed is None else agreed_json(agreed),
                "notices": [notice_json(notice) for notice in notices],
            },
            ok=sent.state in {SendState.RELAYED, SendState.SENT},
        )
    else:
        for notice in notices:
            output.warn(notice.text)
        mark, style, text = _MARK[sent.state]
        output.console.print(f"{mark} {text}" + (f": {clean(sent.error)}" if sent.error else ""), style=style)
    return _EXIT.get(sent.state, Exit.OK)


def undecided(output: Output, error: PolicyChanged) -> Exit:
    """Say what the user has to decide, and how."""
    how = how_to_approve(error.question)
    code = output.fail(error, Exit.DECIDE, question=question_json(error.question), approve=how)
    if not output.json:
        output.errors.print(f"Nothing was sent. If you agree, say so with: {how}", style="yellow")
    return code


async def _settled(output: Output, client: Client, sent: Sent, wait: float) -> Sent:
    with output.status("Waiting for the receipt…"):
        try:
            return await client.settled(sent, wait)
        except TimeoutError:
            return sent


async def _show_agreement(output: Output, client: Client, jid: str) -> None:
    agreed = (await client.engine.explain(jid)).agreed
    if agreed is None:
        return
    output.console.print(f"to {clean(legacy_id(jid))} with {pair(agreed.agreement)}")
    for name, value in data_fields(agreed):
        output.console.print(f"  {name}: {value}", style="dim")
