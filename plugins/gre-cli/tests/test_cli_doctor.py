"""``gre doctor`` with plugins that are well, broken, missing or not allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from gre_cli.app import app
from gre_cli.findings import _place
from gre_cli.settings import Settings
from typer.testing import CliRunner

from gre_core.api import EncrypterProvider, FormatterProvider, encrypter, formatter
from gre_core.plugin_loader import Problem
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
    monkeypatch.setattr(Settings, "plugins", lambda _, _prefer=None: plugins)
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


# -- why is mine not taken? --------------------------------------------------------------------------


def _asked(monkeypatch: pytest.MonkeyPatch, plugins: Plugins, wanted: str) -> tuple[int, dict[str, object]]:
    """Ask about one plugin; give the exit code and what was found about it."""
    code, report, screen = _examine(monkeypatch, plugins, wanted)
    findings = report["findings"]
    assert isinstance(findings, list)
    found: dict[str, object] = findings[0]
    assert str(found["text"])[:40] in " ".join(screen.split())
    return code, found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for further distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def _install(site: Path, name: str, points: str, code: str = "") -> None:
    module = name.replace("-", "_")
    sys.modules.pop(module, None)  # of the test before
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (site / f"{module}.py").write_text(code)


def test_not_found_as_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = Plugins.of(toy_formatter(), toy_encrypter())
    code, found = _asked(monkeypatch, plugins, "gre-formatter-mine")
    assert (code, found["wrong"]) == (1, True)
    assert sys.executable in str(found["text"])
    assert "pip install -e ." in str(found["hint"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gre-formater-mime", "gre-formatter-mime"),
        ("mimee", "gre-formatter-mime"),
        ("urn:xmpp:gre:formatter:mine:0", "urn:xmpp:gre:formatter:mime:0"),
        ("urn:xmpp:gre:formater:mime:0", "urn:xmpp:gre:formatter:mime:0"),
    ],
)
def test_a_name_that_was_mistyped_is_put_right(typed: str, meant: str) -> None:
    result = runner.invoke(app, ["doctor", "--json", typed])
    found = json.loads(result.stdout)["findings"][0]
    assert result.exit_code == 1
    assert found["text"].startswith("not found: ")
    assert f"Did you mean {meant}?" in found["hint"]


def test_not_found_as_it_has_no_entry_point(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    _install(site, "gre-formatter-mine", "[gre]\nmine = gre_formatter_mine\n")
    plugins = Plugins.of(toy_formatter(), toy_encrypter())
    code, found = _asked(monkeypatch, plugins, "gre-formatter-mine")
    assert code == 1
    assert "without an entry point in the group gre.v1; it has gre" in str(found["text"])
    assert '[project.entry-points."gre.v1"]' in str(found["hint"])
    _, report, _ = _examine(monkeypatch, plugins)
    assert any("gre-formatter-mine: not found" in line for line in _wrong(report)), "also when nobody asks"


def test_found_and_failed(site: Path) -> None:
    _install(
        site, "gre-formatter-mine", "[gre.v1]\nmine = gre_formatter_mine\n", "raise ImportError('no libmine')"
    )
    result = runner.invoke(app, ["doctor", "--json", "gre_formatter_mine"])
    found = json.loads(result.stdout)["findings"][0]
    assert (result.exit_code, found["what"]) == (1, "gre-formatter-mine")
    assert found["text"] == "failed (load): ImportError: no libmine"
    assert f"It failed at {site / 'gre_formatter_mine.py'}:1." in found["hint"]
    by_namespace = runner.invoke(app, ["doctor", "--json", "urn:xmpp:gre:formatter:mine:0"])
    assert json.loads(by_namespace.stdout)["findings"] == [found]
    everything = runner.invoke(app, ["doctor"])
    assert "failed (load): ImportError: no libmine" in everything.stdout


@pytest.mark.parametrize(
    ("point", "code", "wanted"),
    [
        ("gre_formatter_mine.plugn", "", 'Its entry point is mine = "gre_formatter_mine.plugn"'),
        ("gre_formatter_mine", "def (", "gre_formatter_mine.py:1"),
    ],
    ids=["no such module", "no Python"],
)
def test_where_it_failed_is_shown(site: Path, point: str, code: str, wanted: str) -> None:
    _install(site, "gre-formatter-mine", f"[gre.v1]\nmine = {point}\n", code)
    found = json.loads(runner.invoke(app, ["doctor", "--json", "mine"]).stdout)["findings"][0]
    assert found["what"] == "gre-formatter-mine"
    assert wanted in found["hint"]


def test_the_machinery_of_importlib_metadata_is_no_place_where_a_plugin_failed() -> None:
    """Once somebody imported it, it finds the packages in place of the standard library."""
    library = compile("def load(work): work()", "/site-packages/importlib_metadata/__init__.py", "exec")
    plugin = compile("def make(): raise ImportError", "/site-packages/gre_formatter_mine.py", "exec")
    found: dict[str, Any] = {}
    for code in (library, plugin):
        exec(code, found)

    def nowhere() -> None:
        raise ImportError

    nowhere.__code__ = nowhere.__code__.replace(co_filename="<frozen importlib._bootstrap>")
    for work, place in ((found["make"], "/site-packages/gre_formatter_mine.py:1"), (nowhere, "")):
        with pytest.raises(ImportError) as failed:
            found["load"](work)
        cause = failed.value.with_traceback(failed.value.__traceback__ and failed.value.__traceback__.tb_next)
        problem = Problem("gre-formatter-mine:mine", "1.0", "load", "ImportError", cause=cause)
        assert _place(problem) == place


def test_who_asks_about_one_plugin_gets_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other problems change neither the answer nor the exit code."""
    plugins = Plugins.of(toy_formatter())  # there is no encrypter
    assert _examine(monkeypatch, plugins)[0] == 1
    code, report, screen = _examine(monkeypatch, plugins, str(toy_formatter().namespace))
    assert (code, report["ok"]) == (0, True)
    assert len(report["findings"]) == 1  # type: ignore[arg-type]
    assert "encrypter" not in screen


@pytest.mark.parametrize(
    ("hook", "wanted"),
    [
        ("def gre_formatters():\n    return []\n", "provides nothing"),
        (
            "def gre_data_fields():\n    return [DataProvider('urn:example:0', lambda ports: None)]\n",
            "gateways that allow it ask it",
        ),
    ],
)
def test_found_but_for_nobody_here(site: Path, hook: str, wanted: str) -> None:
    code = f"from gre_core.api import DataProvider, hookimpl\n@hookimpl\n{hook}"
    _install(site, "gre-data-mine", "[gre.v1]\nmine = gre_data_mine\n", code)
    found = json.loads(runner.invoke(app, ["doctor", "--json", "gre-data-mine"]).stdout)["findings"][0]
    assert wanted in found["text"]


def test_two_for_one_namespace_say_how_to_choose_the_one_that_was_asked_about(site: Path) -> None:
    code = (
        "from gre_core.api import FormatterProvider, formatter, hookimpl\n"
        "@hookimpl\n"
        "def gre_formatters():\n"
        "    return [FormatterProvider(formatter('mine'), object, title='GRE Formatter: Mine')]\n"
    )
    for name in ("gre-formatter-mine", "gre-formatter-other"):
        _install(site, name, f"[gre.v1]\nx = {name.replace('-', '_')}\n", code)
    result = runner.invoke(app, ["doctor", "--json", "gre-formatter-other"])
    found = json.loads(result.stdout)["findings"][0]
    assert result.exit_code == 1
    assert all(f"gre-formatter-{name}:x 1.0" in found["text"] for name in ("mine", "other"))
    assert 'prefer = {"urn:xmpp:gre:formatter:mine:0" = "gre-formatter-other"}' in found["hint"]


def test_the_screen_survives_a_terminal_that_knows_ascii_only() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gre_cli", "doctor", "gre-formatter-nobody"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "not found: it is not installed" in done.stdout


def test_found_and_shadowed_by_a_preference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: Path
) -> None:
    code = (
        "from gre_core.api import FormatterProvider, formatter, hookimpl\n"
        "@hookimpl\n"
        "def gre_formatters():\n"
        "    return [FormatterProvider(formatter('mime'), object, title='GRE Formatter: Mine')]\n"
    )
    _install(site, "gre-formatter-mine", "[gre.v1]\nmine = gre_formatter_mine\n", code)
    config = tmp_path / "gre.toml"
    config.write_text('[plugins]\nprefer = { "urn:xmpp:gre:formatter:mime:0" = "gre-formatter-mime" }\n')
    words = ["doctor", "--json", "--config", str(config)]
    result = runner.invoke(app, [*words, "gre-formatter-mine"])
    found = json.loads(result.stdout)["findings"][0]
    assert result.exit_code == 1
    assert found["text"].startswith("shadowed: ")
    assert "not used for urn:xmpp:gre:formatter:mime:0" in found["text"]
    assert str(config) in found["hint"]
    assert 'prefer = { "urn:xmpp:gre:formatter:mime:0" = "gre-formatter-mine" }' in found["hint"]
    assert "the configuration prefers gre-formatter-mime" in runner.invoke(app, words).stdout
    served = json.loads(runner.invoke(app, [*words, "urn:xmpp:gre:formatter:mime:0"]).stdout)["findings"][0]
    assert served["text"].startswith("served by gre-formatter-mime:mime")


def test_found_and_shadowed_by_another_one_of_its_name(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(site, "gre-formatter-mine", "[gre.v1]\nmine = gre_formatter_mine\n")
    second = tmp_path / "second"
    second.mkdir()
    monkeypatch.syspath_prepend(str(second))
    _install(second, "gre-formatter-mine", "[gre.v1]\nmine = gre_formatter_mine\n")
    found = json.loads(runner.invoke(app, ["doctor", "--json", "gre-formatter-mine"]).stdout)["findings"][0]
    assert f"shadowed: a second gre-formatter-mine in {site.resolve()} is not used" in found["text"]


def test_found_and_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    result = runner.invoke(app, ["doctor", "--json", "gre-formatter-mime:mime"])
    found = json.loads(result.stdout)["findings"][0]
    assert (found["wrong"], found["what"]) == (False, "gre-formatter-mime:mime")


def test_an_allow_list_keeps_plugins_out(tmp_path: Path) -> None:
    config = tmp_path / "gre.toml"
    config.write_text('[plugins]\nallow = ["gre-formatter-mime"]\n')
    result = runner.invoke(app, ["doctor", "--json", "--config", str(config)])
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [plugin["id"] for plugin in report["plugins"]] == ["gre-formatter-mime:mime"]
    assert any("none is installed" in line for line in _wrong(report))
    assert "not on the allow-list" in result.stdout
    asked = runner.invoke(app, ["doctor", "--json", "--config", str(config), "gre-encrypter-openpgp"])
    assert "`allow` under [plugins]" in json.loads(asked.stdout)["findings"][0]["hint"]
