"""The guide to OpenPGP alone: three packages of ours are enough, no other is there, and other clients understand it."""

from __future__ import annotations

import asyncio
import re
import subprocess

import pytest
import terminal
from embedding_reader import PLAIN_LOGIN, ROOT, line_with, require_shown

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer


@pytest.fixture
def guide(install, page):
    made = page("embedding-openpgp-only.md")
    [requirements] = made.installed()
    return made, install(requirements)


@pytest.fixture
async def prosody():
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    async with ProsodyServer(accounts={"juliet": "a", "romeo": "b"}) as server:
        yield server


def chat(guide, server, user, to, **environment):
    page, made = guide
    return made.running(
        "-c", PLAIN_LOGIN, "chat.py", cwd=page.folder,
        **{
            "GRE_JID": f"{user}@localhost", "GRE_PASSWORD": server.accounts[user], "GRE_TO": to,
            "TEST_HOST": server.host, "TEST_PORT": str(server.c2s_port),
            "XDG_DATA_HOME": str(page.folder / user), **environment,
        },
    )  # fmt: skip


async def ends(process, code):
    async with asyncio.timeout(120):
        assert await process.wait() == code


def test_three_packages_are_enough_and_no_other_of_ours_is_there(guide):
    page, environment = guide
    assert {name for name in environment.distributions(page.folder) if name.startswith("gre-")} == {
        "gre-core",
        "gre-openpgp",
        "gre-encrypter-openpgp",
    }
    others = {path.parent.name.replace("-", "_") for path in ROOT.glob("plugins/*/pyproject.toml")}
    others -= {"gre_openpgp", "gre_encrypter_openpgp"}
    code = (
        "import sys; from importlib.util import find_spec;"
        "print(*(name for name in sys.argv[1:] if find_spec(name)), gre_core.__file__)"
    )
    told = environment.run("-I", "-c", f"import gre_core; {code}", *sorted(others), cwd=page.folder).split()
    assert len(told) == 1
    assert not told[0].startswith(str(ROOT))
    require_shown(page.shown("python try_openpgp.py"), environment.run("try_openpgp.py", cwd=page.folder))


async def test_two_people_chat_and_hear_what_goes_wrong(guide, prosody):
    async with chat(guide, prosody, "romeo", "juliet@localhost", GRE_PASSWORD="wrong") as process:
        await line_with(process, "refused the name or the password")
        await ends(process, 1)
    async with chat(guide, prosody, "romeo", "juliet@localhost") as romeo:
        await line_with(romeo, "ready")
        romeo.stdin.write(b"too early\n")
        assert "No key of xmpp:juliet@localhost" in await line_with(romeo, "not sent")
        async with chat(guide, prosody, "juliet", "romeo@localhost") as juliet:
            await line_with(juliet, "ready")
            juliet.stdin.write(b"Art thou not Romeo?\n")
            assert await line_with(romeo, "Art thou") == "juliet@localhost: Art thou not Romeo?\n"
            await prosody.kick("juliet@localhost")
            romeo.stdin.write(b"Neither, fair saint\n")
            line = await line_with(juliet, "Neither")
            assert line == "romeo@localhost: Neither, fair saint\n"
        # Juliet has another key on a new device: that is for Romeo to decide.
        async with chat(guide, prosody, "juliet", "romeo@localhost", XDG_DATA_HOME="/nonexistent") as juliet:
            await line_with(juliet, "No key: ")
            await ends(juliet, 1)
        romeo.stdin.close()
        await ends(romeo, 0)


async def test_profanity_and_gnupg_read_and_write_the_same(guide, prosody, tmp_path):
    async with terminal.profanity(prosody, "juliet", tmp_path / "home") as screen:

        def gpg(*words):
            command = ["gpg", "--batch", "--yes", "--passphrase", "", *words]
            done = subprocess.run(command, env=screen.env, capture_output=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr.decode()
            return done.stdout

        gpg("--quick-generate-key", "xmpp:juliet@localhost", "ed25519", "sign", "never")
        [ours] = re.findall(rb"^fpr:+(\w+):", gpg("--with-colons", "-k"), re.MULTILINE)
        gpg("--quick-add-key", ours.decode(), "cv25519", "encr", "never")
        (tmp_path / "key").write_bytes(gpg("--export", ours.decode()))
        await terminal.log_in(screen, "juliet")
        await screen.type(f"/ox announce {tmp_path / 'key'}")
        async with chat(guide, prosody, "romeo", "juliet@localhost") as romeo:
            await line_with(romeo, "ready")
            await screen.type("/sub request romeo@localhost")  # profanity shows its key to friends only
            await screen.type("/sub allow romeo@localhost")
            await screen.type("/ox discover romeo@localhost")
            await screen.shows("Discovering Public Key for romeo@localhost")
            async with asyncio.timeout(terminal.SECONDS):
                while not (theirs := re.findall(r"\b[0-9A-F]{40}\b", await screen.seen())):
                    await asyncio.sleep(0.1)
            await screen.type(f"/ox request romeo@localhost {theirs[0]}")
            async with asyncio.timeout(terminal.SECONDS):
                while theirs[0].encode() not in gpg("--with-colons", "-k"):
                    await asyncio.sleep(0.1)
            assert b"xmpp\\x3aromeo@localhost" in gpg("--with-colons", "-k")
            gpg("--quick-lsign-key", theirs[0])  # its user looked at the fingerprint
            await screen.type("/msg romeo@localhost")
            await screen.type("/ox start")
            await screen.shows("OX encryption enabled")
            await screen.type("Art thou not Romeo")
            assert await line_with(romeo, "Art thou") == "juliet@localhost: Art thou not Romeo\n"
            romeo.stdin.write(b"Neither, fair saint\n")
            await screen.shows(": Neither, fair saint")
            await screen.shows("[PGP recv]")
