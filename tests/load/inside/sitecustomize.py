"""Runs within the gateway process of the proofs: it counts tasks, plants bugs that the proofs have to find, and tells.

``GRE_PLANTED`` names a bug; nothing is planted without it. ``GRE_JOURNAL`` names a file for :mod:`journal`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_PREFIX = os.environ.get("GRE_INSIDE", "")


def _count(*_arguments: object) -> None:
    import asyncio

    try:
        count = len(asyncio.all_tasks())
    except RuntimeError:  # no loop yet
        return
    part = Path(f"{_PREFIX}.part")
    part.write_text(str(count))
    part.replace(f"{_PREFIX}.tasks")


def set_up() -> None:
    """Do it."""
    signal.signal(signal.SIGUSR1, _count)
    if os.environ.get("GRE_PLANTED"):
        import planted

        planted.plant(os.environ["GRE_PLANTED"])
    if os.environ.get("GRE_JOURNAL"):
        import journal

        # After the bugs: it tells what the gateway believes.
        journal.Journal(os.environ["GRE_JOURNAL"]).watch()
        journal.Trap(f"{_PREFIX}.trap").set_up()


if _PREFIX and "gre_gateway_email" in " ".join(sys.orig_argv):
    set_up()
