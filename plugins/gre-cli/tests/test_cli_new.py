"""``gre new``: what it writes, and what it refuses. The nox session ``packages`` builds and installs it too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from gre_cli.app import app
from typer.testing import CliRunner

if TYPE_CHECKING:
    from pathlib import Path

runner = CliRunner()

COMMON = {
    ".github/workflows/ci.yml",
    ".gitignore",
    "CHANGELOG.md",
    "README.md",
    "pyproject.toml",
    "tests/test_conformance.py",
}
MODULES = {"formatter": {"formatter.py"}, "encrypter": {"encrypter.py", "keys.py"}}
KINDS = sorted(MODULES)


def make(kind: str, into: Path, *words: str, name: str = "my-thing") -> Path:
    done = runner.invoke(app, ["new", kind, name, "--into", str(into), *words])
    assert done.exit_code == 0, done.output
    return into / f"gre-{kind}-{name}"


def refused(*words: str) -> str:
    done = runner.invoke(app, ["new", *words])
    assert done.exit_code == 2, done.output
    scripted = runner.invoke(app, ["new", *words, "--json"])
    assert scripted.exit_code == 2
    return str(json.loads(scripted.stdout)["error"]["text"])


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_whole_package(kind: str, tmp_path: Path) -> None:
    folder = make(kind, tmp_path / "not" / "there" / "yet", "--author", "Zoë O'Neil", "--title", "My, thing")
    module = f"src/gre_{kind}_my_thing"
    own = {"__init__.py", "plugin.py", "py.typed", *MODULES[kind]}
    wanted = COMMON | {f"{module}/{name}" for name in own} | {f"gre-{kind}-my-thing.xml"}
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == wanted
    for name, path in files.items():
        text = path.read_text("utf-8")
        assert not re.search(r"(?<!\$)\{\{|\{%", text), f"{name} holds template code"
        if name.endswith(".py"):
            compile(text, name, "exec")
            assert max(map(len, text.splitlines()), default=0) <= 120
    project = tomllib.loads(files["pyproject.toml"].read_text("utf-8"))["project"]
    assert project["name"] == folder.name
    assert project["entry-points"] == {"gre.v1": {"my-thing": f"gre_{kind}_my_thing.plugin"}}
    assert project["authors"] == [{"name": "Zoë O'Neil", "email": "you@example.org"}]
    assert "gre-core>=0.1,<0.2" in project["dependencies"]
    workflow = files[".github/workflows/ci.yml"].read_text("utf-8")
    assert "${{ matrix.python }}" in workflow


@pytest.mark.parametrize("kind", KINDS)
def test_the_specification_is_what_the_xsf_expects(kind: str, tmp_path: Path) -> None:
    folder = make(kind, tmp_path, "--author", "Zoë van O'Neil")
    text = (folder / f"gre-{kind}-my-thing.xml").read_text("utf-8")
    assert "<!DOCTYPE xep SYSTEM 'xep.dtd'" in text
    without_its_entities = re.sub(r"<!DOCTYPE.*?\]>|&(?!lt;|gt;|#)", "", text, flags=re.DOTALL)
    root = ET.fromstring(without_its_entities.encode())
    header = root.find("header")
    assert header is not None
    assert header.findtext("title") == f"GRE {kind.capitalize()}: My Thing"
    assert header.findtext("author/surname") == "van O'Neil"
    # GRE, "Formatter" and "Encrypter": specifications MUST have these tags
    assert [tag.text for tag in header.iter("tag")] == ["gre", kind]
    assert f"urn:xmpp:gre:{kind}:my-thing:0" in text
    anchors = [section.get("anchor") for section in root.iter("section1")]
    assert anchors[:2] == ["intro", "reqs"]
    # those that the template of the XSF calls required
    wanted = ["disco", "access", "security", "privacy", "iana", "registrar", "schema", "acks"]
    assert anchors[-len(wanted) :] == wanted
    revision = header.find("revision")
    assert revision is not None
    assert date.fromisoformat(str(revision.findtext("date"))) <= datetime.now(UTC).date()
    # What DTD and stylesheet of the XSF know: each element stands where xep-template.xml has it.
    assert [each.tag for each in header][:8] == (
        ["title", "abstract", "number", "status", "type", "sig", "approver", "dependencies"]
    )
    assert {each.tag for each in root.iter("section1") for each in each} <= {
        "p",
        "ul",
        "ol",
        "example",
        "code",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_the_conformance_kit_as_it_is(kind: str, tmp_path: Path) -> None:
    folder = make(kind, tmp_path)
    info = tmp_path / "site" / f"gre_{kind}_my_thing-0.1.0.dist-info"
    info.mkdir(parents=True)
    required = "\n".join(
        f"Requires-Dist: {line}"
        for line in tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    )
    metadata = f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0.1.0\n{required}\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[gre.v1]\nmy-thing = gre_{kind}_my_thing.plugin\n")
    path = os.pathsep.join(map(str, (folder / "src", info.parent)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"^\d\d passed", done.stdout, re.MULTILINE)
    assert "switched off" not in done.stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "a-rather-long-name-for-a-thing"])
def test_linters_find_nothing_in_it(kind: str, name: str, tmp_path: Path) -> None:
    folder = make(kind, tmp_path, name=name)
    for words in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", "."]
        done = subprocess.run(ruff, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_its_types_are_right(kind: str, tmp_path: Path) -> None:
    folder = make(kind, tmp_path)
    mypy = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(mypy, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("no issues found in [45] source files", done.stdout)


def test_what_an_encrypter_keeps_is_under_its_own_name(tmp_path: Path) -> None:
    """The core keeps policy/, outbox/ and others beside it: a short name could be one of these."""
    text = (make("encrypter", tmp_path, name="policy") / "src/gre_encrypter_policy/keys.py").read_text()
    assert '"gre-encrypter-policy/own-key"' in text
    assert 'f"gre-encrypter-policy/contacts/{jid}"' in text


@pytest.mark.skipif(sys.platform == "win32", reason="folders of POSIX")
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = ["new", "formatter", "vault", "--into", str(tmp_path / "file" / "below")]
    done = runner.invoke(app, words)
    assert done.exit_code == 1
    assert "gre-formatter-vault cannot be written: Not a directory. Choose a place" in done.stderr
    error = json.loads(runner.invoke(app, [*words, "--json"]).stdout)["error"]
    assert error["code"] == "cannot-write"


def test_it_says_what_to_do_next(tmp_path: Path) -> None:
    done = runner.invoke(app, ["new", "encrypter", "vault", "--into", str(tmp_path)])
    # installed from a checkout or a wheel, gre-core is taken from there once more
    for word in (
        "cd ",
        "pip install 'gre-core[testing] @ file://",
        '-e ".[test]"',
        "pytest",
        "nobody reviewed",
        "gre-encrypter-vault.xml",
    ):
        assert word in done.stdout
    scripted = runner.invoke(app, ["new", "formatter", "vault", "--into", str(tmp_path), "--json"])
    report = json.loads(scripted.stdout)
    assert report["namespace"] == "urn:xmpp:gre:formatter:vault:0"
    assert "pyproject.toml" in report["files"]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "gre-formatter-vault"
    folder.mkdir()
    (folder / "mine").write_text("keep")
    text = refused("formatter", "vault", "--into", str(tmp_path))
    assert "there already" in text
    assert [path.name for path in folder.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("My_Format", "gre new formatter my-format"),
        ("gre-formatter-vault", "gre new formatter vault"),
        ("7bit", "begins with a letter"),
        ("a--b", "gre new formatter a-b"),
        ("a-", "gre new formatter a"),
        ("../evil", "gre new formatter evil"),
        ("é", "gre new formatter e"),
        ("Ünï", "gre new formatter uni"),
        ("gre-vault", "Leave out what comes before it"),
        ("GRE Formatter Vault", "gre new formatter vault"),
        ("日本", "small letters"),
        ("", "small letters"),
        ("a" * 65, "64 characters"),
        ("a\n", "gre new formatter a"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, advice: str, tmp_path: Path) -> None:
    assert advice in refused("formatter", name, "--into", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("--title", 'a "quoted" title'),
        ("--title", "a\nb"),
        ("--title", ""),
        ("--author", "<b>"),
        ("--author", "back\\slash"),
        ("--email", "nobody"),
        ("--email", 'a"@example.org'),
    ],
)
def test_texts_that_would_break_the_files_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    assert "cannot be used" in (text := refused("formatter", "vault", "--into", str(tmp_path), *words)) or (
        "no mail address" in text
    )
    assert not list(tmp_path.iterdir())


def test_every_name_makes_a_class() -> None:
    from gre_cli.new.writing import Plan

    plan = Plan.checked("formatter", "a1-b2", None, "Zoë", "z@example.org")
    assert (plan.title, plan.distribution) == ("A1 B2", "gre-formatter-a1-b2")
