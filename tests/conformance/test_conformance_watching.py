"""What a method touches is seen from wherever the kit is started, and imports are not held against it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gre_core.testing.conformance import NonConformance
from gre_core.testing.conformance.calling import call
from gre_core.testing.conformance.watching import hands_off

if TYPE_CHECKING:
    from collections.abc import Callable


def watch(work: Callable[[], object]) -> None:
    with hands_off("it"):
        call(work, own=(), rule="no-state", doing="it")


def read_a_file() -> bytes:
    return Path(os.devnull).read_bytes()


@pytest.mark.parametrize("below", ["<frozen runpy>", "<frozen importlib._bootstrap>", "/a/logging/file.py"])
def test_what_lies_below_the_kit_does_not_matter(below: str) -> None:
    """``python -m pytest`` runs all of it inside a frozen module."""
    code = compile("watch(read_a_file)", below, "exec")
    with pytest.raises(NonConformance, match="no-io"):
        exec(code, {"watch": watch, "read_a_file": read_a_file, "__name__": "logging"})


def test_an_import_may_read_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kit_imported_late.py").write_text(
        "import time\nTIME = time.time()\nopen(__file__).close()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    watch(lambda: __import__("kit_imported_late"))
    assert sys.modules.pop("kit_imported_late").TIME
