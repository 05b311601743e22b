"""The page about the kit: its tables are those of the kit, its plugin passes, and each rule has its mutant."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gre_core.testing import conformance, vectors
from gre_core.testing.conformance import RULES, TABLES, NonConformance, demand
from gre_core.testing.conformance.rules.markdown import as_markdown

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "conformance.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def test_the_tables_of_rules_are_those_of_the_kit() -> None:
    how = "run python tests/conformance/make_rules_page.py"
    assert module("make_rules_page").page_with(as_markdown()) == PAGE.read_text("utf-8"), how


def test_rules_are_complete_and_named_once() -> None:
    assert sum(map(len, TABLES.values())) == len(RULES)
    for rule in RULES.values():
        assert re.fullmatch(r"[a-z-]+", rule.id)
        for text in (rule.section, rule.wants, rule.mend):
            assert text.strip() == text != ""
        assert rule.wants.endswith(".")


def test_each_rule_says_who_wants_it_and_how_to_mend_it() -> None:
    sections = {
        "Formatter", "Encrypter", "Relayed Encryption Data", "Business Rules", "Security Considerations",
        "Sending and Receiving Encrypted Messages",
    }  # fmt: skip
    for rule in RULES.values():
        assert len(rule.mend.split()) > 2, rule.id
        assert rule.mend.endswith("."), rule.id
        assert rule.mend != rule.wants, rule.id
        for wanted_by in rule.section.split("; "):
            who, _, where = wanted_by.partition(", ")
            if who == "GRE":
                assert set(re.findall(r'"(.+?)"', where)), rule.id
                assert set(re.findall(r'"(.+?)"', where)) <= sections, rule.id
            elif who.startswith(("gre_core.", "importlib.")):
                module = importlib.import_module(who)
                for name in re.findall(r"\b[A-Z]\w+(?:\.\w+)?", where.partition(":")[0]):
                    _find(module, name)
            else:
                known = r"RFC \d+|XEP-\d{4}|PEP \d+|the page Writing a plugin|this kit"
                assert re.fullmatch(known, who), rule.id


def _find(there: Any, name: str) -> None:
    """Demand that a name with dots leads somewhere."""
    first, _, rest = name.partition(".")
    found = getattr(there, first)
    assert not rest or hasattr(found, rest) or rest in found.__dataclass_fields__, name


def test_each_failure_names_a_rule_that_there_is() -> None:
    """Each call in the source of the kit, also those that no mutant reaches."""
    named: set[str] = set()
    for path in Path(conformance.__file__).parent.rglob("*.py"):
        source = path.read_text("utf-8")
        named |= set(re.findall(r'\brule="([\w-]+)"', source))
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "demand" and len(call.args) > 1:
                named |= {str(call.args[1].value)} if isinstance(call.args[1], ast.Constant) else set()
    assert len(named) > 50
    assert named <= set(RULES)


def test_each_rule_has_a_mutant() -> None:
    tried = {
        rule
        for name in ("formatter", "encrypter", "contributor")
        for rule, _ in module(f"test_conformance_{name}_mutants").MUTANTS
    }
    tried |= {rule for rule, _ in module("test_conformance_package_mutants").PACKAGES}
    for part in ("formatters", "encrypters"):
        tried |= {rule for rule, _ in module(f"test_conformance_subtle_{part}").MUTANTS}
    tried |= {"installed"}
    assert set(RULES) - tried == set()


def test_a_failure_says_all() -> None:
    with pytest.raises(NonConformance) as caught:
        demand(condition=False, rule="title", found="nothing")
    told = str(caught.value)
    rule = RULES["title"]
    assert caught.value.rule is rule
    for text in (rule.id, rule.section, rule.wants, rule.mend, "nothing"):
        assert text in told
    demand(condition=True, rule="title")


def test_the_plugin_of_the_page_passes(tmp_path: Path) -> None:
    for block in BLOCK.findall(PAGE.read_text("utf-8")):
        found = re.match(r"# ([\w/]+\.py)\n", block)
        if found:
            target = tmp_path / found[1]
            target.parent.mkdir(exist_ok=True)
            target.write_text(block, "utf-8")
    (tmp_path / "gre_formatter_note" / "__init__.py").touch()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        "test_note.py",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": ".", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "switched off in TestNote: html = False" in done.stdout
    assert "switched off in TestNote: attachments = False" in done.stdout


def test_the_reader_of_the_page_reads_the_same() -> None:
    (source,) = [block for block in BLOCK.findall(PAGE.read_text("utf-8")) if "def read(path)" in block]
    assert len(source.splitlines()) <= 35
    scope: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec"), scope)
    for name in vectors.NAMES:
        for ours, theirs in zip(vectors.read(name), scope["vectors"][f"{name}.txt"], strict=True):
            assert [key.removesuffix("-base64") for key, _ in ours.lines] == [key for key, _ in theirs]
