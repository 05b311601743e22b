"""The proofs of ``nox -s chaos`` and ``nox -s soak``, shorter; and that they find bugs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

from gre_core.testing import require
from gre_core.testing.postfix import PostfixServer
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer

TESTS = Path(__file__).parents[2]
PATIENCE = 1500


@pytest.fixture(autouse=True)
def _servers():
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    require(PostfixServer.installed(), "Postfix, and the right to start it (root; apt-get install postfix)")


async def run(program, *options):
    """Run a proof; give its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, TESTS / program, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    text = output.decode()
    print(text)
    return process.returncode, text


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_nothing_acknowledged_is_lost_in_25_kills(database):
    code, text = await run("chaos", "--kills", "25", "--database", database)
    assert code == 0, text
    assert "PROVEN" in text


async def test_nothing_grows_in_2000_messages_each_way():
    code, text = await run("soak", "--messages", "2000")
    assert code == 0, text


FOUND = {
    "early_250": "lost: ",
    "early_receipt": "lost: ",
    "no_resume": "lost: ",
    "new_id": "repeated under another id: ",
    "kept_rows": "repeated more often than it was in flight at a kill: ",
    "doubled": "repeated more often than it was in flight at a kill: ",
    "ping_for_all": "lost: ",
}


@pytest.mark.parametrize("bug", FOUND)
async def test_the_chaos_finds_a_planted_bug(bug):
    code, text = await run("chaos", "--kills", "8", "--calm", "15", "--plant", bug, "--seed", "5")
    assert code == 1, text
    assert FOUND[bug] in text.partition("aimed at:")[2], text


async def test_the_soak_finds_a_planted_leak():
    code, text = await run("soak", "--messages", "1500", "--plant", "leak")
    assert code == 1, text
    assert "WRONG: memory grew" in text
    assert "WRONG: open files grew" in text


@pytest.fixture
def folder():
    """Where the user of Postfix may go through."""
    with tempfile.TemporaryDirectory(prefix="gre-ended-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


async def test_a_proof_that_is_told_to_end_leaves_no_server_behind(folder):
    process = await asyncio.create_subprocess_exec(
        sys.executable, TESTS / "chaos", "--kills", "500",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    said = asyncio.ensure_future(process.communicate())
    async with asyncio.timeout(PATIENCE):
        while not any(folder.glob("gre-chaos-*/*.log")):
            assert not said.done(), said.result()
            await asyncio.sleep(0.2)
        process.terminate()
        await said
    assert process.returncode != 0
    assert [left.name for left in folder.iterdir() if not left.name.startswith("gre-ports-")] == []
    assert [command for command in _commands() if str(folder).encode() in command] == []


def _commands():
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended
            yield place.read_bytes()
