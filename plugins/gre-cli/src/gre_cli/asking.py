"""Questions that only the user can decide: asked at a terminal, or answered ahead by ``--approve``."""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import TYPE_CHECKING

from gre_cli.safe import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from gre_cli.output import Output
    from gre_core.model import Question


class Asker:
    """Answers questions. The default is always no.

    Arguments:
        output: where to ask.
        approved: what the user approved ahead: ``CODE=VALUE`` for one value, ``CODE`` for any.
    """

    def __init__(self, output: Output, approved: Collection[str] = ()) -> None:
        self.output = output
        self._approved = frozenset(approved)
        self._lock = asyncio.Lock()

    async def decide(self, question: Question) -> bool:
        """Answer one question."""
        if {question.code, approval(question)} & self._approved:
            self.output.note(f"Approved ahead: {clean_line(question.text)}")
            return True
        if self.output.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        async with self._lock:
            self._show(question)
            return await asyncio.to_thread(_yes)

    def _show(self, question: Question) -> None:
        from rich.panel import Panel
        from rich.text import Text

        text = Text(clean(question.text))
        if question.before:
            text.append(
                f"\n\nuntil now: {clean_line(question.before)}\nnow:       {clean_line(question.after)}"
            )
        self.output.errors.print(Panel(text, title=f"Your decision: {question.code}", border_style="yellow"))


def _yes() -> bool:
    sys.stderr.write("Type yes to agree, anything else to refuse: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() == "yes"


def approval(question: Question) -> str:
    """Give what approves exactly this question."""
    return f"{question.code}={question.after}"


def how_to_approve(question: Question) -> str:
    """Give the option that approves exactly this question, ready for a shell."""
    return f"--approve {shlex.quote(clean_line(approval(question)))}"
