"""Every requirement is held by a test that can fail: each kept mutant of the code makes its tests fail.

The table is ``mutants.toml``. A mutant is a copy of ``gre_core`` with one text replaced; its tests run in a process
of their own that imports that copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import parse

import pytest

import gre_core

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SOURCE = Path(gre_core.__file__).parent
FILES = {
    "D": "test_discovery_D.py",
    "A": "test_data_A.py",
    "M": "test_messages_M.py",
    "P": "test_policy_P.py",
    "C": "test_conversation_C.py",
}
REQUIREMENTS = [
    *(f"D{number}" for number in range(1, 5)),
    *(f"A{number}" for number in range(1, 7)),
    *(f"M{number}" for number in range(1, 7)),
    *(f"P{number}" for number in range(5)),
    *(f"C{number}" for number in range(1, 6)),
]
TWICE = ["A3", "A5", "A6", "M1", "M3", "M4", "M5", "M6", "P0", "P1", "P2", "P3", "P4", "C2", "C5"]
"""Requirements on which somebody's secrets hang: one mutant is not enough."""

BROKEN_CODE = re.compile(
    r"(NameError|SyntaxError|ImportError|ModuleNotFoundError|IndentationError|TypeError)\b"
)
GUARD = """
from pathlib import Path
import gre_core
assert Path(gre_core.__file__).parent == Path(__file__).parent / "gre_core", gre_core.__file__
"""


@dataclass(frozen=True)
class Mutant:
    id: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def requirement(self) -> str:
        return self.id.partition("-")[0]


def read_table() -> list[Mutant]:
    table = tomllib.loads((HERE / "mutants.toml").read_text())
    return [Mutant(**entry | {"tests": tuple(entry["tests"])}) for entry in table["mutant"]]


MUTANTS = read_table()


def copy_core(folder: Path) -> Path:
    """Copy the core without what needs a network; cached bytecode comes along, which saves most of the time."""
    unneeded = shutil.ignore_patterns(
        "slixmpp", "loopback", "prosody*", "ejabberd*", "postfix*", "slix*", "*.tmp"
    )
    shutil.copytree(SOURCE, folder / "gre_core", ignore=unneeded)
    (folder / "only_this_copy.py").write_text(GUARD)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder / "gre_core"


def run_tests(jobs: dict[Path, tuple[str, ...]]) -> None:
    """Run tests against the copies in these folders; each folder gets a report."""
    options = ["-q", "-p", "only_this_copy", "-p", "no:cacheprovider", "--import-mode=importlib", "--tb=line"]
    todo = [
        (
            str(folder),
            [
                *options,
                *("-c", str(folder / "pytest.ini"), f"--junitxml={folder / 'report.xml'}"),
                *(f"{HERE / FILES[name.removeprefix('test_')[0]]}::{name}" for name in names),
            ],
        )
        for folder, names in jobs.items()
    ]
    subprocess.run(
        [sys.executable, HERE / "mutant_runner.py"],
        input=json.dumps(todo),
        text=True,
        cwd=Path(tempfile.gettempdir()),
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        timeout=300,
        check=True,
    )


def read_report(folder: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Give the outcomes by test: ``""`` or why it failed, for each of its parameters."""
    output = (folder / "output.txt").read_text() if (folder / "output.txt").exists() else "no output"
    assert (folder / "report.xml").exists(), f"the tests did not run at all:\n{output}"
    outcomes: dict[str, list[str]] = {name: [] for name in names}
    for case in parse(folder / "report.xml").iter("testcase"):
        assert case.find("error") is None, f"{case.get('name')} did not run:\n{output}"
        assert case.find("skipped") is None
        failure = case.find("failure")
        name = (case.get("name") or "").partition("[")[0]
        outcomes[name].append("" if failure is None else failure.get("message") or "failed")
    assert all(outcomes.values()), f"a test was not collected:\n{output}"
    return outcomes


def prepare(mutant: Mutant, folder: Path) -> str:
    """Copy the core and break it; give what is wrong with the mutant itself, or nothing."""
    folder.mkdir()
    target = copy_core(folder) / mutant.file
    source = target.read_text()
    if source.count(mutant.old) != 1:
        return (
            f"{mutant.id}: its old text stands {source.count(mutant.old)} times in {mutant.file}. The code has moved "
            "on: change tests/spec/mutants.toml so that it breaks the same rule again."
        )
    for cached in target.parent.glob(f"__pycache__/{target.stem}.*.pyc"):
        cached.unlink()
    target.write_text(source.replace(mutant.old, mutant.new))
    return ""


class Trials:
    """Tries mutants, all that are selected at once."""

    def __init__(self, base: Path, selected: list[Mutant]) -> None:
        self._base = base
        self._stale: dict[Mutant, str] = {}
        self._tried: set[Mutant] = set()
        self._selected = selected

    def outcomes(self, mutant: Mutant) -> dict[str, list[str]]:
        if mutant not in self._tried:
            batch = [mutant, *(other for other in self._selected if other not in {mutant, *self._tried})]
            self._stale |= {each: prepare(each, self._base / each.id) for each in batch}
            self._tried.update(batch)
            run_tests({self._base / each.id: each.tests for each in batch if not self._stale[each]})
        assert not self._stale[mutant], self._stale[mutant]
        return read_report(self._base / mutant.id, mutant.tests)


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """Try the selected mutants together; workers of xdist try theirs one by one, since each has its share."""
    base = tmp_path_factory.mktemp("mutants")
    alone = "PYTEST_XDIST_WORKER" in os.environ
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in request.session.items]
    yield Trials(base, [] if alone else [each["mutant"] for each in params if "mutant" in each])
    shutil.rmtree(base, ignore_errors=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_mutant_is_caught(mutant: Mutant, trials: Trials) -> None:
    for name, failures in trials.outcomes(mutant).items():
        assert any(failures), f"{name} does not notice that {mutant.requirement} is broken by {mutant.id}"
        assert not [why for why in failures if BROKEN_CODE.match(why)], (
            f"{mutant.id} is broken code, not another behaviour: {failures}"
        )


def test_the_tests_pass_without_a_mutant(tmp_path: Path) -> None:
    copy_core(tmp_path)
    names = tuple(dict.fromkeys(name for mutant in MUTANTS for name in mutant.tests))
    run_tests({tmp_path: names})
    outcomes = read_report(tmp_path, names)
    assert {name: failures for name, failures in outcomes.items() if any(failures)} == {}


def test_every_requirement_has_tests_and_mutants() -> None:
    tests = {
        name: set(re.findall(r"^def (test_\w+)", (HERE / name).read_text(), re.MULTILINE))
        for name in FILES.values()
    }
    for requirement in REQUIREMENTS:
        assert any(name.startswith(f"test_{requirement}_") for name in tests[FILES[requirement[0]]]), (
            requirement
        )
        found = [mutant for mutant in MUTANTS if mutant.requirement == requirement]
        assert len(found) >= (2 if requirement in TWICE else 1), requirement
    for mutant in MUTANTS:
        assert mutant.requirement in REQUIREMENTS, mutant.id
        assert all(name.startswith(f"test_{mutant.requirement}_") for name in mutant.tests), mutant.id
    assert len({mutant.id for mutant in MUTANTS}) == len(MUTANTS)
