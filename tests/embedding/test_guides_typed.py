"""The guides as a type checker sees them, which looks into functions without annotations too."""

from __future__ import annotations

import subprocess
import sys

import pytest
from embedding_reader import BUSY

pytest.importorskip("mypy")


def test_the_code_of_the_guides_uses_the_core_as_it_is_typed(page, tmp_path):
    for name in ("bot", "gateway", "glib", "openpgp-only"):
        page(f"embedding-{name}.md")
    # Of nbxmpp and GLib there are no types.
    options = (
        "--check-untyped-defs",
        "--ignore-missing-imports",
        "--follow-imports=silent",
        "--config-file=",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *sorted(each.name for each in tmp_path.glob("*.py"))],
        cwd=tmp_path, capture_output=True, text=True, timeout=BUSY, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
