"""``gre keys`` as a person and a script use it, on the gateway of the demo."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from gre_cli.demo.stage import GATEWAY, JULIET, ROMEO, ROMEO_JID, Stage, write_letters
from gre_cli.keys.show import grouped

from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECONDS = 120
GRE = [sys.executable, "-P", "-m", "gre_cli"]


class User:
    """The command of one device."""

    def __init__(self, stage: Stage, state: Path) -> None:
        self.stage = stage
        self.state = state
        self.environment = {
            "GRE_PASSWORD": stage.password,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }

    async def __call__(
        self, *words: str, code: int = 0, given: str = "", **environment: str
    ) -> dict[str, Any]:
        done = await self.run(*words, "--json", given=given, **environment)
        assert done.returncode == code, (done.stdout, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    async def run(self, *words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        command = [
            *GRE, *words, "--account", JULIET, "--host", "127.0.0.1", "--port", str(self.stage.address.c2s_port),
            "--insecure-plaintext", "--state", str(self.state),
        ]  # fmt: skip
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=SECONDS, check=False, input=given,
            env={**os.environ, **self.environment, **environment},
        )  # fmt: skip


@pytest.fixture(params=["gre-encrypter-openpgp", "gre-encrypter-openpgp-pgpy"])
def openpgp_package(request: pytest.FixtureRequest) -> str:
    package: str = request.param
    return package


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    _, answer = write_letters()
    async with Stage("loopback", answer) as running:
        await running.mail_user_says("key")
        await running.gateway_ready()
        yield running


async def _first_message(gre: User, **environment: str) -> dict[str, Any]:
    return await gre(
        "send", ROMEO, "--gateway", GATEWAY, "--text", "O night", "--subject", "s1",
        "--approve", f"confirm-sender-id={JULIET}", given="", code=0, **environment,
    )  # fmt: skip


async def test_the_life_of_a_key(stage: Stage, tmp_path: Path) -> None:
    gre = User(stage, tmp_path / "first")
    assert (await gre("keys", "list", "--own"))["own"] == []
    assert "no key yet" in (await gre.run("keys", "list", "--own")).stdout
    for name in ("not an address", "", "juliet@@example.org", "juliet@"):
        assert (await gre("keys", "make", name, code=1))["error"]["code"] == "no-usable-key"
    made = (await gre("keys", "make", JULIET, GRE_PASSPHRASE="a secret"))["key"]
    assert (made["active"], made["locked"], made["user_ids"]) == (True, True, [f"<{JULIET}>"])
    assert made["announced"]
    again = await gre("keys", "make", JULIET, code=1, GRE_PASSPHRASE="a secret")
    assert "already" in again["error"]["text"]
    assert "gre keys rotate" in again["error"]["text"]
    shown = (await gre("keys", "show"))["own"][0]
    assert shown["fingerprint"] == made["fingerprint"]
    screen = (await gre.run("keys", "show")).stdout
    assert "█" in screen
    assert made["fingerprint"][-4:] in screen

    locked = await gre("keys", "rotate", code=1)
    assert locked["error"]["code"] == "key-locked"
    wrong = await gre("keys", "rotate", code=1, GRE_PASSPHRASE="wrong")
    assert wrong["error"]["code"] == "key-locked"
    rotated = (await gre("keys", "rotate", GRE_PASSPHRASE="a secret"))["key"]
    assert len(rotated["subkeys"]) == len(made["subkeys"]) + 1
    assert rotated["announced"], "it was published"
    extended = (await gre("keys", "extend", "--for", "5y", GRE_PASSPHRASE="a secret"))["key"]
    assert extended["expires"] > made["expires"]
    assert extended["announced"], "it was published"
    assert (await gre("keys", "extend", "--for", "soon", code=2))["error"]["code"] == "usage"

    asked = await gre("keys", "revoke", made["fingerprint"], code=2, GRE_PASSPHRASE="a secret")
    assert "--yes" in asked["error"]["text"]
    revoked = await gre(
        "keys", "revoke", made["fingerprint"], "--reason", "compromised", "--yes", GRE_PASSPHRASE="a secret"
    )
    assert revoked["key"]["revoked"] is True
    second = (await gre("keys", "make", JULIET, GRE_PASSPHRASE="a secret"))["key"]
    assert (second["active"], second["fingerprint"] != made["fingerprint"]) == (True, True)
    written = await gre("keys", "export", "-o", "/absent/key.asc", code=2)
    assert written["error"]["text"] == "/absent/key.asc cannot be written: No such file or directory"
    listed = (await gre.run("keys", "list", COLUMNS="80")).stdout
    assert max(map(len, listed.splitlines())) <= 80
    assert grouped(made["fingerprint"])[:24] in listed, "half a fingerprint stays in one line"
    for name in ("secret", "passphrase"):
        assert all(name.encode() not in path.read_bytes() for path in gre.state.rglob("*") if path.is_file())


async def test_a_second_device_by_backup(stage: Stage, tmp_path: Path) -> None:
    first, second = User(stage, tmp_path / "first"), User(stage, tmp_path / "second")
    made = (await first("keys", "make", JULIET, GRE_PASSPHRASE="one"))["key"]
    code = (await first("keys", "backup", GRE_PASSPHRASE="one"))["code"]
    wrong = await second("keys", "restore", code=1, given="AAAA-BBBB-CCCC-DDDD-EEEE-FFFF\n")
    assert wrong["error"]["code"] == "no-usable-key"
    restored = await second("keys", "restore", given=f"{code.lower()}\n", GRE_PASSPHRASE="two")
    assert [key["fingerprint"] for key in restored["keys"]] == [made["fingerprint"]]
    await _first_message(second, GRE_PASSPHRASE="two")
    assert (await stage.mail_user_says("read"))["signature"] == "good"
    await stage.mail_user_says("answered")
    came = await first("listen", "--once", "--timeout", "30", GRE_PASSPHRASE="one")
    assert came["signature"] in {"good", "unknown-signer"}


async def test_keys_of_contacts(stage: Stage, tmp_path: Path) -> None:
    gre = User(stage, tmp_path / "state")
    fetched = await gre("keys", "fetch", ROMEO, "--gateway", GATEWAY)
    sources = {one["source"]: one for one in fetched["sources"]}
    assert sources["xep-0373"]["outcome"] == "keys"
    (fingerprint,) = sources["xep-0373"]["fingerprints"]
    await _first_message(gre)
    (known,) = (await gre("keys", "list", "--contacts"))["contacts"]
    assert (known["fingerprint"], known["state"], known["address"]) == (fingerprint, "accepted", ROMEO)
    other = "AB" * 20
    assert (await gre("keys", "verify", ROMEO_JID, other, code=1))["error"]["code"] == "no-usable-key"
    uri = f"OPENPGP4FPR:{fingerprint.lower()}"
    assert (await gre("keys", "verify", ROMEO_JID, uri))["key"]["state"] == "verified"
    assert (await gre("keys", "trust", ROMEO_JID, fingerprint, "--no"))["key"]["state"] == "blocked"
    refused = await gre("send", ROMEO_JID, "--text", "x", code=1)
    assert refused["error"]["code"] == "no-usable-key"
    assert (await gre("keys", "trust", ROMEO_JID, fingerprint))["key"]["state"] == "accepted"
    public = tmp_path / "romeo.asc"
    assert (await gre("keys", "export-contact", ROMEO_JID, "-o", str(public)))["file"] == str(public)
    assert public.stat().st_mode & 0o077 == 0
    assert (await gre("keys", "pin", ROMEO_JID, str(public)))["key"]["state"] == "pinned"
    await _first_message(gre)
    assert (await gre("keys", "unpin", ROMEO_JID))["fingerprints"] == [fingerprint]
    explained = (await gre.run("explain", ROMEO_JID)).stdout
    assert fingerprint[-4:] in explained


async def test_a_key_of_gnupg_is_taken_and_given_back(stage: Stage, tmp_path: Path) -> None:
    gpg = shutil.which("gpg")
    require(gpg, "GnuPG (apt-get install gnupg)")
    home = stage.root / "gpg-of-juliet"
    home.mkdir(mode=0o700)

    def run(*words: str, given: bytes | None = None) -> bytes:
        done = subprocess.run(
            [str(gpg), "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *words],
            capture_output=True, check=False, input=given,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    try:
        run("--quick-gen-key", JULIET, "default", "default", "1y")
        file = tmp_path / "secret.asc"
        file.write_bytes(run("--armor", "--export-secret-keys", JULIET))
        gre = User(stage, tmp_path / "state")
        imported = (await gre("keys", "import", str(file), GRE_PASSPHRASE="here"))["key"]
        assert imported["locked"] is True
        await _first_message(gre, GRE_PASSPHRASE="here")
        assert (await stage.mail_user_says("read"))["signature"] == "good"
        assert (await gre("keys", "export", "--secret", code=1))["error"]["code"] == "key-locked"
        out = await gre("keys", "export", "--secret", GRE_PASSPHRASE="here", GRE_EXPORT_PASSPHRASE="there")
        assert b"sec" in run("--show-keys", given=out["key"].encode())
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
