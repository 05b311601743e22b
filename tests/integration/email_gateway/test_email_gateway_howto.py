"""The how-to for operators: every command of docs/email-gateway.md runs, in its order, on a machine of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from gre_core.testing import require

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "email-gateway.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMESPACES = ("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


def test_every_command_of_the_how_to_runs_and_the_mails_arrive(tmp_path):
    for program, package in (
        ("prosodyctl", "prosody"),
        ("postfix", "postfix"),
        ("gpg", "gnupg"),
        ("openssl", "openssl"),
    ):
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        require(found, f"{program} (apt-get install {package})")
    allowed = subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0
    require(os.geteuid() == 0 and allowed, "root, who may make namespaces (unshare)")
    script = tmp_path / "how-to.sh"
    script.write_text("\n".join(BLOCK.findall(PAGE.read_text("utf-8"))), "utf-8")
    machine = tmp_path / "machine"
    machine.mkdir()
    sandbox = Path(__file__).with_name("howto_sandbox.py")
    done = subprocess.run(
        [*NAMESPACES, sys.executable, sandbox, machine, sys.prefix, script],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert "All is right." in said
    assert "email.example.org is connected since" in said
    assert "✓ relayed" in said
    assert "Meet me at nine." in said
    assert "Good signature from" in done.stderr
    assert "I will be there." in said
