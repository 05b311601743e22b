"""Where the command writes: people read the screen, scripts read one JSON object."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from gre_cli.exits import Exit
from gre_cli.safe import clean

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from rich.console import Console

    from gre_core.errors import GreError

_SVG_WIDTH = 112


class Output:
    """The screen or the JSON of one command.

    Arguments:
        json: write JSON to standard output, and nothing else there.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    @cached_property
    def console(self) -> Console:
        """The screen. Text from the network goes through ``clean`` and never through rich's markup."""
        from rich.console import Console

        return Console(markup=False, emoji=False, highlight=False)

    @cached_property
    def errors(self) -> Console:
        """Standard error."""
        from rich.console import Console

        return Console(stderr=True, markup=False, emoji=False, highlight=False)

    def recorder(self) -> Console:
        """Give a screen of fixed width that can be saved as a picture; quiet when standard output is for JSON."""
        from io import StringIO

        from rich.console import Console

        file = StringIO() if self.json else sys.stdout
        return Console(record=True, width=_SVG_WIDTH, file=file, markup=False, emoji=False, highlight=False)

    @contextmanager
    def status(self, text: str) -> Generator[None]:
        """Show that something is going on, when somebody watches."""
        if self.json or not sys.stderr.isatty():
            yield
            return
        with self.errors.status(text):
            yield

    def result(self, values: Mapping[str, object], *, ok: bool = True) -> None:
        """Write the result for scripts: one object on one line."""
        sys.stdout.write(json.dumps({"ok": ok, **values}, default=str) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Tell people something beside the result."""
        if not self.json:
            self._tell(text, "dim")

    def warn(self, text: str) -> None:
        """Warn people."""
        self._tell(text, "yellow")

    def fail(
        self, error: GreError | OSError | UnicodeError, code: Exit = Exit.FAILED, **more: object
    ) -> Exit:
        """Tell what went wrong; give the exit code."""
        text = clean(getattr(error, "text", "") or str(error))
        if self.json:
            self.result(
                {"error": {"code": getattr(error, "code", "os-error"), "text": text}, **more}, ok=False
            )
        else:
            self._tell(f"Error: {text}", "bold red")
        return code

    def _tell(self, text: str, style: str) -> None:
        """Write lines to standard error; in a pipe or a file they stay whole, so that they can be searched."""
        self.errors.print(clean(text), style=style, soft_wrap=not self.errors.is_terminal)
