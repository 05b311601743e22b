"""``gre send`` where the preferred Sequoia is broken: it says so, and PGPy, which is installed too, never steps in."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from gre_cli.demo.stage import GATEWAY, JULIET, ROMEO, Stage, write_letters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECONDS = 300
BROKEN = 'raise ImportError("libnettle.so.8: cannot open shared object file")\n'
OTHER = ""  # another version of it: nothing that we call is there


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    _, answer = write_letters()
    async with Stage("loopback", answer) as running:
        await running.mail_user_says("key")
        await running.gateway_ready()
        yield running


class User:
    """The command of one device, whose Sequoia can be broken."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.folder = stage, folder
        self.environment = {
            **os.environ,
            "GRE_PASSWORD": stage.password,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }

    def break_sequoia(self, content: str) -> dict[str, str]:
        library = self.folder / "broken" / "pysequoia"
        library.mkdir(parents=True, exist_ok=True)
        (library / "__init__.py").write_text(content)
        return {**self.environment, "PYTHONPATH": str(library.parent)}

    async def run(self, environment: dict[str, str], *words: str) -> tuple[int, str, str]:
        command = [
            sys.executable, "-P", "-m", "gre_cli", *words, "--account", JULIET, "--host", "127.0.0.1",
            "--port", str(self.stage.address.c2s_port), "--insecure-plaintext", "--state", str(self.folder / "state"),
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=SECONDS, check=False, input="",
            env=environment,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    async def send(self, environment: dict[str, str], text: str, *words: str) -> tuple[int, str, str]:
        approve = ("--approve", f"confirm-sender-id={JULIET}")
        return await self.run(
            environment, "send", ROMEO, "--gateway", GATEWAY, "--text", text, *approve, *words
        )


def answer(stdout: str) -> Any:
    return json.loads(stdout.splitlines()[-1])


@pytest.mark.parametrize("content", [BROKEN, OTHER], ids=["it cannot be imported", "it is another"])
async def test_nothing_is_sent_and_the_reason_is_said(stage: Stage, tmp_path: Path, content: str) -> None:
    gre = User(stage, tmp_path)
    broken = gre.break_sequoia(content)
    code, stdout, _ = await gre.send(broken, "It must not go", "--json")
    report = answer(stdout)
    assert (code, report["ok"], report["error"]["code"]) == (1, False, "plugin-load")
    assert "gre-encrypter-openpgp" in report["error"]["text"]
    assert "pysequoia" in report["error"]["text"] or "libnettle" in report["error"]["text"]
    code, stdout, stderr = await gre.send(broken, "It must not go")
    assert (code, stdout) == (1, "")
    assert "gre-encrypter-openpgp" in " ".join(stderr.split())
    assert "Traceback" not in stderr

    # With a Sequoia that works, the next one is the first that goes, and the first for which a key is made.
    _, stdout, _ = await gre.run(gre.environment, "keys", "list", "--own", "--json")
    assert answer(stdout)["own"] == []
    code, stdout, stderr = await gre.send(gre.environment, "It goes", "--json")
    assert (code, answer(stdout)["state"]) == (0, "relayed"), stderr
    assert "It goes" in str((await stage.mail_user_says("read"))["text"])


async def test_it_breaks_between_two_messages(stage: Stage, tmp_path: Path) -> None:
    gre = User(stage, tmp_path)
    code, stdout, stderr = await gre.send(gre.environment, "Before", "--json")
    assert (code, answer(stdout)["state"]) == (0, "relayed"), stderr
    code, stdout, _ = await gre.send(gre.break_sequoia(BROKEN), "Between", "--json")
    assert (code, answer(stdout)["error"]["code"]) == (1, "plugin-load")
    assert "libnettle" in answer(stdout)["error"]["text"]
