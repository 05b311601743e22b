"""Options, configuration, help, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from gre_cli.addresses import contact_jid, legacy_id
from gre_cli.app import app
from gre_cli.settings import PASSWORD, Options, UsageError, load
from typer.testing import CliRunner

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ["demo", "doctor", "send", "listen", "explain"]
runner = CliRunner()


@pytest.fixture(autouse=True)
def _own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRE_ACCOUNT", "GRE_CONFIG", PASSWORD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_help_loads_nothing_heavy() -> None:
    """What makes help fast: the time itself depends on the machine and is in the benchmark."""
    program = (
        "import sys\n"
        "from gre_cli.app import app\n"
        "for words in (['--help'], ['send', '--help'], ['demo', '--help'], ['new', '--help']):\n"
        "    try: app(words)\n"
        "    except SystemExit: pass\n"
        "heavy = {'rich', 'slixmpp', 'asyncio', 'pydantic', 'aiosmtpd', 'gre_core', 'structlog', 'copier'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["send"],
        ["send", "romeo@montague.example", "--text", "x", "--attach", "/nowhere/at/all"],
        ["listen", "--count", "0"],
        ["demo", "--server", "exchange"],
        ["fly"],
    ],
)
def test_wrong_usage_is_2(words: list[str]) -> None:
    assert runner.invoke(app, words).exit_code == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["send", "romeo@montague.example", "--text", "x"], "Which account"),
        (["send", "romeo@montague.example", "--text", "x", "-a", "juliet@x.example"], "Which gateway"),
        (["send", "r@m.example", "-g", "g.example", "--text", " ", "-a", "juliet@x.example"], "empty"),
        (["explain", "r@m.example", "-g", "g.example", "-a", "juliet"], "no account"),
        (["listen", "-a", "j@x.example", "--insecure-plaintext"], "only for a server on this machine"),
        (["listen", "-a", "j@x.example"], "No password"),
    ],
)
def test_wrong_usage_has_words_and_one_json_object(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _prefer_sequoia(monkeypatch, tmp_path)
    human = runner.invoke(app, words)
    assert (human.exit_code, human.stdout) == (2, "")
    assert says in " ".join(human.stderr.split())
    scripted = runner.invoke(app, [*words, "--json"])
    assert scripted.exit_code == 2
    answer = json.loads(scripted.stdout)
    assert answer["ok"] is False
    assert says in answer["error"]["text"]


def _prefer_sequoia(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Say which of the two packages for OpenPGP to use: both are installed here."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config = tmp_path / "gre" / "config.toml"
    config.parent.mkdir()
    config.write_text(
        '[plugins]\nprefer = { "urn:xmpp:gre:encrypter:openpgp:0" = "gre-encrypter-openpgp" }\n'
    )


def test_a_server_that_is_not_there_is_an_error_with_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gre_cli.session.LOGIN_SECONDS", 0.3)
    monkeypatch.setenv(PASSWORD, "secret")
    _prefer_sequoia(monkeypatch, tmp_path)
    result = runner.invoke(
        app,
        ["explain", "r@m.example", "-g", "g.example", "-a", "j@x.example", "--host", "127.0.0.1", "--port", "1",
         "--insecure-plaintext", "--state", str(tmp_path / "state"), "--json"],
    )  # fmt: skip
    assert result.exit_code == 1
    assert "could not reach 127.0.0.1:1" in json.loads(result.stdout)["error"]["text"]


# -- addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "gateway", "jid"),
    [
        ("romeo@montague.example", "mail.x", "romeo\\40montague.example@mail.x"),
        ("mailto:romeo@montague.example", "mail.x", "romeo\\40montague.example@mail.x"),
        ("romeo\\40montague.example@mail.x", None, "romeo\\40montague.example@mail.x"),
        ("xmpp:romeo\\40montague.example@mail.x", "other.x", "romeo\\40montague.example@mail.x"),
        ("12345@sms.x", "sms.x", "12345@sms.x"),
    ],
)
def test_contact_jid(to: str, gateway: str | None, jid: str) -> None:
    assert contact_jid(to, gateway) == jid


@pytest.mark.parametrize(
    ("to", "gateway"), [("romeo@m.x", None), ("", "g.x"), ("a\\40b@g.x/phone", None), ("a\nb", "g.x")]
)
def test_no_contact_jid(to: str, gateway: str | None) -> None:
    with pytest.raises(UsageError):
        contact_jid(to, gateway)


def test_legacy_id() -> None:
    assert legacy_id("romeo\\40montague.example@mail.x/phone") == "romeo@montague.example"
    assert legacy_id("mail.x") == "mail.x"


# -- configuration -----------------------------------------------------------------------------------


def _config(tmp_path: Path, text: str) -> Options:
    file = tmp_path / "gre" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return Options()


def test_the_file_is_read_and_the_command_line_wins(tmp_path: Path) -> None:
    options = _config(
        tmp_path,
        '[account]\njid = "Juliet@Capulet.example"\nhost = "127.0.0.1"\nport = 5223\ngateway = "mail.x"\nstate = "s"\n'
        '[plugins]\nallow = ["gre-formatter-mime"]\nprefer = {"urn:xmpp:gre:encrypter:openpgp:0" = "a"}\n'
        '[policy]\nencrypters = ["openpgp"]\n',
    )
    settings = load(options)
    assert (settings.jid, settings.port, settings.gateway) == ("juliet@capulet.example", 5223, "mail.x")
    assert settings.directory() == tmp_path / "gre" / "s"
    assert settings.allow == frozenset({"gre-formatter-mime"})
    assert settings.policy.encrypters == ("openpgp",)
    assert load(Options(account="nurse@x.example", port=1)).jid == "nurse@x.example"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[account", "cannot be read"),
        ("[acount]\n", "no table"),
        ('[account]\njdi = "x"\n', "no key 'jdi'"),
        ("[account]\njid = 7\n", "wrong type"),
        ("[account]\nport = true\n", "wrong type"),
        ("[plugins]\nallow = [1]\n", "wrong type"),
        ('[account]\njid = "a@b"\nport = 99999\n', "no port"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load(_config(tmp_path, text))


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        load(Options(config=tmp_path / "nothing.toml"))


def test_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gre" / "secret"
    options = _config(tmp_path, '[account]\njid = "j@x.example"\npassword_file = "secret"\n')
    file.write_text("from file\n")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        load(options).password()
    file.chmod(0o600)
    assert load(options).password() == "from file"
    monkeypatch.setenv(PASSWORD, "from environment")
    assert load(options).password() == "from environment"
    assert "from" not in repr(load(options))


def test_password_command(tmp_path: Path) -> None:
    command = json.dumps([sys.executable, "-c", "print('from command')"])
    assert load(
        _config(tmp_path, f'[account]\njid = "j@x.example"\npassword_command = {command}\n')
    ).password() == ("from command")
    with pytest.raises(UsageError, match="password_command failed"):
        load(_config(tmp_path, '[account]\njid = "j@x.example"\npassword_command = "false"\n')).password()
