"""``gre doctor`` with plugins that are well, broken, missing or not allowed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from gre_cli.app import app
from gre_cli.settings import Settings
from typer.testing import CliRunner

from gre_core.api import EncrypterProvider, FormatterProvider, encrypter, formatter
from gre_core.registry import Plugins
from gre_core.testing.fakes import toy_encrypter, toy_formatter
from gre_core.worker import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

runner = CliRunner()


@pytest.fixture(autouse=True)
def _own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("GRE_ACCOUNT", raising=False)


def _examine(
    monkeypatch: pytest.MonkeyPatch, plugins: Plugins, *words: str
) -> tuple[int, dict[str, object], str]:
    monkeypatch.setattr(Settings, "plugins", lambda _: plugins)
    scripted = runner.invoke(app, ["doctor", "--json", *words])
    human = runner.invoke(app, ["doctor", *words], env={"COLUMNS": "200"})
    assert human.exit_code == scripted.exit_code
    return scripted.exit_code, json.loads(scripted.stdout), human.stdout


def _wrong(report: dict[str, object]) -> list[str]:
    findings = report["findings"]
    assert isinstance(findings, list)
    return [f"{one['what']}: {one['text']} {one['hint']}" for one in findings if one["wrong"]]


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    code, report, screen = _examine(monkeypatch, Plugins.of(toy_formatter(), toy_encrypter()))
    assert (code, report["ok"], _wrong(report)) == (0, True, [])
    assert "formatter test:0" in screen
    assert "Everything is in order." in screen
    if WorkerProcess.supported():
        assert "seconds for a message" in screen


def test_a_plugin_that_cannot_be_made_is_shown_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> object:
        message = "libsequoia.so.1: cannot open \x1b[31mshared object"
        raise OSError(message)

    broken = EncrypterProvider(encrypter("openpgp"), fail, title="broken")  # type: ignore[arg-type]
    code, report, screen = _examine(monkeypatch, Plugins.of(toy_formatter(), broken))
    assert code == 1
    assert report["ok"] is False
    assert any("libsequoia.so.1" in line for line in _wrong(report))
    assert "libsequoia.so.1" in screen
    assert "\x1b[31m" not in screen
    assert "to mend" in screen


def test_two_providers_of_one_namespace_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    one = toy_formatter()
    other = FormatterProvider(one.namespace, one.make, title="other")
    code, report, _ = _examine(monkeypatch, Plugins.of(one, other, toy_encrypter()))
    assert code == 1
    assert any("prefer" in line for line in _wrong(report))


@pytest.mark.skipif(sys.platform == "win32", reason="the worker needs pipes that do not exist there")
def test_a_worker_process_that_cannot_be_started_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    make = WorkerProcess.__init__
    monkeypatch.setattr(
        WorkerProcess, "__init__", lambda me, *words, **named: make(me, *words, python="/bin/false", **named)
    )
    code, report, _ = _examine(monkeypatch, Plugins.of(toy_formatter(), toy_encrypter()))
    assert code == 1
    assert any("cannot be started" in line for line in _wrong(report))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code, report, screen = _examine(monkeypatch, Plugins.of())
    assert code == 1
    assert "gre-formatter-mime" in screen
    assert "gre-encrypter-openpgp" in screen
    assert len(_wrong(report)) == 2


def test_a_store_that_others_can_read_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plugins = Plugins.of(toy_formatter(), toy_encrypter())
    store = tmp_path / "store"
    store.mkdir()
    store.chmod(0o755)
    code, report, _ = _examine(monkeypatch, plugins, "--state", str(store))
    assert code == 1
    assert any("chmod 700" in line for line in _wrong(report))
    store.chmod(0o700)
    assert _examine(monkeypatch, plugins, "--state", str(store))[0] == 0


def test_the_installed_plugins_are_found() -> None:
    report = json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)
    ids = {plugin["id"] for plugin in report["plugins"]}
    assert {"gre-formatter-mime:mime", "gre-encrypter-openpgp:openpgp"} <= ids
    assert all(plugin["version"] for plugin in report["plugins"])
    assert str(formatter("mime")) in [name for plugin in report["plugins"] for name in plugin["formatters"]]


def test_an_allow_list_keeps_plugins_out(tmp_path: Path) -> None:
    config = tmp_path / "gre.toml"
    config.write_text('[plugins]\nallow = ["gre-formatter-mime"]\n')
    result = runner.invoke(app, ["doctor", "--json", "--config", str(config)])
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [plugin["id"] for plugin in report["plugins"]] == ["gre-formatter-mime:mime"]
    assert any("none is installed" in line for line in _wrong(report))
    assert "not on the allow-list" in result.stdout
