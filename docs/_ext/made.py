"""What the pages of the site take from the code, so that nothing is pasted: Sphinx calls it for each page.

A page says where: ``<!-- made: errors -->`` stands for the text that :func:`errors` gives. The file itself stays
as it is; a reader of the repository sees the sentence before the marker.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
MARKER = re.compile(r"<!-- made: (\w+)(?: (.*?))? -->")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
OPTION = re.compile(
    r"^(?P<fence>`{3,}).*?^(?P=fence)$|(?<!`)`(?P<option>--[a-z][\w-]*)`(?![`{])", re.MULTILINE | re.DOTALL
)
"""An option in a sentence, which no line may cut at its dashes; blocks of code are passed over."""

NO_ERRORS_IN = re.compile(r"\.(__main__|worker\.child|testing|migrations|template)\b")
"""Programs, and what only runs within another program."""

PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
CORE = "gre-core"
SHARED = 6
"""An option of so many commands of ``gre``, with the same text, is told once."""

NEWS = {"removal": "Gone or changed", "feature": "New", "bugfix": "Mended", "doc": "Documentation"}
PACKAGES = ("gre_core", *(name.replace("-", "_") for name in PLUGINS))


# -- what is in the code -----------------------------------------------------------------------------


def modules_of(package: str) -> list[str]:
    """Give the names of a package's modules; those of its tests and vectors are none of them."""
    found = importlib.import_module(package)
    return [package, *(each.name for each in pkgutil.walk_packages(found.__path__, f"{package}."))]


def error_classes() -> dict[str, type]:
    """Give all errors of all packages, by their qualified names."""
    from gre_core.errors import GreError

    for package in PACKAGES:
        for name in modules_of(package):
            if not NO_ERRORS_IN.search(name):
                importlib.import_module(name)
    found: dict[str, type] = {}
    todo: list[type] = [GreError]
    while todo:
        one = todo.pop(0)
        ours = one.__module__.partition(".")[0] in PACKAGES and not NO_ERRORS_IN.search(one.__module__)
        if ours and not one.__name__.startswith("_"):
            found.setdefault(f"{one.__module__}.{one.__name__}", one)
        todo += one.__subclasses__()
    return found


def advice() -> dict[str, str]:
    """Give what to do about each error, by the name of its class."""
    return tomllib.loads((DOCS / "reference" / "errors.toml").read_text("utf-8"))


def gateway_parsers() -> dict[str, argparse.ArgumentParser]:
    """Give the parsers of ``gre-email-gateway`` by command."""
    from gre_gateway_email.commands import options

    with mock.patch.dict(os.environ, {"GRE_EMAIL_CONFIG": ""}):
        top = options.make_parser("")
    found = {}

    def walk(words: str, parser: argparse.ArgumentParser) -> None:
        found[words] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    walk(f"{words} {name}", inner)

    walk("gre-email-gateway", top)
    return found


def gre_commands() -> dict[str, Any]:
    """Give the commands of ``gre`` with the words that call them."""
    import typer
    from gre_cli.app import app

    found: dict[str, Any] = {}

    def walk(words: str, command: Any) -> None:
        found[words] = command
        for name, inner in getattr(command, "commands", {}).items():
            walk(f"{words} {name}", inner)

    walk("gre", typer.main.get_command(app))
    return found


def requirements() -> list[dict[str, Any]]:
    """Give the requirements of the specifications, with the tests that prove each."""
    found: list[dict[str, Any]] = tomllib.loads(
        (DOCS / "explanation" / "requirements.toml").read_text("utf-8")
    )["requirement"]
    return found


def spec_tests() -> dict[str, list[str]]:
    """Give the tests of ``tests/spec``, as file::name, by the requirement in their names (``D1``)."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests" / "spec").glob("test_*.py")):
        for name, key in re.findall(r"^def (test_([A-Z]\d)_\w+)", path.read_text("utf-8"), re.MULTILINE):
            found.setdefault(key, []).append(f"tests/spec/{path.name}::{name}")
    return found


# -- what is shown -----------------------------------------------------------------------------------


def errors(_: str) -> str:
    """Tables of all errors: code, meaning, what to do."""
    told, lines = advice(), []
    package = ""

    def place(one: type) -> tuple[str, str, int]:
        order = list(vars(importlib.import_module(one.__module__)))
        package = one.__module__.partition(".")[0]
        return package.replace("gre_core", ""), one.__module__, order.index(one.__name__)

    for one in sorted(error_classes().values(), key=place):
        found = one.__module__.partition(".")[0]
        if package != found:
            package = found
            lines += ["", f"## `{package}`", "", "| error | what happened | what to do |", "|---|---|---|"]
        meaning, code = _first_paragraph(one.__doc__), getattr(one, "code", "")
        lines.append(f"| `{one.__name__}`<br>`{code}` | {meaning} | {told[one.__name__]} |")
    return "\n".join(lines)


def options(program: str) -> str:
    """All commands and options of ``gre`` or ``gre-email-gateway``."""
    return "\n".join(_gre() if program == "gre" else _gateway())


def _gre() -> Iterator[str]:
    """Give the options of many commands once, so that those of each one can be seen."""
    found = {words: _gre_rows(command) for words, command in gre_commands().items()}
    times = Counter(row for rows in found.values() for row in rows)
    shared = [row for row, number in times.items() if number >= SHARED and row[0].startswith("`--")]
    yield from (
        "",
        "## Options of most commands",
        "",
        "The section of each command names those that it takes.",
        "",
    )
    yield from _table(shared)
    for words, rows in found.items():
        yield from ("", f"## `{words}`", "", _rst(gre_commands()[words].help or ""), "")
        yield from _table([row for row in rows if row not in shared])
        also = [names.partition(", ")[0] for names, text in rows if (names, text) in shared]
        if also:
            yield from ("", f"[As most commands](#options-of-most-commands): {', '.join(also)}.")


def _gre_rows(command: Any) -> list[tuple[str, str]]:
    rows = []
    for one in command.params:
        names = _names([*one.opts, *one.secondary_opts])
        if getattr(one, "param_type_name", "") == "argument":
            names = _names([one.metavar or one.name.upper()])
        text = _rst(getattr(one, "help", "") or "")
        rows.append((names, f"{text} Or `{one.envvar}`." if one.envvar else text))
    return rows


def _gateway() -> Iterator[str]:
    for words, parser in gateway_parsers().items():
        about, _, examples = (parser.description or "").partition("\nexamples:\n")
        yield from ("", f"## `{words}`", "", _rst(about), "")
        if examples:
            yield from ("```console", *(f"$ {line.strip()}" for line in examples.splitlines()), "```", "")
        rows = []
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
                continue
            if "--config" in action.option_strings:  # of all but one: the page says so
                continue
            rows.append(
                (
                    _names(action.option_strings or [str(action.metavar or action.dest)]),
                    _rst(action.help or ""),
                )
            )
        yield from _table(rows)


def section(words: str) -> str:
    """One section of a README, without its heading: ``section gre-cli A real account``."""
    name, _, heading = words.partition(" ")
    text = (ROOT / "plugins" / name / "README.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{name} has no section {heading!r}")
    return _linked(found[1], name, DOCS / "reference")


def readme(name: str) -> str:
    """The README of a plugin, with its links as the site needs them."""
    return _linked((ROOT / "plugins" / name / "README.md").read_text("utf-8"), name, DOCS / "plugins")


def directory(_: str) -> str:
    """The plugins with what each provides."""
    lines = ["| package | what it is | provides |", "|---|---|---|"]
    for name in PLUGINS:
        project = tomllib.loads((ROOT / "plugins" / name / "pyproject.toml").read_text("utf-8"))["project"]
        points = project.get("entry-points", {})
        provided = [f"`{group}`: {', '.join(each)}" for group, each in points.items()]
        provided += [f"command `{each}`" for each in project.get("scripts", {})]
        lines.append(
            f"| [{name}]({name}.md) | {project['description']} | {'; '.join(provided) or 'a library'} |"
        )
    return "\n".join(lines)


def proofs(source: str) -> str:
    """The requirements of one specification, each with its tests."""
    lines, tests, topic = [], spec_tests(), ""
    for one in requirements():
        if one["source"] != source:
            continue
        if topic != one["section"]:
            topic = one["section"]
            lines += ["", f"### {topic}", ""]
        names = [name for key in one.get("spec", []) for name in tests[key]]
        names += one.get("tests", [])
        wanted = one["wanted"] if one["level"] == "beyond" else one["wanted"].replace("<", "&lt;")
        lines += [f"> **{one['level']}**: {wanted}", ""]
        lines += [one["done"] if "done" in one else f"**Not done.** {one['not_done']}", ""]
        if names:
            shown = "\n".join(f"- `{name}`" for name in names)
            title = f"{len(names)} {'test' if len(names) == 1 else 'tests'}"
            lines += [f"<details><summary>{title}</summary>\n\n{shown}\n\n</details>", ""]
    return "\n".join(lines)


CHOSEN = '{ "urn:xmpp:gre:encrypter:openpgp:0" = "gre-encrypter-openpgp" }'
"""All packages are installed here, and two of them serve OpenPGP."""


def screen(command: str) -> str:
    """What a command shows, run when the site is built."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "gre" / "config.toml"
        config.parent.mkdir()
        config.write_text(f"[plugins]\nprefer = {CHOSEN}\n", "utf-8")
        env = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home, "COLUMNS": "88"}
        words = [sys.executable, "-m", "gre_cli", *command.split()[1:]]
        done = subprocess.run(words, capture_output=True, text=True, env=env, check=True, timeout=300)
    text = re.sub(re.escape(sys.prefix), ".venv", done.stdout.replace(home, "~"))
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return f"```console\n$ {command}\n{text}\n```"


def news(_: str) -> str:
    """What comes with the next version of each package: its fragments, by kind."""
    lines: list[str] = []
    for name in (CORE, *PLUGINS):
        fragments = {kind: sorted((ROOT / ".changes" / name).glob(f"*.{kind}.md")) for kind in NEWS}
        if any(fragments.values()):
            lines += ["", f"## {name}, not released yet", ""]
        for kind, heading in NEWS.items():
            if fragments[kind]:
                lines += ["", f"### {heading}", ""]
                lines += [f"- {' '.join(path.read_text('utf-8').split())}" for path in fragments[kind]]
    return "\n".join(lines)


def face(_: str) -> str:
    """The names of ``gre_core`` itself, with what each is."""
    import gre_core

    rows = [(f"`{name}`", _first_paragraph(getattr(gre_core, name).__doc__)) for name in gre_core.__all__]
    return "\n".join(_table(rows, "name"))


def module(name: str) -> str:
    """The documentation of a module, from its docstrings."""
    return f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n   :show-inheritance:\n```"


MAKERS: dict[str, Callable[[str], str]] = {
    each.__name__: each
    for each in (errors, options, section, readme, directory, proofs, screen, news, face, module)
}


def made(text: str) -> str:
    """Put what is made into the places of the markers."""
    return MARKER.sub(lambda found: MAKERS[found[1]](found[2] or ""), text)


# -- parts -------------------------------------------------------------------------------------------


def _first_paragraph(text: str | None) -> str:
    return _rst((text or "").strip().partition("\n\n")[0])


def _rst(text: str) -> str:
    """Docstrings and help in Markdown: double backticks, line breaks, roles."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    text = re.sub(r"(?<![`\w-])(--[a-z][\w-]*)(?!`)", r"`\1`", text)  # two dashes would become one
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.replace("\b", "")).replace("|", "\\|").strip()


def _names(words: Sequence[str]) -> str:
    return ", ".join(f"`{each}`{{.option}}".replace("|", "\\|") for each in words)


def _table(rows: list[tuple[str, str]], head: str = "option") -> Iterator[str]:
    if rows:
        yield from (f"| {head} | |", "|---|---|")
        yield from (f"| {names} | {text} |" for names, text in rows)


def _linked(text: str, plugin: str, page_folder: Path) -> str:
    """Links of a README, seen from another folder. What is not on the site keeps its words only."""

    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        real = (ROOT / "plugins" / plugin / path).resolve()
        if real.name == "README.md" and real.parent.name in PLUGINS:
            real = DOCS / "plugins" / f"{real.parent.name}.md"
        if not real.is_relative_to(DOCS):
            return words
        anchored = f"#{anchor}" if anchor else ""
        return f"{picture}[{words}]({os.path.relpath(real, page_folder)}{anchored})"

    return LINK.sub(link, text)


def _read(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = OPTION.sub(
        lambda found: f"{found[0]}{{.option}}" if found["option"] else found[0], made(source[0])
    )


def _begin(_: Sphinx) -> None:
    """Make a page for each plugin, and the picture of the demo."""
    for name in PLUGINS:
        page, text = DOCS / "plugins" / f"{name}.md", f"<!-- made: readme {name} -->\n"
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
    picture = DOCS / "_made" / "demo.svg"
    picture.parent.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "gre_cli", "demo", "--svg", str(picture)]
    with contextlib.suppress(FileNotFoundError):
        picture.unlink()
    subprocess.run(words, check=True, capture_output=True, timeout=600)


def _signature(_: Sphinx, what: str, __: str, one: Any, *___: object) -> tuple[str, None] | None:
    """Show no arguments of a class that nobody can construct: typing gives Protocols ``(*args, **kwargs)``."""
    return ("", None) if what == "class" and getattr(one, "_is_protocol", False) else None


def _as_written() -> tuple[Callable[..., None], Callable[..., None]]:
    """Keep the docstring of a constant or property as it is: napoleon takes what stands before a colon for its type."""
    kept: dict[str, list[str]] = {}

    def before(_: Sphinx, what: str, name: str, *others: Any) -> None:
        if what in {"data", "attribute", "property"}:
            kept[name] = list(others[-1])

    def after(_: Sphinx, __: str, name: str, *others: Any) -> None:
        if name in kept:
            others[-1][:] = kept.pop(name)

    return before, after


def _without_object(_: Sphinx, tree: Any) -> None:
    """Take out the lines that say that a class is an object."""

    def is_one(node: Any) -> bool:
        return bool(node.tagname == "paragraph" and node.astext() == "Bases: object")

    for one in list(tree.findall(is_one)):
        one.parent.remove(one)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("builder-inited", _begin)
    app.connect("source-read", _read)
    app.connect("autodoc-process-signature", _signature)
    before, after = _as_written()
    app.connect("autodoc-process-docstring", before, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", after, priority=600)
    app.connect("doctree-read", _without_object)
    return {"parallel_read_safe": True}
