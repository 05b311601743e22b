"""The pages for operators say what is there: commands, options, metrics, alerts, keys of the configuration."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from importlib import resources
from pathlib import Path

import pytest
from gre_gateway_email.commands.options import parse
from gre_gateway_email.operate.metrics import Metrics

ROOT = Path(__file__).parents[3]
README = ROOT / "plugins" / "gre-gateway-email" / "README.md"
HOW_TO = ROOT / "docs" / "tutorials" / "first-gateway.md"
OPERATING = ROOT / "docs" / "how-to" / "operate-the-email-gateway.md"
DEPLOY = Path(str(resources.files("gre_gateway_email") / "deploy"))
FENCE = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_on(page):
    for block in FENCE.findall(page.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("gre-email-gateway "):
                yield shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("page", [README, HOW_TO, OPERATING], ids=lambda page: page.name)
def test_every_command_on_the_pages_can_be_typed(page):
    found = list(commands_on(page))
    assert found
    for words in found:
        assert parse(words, "1").command == words[0]


def help_of(*words):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        parse([*words, "--help"], "1")
    return said.getvalue()


def test_the_readme_names_every_command_and_option():
    text = README.read_text("utf-8")
    names = re.findall(r"^    (\w+) +", help_of(), re.MULTILINE)
    assert {"init", "check", "run", "status", "queue", "users", "database", "forget"} <= set(names)
    for name in names:
        inner = (
            re.findall(r"^    (\w+) +", help_of(name), re.MULTILINE)
            if name in {"queue", "users", "database"}
            else []
        )
        for words in ((name,), *((name, each) for each in inner)):
            for option in re.findall(r"(?<![\w-])--[\w-]+", help_of(*words)):
                assert option in text or option == "--help", words
        for each in inner:
            assert re.search(rf"`(?:{name} )?{each}\b", text), (name, each)


def test_every_alert_is_explained_and_exists():
    there = set(re.findall(r"alert: (\w+)", (DEPLOY / "prometheus-alerts.yml").read_text()))
    explained = set(re.findall(r"^\| `(GreEmail\w+)` \|", OPERATING.read_text("utf-8"), re.MULTILINE))
    assert there == explained


def test_every_metric_is_explained_and_exists():
    there = set()
    for family in Metrics("1", processes=False).registry.collect():
        there.add(f"{family.name}_total" if family.type == "counter" else family.name)
    explained = set(re.findall(r"`(gre_email_\w+)(?:\{[\w,]+\})?`", OPERATING.read_text("utf-8")))
    assert there == explained


def test_the_settings_on_the_pages_exist():
    keys = {}
    table = ""
    for row in re.finditer(r"^\| (?:`\[(\w+)\]`)? ?\| (.*?) \|", README.read_text("utf-8"), re.MULTILINE):
        table = row[1] or table
        keys.setdefault(table, set()).update(re.findall(r"`(\w+)`", row[2]))
    for page in (HOW_TO, OPERATING):
        for table, key in re.findall(r"`\[(\w+)\] (\w+)", page.read_text("utf-8")):
            assert key in keys[table], (page.name, table, key)


def test_the_files_that_the_pages_name_are_written_by_init():
    for page in (README, HOW_TO, OPERATING):
        for name in re.findall(r"snippets/([\w.-]+\w)", page.read_text("utf-8")):
            assert (DEPLOY / name).exists(), name
