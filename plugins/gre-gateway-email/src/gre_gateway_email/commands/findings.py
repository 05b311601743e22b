"""What ``check`` finds: a level, and a line that says what is and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "note", "wrong"]

LABELS: Final[dict[Level, str]] = {"ok": "ok     ", "note": "note   ", "wrong": "WRONG  "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Arguments:
        level: ``wrong`` makes the command fail; ``note`` is worth a thought.
        text: what was looked at, what is, and what to do.
    """

    level: Level
    text: str

    def __str__(self) -> str:
        return LABELS[self.level] + self.text


def ok(text: str) -> Finding:
    """Give what is right."""
    return Finding("ok", text)


def note(text: str) -> Finding:
    """Give what works and may be meant otherwise."""
    return Finding("note", text)


def wrong(text: str) -> Finding:
    """Give what has to be mended."""
    return Finding("wrong", text)
