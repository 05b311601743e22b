"""The command ``gre listen``, without its options."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_cli.addresses import legacy_id
from gre_cli.asking import Asker
from gre_cli.describe import notice_json, sent_json
from gre_cli.exits import Exit
from gre_cli.safe import clean, clean_line, write_new
from gre_cli.session import online
from gre_core.model import Direction, Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from slixmpp import ClientXMPP
    from slixmpp.stanza import Message as Stanza

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.client import Received, Sent, Unopened
    from gre_core.model import Notice
    from gre_core.slixmpp import Client

MAX_TEXT: Final = 100_000
"""Characters of a text that are shown; the rest is cut with a word about it."""

_VERDICTS: Final = {
    Signature.GOOD: ("✓ good signature", "green"),
    Signature.UNSIGNED: ("! not signed: anybody could have written this", "yellow"),
    Signature.UNKNOWN_SIGNER: ("! signed with a key that is not known: nothing is proven", "yellow"),
    Signature.WRONG_SIGNER: ("✗ SIGNED BY SOMEBODY ELSE, not by this sender", "bold white on red"),
    Signature.BAD: ("✗ BAD SIGNATURE: treat this message as forged", "bold white on red"),
    Signature.OTHER_RECIPIENTS: ("! signed, but WRITTEN TO OTHERS, not to you", "yellow"),
    Signature.REPLAYED: ("✗ signed, but the SAME MESSAGE CAME BEFORE", "bold white on red"),
    Signature.STALE: ("! signed, but NOT WRITTEN NOW", "yellow"),
    Signature.REFLECTED: ("✗ YOUR OWN MESSAGE, shown to you as theirs", "bold white on red"),
    Signature.PARTIAL: ("! signed, but ONLY A PART of what was sent", "yellow"),
}
_UNTRUSTED: Final = frozenset(
    {Signature.BAD, Signature.WRONG_SIGNER, Signature.REPLAYED, Signature.REFLECTED}
)


async def listen(
    output: Output,
    settings: Settings,
    *,
    folder: Path | None,
    count: int | None,
    seconds: float | None,
    approved: Collection[str],
) -> Exit:
    """Show messages as they come.

    Arguments:
        output: where to.
        settings: the account.
        folder: where attachments go; a folder in the account's state otherwise.
        count: end after so many messages.
        seconds: end after so long.
        approved: what the user approved ahead.

    Raises:
        GreError: the account could not be brought online.
    """
    inbox = _Inbox(output, folder or settings.directory() / "attachments", count)
    async with online(settings, Asker(output, approved), available=True, setup=inbox.attach) as (_, client):
        await client.reopen()
        output.note(f"Listening as {settings.jid}. Ctrl-C ends.")
        telling = asyncio.create_task(inbox.tell_caught_up(client))
        with suppress(TimeoutError):
            await asyncio.wait_for(inbox.full.wait(), seconds)
        telling.cancel()
    if inbox.untrusted:
        return Exit.UNTRUSTED
    return Exit.OK if inbox.number else Exit.WAITING


class _Inbox:
    """Shows what comes, saves attachments, counts."""

    def __init__(self, output: Output, folder: Path, count: int | None) -> None:
        self.full = asyncio.Event()
        self.number = 0
        self.untrusted = 0
        self.archived = 0
        self._hold: Callable[[], None] = lambda: None
        self._output = output
        self._folder = folder
        self._count = count

    def attach(self, xmpp: ClientXMPP, client: Client) -> None:
        self._hold = client.hold
        client.on_received(self._received)
        client.on_unopened(self._unopened)
        client.on_state(self._state)
        client.on_notice(self._notice)
        xmpp.add_event_handler("message", self._plain)

    async def tell_caught_up(self, client: Client) -> None:
        """Say how much came from the archive of the account, once all of it is shown."""
        await client.caught_up.wait()
        if self.archived:
            count = "One message" if self.archived == 1 else f"{self.archived:,} messages"
            self._output.note(f"{count} of the time while this device was away, from the server's archive.")

    def _counted(self, *, trusted: bool) -> None:
        self.number += 1
        self.untrusted += not trusted
        if self._count is not None and self.number >= self._count:
            self._hold()
            self.full.set()

    def _received(self, received: Received) -> None:
        """Save, then show. An error here keeps the receipt back, so that the message comes again."""
        message, verdict = received.message, received.verdict
        files = [self._save(file.name, file.read()) for file in message.attachments]
        own = received.direction is Direction.SENT
        self.archived += received.archived
        if self._output.json:
            self._output.result(
                {
                    "kind": "encrypted",
                    "direction": str(received.direction),
                    "peer": received.peer,
                    "from": legacy_id(received.peer),
                    "id": received.id,
                    "to": list(message.to),
                    "cc": list(message.cc),
                    "reply_to": received.reply_to,
                    "thread": received.thread,
                    "archived": received.archived,
                    "signature": str(verdict.signature),
                    "signer": verdict.signer,
                    "key_source": verdict.source,
                    "notices": [notice_json(notice) for notice in received.notices],
                    "subject": message.subject,
                    "text": message.text,
                    "date": None if message.date is None else message.date.isoformat(),
                    "attachments": [str(path) for path in files],
                }
            )
        else:
            self._head(("to " if own else "from ") + legacy_id(received.peer), message.date)
            text, style = _VERDICTS[verdict.signature]
            by = f", key {clean_line(verdict.signer)}" if verdict.signer else ""
            source = f" ({clean_line(verdict.source)})" if verdict.source else ""
            self._print(text + by + source, style)
            if verdict.detail and verdict.signature is not Signature.GOOD:
                self._print(clean(verdict.detail), style)
            for notice in received.notices:
                self._print(f"! {clean(notice.text)}", "yellow")
            named = [*message.to, *message.cc]
            if len(named) > 1:
                self._print(f"written to {clean_line(', '.join(named))}", "dim")
            if received.id is not None:
                answers = f", answers {clean_line(received.reply_to)}" if received.reply_to else ""
                self._print(f"id {clean_line(received.id)}{answers}", "dim")
            if message.subject:
                self._print(clean_line(message.subject), "bold")
            self._print(_shown(message.text))
            for path in files:
                self._print(f"attachment saved: {path}", "cyan")
        self._counted(trusted=own or verdict.signature not in _UNTRUSTED)

    def _unopened(self, failed: Unopened) -> None:
        if self._output.json:
            error = {"code": failed.error.code, "text": clean(failed.error.text)}
            values = {"kind": "unopened", "peer": failed.peer, "id": failed.id, "error": error}
            self._output.result(values, ok=False)
        else:
            self._head(f"from {legacy_id(failed.peer)}", None)
            self._print(f"✗ COULD NOT BE OPENED: {clean(failed.error.text)}", "bold red")
            self._print("The message is kept, and tried again with the next `gre listen`.", "dim")
        self._counted(trusted=False)

    def _plain(self, stanza: Stanza) -> None:
        """Show a message that was not encrypted, clearly marked."""
        if stanza["type"] not in {"chat", "normal"} or not stanza["body"]:
            return
        sender = stanza["from"].bare
        if self._output.json:
            values = {"kind": "plain", "peer": sender, "from": legacy_id(sender), "text": stanza["body"]}
            self._output.result(values)
        else:
            self._head(f"from {legacy_id(sender)}", None)
            self._print("! NOT ENCRYPTED, not signed", "yellow")
            self._print(_shown(stanza["body"]))
        self._counted(trusted=True)

    def _state(self, sent: Sent) -> None:
        if self._output.json:
            self._output.result({"kind": "state", **sent_json(sent)})
        else:
            names = ", ".join(map(legacy_id, sent.recipients or (sent.to,)))
            self._output.note(f"message to {names}: {sent.state} {sent.error}".strip())

    def _notice(self, notice: Notice) -> None:
        if not self._output.json:
            self._output.warn(notice.text)

    def _save(self, name: str, content: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return write_new(self._folder, name, content)

    def _head(self, who: str, date: datetime | None) -> None:
        when = (date or datetime.now(UTC)).astimezone()
        self._output.console.rule(f"{clean_line(who)}  {when:%Y-%m-%d %H:%M}", style="dim", align="left")

    def _print(self, text: str, style: str | None = None) -> None:
        self._output.console.print(text, style=style)


def _shown(text: str) -> str:
    text = clean(text).strip()
    if len(text) > MAX_TEXT:
        return f"{text[:MAX_TEXT]}\n[cut here: {len(text) - MAX_TEXT:,} more characters]"
    return text or "(no text)"
