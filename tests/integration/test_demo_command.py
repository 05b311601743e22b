"""``gre demo``, ``gre send``, ``gre listen`` and ``gre explain`` for real: processes, sockets, OpenPGP."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gre_cli.demo.stage import GATEWAY, JULIET, ROMEO, ROMEO_JID, Stage, write_letters

from gre_core.testing import require
from gre_core.testing.prosody import ProsodyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GRE = [sys.executable, "-P", "-m", "gre_cli"]
SECONDS = 60


def _gre(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GRE, *words], capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "140", **(env or {})},
    )  # fmt: skip


@pytest.mark.parametrize("server", ["loopback", "prosody"])
def test_the_demo_passes(server: str, tmp_path: Path) -> None:
    if server == "prosody":
        require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    done = _gre(
        "demo",
        "--server",
        server,
        "--json",
        "--keep",
        str(tmp_path / "kept"),
        "--svg",
        str(tmp_path / "d.svg"),
        env={
            "GRE_CONFIG": str(tmp_path / "none.toml")
        },  # nobody said which encrypter to use: the demo names its own
    )
    report = json.loads(done.stdout)
    assert [one for one in report["checks"] if not one["right"]] == []
    assert (done.returncode, report["ok"], done.stderr) == (0, True, "")
    assert report["signatures"] == {"letter": "good", "answer": "good"}
    assert report["providers"]["urn:xmpp:gre:encrypter:openpgp:0"] == "gre-encrypter-openpgp"
    assert b"<svg" in (tmp_path / "d.svg").read_bytes()
    kept = {
        str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*") if path.is_file()
    }
    assert {"xmpp-server/from-juliet.xml", "gateway/log.txt", "mail-1.eml", "mail-2.eml"} <= kept


def test_the_demo_passes_without_gpg(tmp_path: Path) -> None:
    done = _gre("demo", env={"PATH": str(tmp_path)})
    assert "PGPy" in done.stdout
    assert "All 14 checks passed" in done.stdout
    assert done.returncode == 0


def test_the_demo_says_what_is_missing(tmp_path: Path) -> None:
    done = _gre("demo", "--server", "prosody", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "apt-get install prosody" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="gt-") as folder:
        process = subprocess.Popen(
            [*GRE, "demo"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": folder},
        )
        end = time.monotonic() + SECONDS
        while not list(Path(folder).glob("gre-demo-*/keys/*.asc")) and time.monotonic() < end:
            time.sleep(0.02)
        assert list(Path(folder).glob("gre-demo-*/keys/*.asc")), "the demo did not come so far"
        process.send_signal(number)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 130, errors.decode()
        assert b"Traceback" not in errors
        assert list(Path(folder).iterdir()) == []
    assert _processes_in(folder) == []


def _processes_in(folder: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if folder.encode() in command:
            found.append(command.decode(errors="replace"))
    return found


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A loopback server, a gateway process, a relay, a mail user; nobody is online yet."""
    _, answer = write_letters()
    async with Stage("loopback", answer) as running:
        await running.mail_user_says("key")
        await running.gateway_ready()
        yield running


async def test_send_listen_and_explain(stage: Stage, tmp_path: Path) -> None:
    """The whole way of a user with the command, on the gateway of the demo."""
    account = [
        "--account", JULIET, "--host", "127.0.0.1", "--port", str(stage.address.c2s_port), "--insecure-plaintext",
        "--state", str(tmp_path / "state"),
    ]  # fmt: skip
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))

    async def gre(*words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(_gre, *words, *account, env={"GRE_PASSWORD": stage.password})

    async def scripted(code: int, *words: str) -> dict[str, Any]:
        done = await gre(*words, "--json")
        assert done.returncode == code, (done.stdout, done.stderr)
        assert len(done.stdout.splitlines()) == 1
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    letter = [
        "send",
        ROMEO,
        "--gateway",
        GATEWAY,
        "--text",
        "O night",
        "--subject",
        "s1",
        "--attach",
        str(picture),
    ]
    asked = await scripted(3, *letter)
    assert asked["question"]["code"] == "confirm-sender-id"
    assert asked["approve"] == f"--approve confirm-sender-id={JULIET}"
    human = await gre(*letter)
    assert human.returncode == 3
    assert f"--approve confirm-sender-id={JULIET}" in human.stderr
    undecided = await scripted(3, "explain", ROMEO_JID)
    assert undecided["error"]["code"] == "policy-changed"
    assert stage.relay.mails == []

    sent = await gre(*letter, "--approve", f"confirm-sender-id={JULIET}")
    assert (sent.returncode, "relayed" in sent.stdout) == (0, True), sent.stderr
    assert "mime:0 + openpgp:0" in sent.stdout
    read = await stage.mail_user_says("read")
    assert (read["signature"], str(read["text"]).strip(), read["subject"]) == ("good", "O night", "s1")
    await stage.mail_user_says("answered")

    came = await scripted(0, "listen", "--once", "--timeout", "30", "--save", str(tmp_path / "files"))
    assert (came["kind"], came["signature"], came["from"]) == ("encrypted", "good", ROMEO)
    (saved,) = came["attachments"]
    assert Path(saved).parent == tmp_path / "files"
    assert Path(saved).read_bytes().startswith(b"%PDF")
    assert (await gre("listen", "--timeout", "1")).returncode == 4

    explained = await scripted(0, "explain", ROMEO, "--gateway", GATEWAY)
    assert explained["agreed"]["sender_id"] == JULIET
    assert explained["offer"]["encrypted_only"] is True
    assert explained["remembered"][f"{GATEWAY}/sender-id"] == JULIET
    # installed with the others, and no gateway for mail carries it
    example = "urn:xmpp:gre:formatter:example:0"
    assert (["not-announced"], [example]) in [
        ([each["code"]], each["namespaces"]) for each in explained["untaken"]
    ]
    screen = (await gre("explain", ROMEO_JID)).stdout
    assert "mime:0 + openpgp:0" in screen
    assert "takes only encrypted messages" in screen
    assert f"does not announce {example}" in " ".join(screen.split())

    nobody = await scripted(1, "send", "nobody@montague.example", "--gateway", GATEWAY, "--text", "x")
    assert nobody["error"]["code"] == "no-usable-key"
    wrong = await asyncio.to_thread(
        _gre, "explain", ROMEO_JID, *account, "--json", env={"GRE_PASSWORD": "wrong"}
    )
    assert wrong.returncode == 1
    assert "refused the password" in json.loads(wrong.stdout)["error"]["text"]


# -- what goes wrong must be seen ----------------------------------------------------------------------

LEAK = """
from gre_core import sealing
from base64 import b64encode
from xml.etree.ElementTree import SubElement
true_seal = sealing.Sealer.seal
async def seal(self, jid, message, stanza_id=None):
    sealed = await true_seal(self, jid, message, stanza_id)
    SubElement(sealed.stanza, "{urn:x}note").text = b64encode(b"x" + message.subject.encode()).decode()
    return sealed
sealing.Sealer.seal = seal
"""
UNSIGNED = """
from pathlib import Path
from gre_cli.demo import stage
true_user = stage.Stage._mail_user
def mail_user(self):
    child = true_user(self)
    script = Path(child._command[-1]).read_text().replace('"--sign", ', '')
    path = self.root / "unsigned.py"
    path.write_text(script)
    child._command = [*child._command[:-1], str(path)]
    return child
stage.Stage._mail_user = mail_user
"""
FORGED = """
from gre_cli.demo import relay
true_deliver = relay._deliver
def deliver(port, mail, recipient):
    content = mail.content.replace(b"\\r\\n\\r\\nhF4D", b"\\r\\n\\r\\nhF4E", 1)
    assert content != mail.content
    true_deliver(port, relay.Mail(mail.sender, mail.recipients, content), recipient)
relay._deliver = deliver
"""


def _demo_with(change: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{change}\nfrom gre_cli.app import app\napp(['demo', '--json'])"],
        capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"] is False
    return done.returncode, report


def test_the_demo_fails_when_the_client_leaks_the_subject() -> None:
    code, report = _demo_with(LEAK)
    wrong = [(one["name"], one["detail"]) for one in report["checks"] if not one["right"]]
    assert code == 1
    assert [name for name, _ in wrong] == [
        "no plaintext reached the XMPP server",
        "no plaintext reached the gateway",
    ]
    assert "subject of the letter as base64, offset 1" in wrong[0][1]


def test_the_demo_fails_when_the_answer_is_not_signed() -> None:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    code, report = _demo_with(UNSIGNED)
    assert code == 1
    assert [one["detail"].partition(",")[0] for one in report["checks"] if not one["right"]] == ["unsigned"]


def test_the_demo_fails_when_the_relay_changes_the_answer() -> None:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    code, report = _demo_with(FORGED)
    assert code == 1
    assert report["error"]["code"] in {"demo-step", "demo-process"}
