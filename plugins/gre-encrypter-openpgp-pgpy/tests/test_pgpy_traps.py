"""The table of traps is whole, and each test that it names is there and runs on PGPy."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ALWAYS = ("plugins/gre-encrypter-openpgp-pgpy/tests/", "tests/unit/")
"""The tests of this package, and those of the core, which know no library."""
TRAPS = tomllib.loads(Path(__file__).with_name("traps.toml").read_text("utf-8"))["trap"]
ENGINES = {"pgpy", "pgpy-worker"}
"""What the fixture ``world`` of the tests of both packages is called when PGPy stands in it."""


@cache
def functions(file: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a file of tests, by name."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    marks = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    found = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for node in found.values():
        node.decorator_list += [mark.value for mark in marks]
    return found


def runs_on_pgpy(file: str, name: str) -> bool:
    """Tell whether a test is there and is not one for Sequoia alone."""
    test = functions(file).get(name)
    if test is None or not name.startswith("test_"):
        return False
    if file.startswith(ALWAYS):
        return True
    fixtures = {each.arg for each in test.args.args}
    marks = [ast.unparse(each) for each in test.decorator_list]
    chosen = [mark for mark in marks if "'world'" in mark]
    return (
        bool(fixtures & {"world", "field"})
        and not any("mark.sequoia" in mark for mark in marks)
        and all(any(f"'{engine}'" in mark for engine in ENGINES) for mark in chosen)
    )


def test_every_trap_is_answered() -> None:
    assert [trap["number"] for trap in TRAPS] == list(range(1, 18))
    assert all(trap["sequoia"] and trap["pgpy"] and trap["tests"] for trap in TRAPS)


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: str(trap["number"]))
def test_each_named_test_runs_on_pgpy(trap: dict[str, list[str]]) -> None:
    missing = [test for test in trap["tests"] if not runs_on_pgpy(*test.split("::"))]
    assert missing == []


@pytest.mark.parametrize(
    "test",
    [
        "test_openpgp_traps.py::test_17_the_texts_of_pysequoia_that_we_rely_on",  # marked
        "test_openpgp_traps.py::test_3_notations_are_never_set",  # no world
        "test_openpgp_traps.py::test_2_without_renewal_the_decryptor_would_be_poisoned",  # another world
        "test_openpgp_worker.py::test_the_loop_turns_while_25_mb_are_opened",  # another world, for the whole file
        "test_openpgp_traps.py::test_that_is_not_there",
    ],
)
def test_a_test_of_sequoia_alone_does_not_count(test: str) -> None:
    assert not runs_on_pgpy(*f"plugins/gre-encrypter-openpgp/tests/{test}".split("::"))
