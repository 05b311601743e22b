"""The workspace is consistent: members, versions, bounds, entry points, and what no file may hold."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import tomllib
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
EXERCISE = Path(__file__).with_name("exercise.py")
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PACKAGES = [ROOT, *PLUGINS]
NAMES = ["gre-core", *(path.name for path in PLUGINS)]


def table(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in names.decode().split("\0") if name and (path := ROOT / name).is_file()]


def requirements(folder: Path) -> list[Requirement]:
    project = table(folder)["project"]
    extras = project.get("optional-dependencies", {}).values()
    return [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]


def test_the_workspace_installs_every_plugin() -> None:
    root = table(ROOT)
    listed = {Requirement(line).name for line in root["dependency-groups"]["dev"]}
    assert {name for name in listed if name.startswith("gre-")} == set(NAMES)
    assert root["tool"]["uv"]["sources"] == {name: {"workspace": True} for name in NAMES}
    assert root["tool"]["uv"]["workspace"] == {"members": ["plugins/*"]}


def test_every_folder_of_a_plugin_is_a_package() -> None:
    assert [
        path.name for path in sorted((ROOT / "plugins").iterdir()) if not path.name.startswith((".", "_"))
    ] == NAMES[1:]


@pytest.mark.parametrize("folder", PACKAGES, ids=NAMES)
def test_a_package_says_what_it_is(folder: Path) -> None:
    project = table(folder)["project"]
    name = project["name"]
    source = folder / name.replace("-", "_") if folder == ROOT else folder / "src" / name.replace("-", "_")
    assert folder == ROOT or folder.name == name
    assert str(Version(project["version"])) == project["version"]
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == ">=3.11"
    assert (folder / project["readme"]).read_text("utf-8").startswith("# ")
    assert (source / "py.typed").exists()
    assert (source / "__init__.py").exists()
    for needed in ("tests", "README.md"):
        assert (folder / needed).exists()


@pytest.mark.parametrize("folder", PACKAGES, ids=NAMES)
def test_every_dependency_has_a_lower_and_an_upper_bound(folder: Path) -> None:
    for requirement in requirements(folder):
        operators = {each.operator for each in requirement.specifier}
        assert operators == {">=", "<"}, f"{requirement} has no lower or no upper bound"


@pytest.mark.parametrize("folder", PACKAGES, ids=NAMES)
def test_our_versions_satisfy_our_own_bounds(folder: Path) -> None:
    versions = {each["name"]: each["version"] for each in (table(path)["project"] for path in PACKAGES)}
    for requirement in requirements(folder):
        if requirement.name.startswith("gre-"):
            assert requirement.specifier.contains(versions[requirement.name])
            assert requirement.name in table(folder)["tool"]["uv"]["sources"]


def test_the_core_needs_pluggy_and_structlog_only() -> None:
    assert {Requirement(line).name for line in table(ROOT)["project"]["dependencies"]} == {
        "pluggy",
        "structlog",
    }


@pytest.mark.parametrize("folder", PLUGINS, ids=NAMES[1:])
def test_entry_points_are_found_and_load(folder: Path) -> None:
    project = table(folder)["project"]
    groups = {**project.get("entry-points", {}), "console_scripts": project.get("scripts", {})}
    for group, points in groups.items():
        for name, value in points.items():
            (found,) = entry_points(group=group, name=name, value=value)
            assert found.load() is not None


def test_every_package_is_exercised_and_has_news_of_its_own() -> None:
    assert sorted(runpy.run_path(str(EXERCISE))["EXERCISES"]) == sorted(NAMES)
    for name in NAMES:
        settings = tomllib.loads((ROOT / ".changes" / f"{name}.toml").read_text("utf-8"))["tool"]["towncrier"]
        assert (settings["name"], settings["directory"]) == (name, f".changes/{name}")


def test_the_linter_of_imports_knows_every_package() -> None:
    settings = table(ROOT)["tool"]["importlinter"]
    assert sorted(settings["root_packages"]) == sorted(name.replace("-", "_") for name in NAMES)


def test_constraints_are_pins_and_nothing_else() -> None:
    lines = (ROOT / "tests" / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(pin.url is None and [each.operator for each in pin.specifier] == ["=="] for pin in pins)
    pinned = {pin.name.lower() for pin in pins}
    direct = {
        each.name for folder in PACKAGES for each in requirements(folder) if not each.name.startswith("gre-")
    }
    assert direct <= pinned


def test_no_file_names_an_index_or_a_path_of_a_machine() -> None:
    hosts = ["pypi" + ".org", "python" + "hosted.org"]
    homes = [f"{ROOT.parent}/", f"{Path.home()}/"]
    for path in tracked():
        content = path.read_bytes()
        for text in (*hosts, *homes):
            assert text.encode() not in content, f"{path.relative_to(ROOT)} holds {text}"


def test_there_is_no_lock_file() -> None:
    locks = re.compile(r"(uv|poetry|pdm)\.lock|pylock.*\.toml|package-lock\.json")
    assert not [path.name for path in tracked() if locks.fullmatch(path.name)]


def test_modules_are_short() -> None:
    sources = [path for path in tracked() if path.suffix == ".py" and {"gre_core", "src"} & set(path.parts)]
    long = {
        str(path.relative_to(ROOT)): n
        for path in sources
        if (n := len(path.read_text("utf-8").splitlines())) > 450
    }
    assert not long


def test_no_two_test_modules_have_the_same_name() -> None:
    names = Counter(path.name for path in tracked() if path.name.startswith("test_"))
    assert not [name for name, count in names.items() if count > 1]


def named_in(path: Path) -> list[str]:
    """Give the formatters and encrypters that a module names, outside its docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    named: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                named += re.findall(r"urn:xmpp:gre:(?:formatter|encrypter):[a-z0-9]+", text)
            case ast.Call(func=ast.Name(id="formatter" | "encrypter"), args=[ast.Constant(value=name), *_]):
                named.append(str(name))
            case _:
                pass
    return named


def test_the_core_names_no_formatter_and_no_encrypter(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text('"""urn:xmpp:gre:formatter:a:0"""\nx = [formatter("b"), "urn:xmpp:gre:encrypter:c:0"]')
    assert sorted(named_in(planted)) == ["b", "urn:xmpp:gre:encrypter:c"]
    rooms = [path for path in (ROOT / "gre_core").rglob("*.py") if "testing" not in path.parts]
    assert {path.name: named for path in rooms if (named := named_in(path))} == {}


def test_the_first_screen_has_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    make = "python3 -m venv .venv-gre && .venv-gre/bin/pip install -q uv && .venv-gre/bin/uv run"
    commands = [line.strip() for line in readme.splitlines() if line.strip().startswith("python3 -m venv")]
    assert commands == [f"{make} gre demo", f"{make} nox"]
    assert commands[1] in (ROOT / ".ci" / "run").read_text("utf-8")
    assert commands[1] in (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
