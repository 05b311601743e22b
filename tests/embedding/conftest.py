"""Environments for the guides."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from embedding_reader import BUSY, ROOT, Environment, Page

from gre_core.testing import require


@pytest.fixture(scope="session")
def uv() -> str:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("uv", path=places)
    require(found is not None, "uv (pip install uv)")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def install(uv: str, tmp_path_factory: pytest.TempPathFactory):
    """``install(requirements, *options)``: a clean environment with them; what is ours comes from wheels."""
    wheels = tmp_path_factory.mktemp("wheels")
    built: dict[str, Path] = {}

    def must(*words: object) -> None:
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, timeout=BUSY, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def wheel(source: str) -> Path:
        if source not in built:
            folder = wheels / str(len(built))
            must(uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / source)
            [built[source]] = folder.glob("*.whl")
        return built[source]

    def named(requirement: str) -> str:
        source, bracket, extras = requirement.partition("[")
        assert source == "." or source.startswith("./plugins/"), f"{requirement} is none of ours"
        name = "gre-core" if source == "." else Path(source).name
        return f"{name}{bracket}{extras} @ {wheel(source).as_uri()}"

    def make(requirements: list[str], *options: object) -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        must(uv, "venv", "--quiet", "--clear", "--python", *(options or (sys.executable,)), folder)
        environment = Environment(folder)
        ours = [named(each) for each in requirements]
        pins = ("-c", ROOT / "tests" / "constraints.txt")
        must(uv, "pip", "install", "--quiet", "--python", environment.python, *pins, *ours)
        found = environment.distributions(folder)
        wanted = {each.partition(" ")[0].partition("[")[0] for each in ours}
        assert {name for name in found if name.startswith("gre-")} == wanted
        return environment

    return make


@pytest.fixture
def page(tmp_path: Path):
    """``page(name)``: a guide, written into a folder of its own."""
    return lambda name: Page(name, tmp_path)
