"""Programs in a terminal that nobody looks at: profanity, an ordinary XMPP client."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gre_core.testing import require

SECONDS = 120
"""Seconds until something must stand on the screen, on a machine that does much else."""

ACCOUNT = r"""
[{user}@localhost]
enabled=true
jid={user}@localhost
password={password}
server=127.0.0.1
port={port}
tls.policy=disable
resource=balcony
"""


class Screen:
    """A program in a terminal.

    Attributes:
        env: what the program knows of its environment.
    """

    def __init__(self, folder, env):
        self._folder, self.env = folder, env

    async def tmux(self, *words, env=None):
        # A socket of its own, in a short path: no other tmux is touched, no configuration is read.
        process = await asyncio.create_subprocess_exec(
            "tmux", "-S", self._folder / "socket", "-f", "/dev/null", *words,
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return out.decode()

    async def open(self, *command):
        keep = ("set-option", "-g", "remain-on-exit", "on")
        await self.tmux(*keep, ";", "new-session", "-d", "-x", "200", "-y", "50", *command, env=self.env)

    async def type(self, line):
        await self.tmux("send-keys", "-l", line)
        await self.tmux("send-keys", "Enter")

    async def seen(self):
        """Give what is on the screen, with a blank for each run of white space."""
        return " ".join((await self.tmux("capture-pane", "-p", "-J")).split())

    async def shows(self, text):
        """Wait until a text is on the screen, wherever its lines break."""
        seen = ""
        try:
            async with asyncio.timeout(SECONDS):
                while text not in seen:
                    await asyncio.sleep(0.1)
                    seen = await self.seen()
        except TimeoutError:
            pytest.fail(f"After {SECONDS} s the screen does not show {text!r} but:\n{seen}")


@asynccontextmanager
async def profanity(server, user, home):
    """Profanity, not started yet, with an account of a test server and nothing of this machine's user."""
    require(shutil.which("profanity"), "profanity (apt-get install profanity)")
    require(shutil.which("tmux"), "tmux (apt-get install tmux)")
    accounts = home / "data" / "profanity" / "accounts"
    accounts.parent.mkdir(parents=True)
    password = server.accounts[user].replace("\\", "\\\\")
    accounts.write_text(ACCOUNT.format(user=user, password=password, port=server.c2s_port))
    with tempfile.TemporaryDirectory(prefix="gre-") as folder:
        gnupg = Path(folder) / "gnupg"  # its agent listens there, and the path of a socket is short
        gnupg.mkdir(mode=0o700)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "GNUPGHOME": str(gnupg),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
        }
        screen = Screen(Path(folder), env)
        try:
            yield screen
        finally:
            if (Path(folder) / "socket").exists():
                await screen.tmux("kill-server")


async def log_in(screen, user):
    await screen.open("profanity", "--account", f"{user}@localhost")
    await screen.shows(f"{user}@localhost/balcony logged in successfully")
