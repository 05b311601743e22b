"""A package that was written from the documentation alone, across the real gateway: an encrypter for age.

It was begun with ``gre new encrypter age`` and lives in tests/age. Here it is built, installed with its peers from wheels
in an environment that knows no OpenPGP library, checked by the conformance kit, negotiated, and used both ways. The mail
user has pyrage and nothing of ours.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from email import message_from_bytes, policy
from pathlib import Path

import pyrage
import pytest

from gre_core.testing import require

ROOT = Path(__file__).parents[3]
AGE = ROOT / "tests" / "age" / "gre-encrypter-age"
OURS = [
    ROOT,
    *(ROOT / "plugins" / f"gre-{name}" for name in ("formatter-mime", "openpgp", "gateway-email", "cli")),
]
BOB = "bob@example.net"
BOB_JID = "bob\\40example.net@mail.localhost"
NAMESPACE = "urn:xmpp:gre:encrypter:age:0"
BUSY = 600
"""Seconds that a command may take on a machine that does much else."""

on_prosody = pytest.mark.parametrize("server_class", ["prosody"], indirect=True)


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=BUSY, check=False, env=env
    )


def must(*words: object) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment():
    """A clean environment with the packages from their wheels; gives its folder of programs."""
    uv = shutil.which(
        "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    require(uv is not None, "uv (pip install uv)")
    with tempfile.TemporaryDirectory() as folder:
        wheels, clean = Path(folder) / "wheels", Path(folder) / "clean"
        for source in (*OURS, AGE):
            must(uv, "build", "--quiet", "--wheel", "--out-dir", wheels, source)
        built = sorted(wheels.glob("*.whl"))
        assert len(built) == len(OURS) + 1
        must(uv, "venv", "--quiet", "--python", sys.executable, clean)
        programs = clean / ("Scripts" if os.name == "nt" else "bin")
        core = next(each for each in built if each.name.startswith("gre_core-"))
        ours = [f"gre-core[slixmpp,web,testing] @ {core.as_uri()}", *(each for each in built if each != core)]
        pins = ("-c", ROOT / "tests" / "constraints.txt")
        must(uv, "pip", "install", "--quiet", "--python", programs / "python", *pins, *ours)
        yield programs


class User:
    """Juliet with the ``gre`` command of the clean environment."""

    def __init__(self, programs, server, state):
        self._programs, self._server, self._state = programs, server, state

    async def gre(self, *words, code=0):
        account = [
            "--account", "juliet@localhost", "--host", "127.0.0.1", "--port", self._server.c2s_port,
            "--insecure-plaintext", "--state", self._state, "--json",
        ]  # fmt: skip
        env = {
            **os.environ,
            "GRE_PASSWORD": self._server.accounts["juliet"],
            "XDG_CONFIG_HOME": str(self._state),
        }
        done = await asyncio.to_thread(run, self._programs / "gre", *words, *account, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


def test_it_is_what_gre_new_writes_and_more(environment, tmp_path):
    must(environment / "gre", "new", "encrypter", "age", "--title", "age", "--into", tmp_path)
    written = tmp_path / "gre-encrypter-age"

    made = {"__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".hypothesis", "build", "dist"}

    def files(folder):
        own = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {str(path) for path in own if not made & set(path.parts)}

    package = Path("src") / "gre_encrypter_age"
    assert files(AGE) - files(written) == {str(package / "carrier.py"), str(package / "directory.py")}
    assert files(written) - files(AGE) == set()
    for same in (".github/workflows/ci.yml", ".gitignore", "CHANGELOG.md"):
        assert (AGE / same).read_text() == (written / same).read_text()
    ours, theirs = (tomllib.loads((folder / "pyproject.toml").read_text()) for folder in (AGE, written))
    ours["tool"]["mypy"].pop("overrides")  # pyrage has no annotations
    assert (ours["tool"], ours["build-system"]) == (theirs["tool"], theirs["build-system"])
    assert ours["project"].keys() == theirs["project"].keys()
    assert ours["project"]["entry-points"]["gre.v1"] == theirs["project"]["entry-points"]["gre.v1"]


async def test_its_own_tests_pass_in_a_clean_environment(environment, tmp_path):
    shutil.copytree(AGE / "tests", tmp_path / "tests")
    done = run(environment / "python", "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
    assert done.returncode == 0, done.stdout
    for absent in ("pysequoia", "pgpy", "gre_encrypter_openpgp"):
        assert run(environment / "python", "-I", "-c", f"import {absent}").returncode == 1
    told = json.loads(run(environment / "gre", "doctor", "gre-encrypter-age", "--json").stdout)
    assert told["findings"][0]["text"].startswith("found, loaded and taken")


@on_prosody
async def test_a_message_goes_both_ways_in_age(environment, server, start, juliet, relay, tmp_path):
    bob = pyrage.x25519.Identity.generate()
    directory = tmp_path / "age-keys"
    directory.write_text(f"{BOB} {bob.to_public()}\n")
    gateway = await start(
        '[plugins]\nallow = ["gre-openpgp", "gre-encrypter-age"]',
        python=environment / "python",
        env={"GRE_AGE_DIRECTORY": str(directory)},
    )
    user = User(environment, server, tmp_path / "juliet")

    # Negotiated: the gateway carries MIME in OpenPGP and in age; this client has age only.
    explained = await user.gre("explain", BOB_JID, code=3)  # it has to be asked whether the address is hers
    assert NAMESPACE in explained["offer"]["encrypters"]
    assert explained["agreed"]["encrypter"] == NAMESPACE
    assert explained["agreed"]["formatter"] == "urn:xmpp:gre:formatter:mime:0"
    assert explained["agreed"]["data"][f"{{{NAMESPACE}}}recipients"] == [str(bob.to_public())]

    # Out: the mail user opens the attachment with age.
    sent = await user.gre(
        "send", BOB_JID, "--text", "Good night", "--subject", "Parting",
        "--approve", "confirm-sender-id=juliet@example.org",
    )  # fmt: skip
    assert sent["state"] == "relayed"
    _, recipients, raw = await relay.next()
    mail = message_from_bytes(raw, policy=policy.default)
    assert recipients == [BOB]
    assert (mail["Subject"], mail.get_content_type()) == ("[...]", "application/x-age")
    sealed = mail.get_content()
    assert b"Good night" not in raw
    inner = message_from_bytes(pyrage.decrypt(sealed, [bob]), policy=policy.default)
    assert (inner["Subject"], inner.get_content().strip()) == ("Parting", "Good night")

    # Back: to the recipient that Juliet's client published.
    answer = await juliet.iq(
        "juliet@localhost",
        f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{NAMESPACE}:recipients'/></pubsub>",
    )
    (published,) = [each.text for each in answer.iter(f"{{{NAMESPACE}}}recipient")]
    juliet.client.send_presence(ptype="unavailable")  # the answer is for the command
    words = f"From: {BOB}\r\nTo: juliet@example.org\r\nSubject: Re: Parting\r\n\r\nTill it be morrow\r\n"
    back = pyrage.encrypt(words.encode(), [pyrage.x25519.Recipient.from_str(published)])
    body = base64.encodebytes(back).decode().replace("\n", "\r\n")
    head = (
        f"From: {BOB}\r\nTo: juliet@example.org\r\nSubject: ...\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: application/x-age\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    waiting = asyncio.create_task(user.gre("listen", "--once", "--timeout", "120"))
    (reply,) = await gateway.deliver((head + body).encode())
    assert reply.startswith("250")
    came = await waiting
    assert (came["kind"], came["from"], came["signature"]) == ("encrypted", BOB, "unsigned")
    assert (came["subject"], came["text"].strip()) == ("Re: Parting", "Till it be morrow")


@on_prosody
async def test_what_is_no_age_file_is_never_mailed(environment, start, juliet, relay, kit):
    await start(python=environment / "python")
    juliet.send(
        f"<message to='{BOB_JID}' id='m1'><encrypted xmlns='urn:xmpp:gre:0' "
        f"formatter='urn:xmpp:gre:formatter:mime:0' encrypter='{NAMESPACE}'>dGhpcyBpcyBteSBzZWNyZXQ=</encrypted></message>"
    )
    error = await juliet.next()
    assert kit.error_of(error)[0] == "modify"
    assert "no age file" in kit.error_of(error)[2]
    assert relay.count == 0
