"""What ``gre.v1`` promises holds: compared with the kept promise, and tried with packages that were built against it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import griffe
import pytest

HERE = Path(__file__).parent
KEPT = HERE / "kept"
WHEELS = sorted((HERE / "wheels").glob("*.whl"))


def write_promise(folder: Path) -> None:
    subprocess.run([sys.executable, str(HERE / "promise.py"), str(folder)], check=True, timeout=300)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the code promises now."""
    folder = tmp_path_factory.mktemp("promise")
    write_promise(folder)
    return folder


def breakages(before: Path, after: Path) -> list[str]:
    """What ``griffe check`` finds: things that are gone, other parameters, other values."""
    found = []
    for package in ("gre_core", "gre_gateway_email"):
        old, new = (
            griffe.load(package, search_paths=[folder], allow_inspection=False, try_relative_path=False)
            for folder in (before, after)
        )
        assert not isinstance(old, griffe.Alias)
        assert not isinstance(new, griffe.Alias)
        found += [
            each.explain(griffe.ExplanationStyle.ONE_LINE) for each in griffe.find_breaking_changes(old, new)
        ]
    return found


def shapes(folder: Path) -> dict[str, object]:
    """What griffe does not look at.

    The members of each Protocol (one more would break who implements it), which functions are coroutines, values, and
    what ``__all__`` names: a name that is left out there alone is still imported, and ``import *`` misses it.
    """
    found: dict[str, object] = {}
    for path in folder.rglob("*.pyi"):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        owners: list[ast.Module | ast.ClassDef] = [tree]
        owners += [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for owner in owners:
            place = f"{module}.{owner.name}" if isinstance(owner, ast.ClassDef) else module
            if isinstance(owner, ast.ClassDef) and any(
                "Protocol" in ast.unparse(base) for base in owner.bases
            ):
                found[place] = {each.name for each in owner.body if hasattr(each, "name")}
            for node in owner.body:
                match node:
                    case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names)):
                        found |= {f"{place}.__all__ names {ast.literal_eval(name)}": True for name in names}
                    case (
                        ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value))
                        | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value))
                    ):
                        found[f"{place}.{name}"] = value
                    case ast.AsyncFunctionDef(name=name):
                        found[f"{place}.{name}"] = "a coroutine"
                    case ast.FunctionDef(name=name):
                        found.setdefault(f"{place}.{name}", "a function")
                    case _:
                        pass
    return found


def lost(before: dict[str, object], after: dict[str, object]) -> set[str]:
    """What is gone or another; what is new breaks nothing."""
    return {name for name, value in before.items() if after.get(name) != value}


def switches(folder: Path) -> set[tuple[str, str, bool | None]]:
    """What heirs of the conformance suites may set: (suite, attribute, default when it is on or off)."""
    suites = json.loads((folder / "switches.json").read_text("utf-8"))
    return {(suite, name, value) for suite, names in suites.items() for name, value in names.items()}


def test_nothing_that_was_promised_is_broken(today: Path) -> None:
    assert breakages(KEPT, today) == []
    kept = shapes(KEPT)
    assert {"gre_core.api.Formatter", "gre_core.api.Encrypter", "gre_core.ports.Store"} <= set(kept)
    assert kept["gre_core.api.ENTRY_POINT_GROUP"] == "gre.v1"
    assert lost(kept, shapes(today)) == set()
    assert ("FormatterConformance", "html", True) in switches(KEPT)
    assert switches(KEPT) - switches(today) == set()


MUTANTS = {
    "a provider loses a field": ("api", "    dynamic_data: bool = False\n", ""),
    "a field that has no default": (
        "model",
        "    missing: tuple[str, ...] = ()\n",
        "    missing: tuple[str, ...]\n",
    ),
    "a class is renamed": ("api", "class Preparing(", "class Prepares("),
    "a function takes one more argument": (
        "namespaces",
        "def package_for(namespace",
        "def package_for(more, namespace",
    ),
    "an error has another base": ("errors", "class ParseFailed(OpenError)", "class ParseFailed(Exception)"),
    "a hook is gone": ("hookspecs", "def gre_data_fields", "def gre_fields"),
    "a public name is gone": ("namespaces", "def package_for(", "def _package_for("),
    "a parameter is renamed": ("namespaces", "def formatter(name: str", "def formatter(title: str"),
    "a parameter has no default any more": ("namespaces", "version: int=0)", "version: int)"),
    "a default is another": ("namespaces", "version: int=0)", "version: int=1)"),
    "fields change places": (
        "model",
        "    jid: str\n    legacy_id: str\n",
        "    legacy_id: str\n    jid: str\n",
    ),
    "a verdict is gone": ("model", "    REFLECTED = 'reflected'\n", ""),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_breaks_a_promise_is_noticed(name: str, today: Path, tmp_path: Path) -> None:
    module, before, after = MUTANTS[name]
    shutil.copytree(today, tmp_path / "changed")
    path = tmp_path / "changed" / "gre_core" / f"{module}.pyi"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")
    assert breakages(today, tmp_path / "changed")


UNSEEN = {
    "a further method of a protocol": (
        "api",
        "class Formatter(Protocol):\n",
        "class Formatter(Protocol):\n\n    def more(self): ...\n",
    ),
    "another group": ("api", "'gre.v1'", "'gre.v2'"),
    "no coroutine any more": ("api", "    async def fields(", "    def fields("),
    "a name left out of __all__ alone": ("api", "'Formatter', ", ""),
    "a name left out of another __all__": ("testing/conformance/__init__", "'EncrypterConformance', ", ""),
    "no __all__ any more": ("api", "__all__ = ", "_all = "),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_griffe_does_not_look_at_is_noticed(name: str, today: Path, tmp_path: Path) -> None:
    module, before, after = UNSEEN[name]
    shutil.copytree(today, tmp_path / "changed")
    path = tmp_path / "changed" / "gre_core" / f"{module}.pyi"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")
    assert lost(shapes(today), shapes(tmp_path / "changed"))


def test_what_is_new_is_no_loss(today: Path, tmp_path: Path) -> None:
    shutil.copytree(today, tmp_path / "changed")
    path = tmp_path / "changed" / "gre_core" / "api.pyi"
    path.write_text(path.read_text("utf-8").replace("__all__ = [", "NEW = 1\n__all__ = ['NEW', "), "utf-8")
    assert lost(shapes(today), shapes(tmp_path / "changed")) == set()
    assert breakages(today, tmp_path / "changed") == []


# -- packages that were built before -------------------------------------------------------------------

WORKS = """
from gre_core import Message, Plugins
from gre_core.api import Direction, Signature, encrypter, formatter
from gre_core.testing.conformance import People
from gre_core.testing.conformance.calling import drive
from gre_core.testing.conformance.people import ACCOUNTS

plugins = Plugins.discover(allow={"gre-formatter-kept-first", "gre-encrypter-kept-first"}, strict=True)
namespaces = formatter("kept-first"), encrypter("kept-first")
assert (plugins.formatters, plugins.encrypters) == ((namespaces[0],), (namespaces[1],))
people = People(plugins.provider(namespaces[1]).make, namespaces[1], ACCOUNTS)
romeo, juliet = people["romeo"], people["juliet"]
for party in (romeo, juliet):
    drive(party.encrypter.prepare(party.account, party.ports))
drive(juliet.encrypter.seal_keys(people.seal_job("juliet", "romeo"), juliet.ports))

job = people.seal_job("romeo", "juliet", formatter=namespaces[0])
payload = plugins.formatter(namespaces[0]).format(Message("Wherefore", subject="Balcony"), job)
keys = drive(romeo.encrypter.seal_keys(job, romeo.ports))
body = drive(romeo.encrypter.encrypt(payload, keys, romeo.ports))
reading = people.open_job("juliet", "romeo", Direction.RECEIVED, formatter=namespaces[0])
keys = drive(juliet.encrypter.open_keys(body, reading, juliet.ports))
opened = drive(juliet.encrypter.decrypt(body, keys, juliet.ports))
read = plugins.formatter(namespaces[0]).parse(opened.payload, reading)
assert (read.text, read.subject, opened.verdict.signature) == ("Wherefore", "Balcony", Signature.GOOD)
print("works", *(plugin.version for plugin in plugins.loaded))
"""


def test_the_kept_packages_are_those_of_then() -> None:
    told = (HERE / "wheels" / "README.md").read_text("utf-8")
    for wheel in WHEELS:
        content = wheel.read_bytes()
        assert len(content) < 20_000
        assert f"| `{wheel.name}` | `{hashlib.sha256(content).hexdigest()}` |" in told


def test_packages_that_were_built_against_the_first_version_work(tmp_path: Path) -> None:
    assert [re.match(r"gre_\w+", each.name).group() for each in WHEELS] == [  # type: ignore[union-attr]
        "gre_encrypter_kept_first",
        "gre_formatter_kept_first",
    ]
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = shutil.which("uv", path=places)
    assert uv, "uv is one of the development dependencies"
    site = tmp_path / "site"
    words = ["pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([uv, *words, *map(str, WHEELS)], check=True, timeout=300)
    done = subprocess.run(
        [sys.executable, "-c", WORKS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "works 0.1.0 0.1.0\n"
