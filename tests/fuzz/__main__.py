"""Fuzzes what reads hostile input, with coverage guiding it (atheris, libFuzzer).

::

    python tests/fuzz                          all harnesses, 600 seconds each, as many at once as there are processors
    python tests/fuzz --seconds 30 armor       one of them, briefly
    python tests/fuzz armor --replay FILE      one input once, in the open: for a finding

A harness is a module ``tests/fuzz/fuzz_*.py``::

    NAME = "armor"                             for people and for folders


    def seeds() -> Iterable[bytes]: ...        valid inputs to start from; beside the files in tests/fuzz/seeds/NAME


    def run(data: bytes) -> None: ...          raises only when it found a defect

``run`` holds back the errors that are allowed (``except GreError``), and asserts what must never happen. It has to be
deterministic, and fast: some thousand inputs a second. Heavy set-up belongs at the top of the module.

Inputs that reach something new are kept in ``.fuzz/NAME`` and used by the next run. A finding is written to
``.fuzz/findings``: put it into ``tests/fuzz/seeds/NAME`` together with the correction. The seeds run as ordinary
tests, too: ``test_fuzz_seeds.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / ".fuzz"
FINDINGS = KEPT / "findings"
OURS = [
    "gre_core",
    "gre_openpgp",
    "gre_encrypter_openpgp",
    "gre_encrypter_openpgp_pgpy",
    "gre_formatter_mime",
    "gre_gateway_email",
]

SECONDS = 600
SLOWEST = 10
"""An input that takes more seconds than this is a finding."""

MAX_MEMORY = 1024
"""A harness that needs more MiB than this is a finding."""

MAX_INPUT = 16 * 1024


class Harness(Protocol):
    """What a module has to have."""

    NAME: str

    def seeds(self) -> Iterable[bytes]:
        """Give valid inputs."""
        ...

    def run(self, data: bytes, /) -> None:
        """Try one input."""
        ...


def names() -> dict[str, str]:
    """Give the modules by the name of their harness, which is that of the module with other dashes."""
    modules = sorted(path.stem for path in HERE.glob("fuzz_*.py"))
    return {module.removeprefix("fuzz_").replace("_", "-"): module for module in modules}


def harness(module: str) -> Harness:
    """Import a harness."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    found = cast("Harness", importlib.import_module(module))
    assert names()[found.NAME] == module, f"{module} must have the NAME of its file"
    return found


def seeds(of: Harness) -> list[bytes]:
    """Give all seeds of a harness: its own, and the kept files."""
    files = sorted((HERE / "seeds" / of.NAME).glob("*"))
    return [*of.seeds(), *(path.read_bytes() for path in files)]


def fuzz(module: str, seconds: int) -> None:
    """Fuzz one harness in this process; does not return."""
    import atheris  # type: ignore[import-untyped]  # here: it is not on every system, and a replay needs it not

    with atheris.instrument_imports(include=OURS):
        target = harness(module)
    kept = KEPT / target.NAME
    kept.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gre-fuzz-") as folder:
        for number, seed in enumerate(seeds(target)):
            (Path(folder) / f"{number:04}").write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={SLOWEST}",
            f"-rss_limit_mb={MAX_MEMORY}",
            f"-max_len={MAX_INPUT}",
            f"-artifact_prefix={FINDINGS}/{target.NAME}-",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup([module, *options, str(kept), folder], target.run)
        atheris.Fuzz()


async def fuzz_all(wanted: list[str], seconds: int) -> list[str]:
    """Fuzz each harness in a process of its own; give the names of those that found something."""
    free = asyncio.Semaphore(max(1, os.cpu_count() or 1))

    async def one(name: str) -> str | None:
        async with free:
            command = [sys.executable, str(HERE), name, "--seconds", str(seconds), "--here"]
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output = (await process.communicate())[0].decode("utf-8", "replace")
        runs = next((line.split()[-1] for line in output.splitlines() if "executed_units" in line), "?")
        print(f"{name:20} {runs:>10} inputs   {'FOUND SOMETHING' if process.returncode else 'nothing found'}")
        if process.returncode:
            print(output[-6000:])
            print(f"Once more, in the open: python tests/fuzz {name} --replay FILE (in {FINDINGS})")
        return name if process.returncode else None

    return [name for name in await asyncio.gather(*map(one, wanted)) if name]


def main() -> int:
    """Read the arguments, and do it."""
    parser = argparse.ArgumentParser(prog="python tests/fuzz")
    parser.add_argument("names", nargs="*", choices=[*names(), []], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each harness")
    parser.add_argument("--replay", type=Path, help="try this input once")
    parser.add_argument("--here", action="store_true", help="in this process; for one harness")
    given = parser.parse_args()
    wanted = given.names or list(names())
    if given.replay:
        harness(names()[wanted[0]]).run(given.replay.read_bytes())
        return 0
    if given.here:
        fuzz(names()[wanted[0]], given.seconds)
        return 0
    return 1 if asyncio.run(fuzz_all(wanted, given.seconds)) else 0


if __name__ == "__main__":
    sys.exit(main())
