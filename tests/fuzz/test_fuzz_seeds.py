"""Every seed of every harness, and each cut off and with a changed byte, as an ordinary test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("gre_fuzz", Path(__file__).with_name("__main__.py"))
assert _spec is not None
assert _spec.loader is not None
runner = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runner)

MUTANTS = 40


@pytest.mark.parametrize("module", runner.names().values())
def test_the_seeds_find_nothing(module: str) -> None:
    harness = runner.harness(module)
    seeds = runner.seeds(harness)
    assert seeds
    for seed in seeds:
        harness.run(seed)
        for at in range(0, len(seed), max(1, len(seed) // MUTANTS)):
            harness.run(seed[:at])
            harness.run(seed[:at] + bytes([seed[at] ^ 0x41]) + seed[at + 1 :])
    harness.run(b"")


def test_a_finding_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runner can fail: a harness that raises makes the replay fail."""
    (tmp_path / "fuzz_broken.py").write_text(
        "NAME = 'broken'\ndef seeds(): return [b'x']\ndef run(data):\n    assert data != b'x'\n"
    )
    monkeypatch.setattr(runner, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["fuzz", "broken", "--replay", str(tmp_path / "input")])
    (tmp_path / "input").write_bytes(b"y")
    assert runner.main() == 0
    (tmp_path / "input").write_bytes(b"x")
    with pytest.raises(AssertionError):
        runner.main()
