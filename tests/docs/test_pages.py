"""The Python on each page of docs/ runs, from top to bottom, as a reader would type it.

A block whose first line is ``# some/path.py`` is also a file of that name, which later blocks can import.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")
FOLLOWED = {  # step by step: in test_tutorial.py and tests/embedding
    "first-plugin.md",
    "embedding-bot.md",
    "embedding-gateway.md",
    "embedding-glib.md",
    "embedding-openpgp-only.md",
}
PAGES = sorted(
    page
    for page in DOCS.glob("**/*.md")
    if page.name not in FOLLOWED and BLOCK.search(page.read_text("utf-8"))
)


def blocks_of(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text("utf-8"))


def write_files(page: Path, folder: Path) -> None:
    for block in blocks_of(page):
        if found := FILE.match(block):
            target = folder / found[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            (target.parent / "__init__.py").touch()
            target.write_text(block, "utf-8")


def run(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    run(tmp_path, "\n".join(blocks_of(page)))


def test_the_plugin_of_the_page_is_found_and_works(tmp_path: Path) -> None:
    write_files(DOCS / "how-to" / "write-a-plugin.md", tmp_path)
    info = tmp_path / "gre_formatter_shout-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gre-formatter-shout\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[gre.v1]\nshout = gre_formatter_shout.plugin\n")
    code = """
from gre_core import Message, Plugins
from gre_core.api import formatter
plugins = Plugins.discover(allow={"gre-formatter-shout"}, strict=True)
shout = plugins.formatter(formatter("shout"))
assert shout.format(Message(text="hello"), None) == b"HELLO"
assert shout.parse(b"HELLO", None).text == "HELLO"
print("worked")
"""
    assert run(tmp_path, code) == "worked\n"
