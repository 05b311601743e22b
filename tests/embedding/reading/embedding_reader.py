"""A reader of the guides: writes the files of a page, installs exactly what it says, and runs what it shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUSY = 600
"""Seconds that a command may take on a machine that does much else."""

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")

# The router has no TLS and no SRV records; nothing else of a program is changed.
PLAIN_LOGIN = """
import os, runpy, sys
import slixmpp

class PlainLogin(slixmpp.ClientXMPP):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.enable_plaintext, self.enable_starttls, self.enable_direct_tls = True, False, False
        self.plugin["feature_mechanisms"].unencrypted_plain = True

    def connect(self, host=None, port=None):
        return super().connect(os.environ["TEST_HOST"], int(os.environ["TEST_PORT"]))

slixmpp.ClientXMPP = PlainLogin
sys.path.insert(0, os.getcwd())
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class Page:
    """A guide, written into a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self._blocks = BLOCK.findall((ROOT / "docs" / name).read_text("utf-8"))
        for language, text in self._blocks:
            if language == "python":
                found = FILE.match(text)
                assert found, f"a block without the name of its file: {text[:60]}"
                (folder / found[1]).write_text(text, "utf-8")

    def _console(self) -> list[str]:
        return [text for language, text in self._blocks if language == "console"]

    def installed(self) -> list[list[str]]:
        """Give what each ``pip install`` of the page names."""
        lines = [line for text in self._console() for line in text.splitlines()]
        return [shlex.split(line)[3:] for line in lines if line.startswith("$ pip install ")]

    def shown(self, command: str) -> str:
        """Give what the page shows of a command."""
        [text] = [text for text in self._console() if text.startswith(f"$ {command}\n")]
        return text.partition("\n")[2]


class Environment:
    """A clean environment with exactly what a line of a page says."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def run(self, *words: object, cwd: Path, **environment: str) -> str:
        """Run Python, and give what it prints."""
        done = subprocess.run(
            [str(self.python), *map(str, words)],
            cwd=cwd, env=variables(cwd, environment), capture_output=True, text=True, timeout=BUSY, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def distributions(self, cwd: Path) -> set[str]:
        """Give the names of what is installed in it, apart from what the system has."""
        code = (
            "import sys, json; from importlib.metadata import distributions;"
            "print(json.dumps([d.metadata['Name'].lower() for d in distributions() "
            "if str(d.locate_file('')).startswith(sys.prefix)]))"
        )
        return set(json.loads(self.run("-I", "-c", code, cwd=cwd)))

    @asynccontextmanager
    async def running(self, *words: object, cwd: Path, **environment: str):
        """Run a program meanwhile; it is ended by its own process id."""
        process = await asyncio.create_subprocess_exec(
            str(self.python), "-u", *map(str, words), cwd=cwd, env=variables(cwd, environment),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def variables(cwd: Path, more: dict[str, str]) -> dict[str, str]:
    """Give what a program may know: nothing of the environment of the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
    return {**kept, "HOME": str(cwd), "XDG_DATA_HOME": str(cwd / "data"), **more}


async def line_with(process: asyncio.subprocess.Process, word: str) -> str:
    """Read what a program prints, up to a line with a word."""
    said: list[str] = []
    assert process.stdout is not None
    async with asyncio.timeout(120):
        while line := (await process.stdout.readline()).decode():
            said.append(line)
            if word in line:
                return line
    pytest.fail(f"{word!r} was not printed, but:\n{''.join(said)}")


def require_shown(shown: str, real: str) -> None:
    """Require that what a page shows was printed, in its order; ``...`` stands for anything."""
    at = 0
    for piece in (piece.strip() for line in shown.splitlines() for piece in line.split("...")):
        place = real.find(piece, at)
        assert place >= 0, f"{piece!r} was not shown there:\n{real}"
        at = place + len(piece)
