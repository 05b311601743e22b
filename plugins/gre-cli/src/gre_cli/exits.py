"""What the command tells scripts: its exit codes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every ``gre`` command. They are documented in the README and do not change."""

    OK = 0
    FAILED = 1
    """It failed, was refused, or a check found something wrong."""
    USAGE = 2
    """The command line is wrong."""
    DECIDE = 3
    """The user has to decide first; the output says what, and how to say yes."""
    WAITING = 4
    """Nothing final happened in the given time: the message is kept, or none came."""
    UNTRUSTED = 5
    """A message came whose signature is bad or by somebody else, or that could not be opened."""
    INTERRUPTED = 130
    """Ctrl-C."""
