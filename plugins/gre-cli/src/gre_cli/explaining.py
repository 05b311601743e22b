"""The command ``gre explain``, without its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_cli.addresses import legacy_id
from gre_cli.asking import Asker, how_to_approve
from gre_cli.describe import agreed_json, data_fields, pair, question_json, sent_json, short
from gre_cli.exits import Exit
from gre_cli.safe import clean, clean_line
from gre_cli.session import online
from gre_core.errors import PolicyChanged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rich.table import Table

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.client import Explanation, Sent
    from gre_core.namespaces import Namespace
    from gre_core.ports import Store

_POLICY = "policy/"


async def explain(output: Output, settings: Settings, jid: str, *, approved: Collection[str]) -> Exit:
    """Tell what a peer offers, what we have, what was chosen and why.

    Arguments:
        output: where to.
        settings: the account.
        jid: of the contact.
        approved: what the user approved ahead.

    Raises:
        GreError: the account could not be brought online.
    """
    async with online(settings, Asker(output, approved), available=False) as (_, client):
        explanation = await client.engine.explain(jid)
        waiting = await client.engine.pending()
        remembered = await _remembered(client.engine.ports.store, jid)
    error = explanation.error
    if output.json:
        output.result(_report(explanation, remembered, waiting), ok=error is None)
    else:
        _show(output, explanation, remembered, waiting)
    if error is None:
        return Exit.OK
    return Exit.DECIDE if isinstance(error, PolicyChanged) else Exit.FAILED


async def _remembered(store: Store, jid: str) -> dict[str, str]:
    """Give what the policy memory holds about the contact and its gateway."""
    found: dict[str, str] = {}
    for peer in (jid.rpartition("@")[2], jid):
        for key in await store.keys(f"{_POLICY}{peer}/"):
            value = await store.get(key)
            found[key.removeprefix(_POLICY)] = (value or b"").decode(errors="replace")
    return found


def _report(explanation: Explanation, remembered: dict[str, str], waiting: list[Sent]) -> dict[str, object]:
    offer, error = explanation.offer, explanation.error
    return {
        "jid": explanation.jid,
        "answered_by": explanation.answered_by,
        "offer": None
        if offer is None
        else {
            "gre": offer.gre,
            "encrypted_only": offer.encrypted_only,
            "formatters": sorted(map(str, offer.formatters)),
            "encrypters": sorted(map(str, offer.encrypters)),
        },
        "ours": {"formatters": list(explanation.formatters), "encrypters": list(explanation.encrypters)},
        "agreed": None if explanation.agreed is None else agreed_json(explanation.agreed),
        "error": None if error is None else {"code": error.code, "text": clean(error.text)},
        "question": question_json(error.question) if isinstance(error, PolicyChanged) else None,
        "details": [
            {"code": notice.code, "text": clean(notice.text), **notice.params}
            for notice in explanation.details
        ],
        "untaken": [
            {"namespaces": list(each.namespaces), "code": each.code, "text": clean(each.text)}
            for each in explanation.untaken
        ],
        "remembered": remembered,
        "waiting": [sent_json(sent) for sent in waiting if explanation.jid in sent.recipients],
        "problems": [
            {"plugin": problem.plugin, "stage": problem.stage, "error": problem.error, "hint": problem.hint}
            for problem in explanation.problems
        ],
    }


def _show(output: Output, explanation: Explanation, remembered: dict[str, str], waiting: list[Sent]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    offer, agreed = explanation.offer, explanation.agreed
    table.add_row("contact", clean_line(legacy_id(explanation.jid)))
    table.add_row("JID", clean_line(explanation.jid))
    if offer is None:
        table.add_row("they offer", "no answer")
    else:
        table.add_row("answered by", clean_line(explanation.answered_by or ""))
        table.add_row(
            "they offer", _names([*offer.formatters], [*offer.encrypters]) if offer.gre else "no GRE"
        )
        table.add_row(
            "policy", "takes only encrypted messages" if offer.encrypted_only else "takes plain messages too"
        )
    table.add_row("we have", _plain_names(explanation.formatters, explanation.encrypters))
    if agreed is not None:
        table.add_row("chosen", pair(agreed.agreement), style="green")
        table.add_row("because", agreed.agreement.reason)
        table.add_row("receipts", "yes" if agreed.receipts else "no")
        if agreed.max_size is not None:
            table.add_row("largest", f"{agreed.max_size:,} bytes encrypted")
        for name, value in data_fields(agreed):
            table.add_row(name, value)
        for notice in agreed.notices:
            table.add_row("notice", clean(notice.text), style="yellow")
    _outcome(table, explanation)
    for each in explanation.untaken:
        table.add_row("not taken", clean(each.text), style="yellow")
    _memory(table, explanation.jid, remembered)
    for sent in waiting:
        if explanation.jid in sent.recipients:
            table.add_row("waiting", f"message {sent.id}, not confirmed yet")
    for problem in explanation.problems:
        table.add_row(
            "problem",
            clean_line(f"{problem.plugin} ({problem.stage}): {problem.error}. {problem.hint}"),
            style="yellow",
        )
    output.console.print(table)


def _outcome(table: Table, explanation: Explanation) -> None:
    """Show the keys, and what stands in the way."""
    for notice in explanation.details:
        table.add_row(notice.code.rpartition("openpgp-")[2], clean(notice.text))
    error = explanation.error
    if isinstance(error, PolicyChanged):
        table.add_row("to be asked", clean(error.text), style="bold red")
        table.add_row("to agree", how_to_approve(error.question))
    elif error is not None:
        what = "no agreement" if explanation.agreed is None else "not sent"
        table.add_row(what, clean(error.text), style="bold red")


def _memory(table: Table, jid: str, remembered: dict[str, str]) -> None:
    for key, value in remembered.items():
        peer, _, what = key.rpartition("/")
        known = " + ".join(map(_tail, value.split())) if value.startswith("urn:") else value
        whose = "" if peer == jid else f", of {peer}"
        table.add_row("remembered", clean_line(f"{what}{'' if value == '1' else ' ' + known}{whose}"))


def _tail(namespace: str) -> str:
    return ":".join(namespace.split(":")[-2:])


def _names(formatters: Iterable[Namespace], encrypters: Iterable[Namespace]) -> str:
    return (
        f"formatters {', '.join(map(short, sorted(formatters))) or 'none'}; "
        f"encrypters {', '.join(map(short, sorted(encrypters))) or 'none'}"
    )


def _plain_names(formatters: Iterable[str], encrypters: Iterable[str]) -> str:
    def names(namespaces: Iterable[str]) -> str:
        return ", ".join(map(_tail, namespaces)) or "none"

    return f"formatters {names(formatters)}; encrypters {names(encrypters)}"
