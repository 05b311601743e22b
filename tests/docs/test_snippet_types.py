"""The Python on the pages fits the types of what it uses: a name, a method or an argument that is none is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")
PAGES = [
    page
    for page in [
        ROOT / "README.md",
        *sorted(ROOT.glob("docs/**/*.md")),
        *sorted(ROOT.glob("plugins/*/README.md")),
    ]
    if not {"_build", "_made"} & set(page.parts) and BLOCK.search(page.read_text("utf-8"))
]
# An example has no annotations, and asks not for each None: it shows one thing.
OPTIONS = [
    "--config-file=",
    "--check-untyped-defs",
    "--allow-redefinition",
    "--explicit-package-bases",
    "--no-error-summary",
    "--hide-error-context",
    *(
        f"--disable-error-code={code}"
        for code in (
            "union-attr",
            "var-annotated",
            "annotation-unchecked",
            "import-untyped",
            "import-not-found",
        )
    ),
]


def write(page: Path, folder: Path) -> None:
    """Write the files of a page, and all of its other blocks as one."""
    fragments = []
    for block in BLOCK.findall(page.read_text("utf-8")):
        if found := FILE.match(block):
            target = folder / found[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block, "utf-8")  # of two with one name the second one is the mended one
        else:
            fragments.append(block)
    (folder / "fragments_of_the_page.py").write_text("\n".join(fragments), "utf-8")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("types")


def problems(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MYPYPATH", f"{folder}:{folder / 'src'}")
    said, broken, _ = api.run([*OPTIONS, f"--cache-dir={cache}", "."])
    assert broken == ""
    return said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_fits_its_types(
    page: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(page, tmp_path)
    assert problems(tmp_path, cache, monkeypatch) == ""


def test_a_method_that_is_none_is_found(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.py").write_text(
        "from gre_core import Plugins\n\n\ndef f():\n    Plugins.of().wrong()\n"
    )
    assert "wrong" in problems(tmp_path, cache, monkeypatch)
