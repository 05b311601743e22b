"""The tutorial for authors is followed step by step: what it shows is what one gets, and is the code of the plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "first-plugin.md"
PLUGIN = ROOT / "plugins" / "gre-formatter-example"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/.]+\.(?:py|toml))\n")
BUSY = 600
"""Seconds that a command may take on a machine that does much else."""


@dataclass
class Step:
    """A block of the page: a file to write, or commands with what they show."""

    file: str | None
    text: str


def steps() -> list[Step]:
    found = []
    for language, text in BLOCK.findall(PAGE.read_text("utf-8")):
        name = FILE.match(text)
        if language in {"python", "toml"}:
            assert name, f"a block without the name of its file: {text[:60]}"
            found.append(Step(name[1], text[name.end() :]))
        else:
            assert language == "console"
            found.append(Step(None, text))
    return found


def finished() -> dict[str, str]:
    return {step.file: step.text for step in steps() if step.file}


# -- the page and the plugin -------------------------------------------------------------------------


def test_the_code_of_the_page_is_that_of_the_plugin() -> None:
    shown = finished()
    code = {str(path.relative_to(PLUGIN)): path for path in PLUGIN.rglob("*.py") if ".venv" not in path.parts}
    assert set(code) == {name for name in shown if name.endswith(".py")}
    for name, path in code.items():
        assert shown[name] == path.read_text("utf-8"), f"{name} differs from {PAGE.name}"


def test_the_project_of_the_page_is_that_of_the_plugin() -> None:
    shown = tomllib.loads(finished()["pyproject.toml"])
    real = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))
    assert shown["build-system"] == real["build-system"]
    assert (
        shown["tool"]["hatch"]["build"]["targets"]["wheel"]
        == real["tool"]["hatch"]["build"]["targets"]["wheel"]
    )
    assert shown["project"].items() <= real["project"].items()


# -- following it ------------------------------------------------------------------------------------


class Reader:
    """Somebody who follows the page in an empty folder, with an environment that does not know the plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / ".venv"
        venv.create(self.environment, symlinks=True, with_pip=False)
        names = {"base": str(self.environment), "platbase": str(self.environment)}
        self.site = Path(sysconfig.get_path("purelib", "venv", names))
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if "gre_formatter_example" not in entry.name and not (self.site / entry.name).exists():
                (self.site / entry.name).symlink_to(entry)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def install(self) -> None:
        """Do what ``pip install -e .`` leaves behind; the nox session ``packages`` lets pip do it."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]
        info = self.site / f"gre_formatter_example-{project['version']}.dist-info"
        info.mkdir(exist_ok=True)
        needs = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{needs}"
        (info / "METADATA").write_text(head)
        points = "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
        (info / "entry_points.txt").write_text(points)
        (self.site / "tutorial.pth").write_text(str(self.folder / "src"))

    def run(self, command: str) -> str:
        """Run a command of the page, and give what it shows."""
        words = command.split()
        modules = {
            "pytest": ["-m", "pytest", "-p", "no:cacheprovider"],
            "gre": ["-m", "gre_cli"],
            "python": [],
        }
        done = subprocess.run(
            [self.environment / "bin" / "python", *modules[words[0]], *words[1:]],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "120", "XDG_CONFIG_HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=BUSY,
            check=False,
        )
        return done.stdout + done.stderr

    def follow(self, step: Step) -> None:
        if step.file:
            self.write(step.file, step.text)
            return
        for part in re.split(r"^\$ ", step.text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if command == "pip install -e .":
                self.install()
            elif command.startswith("touch "):
                self.write(command.removeprefix("touch "), "")
            elif not command.startswith(("mkdir ", "python3 -m venv ", "pip install 'PATH/TO/CHECKOUT")):
                require_shown(shown, self.run(command), command)


def plain(text: str) -> str:
    """Give a text without what differs from run to run: widths, times, numbers of characters."""
    return re.sub(r"\d+(\.\d+)?s\b|\d+(?= characters)", "0", " ".join(text.split()))


def require_shown(shown: str, real: str, command: str) -> None:
    at, told = 0, plain(real)
    for line in shown.splitlines():
        if line.strip() in {"", "..."}:
            continue
        place = told.find(plain(line), at)
        assert place >= 0, f"`{command}` did not show {line!r} there:\n{real}"
        at = place


@pytest.mark.skipif(sys.platform == "win32", reason="the page is for a POSIX shell")
def test_who_follows_the_page_sees_what_it_shows(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for step in steps():
        reader.follow(step)
    assert "gateway: juliet@localhost" in PAGE.read_text("utf-8"), "the page ends with a message"
