"""``import gre_core``: light, lazy, and the same for type checkers as for programs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gre_core

SOURCE = Path(gre_core.__file__)

HEAVY = ("asyncio", "structlog", "pluggy", "slixmpp", "pytest", "socket", "ssl", "logging", "xml")


def promised_to_type_checkers() -> set[tuple[str, str]]:
    """Give (module, name) of the imports under ``if TYPE_CHECKING``."""
    tree = ast.parse(SOURCE.read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        (str(node.module), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_programs_get_what_type_checkers_are_promised() -> None:
    rooms = {(f"gre_core.{room}", name) for name, room in gre_core._ROOM_OF.items()}
    assert rooms == promised_to_type_checkers()
    assert sorted(gre_core.__all__) == sorted(name for _, name in rooms)


@pytest.mark.parametrize("name", gre_core.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(gre_core, name).__name__ == name
    assert name in dir(gre_core)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        gre_core.no_such_name  # noqa: B018


def loaded_after(statement: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_import_loads_nothing_heavy() -> None:
    assert not loaded_after("import gre_core") & set(HEAVY)


@pytest.mark.parametrize("names", ["ClientEngine, GatewayEngine, Plugins", "Message, Ports, negotiate"])
def test_the_engines_need_neither_structlog_nor_asyncio(names: str) -> None:
    heavy = {"asyncio", "structlog", "slixmpp", "pytest", "socket", "ssl"}
    assert not loaded_after(f"from gre_core import {names}") & heavy


def test_the_import_takes_less_than_60_ms() -> None:
    # Time of the processor: a busy machine makes the import late, not slow.
    program = "import time; t = time.process_time(); import gre_core; print(time.process_time() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    assert min(times) < 0.06
