"""Kills the gateway at random instants under load, and the servers around it now and then: ``nox -s chaos``.

::

    python tests/chaos --kills 500 --database postgresql --seed 7

Ends with 0 when nothing that was acknowledged is lost and every message was answered; otherwise tells the whole story of
each message that shows the opposite. When it is interrupted, it judges what was done until then.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "load"))

from ending import end_when_terminated
from figures import write_table
from killer import Killer
from load import Load, Scene

SHOWN = 10
"""How many stories are told."""


async def run(kills: int, database: str, seed: int, calm: float, planted: str) -> tuple[bool, dict[str, int]]:
    """Make one run; give whether all promises were kept, and the figures."""
    end_when_terminated()
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gre-chaos-")))
        scene = await stack.enter_async_context(Scene(folder, database, planted))
        killer = Killer(scene, chance)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, killer.stop)
        load = Load(scene, chance)
        await load.start()
        try:
            await killer.strike(kills)
            print(f"{killer.count['gateway']} kills done; everything has to settle now", flush=True)
            await load.stop()
            await scene.settle(calm)
            code = await scene.gateway.stop()
        finally:
            await load.cancel()
        scene.ledger.flight.read(scene.gateway.journal)
        verdict = scene.ledger.judge()
        faults = {
            "lost": verdict.lost,
            "held by Postfix to the end": verdict.held,
            "never answered": verdict.unanswered,
            "never accepted": verdict.unaccepted,
            "repeated under another id": verdict.renamed,
            "repeated more often than it was in flight at a kill": verdict.unexplained,
            "refused": [marker for marker, letter in scene.ledger.letters.items() if letter.refused],
        }
        stories = {name: [scene.story(marker) for marker in found[:SHOWN]] for name, found in faults.items()}
        log = scene.log_tail
    figures = {
        "kills of the gateway": killer.count["gateway"],
        "of the XMPP server": killer.count["xmpp"],
        "of Postfix": killer.count["postfix"],
        "of the database": killer.count["database"],
        "clients that lost their connection": killer.count["client"],
        "messages out": verdict.outbound,
        "messages in": verdict.inbound,
        "acknowledged": verdict.acknowledged,
        "lost": len(verdict.lost),
        "held by Postfix to the end": len(verdict.held),
        "in flight as the XMPP server died, lost by clients without receipts": len(verdict.lost_with_server),
        "in flight as their clients died, lost by those without receipts": len(verdict.lost_with_client),
        "repeated mails": verdict.repeated["out"],
        "repeated messages": verdict.repeated["in"],
    }
    for name, figure in figures.items():
        print(f"{name:70} {figure:7}")
    print("aimed at:", ", ".join(f"{name} {count}" for name, count in sorted(killer.aims.items())))
    for name, markers in faults.items():
        if markers:
            print(f"\n{name}: {len(markers)}", *stories[name], sep="\n")
    for line in verdict.strange[:SHOWN]:
        print(f"strange: {line}")
    for line in killer.complaints[:SHOWN]:
        print(f"the gateway: {line}")
    for aim in killer.never_hit:
        print(f"never hit: {aim}")
    if code != 0:
        print(f"the gateway ended with {code} when it was asked to stop")
    proven = not (any(faults.values()) or killer.complaints or killer.never_hit)
    proven = proven and verdict.proven and code == 0
    if not proven:
        print(log)
    print("PROVEN" if proven else f"NOT PROVEN (seed {seed})")
    return proven, figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", type=Path, help="a page of documentation that takes the figures")
    parser.add_argument(
        "--plant", default="", help="a bug (see tests/load/inside/planted.py) that has to be found"
    )
    parser.add_argument(
        "--calm", type=float, default=120.0, help="seconds without progress that mean: no more comes"
    )
    options = parser.parse_args()
    print(f"{options.kills} kills, {options.database}, seed {options.seed}", flush=True)
    run_ = run(options.kills, options.database, options.seed, options.calm, options.plant)
    proven, figures = asyncio.run(run_)
    if options.write and proven:
        write_table(options.write, f"chaos-{options.database}", figures)
    sys.exit(not proven)
