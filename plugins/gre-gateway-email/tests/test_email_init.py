"""``init``: what it asks, what it writes, what it leaves alone; and the files that it takes along."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import pytest
from gre_gateway_email.__main__ import main
from gre_gateway_email.commands.options import _QUESTIONS
from gre_gateway_email.commands.questions import QUESTIONS, SILENT
from gre_gateway_email.config import load, read
from gre_gateway_email.operate.metrics import Metrics

from gre_core.testing import require

DEPLOY = Path(str(resources.files("gre_gateway_email") / "deploy"))
GIVEN = ("--yes", "--xmpp-domain", "xmpp.example", "--mail-domain", "example.org")


def init(folder, *options):
    return main(["init", "--output", str(folder), *options])


def mode_of(path):
    return oct(path.stat().st_mode & 0o777)


def test_it_writes_a_configuration_that_works_and_what_the_others_need(tmp_path, capsys):
    assert init(tmp_path / "conf", *GIVEN) == 0
    config = load(tmp_path / "conf" / "gateway.toml", {})
    assert config.warnings == ()
    assert config.xmpp.domain == "email.xmpp.example"
    assert config.mail.domains == ("example.org",)
    assert config.registration.servers == ("xmpp.example",)
    assert (config.smtp.host, config.smtp.port, config.smtp.tls) == ("127.0.0.1", 25, "none")
    assert config.http.enabled
    assert not config.encrypted_only
    assert config.keys.directory.is_dir()
    snippets = tmp_path / "conf" / "snippets"
    for name in ("prosody.cfg.lua", "ejabberd.yml"):
        assert config.xmpp.secret in (snippets / name).read_text()
        assert "email.xmpp.example" in (snippets / name).read_text()
        assert mode_of(snippets / name) == "0o600"
    assert "virtual_mailbox_domains = example.org" in (snippets / "postfix-main.cf").read_text()
    assert mode_of(tmp_path / "conf" / "component-secret") == "0o600"
    assert mode_of(tmp_path / "conf" / "gateway.toml") == "0o640"
    said = capsys.readouterr().out
    assert said.index("1. Tell prosody") < said.index("2. Tell Postfix") < said.index("3. See whether")
    assert config.xmpp.secret not in said
    for path in snippets.iterdir():
        assert not re.search(
            r"\$[a-z_{]+",
            re.sub(
                r"\$(host|remote_addr|\{datasource\}|\w*interval|job|labels|PATH|__all)", "", path.read_text()
            ),
        ), path


def test_nothing_is_overwritten_unless_asked_for(tmp_path, capsys):
    init(tmp_path, *GIVEN)
    secret = (tmp_path / "component-secret").read_text()
    (tmp_path / "gateway.toml").write_text("mine")
    assert init(tmp_path, *GIVEN) == 2
    assert "is there already, and nothing was changed: --force" in capsys.readouterr().err
    assert (tmp_path / "gateway.toml").read_text() == "mine"
    assert init(tmp_path, *GIVEN, "--force") == 0
    load(tmp_path / "gateway.toml", {})
    assert (tmp_path / "component-secret").read_text() == secret


def test_a_secret_that_is_there_is_taken(tmp_path):
    (tmp_path / "component-secret").write_text("the-secret-that-prosody-has-already\n")
    init(tmp_path, *GIVEN)
    assert load(tmp_path / "gateway.toml", {}).xmpp.secret == "the-secret-that-prosody-has-already"


def test_it_asks_again_when_an_answer_makes_no_sense(tmp_path):
    answers = [
        "ejabberd",
        "no domain",
        "xmpp.example",
        "",
        "example.org",
        "mx.example.org",
        "",
        "yes",
        "nobody",
        "boss@xmpp.example",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "gre_gateway_email", "init", "--output", tmp_path],
        input="\n".join(answers) + "\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "that is no domain, such as example.org" in done.stdout
    config = load(tmp_path / "gateway.toml", {})
    assert config.xmpp.domain == "email.xmpp.example"
    assert (config.smtp.host, config.smtp.port, config.smtp.tls) == ("mx.example.org", 587, "starttls")
    assert config.encrypted_only
    assert config.registration.servers == ()
    assert config.admins == ("boss@xmpp.example",)
    assert "ejabberdctl reload_config" in done.stdout
    assert "Nobody may register: add your users under [users]" in done.stdout


def test_where_all_mail_is_for_the_gateway_postfix_asks_it_before_it_takes_one(tmp_path, capsys):
    init(tmp_path, *GIVEN, "--before-queue", "yes", "--listen-port", "2525")
    config = load(tmp_path / "gateway.toml", {})
    assert (config.listen.protocol, config.listen.port, config.smtp.port) == ("smtp", 2525, 10025)
    snippets = tmp_path / "snippets"
    assert "virtual_transport = smtp:[127.0.0.1]:2525" in (snippets / "postfix-main.cf").read_text()
    assert "smtpd_proxy_filter=127.0.0.1:2525" in (snippets / "postfix-before-queue.sh").read_text()
    assert f"sh {snippets}/postfix-before-queue.sh" in capsys.readouterr().out


def test_without_anybody_to_ask_it_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gre_gateway_email", "init", "--output", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nobody answers: give --server, or --yes" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--mail-domain", "exa mple", "that is no domain"),
        ("--mail-domain", 'a"b.org', "that is no domain"),
        ("--relay", "host:99999", "the port is a number"),
        ("--relay", 'a"b', "a host, or host:port"),
        ("--server", "openfire", "one of prosody, ejabberd"),
        ("--admin", "nobody@", "that is no domain"),
        ("--admin", 'a"b@example.org', "that is no JID"),
        ("--register", "x y", "that is no domain"),
        ("--encrypted-only", "perhaps", "yes or no"),
        ("--listen-port", "x", "a number from 1"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(tmp_path, capsys, option, value, says):
    assert init(tmp_path, *GIVEN, option, value) == 2
    assert f"{option} {value}: {says}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_each_question_is_an_option():
    assert {question.name: question.help for question in (*QUESTIONS, *SILENT)}.keys() == _QUESTIONS.keys()


def test_the_file_shows_every_key_with_its_default(tmp_path):
    init(tmp_path, *GIVEN)
    path = tmp_path / "gateway.toml"
    _, sources = read(path, {})
    wanted = set(sources.keys) - {("xmpp", "secret"), ("smtp", "password"), ("database", "url")}
    shown = {}
    table = ""
    for line in path.read_text().splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            table = found[1]
        elif (found := re.fullmatch(r"(#?)(\w+) = (.*)", line)) and (table, found[2]) not in shown:
            shown[table, found[2]] = (bool(found[1]), found[3])
    assert set(shown) == wanted
    for place, (comment, value) in shown.items():
        default = sources.keys[place].default
        if comment and default is not None:
            assert json.loads(value) == default, place
    for key in ("authserv_id", "verifier", "user", "service"):
        assert f"#{key} = " in path.read_text()


def test_help_comes_at_once():
    code = (
        "import sys\nfrom gre_gateway_email.__main__ import main\n"
        "try: main(['queue', 'list', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('slixmpp', 'sqlalchemy', 'aiohttp', 'structlog') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "words", [[], ["queue"], ["database"], ["users"]], ids=["all", "queue", "database", "users"]
)
def test_without_a_command_all_commands_are_shown(words, capsys):
    from gre_gateway_email.commands.options import parse

    with pytest.raises(SystemExit) as ended:
        parse(words, "1")
    assert ended.value.code == 2
    shown = {"queue": "replay", "database": "restore", "users": "unblock"}.get(" ".join(words), "forget")
    said = capsys.readouterr().err
    assert said.startswith(f"usage: {' '.join(['gre-email-gateway', *words])} ")
    assert re.search(rf"^    {shown} +\w", said, re.MULTILINE)


def test_in_the_usual_place_the_next_commands_need_no_path(tmp_path, capsys, monkeypatch):
    init(tmp_path, *GIVEN)
    assert f"     gre-email-gateway check --config {tmp_path}/gateway.toml\n" in capsys.readouterr().out
    monkeypatch.setattr("gre_gateway_email.commands.init.FOLDER", tmp_path)
    init(tmp_path, *GIVEN, "--force")
    said = capsys.readouterr().out
    assert "     gre-email-gateway check\n" in said
    assert "     gre-email-gateway status\n" in said


def test_the_configuration_may_be_named_before_and_after_the_inner_command(tmp_path, monkeypatch):
    from gre_gateway_email.commands.options import parse

    for words in (["queue", "--config", "a", "list"], ["queue", "list", "--config", "a"]):
        assert parse(words, "1").config == Path("a")
    monkeypatch.setenv("GRE_EMAIL_CONFIG", "b")
    assert parse(["queue", "list"], "1").config == Path("b")


# -- the files that it takes along -----------------------------------------------------------------


def test_promtool_takes_the_alerts(tmp_path):
    promtool = shutil.which("promtool")
    require(promtool, "promtool (apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "rules", DEPLOY / "prometheus-alerts.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def names_of_metrics():
    metrics = Metrics("1")
    names = {"up"}
    for family in metrics.registry.collect():
        names |= {sample.name for sample in family.samples}
        if family.type == "counter":
            names.add(f"{family.name}_total")
        if family.type == "histogram":
            names |= {f"{family.name}_{end}" for end in ("bucket", "count", "sum")}
    return names


METRIC = re.compile(r"\b(?:gre_email|process)_\w+|\bup\b")


def test_the_alerts_use_metrics_that_there_are():
    found = [
        METRIC.findall(line)
        for line in (DEPLOY / "prometheus-alerts.yml").read_text().splitlines()
        if "expr:" in line
    ]
    assert all(found)
    assert {name for line in found for name in line} <= names_of_metrics()


def test_the_dashboard_uses_metrics_that_there_are_and_queries_that_can_be_read(tmp_path):
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    used = {name for query in queries for name in METRIC.findall(query)}
    assert used <= names_of_metrics()
    promtool = shutil.which("promtool")
    require(promtool, "promtool (apt-get install prometheus)")
    rules = tmp_path / "queries.yml"
    plain = [query.replace("$__rate_interval", "5m").replace("$job", ".+") for query in queries]
    rules.write_text(
        json.dumps(
            {
                "groups": [
                    {
                        "name": "g",
                        "rules": [{"record": f"r{n}", "expr": query} for n, query in enumerate(plain)],
                    }
                ]
            }
        )
    )
    done = subprocess.run(
        [promtool, "check", "rules", rules], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_holds_this_version_and_runs_without_rights():
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert f"ARG VERSION={version('gre-gateway-email')}" in lines
    last = len(lines) - lines[::-1].index("FROM $PYTHON")
    assert "USER 10001:10001" in lines[last:]
    assert "VOLUME /var/lib/gre-email-gateway" in lines[last:]
    assert 'ENTRYPOINT ["gre-email-gateway"]' in lines[last:]


def test_systemd_takes_the_unit_and_finds_it_safe(tmp_path):
    analyze = shutil.which("systemd-analyze")
    require(analyze, "systemd-analyze (apt-get install systemd)")
    init(tmp_path, *GIVEN)
    unit = tmp_path / "snippets" / "gre-email-gateway.service"
    verify = subprocess.run(
        [analyze, "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"SYSTEMD_LOG_TARGET": "console"},
    )
    assert "gre-email-gateway.service" not in verify.stderr, verify.stderr
    assert verify.returncode == 0, verify.stderr
    security = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert security.returncode == 0, security.stdout
