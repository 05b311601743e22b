"""The code in the documentation: every block is valid, every example in a docstring does what it shows."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

import gre_core

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
MODULES = [module.name for module in pkgutil.walk_packages(gre_core.__path__, "gre_core.")]


def blocks() -> Iterator[tuple[str, str, str]]:
    """Give (place, language, code) of every fenced block."""
    for page in PAGES:
        text = page.read_text("utf-8") if "_build" not in page.parts else ""
        for found in FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{page.relative_to(ROOT)}:{line}", found["language"], found["code"]


@pytest.mark.parametrize(
    ("place", "language", "code"), [pytest.param(*each, id=each[0]) for each in blocks()]
)
def test_a_block_is_valid(place: str, language: str, code: str) -> None:
    match language:
        case "python" if not place.startswith("docs/"):  # those run in test_pages.py
            compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        case "toml":
            tomllib.loads(code)
        case "json":
            json.loads(code)
        case "xml":
            ET.fromstring(code)
        case _:
            pass


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_examples_are_found_at_all() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) > 0


def test_every_hook_is_documented_with_an_example() -> None:
    from gre_core import hookspecs

    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("gre_")}
    assert len(hooks) == 3
    for name, hook in hooks.items():
        assert "Example::" in (hook.__doc__ or "")
        assert any(name in page.read_text("utf-8") for page in PAGES), f"{name} stands on no page"
