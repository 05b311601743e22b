"""Runs all measurements, prints them, and writes ``bench.json``: ``nox -s bench``.

``ratios`` are of one run each: our time over theirs for sealing and opening (smaller is better), our rate over theirs for relaying (larger is better). ``absolute``
holds the medians behind them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
from pathlib import Path

import crypto
import gateway_rates
import lookup
import recipients
import relay
import startup
import worker

# What is to be reached: (at most, figure) or (at least, figure).
GOALS = {
    "seal_1k_vs_pysequoia": ("<=", 1.7),
    "seal_1k_vs_pgpy": ("<=", 1 / 4),
    "seal_1k_vs_gpg": ("<=", 1 / 12),
    "open_1k_vs_pysequoia": ("<=", 2.2),
    "open_1k_vs_pgpy": ("<=", 1 / 4),
    "open_1k_vs_gpg": ("<=", 1 / 12),
    "seal_25m_vs_pysequoia": ("<=", 1.4),
    "open_25m_vs_pysequoia": ("<=", 1.4),
    "seal_100m_vs_pysequoia": ("<=", 1.4),
    "open_100m_vs_pysequoia": ("<=", 1.4),
    "open_1k_worker_vs_pysequoia": ("<=", 4.5),
    "open_1k_worker_16_vs_pysequoia": ("<=", 3),
    "encrypt_to_1_vs_pysequoia": ("<=", 1.4),
    "encrypt_to_10_vs_pysequoia": ("<=", 1.4),
    "encrypt_to_100_vs_pysequoia": ("<=", 1.4),
    "seal_25m_peak_vs_payload": ("<=", 1.5),
    "seal_100m_peak_vs_payload": ("<=", 1.5),
    "relay_1k_vs_bare": (">=", 0.5),
    "relay_50k_vs_bare": (">=", 0.6),
    "relay_1k_postgresql_vs_bare": (">=", 0.5),
    "relay_50k_postgresql_vs_bare": (">=", 0.6),
    "inbound_vs_outbound": (">=", 1),
    "inbound_vs_outbound_postgresql": (">=", 1),
    "outbound_10k_users_vs_100": ("<=", 1.2),
    "inbound_10k_users_vs_100": ("<=", 1.2),
}
# At most, in the unit that the name ends with.
ABSOLUTE_GOALS = {
    "import_gre_core_ms": 60.0,
    "gre_help_ms": 400.0,
    "gateway_help_ms": 200.0,
    "contact_lookup_100k_first_ms": 1.0,
    "users_10k_memory_mb": 150.0,
    "users_10k_start_seconds": 3.0,
}


async def main(target: Path) -> None:
    """Measure, print, write. The exit code does not depend on the figures: a busy machine is no defect."""
    ratios: dict[str, float] = {}
    absolute: dict[str, float] = {}
    for part in (
        crypto.small,
        worker.worker,
        recipients.recipients,
        crypto.large,
        lookup.lookup,
        relay.relay,
        relay.relay_postgresql,
        gateway_rates.gateway_rates,
        gateway_rates.gateway_rates_postgresql,
    ):
        found, figures = await part()
        ratios |= found
        absolute |= figures
    found, figures = crypto.peak_memory()
    ratios |= found
    absolute |= figures | startup.startup()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    for name, figure in ratios.items():
        sign, goal = GOALS[name]
        reached = figure <= goal if sign == "<=" else figure >= goal
        print(f"{name:32} {figure:8.3f}   goal {sign} {goal:.3f}   {'reached' if reached else 'MISSED'}")
    for name, goal in ABSOLUTE_GOALS.items():
        verdict = "reached" if absolute[name] <= goal else "MISSED"
        print(f"{name:32} {absolute[name]:8.2f}   goal <= {goal:<5g}   {verdict}")
    for name, figure in absolute.items():
        print(f"{name:38} {figure:12.2f}")
    target.write_text(json.dumps({"ratios": ratios, "absolute": absolute}, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path("bench.json"), help="where the figures go")
    asyncio.run(main(parser.parse_args().file))
