"""The pages for operators: every command of docs/tutorials/first-gateway.md runs, in its order, on a machine of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gre_core.testing import require

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMESPACES = ("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child")
PROGRAMS = {
    "prosodyctl": "prosody",
    "postfix": "postfix",
    "gpg": "gnupg",
    "neomutt": "neomutt",
    "openssl": "openssl",
    "/lib/systemd/systemd": "systemd",
    "psql": "postgresql",
}


def commands_of(page):
    return "\n".join(BLOCK.findall((ROOT / "docs" / page).read_text("utf-8")))


@pytest.fixture
def machine(tmp_path):
    """``machine(script)``: what a script says on a fresh machine with systemd."""
    for program, package in PROGRAMS.items():
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        require(found, f"{program} (apt-get install {package})")
    allowed = subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0
    require(os.geteuid() == 0 and allowed, "root, who may make namespaces (unshare)")

    def run(text):
        script, folder = tmp_path / "script.sh", tmp_path / "machine"
        script.write_text(text, "utf-8")
        folder.mkdir()
        program = Path(__file__).with_name("howto_machine.py")
        made = subprocess.run(
            [*NAMESPACES, sys.executable, program, folder, script],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip

        def said(name):
            file = folder / name
            return file.read_text("utf-8", "replace") if file.exists() else ""

        log = f"{made.stderr}\n--- out\n{said('out')}\n--- err\n{said('err')}\n--- journal\n{said('journal')}"
        assert said("code") == "0\n", log[-20_000:]
        return SimpleNamespace(out=said("out"), err=said("err"), journal=said("journal"))

    return run


AFTERWARDS = """
gre-email-gateway users list
: > /var/mail/bob
gre send bob@mx.example.org --gateway email.example.org --host 127.0.0.1 --text "By PostgreSQL."
until [ -s /var/mail/bob ]; do sleep 1; done
su - bob -c "gpg --decrypt /var/mail/bob"
systemctl stop gre-email-gateway
systemctl show --property=Result,NRestarts gre-email-gateway
"""
"""What shows that the gateway is whole when all commands of both pages have run."""


def test_every_command_of_the_pages_runs_and_the_mails_arrive(machine):
    script = [
        commands_of("tutorials/first-gateway.md"),
        commands_of("how-to/operate-the-email-gateway.md"),
        AFTERWARDS,
    ]
    done = machine("\n".join(script))
    assert "All is right." in done.out
    assert "email.example.org is connected since" in done.out
    assert "✓ relayed" in done.out
    assert "Meet me at nine." in done.out
    assert "Good signature from" in done.err
    assert "I will be there." in done.out
    # The service ran under systemd, with all that its unit forbids.
    assert re.search(r"systemd\[1\]: Started gre-email-gateway.service", done.journal)
    assert "gre-email-gateway.service: Failed" not in done.journal
    assert done.out.endswith("Result=success\nNRestarts=0\n")
    assert "/var/backups/gre-email-gateway.db is the database now." in done.out
    assert "Everything is copied and counted." in done.out
    assert "By PostgreSQL." in done.out
