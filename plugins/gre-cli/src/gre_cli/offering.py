"""Offers a backup of our key when it was made: at a terminal, with the code to write down."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from gre_cli.safe import clean_line

if TYPE_CHECKING:
    from gre_cli.output import Output
    from gre_core.ports import BackupOffer

_LATER = "Only this device has your key. Put a backup on your server with: gre keys backup"


class Offering:
    """Answers what :class:`gre_core.ports.BackupOffer` asks.

    Arguments:
        output: where to ask.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._said = False

    async def __call__(self, offer: BackupOffer) -> bool | None:
        """Show the code and ask; without a terminal, say what to do later."""
        if self._output.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            if not self._said:
                self._said = True
                self._output.note(_LATER)
            return None
        return await asyncio.to_thread(self._ask, offer)

    def _ask(self, offer: BackupOffer) -> bool | None:
        from rich.panel import Panel

        text = (
            f"Only this device has your key {clean_line(offer.key)[-16:]}. A backup on your server lets other devices "
            f"read your messages, and saves them when this one is lost. Write this code down; it is shown only now:\n\n"
            f"    {offer.code}\n\nWithout the code the backup opens for nobody."
        )
        self._output.errors.print(Panel(text, title="A backup of your key", border_style="yellow"))
        sys.stderr.write("Type yes when you wrote it down, no for no backup ever, anything else for later: ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip().casefold()
        if answer in {"yes", "no"}:
            return answer == "yes"
        self._output.note(_LATER)
        return None
