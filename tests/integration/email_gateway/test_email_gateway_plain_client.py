"""A person with an ordinary XMPP client, profanity, that knows nothing of GRE: what stands on the screen."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

BOB = "bob\\40example.net@mail.localhost"
SECONDS = 60
ACCOUNT = r"""
[juliet@localhost]
enabled=true
jid=juliet@localhost
password={password}
server=127.0.0.1
port={port}
tls.policy=disable
resource=balcony
"""


@pytest.fixture
def server_class():
    """The real server only: it is about how real programs play together."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


class Screen:
    """A program in a terminal that nobody looks at."""

    def __init__(self, folder):
        self._folder = folder

    async def tmux(self, *words, env=None):
        # A socket of its own, in a short path: no other tmux is touched, no configuration is read.
        process = await asyncio.create_subprocess_exec(
            "tmux", "-S", self._folder / "socket", "-f", "/dev/null", *words,
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return out.decode()

    async def open(self, *command, env):
        keep = ("set-option", "-g", "remain-on-exit", "on")
        await self.tmux(*keep, ";", "new-session", "-d", "-x", "200", "-y", "50", *command, env=env)

    async def type(self, line):
        await self.tmux("send-keys", "-l", line)
        await self.tmux("send-keys", "Enter")

    async def shows(self, text):
        """Wait until a text is on the screen, wherever its lines break."""
        seen = ""
        try:
            async with asyncio.timeout(SECONDS):
                while text not in " ".join(seen.split()):
                    await asyncio.sleep(0.1)
                    seen = await self.tmux("capture-pane", "-p", "-J")
        except TimeoutError:
            pytest.fail(f"After {SECONDS} s the screen does not show {text!r} but:\n{seen}")

    async def close(self):
        await self.tmux("kill-server")


@pytest.fixture
async def profanity(server, tmp_path):
    """``await profanity()``: juliet is logged in, with nothing of this machine's user."""
    require(shutil.which("profanity"), "profanity (apt-get install profanity)")
    require(shutil.which("tmux"), "tmux (apt-get install tmux)")
    home = tmp_path / "home"
    accounts = home / "data" / "profanity" / "accounts"
    accounts.parent.mkdir(parents=True)
    password = server.accounts["juliet"].replace("\\", "\\\\")
    accounts.write_text(ACCOUNT.format(password=password, port=server.c2s_port))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "GNUPGHOME": str(home / "gnupg"),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
    }
    with tempfile.TemporaryDirectory(prefix="gre-") as folder:
        screen = Screen(Path(folder))

        async def log_in():
            await screen.open("profanity", "--account", "juliet@localhost", env=env)
            await screen.shows("juliet@localhost/balcony logged in successfully")
            return screen

        yield log_in
        if (Path(folder) / "socket").exists():
            await screen.close()


async def test_a_plain_client_shows_why_its_message_was_refused(start, profanity, relay):
    gateway = await start("[policy]\nencrypted_only = true")
    screen = await profanity()
    await screen.type(f"/msg {BOB}")
    await screen.type("hello in clear")
    await screen.shows("takes only encrypted messages")
    assert await gateway.stop() == 0
    assert relay.count == 0


async def test_a_plain_client_writes_a_plain_mail(start, profanity, relay):
    await start()
    screen = await profanity()
    await screen.type(f"/msg {BOB}")
    await screen.type("hello in clear")
    async with asyncio.timeout(SECONDS):
        sender, recipients, content = await relay.mails.get()
    assert (sender, recipients) == ("juliet@example.org", ["bob@example.net"])
    mail = message_from_bytes(content, policy=policy.default)
    assert mail.get_body(("plain",)).get_content().strip() == "hello in clear"
    await screen.shows("hello in clear")
    assert relay.count == 1
