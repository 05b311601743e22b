"""Two packages for OpenPGP side by side: neither is taken before the user says which."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from gre_cli.app import app
from gre_cli.demo import play
from gre_cli.providers import FILE, remember, remembered
from typer.testing import CliRunner

if TYPE_CHECKING:
    from pathlib import Path

runner = CliRunner()
NAMESPACE = "urn:xmpp:gre:encrypter:openpgp:0"
SEQUOIA, PGPY = "gre-encrypter-openpgp", "gre-encrypter-openpgp-pgpy"
BROKEN = 'raise ImportError("libnettle.so.8: cannot open shared object file")\n'


class Command:
    """``gre`` in a process of its own, with a configuration of its own."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.toml"
        self.config.write_text(
            '[account]\njid = "alice@example.org"\nstate = "state"\n[keys]\nkeyring = false\n'
        )
        self.path: list[str] = []

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gre_cli", *words, "--config", str(self.config)]

    @property
    def environment(self) -> dict[str, str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith("GRE_")}
        path = os.pathsep.join([*self.path, *filter(None, [known.get("PYTHONPATH")])])
        return {**known, "PYTHONPATH": path, "COLUMNS": "300", "TERM": "dumb"}

    def run(self, *words: str) -> tuple[int, str]:
        """Run it as a script does."""
        if not self.path:
            found = runner.invoke(app, self.words(*words)[3:])
            return found.exit_code, found.output
        done = subprocess.run(
            self.words(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    def report(self, *words: str) -> tuple[int, Any]:
        code, text = self.run(*words, "--json")
        return code, json.loads(text.partition("\n")[0])

    def at_a_terminal(self, *words: str, answer: str) -> tuple[int, str]:
        """Run it at a terminal, and type an answer when it asks for a number."""
        pty = pytest.importorskip("pty")
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self.words(*words), env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        seen, typed, end = b"", False, time.monotonic() + 300
        while time.monotonic() < end:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
            if not typed and b"Type 1 to 2: " in seen:
                os.write(ours, answer.encode() + b"\n")
                typed = True
        os.close(ours)
        return process.wait(timeout=60), seen.decode("utf-8", "replace")

    def break_library(self, folder: Path) -> None:
        """Let Sequoia be one that cannot be imported."""
        (folder / "broken" / "pysequoia").mkdir(parents=True)
        (folder / "broken" / "pysequoia" / "__init__.py").write_text(BROKEN)
        self.path = [str(folder / "broken")]

    def other_library(self, folder: Path, version: str, module: str = "") -> None:
        """Let another version of Sequoia be installed."""
        self.break_library(folder)
        (folder / "broken" / "pysequoia" / "__init__.py").write_text(module)
        about = folder / "broken" / f"pysequoia-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pysequoia\nVersion: {version}\n")

    def break_plugin(self, folder: Path) -> None:
        """Let already the plugin be one that cannot be imported."""
        (folder / "broken" / "gre_encrypter_openpgp").mkdir(parents=True)
        (folder / "broken" / "gre_encrypter_openpgp" / "__init__.py").write_text(BROKEN)
        self.path = [str(folder / "broken")]

    def lose_the_password(self) -> None:
        """Let the file with the password be missing, so that a command ends where it needs it."""
        text = self.config.read_text().replace("state =", 'password_file = "nowhere"\nstate =')
        self.config.write_text(text)

    def prefer(self, package: str) -> None:
        with self.config.open("a") as file:
            file.write(f'[plugins]\nprefer = {{"{NAMESPACE}" = "{package}"}}\n')


@pytest.fixture
def gre(tmp_path: Path) -> Command:
    return Command(tmp_path)


def wrong(report: Any) -> list[str]:
    return [f"{one['what']}: {one['text']} {one['hint']}" for one in report["findings"] if one["wrong"]]


# -- installed together ----------------------------------------------------------------------------


def test_a_script_gets_an_error_that_says_what_to_do(gre: Command) -> None:
    code, report = gre.report("keys", "list")
    assert (code, report["error"]["code"]) == (1, "provider-unclear")
    text = report["error"]["text"]
    assert SEQUOIA in text
    assert PGPY in text
    assert f'prefer = {{"{NAMESPACE}" = ' in text
    assert str(gre.config) in text
    assert not gre.config.with_name(FILE).exists()


@pytest.mark.parametrize("password", [True, False])
def test_a_script_that_sends_gets_it_before_anything_is_sent(
    gre: Command, monkeypatch: pytest.MonkeyPatch, password: bool
) -> None:
    if password:
        monkeypatch.setenv("GRE_PASSWORD", "secret")
    else:
        monkeypatch.delenv("GRE_PASSWORD", raising=False)
    code, report = gre.report(
        "send", "romeo@mail.example", "--gateway", "gateway.example", "--text", "Hello."
    )
    assert (code, report["error"]["code"]) == (1, "provider-unclear")
    assert str(gre.config) in report["error"]["text"]


def test_the_doctor_names_both_and_says_how(gre: Command) -> None:
    code, report = gre.report("doctor")
    (finding,) = wrong(report)
    assert code == 1
    assert SEQUOIA in finding
    assert PGPY in finding
    assert str(gre.config) in finding


@pytest.mark.skipif(sys.platform == "win32", reason="there are no terminals of this kind")
def test_a_person_is_asked_once(gre: Command) -> None:
    code, screen = gre.at_a_terminal("keys", "list", answer="2")
    assert "Which one do you want?" in screen
    assert code == 0, screen
    assert remembered(gre.config) == {NAMESPACE: PGPY}
    code, screen = gre.at_a_terminal("keys", "list", answer="1")
    assert (code, "Which one" in screen) == (0, False), screen
    code, report = gre.report("doctor")
    assert (code, wrong(report)) == (0, [])
    assert any(f"served by {PGPY}" in one["text"] for one in report["findings"])


@pytest.mark.skipif(sys.platform == "win32", reason="there are no terminals of this kind")
def test_a_person_who_sends_is_asked_before_the_password(gre: Command) -> None:
    gre.lose_the_password()
    words = ("send", "romeo@mail.example", "--gateway", "gateway.example", "--text", "Hello.")
    code, screen = gre.at_a_terminal(*words, answer="1")
    assert code == 2, screen  # the file with the password is not there
    assert screen.index("Which one do you want?") < screen.index("nowhere")
    assert remembered(gre.config) == {NAMESPACE: SEQUOIA}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no terminals of this kind")
def test_an_answer_that_is_none_does_nothing(gre: Command) -> None:
    code, screen = gre.at_a_terminal("keys", "list", answer="yes")
    assert code == 1, screen
    assert remembered(gre.config) == {}


@pytest.mark.parametrize("package", [SEQUOIA, PGPY])
def test_what_the_configuration_says_counts_before_the_answer(gre: Command, package: str) -> None:
    remember(gre.config, NAMESPACE, PGPY if package == SEQUOIA else SEQUOIA)
    gre.prefer(package)
    assert gre.run("keys", "list")[0] == 0
    _, report = gre.report("doctor")
    assert any(f"served by {package}" in one["text"] for one in report["findings"])


def test_an_answer_for_a_package_that_went_away_is_said(gre: Command) -> None:
    remember(gre.config, NAMESPACE, "gre-encrypter-gone")
    code, report = gre.report("keys", "list")
    assert (code, report["error"]["code"]) == (1, "provider-unclear")
    assert "gre-encrypter-gone" in report["error"]["text"]
    assert str(gre.config.with_name(FILE)) in report["error"]["text"]


def test_a_preferred_package_that_went_away_is_not_replaced(gre: Command) -> None:
    gre.prefer("gre-encrypter-gone")
    for words in (
        ("keys", "list"),
        ("send", "romeo@mail.example", "--gateway", "gateway.example", "--text", "Hello."),
    ):
        code, report = gre.report(*words)
        assert (code, report["error"]["code"]) == (1, "provider-unclear")
        assert "gre-encrypter-gone is preferred" in report["error"]["text"]
        assert str(gre.config) in report["error"]["text"]
    code, report = gre.report("doctor")
    assert code == 1
    assert any("gre-encrypter-gone is preferred" in one for one in wrong(report))


def test_the_demo_names_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play.providers()[NAMESPACE] == SEQUOIA
    monkeypatch.setattr(
        "gre_cli.demo.play.find_spec", lambda name: None if name == "gre_encrypter_openpgp" else name
    )
    assert play.providers()[NAMESPACE] == PGPY


# -- a Sequoia that is broken ----------------------------------------------------------------------


def test_a_broken_sequoia_is_a_problem_and_pgpy_is_not_taken(gre: Command, tmp_path: Path) -> None:
    gre.break_library(tmp_path)
    code, report = gre.report("keys", "list")
    assert (code, report["error"]["code"]) == (1, "provider-unclear")
    code, report = gre.report("doctor")
    assert code == 1
    assert any(one.startswith(f"{SEQUOIA}:") and "libnettle" in one for one in wrong(report))


def test_a_broken_sequoia_that_is_preferred_is_an_error(gre: Command, tmp_path: Path) -> None:
    gre.break_library(tmp_path)
    gre.prefer(SEQUOIA)
    code, report = gre.report("keys", "list")
    assert (code, report["ok"]) == (1, False)
    assert "libnettle" in report["error"]["text"]
    code, report = gre.report("doctor")
    assert code == 1
    assert any("libnettle" in one for one in wrong(report))


def test_pgpy_works_beside_a_broken_sequoia_when_it_was_chosen(gre: Command, tmp_path: Path) -> None:
    gre.break_library(tmp_path)
    gre.prefer(PGPY)
    code, _ = gre.run("keys", "list")
    assert code == 0
    code, report = gre.report("doctor")
    assert code == 1  # it is still something to mend
    assert any(one.startswith(f"{SEQUOIA}:") and "libnettle" in one for one in wrong(report))


def test_a_sequoia_whose_plugin_does_not_load_is_not_replaced(gre: Command, tmp_path: Path) -> None:
    gre.break_plugin(tmp_path)
    code, report = gre.report("keys", "list")
    assert (code, report["error"]["code"]) == (1, "provider-unclear")
    assert f"{SEQUOIA} is installed and broken" in report["error"]["text"]
    code, report = gre.report("doctor")
    assert code == 1
    assert any("libnettle" in one for one in wrong(report))
    gre.prefer(PGPY)
    assert gre.run("keys", "list")[0] == 0


@pytest.mark.parametrize("version", ["0.1.20", "0.2.0", "1.0"])
def test_another_version_of_sequoia_is_an_error_and_not_replaced(
    gre: Command, tmp_path: Path, version: str
) -> None:
    gre.other_library(tmp_path, version)
    code, report = gre.report("keys", "list")
    assert (code, report["error"]["code"]) == (1, "provider-unclear")
    gre.prefer(SEQUOIA)
    code, report = gre.report("keys", "list")
    assert (code, report["ok"]) == (1, False)
    assert f"pysequoia {version} is installed" in report["error"]["text"], report
    code, report = gre.report("doctor")
    assert code == 1
    assert any(f"pysequoia {version} is installed" in one for one in wrong(report))
