"""Runs tests against copies of the core, each in a process of its own.

Started by test_mutants.py with a list of [folder, arguments of pytest] as JSON on its standard input. It loads pytest
once and forks for each folder, which is three times faster than to start pytest anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stringprep
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

AT_ONCE = 2
SHARED = (contextlib, hashlib, hmac, secrets, stringprep, ET)
"""What the core imports besides itself: loaded here once for all copies."""


def run(folder: str, arguments: list[str]) -> int:
    """Run pytest in a folder, with its output in a file there."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    with Path("output.txt").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        return pytest.main(arguments)


def warm_up() -> None:
    """Let pytest import whatever it imports late."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        Path(folder, "test_nothing.py").write_text("def test_nothing(): assert 1 + 1 == 2\n")
        pytest.main(
            [folder, "-p", "no:cacheprovider", f"--junitxml={folder}/report.xml", "--rootdir", folder]
        )


def main() -> None:
    """Run all jobs, two at a time."""
    jobs = json.load(sys.stdin)
    if not hasattr(os, "fork"):
        for folder, arguments in jobs:
            subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=folder, check=False)
        return
    warm_up()
    assert "gre_core" not in sys.modules
    running = 0
    for folder, arguments in jobs:
        if running == AT_ONCE:
            os.wait()
            running -= 1
        if os.fork() == 0:
            os._exit(run(folder, arguments))
        running += 1
    while running:
        os.wait()
        running -= 1


if __name__ == "__main__":
    main()
