"""The site says all of it: every module, name, hook, option and error; every requirement with the tests that prove it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_spec = importlib.util.spec_from_file_location("made", DOCS / "_ext" / "made.py")
assert _spec is not None
assert _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
sys.modules["made"] = made
_spec.loader.exec_module(made)

MACHINERY = re.compile(
    r"gre_core\.(testing\.(conformance|loopback)\.\w+(\.\w+)?|testing\.worker_calls|worker\.child|__main__)"
)
"""Machinery of the kit and the loopback server: what they offer stands on pages of its own."""


def api_pages() -> str:
    return "\n".join(page.read_text("utf-8") for page in (DOCS / "reference" / "api").glob("*.md"))


# -- the API -----------------------------------------------------------------------------------------


def test_every_module_of_the_core_has_a_place_in_the_api() -> None:
    shown = re.findall(r"<!-- made: module (\S+) -->", api_pages())
    assert len(shown) == len(set(shown))
    modules = set(made.modules_of("gre_core"))
    assert set(shown) <= modules, "a module that is gone"
    wanted = {name for name in modules if not MACHINERY.fullmatch(name)} - {"gre_core.hookspecs"}
    assert wanted - set(shown) == set(), "put it on a page of docs/reference/api"


def public_names(path: Path) -> list[tuple[str, str | None]]:
    """Give (name, docstring) of all public classes, functions and methods of a file."""
    found = []

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
                if node.name.startswith("_") or decorators & {"overload", "setter", "override"}:
                    continue
                found.append((prefix + node.name, ast.get_docstring(node)))
                if isinstance(node, ast.ClassDef):
                    walk(node.body, f"{prefix}{node.name}.")

    walk(ast.parse(path.read_text("utf-8")).body, "")
    return found


@pytest.mark.parametrize("package", made.PACKAGES)
def test_every_public_name_has_a_docstring(package: str) -> None:
    folder = Path(str(importlib.import_module(package).__file__)).parent
    missing = [
        f"{path.relative_to(folder)}: {name}"
        for path in sorted(folder.rglob("*.py"))
        if not {"conformance", "template"} & set(path.relative_to(folder).parts)
        for name, text in public_names(path)
        if not text
    ]
    assert missing == []


# -- hooks, options, errors --------------------------------------------------------------------------


def test_every_hook_has_a_section_with_an_example() -> None:
    from gre_core import hookspecs

    page = (DOCS / "reference" / "hooks.md").read_text("utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("gre_")]
    assert hooks
    for name in hooks:
        section = re.search(rf"^## `{name}`\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
        assert section, name
        assert f"def {name}():" in section[1], name


def test_every_error_says_what_to_do() -> None:
    told = made.advice()
    names = {one.__name__ for one in made.error_classes().values()}
    assert len(names) > 40
    assert names - set(told) == set(), "write what to do about it into docs/reference/errors.toml"
    assert set(told) - names == set(), "errors that are gone"
    assert all(text.endswith(".") for text in told.values())
    for one in made.error_classes().values():
        assert inspect.getdoc(one), one


@pytest.mark.parametrize("what", ["data", "attribute", "property"])
def test_what_stands_before_a_colon_is_no_type(what: str) -> None:
    before, after = made._as_written()
    lines = ["Name what it calls, as ``module:function``."]
    before(None, what, "a.b", None, None, lines)
    lines[:] = ["function``.", "", ":type: Name what it calls, as ``module"]  # as napoleon does
    after(None, what, "a.b", None, None, lines)
    assert lines == ["Name what it calls, as ``module:function``."]


def test_no_line_cuts_an_option_at_its_dashes() -> None:
    page = "Give `--yes`, or ``--no``.\n```console\n$ x `--yes`\n```\nNot `--all`{.option} twice."
    source = [page]
    made._read(None, "", source)
    assert source == [page.replace("`--yes`,", "`--yes`{.option},")]


def test_options_of_many_commands_are_told_once() -> None:
    page = made.options("gre")
    assert page.count("Log in without TLS: only to a server on this machine.") == 1
    assert "[As most commands](#options-of-most-commands): " in page


def test_every_option_of_gre_has_a_text() -> None:
    commands = made.gre_commands()
    assert {"gre send", "gre keys make"} <= set(commands)
    for words, command in commands.items():
        assert command.help, words
        for one in command.params:
            assert one.help, f"{words} {one.opts or one.name}"
    page = made.options("gre")
    assert all(
        f"`{option}`" in page
        for each in commands.values()
        for one in each.params
        for option in one.opts
        if one.param_type_name == "option"
    )


def test_every_option_of_the_gateway_has_a_text() -> None:
    parsers = made.gateway_parsers()
    assert {"gre-email-gateway run", "gre-email-gateway queue replay"} <= set(parsers)
    page = made.made((ROOT / "docs" / "reference" / "gateway-command.md").read_text("utf-8"))
    for words, parser in parsers.items():
        for action in parser._actions:
            if action.option_strings:
                assert action.help, f"{words} {action.option_strings}"
                assert "--help" in action.option_strings or f"`{action.option_strings[-1]}`" in page


def test_every_argument_has_a_text() -> None:
    for words, parser in made.gateway_parsers().items():
        for action in parser._actions:
            assert action.help or action.metavar in {"COMMAND", "ACTION"}, f"{words} {action.dest}"


def gre_lines() -> list[tuple[str, list[str]]]:
    """Give every call of ``gre`` in a block for a shell, with its place."""
    found = []
    for page in [*pages(), ROOT / "README.md", *ROOT.glob("plugins/*/README.md")]:
        for block in re.findall(
            r"^```(?:console|sh)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            for line in block.replace("\\\n", " ").splitlines():
                call = re.match(r"(?:\$ )?gre ([^|<>]*)", line)
                if call:
                    found.append((f"{page.relative_to(ROOT)}: {line}", shlex.split(call[1], comments=True)))
    return found


def test_every_call_of_gre_on_the_pages_can_be_typed() -> None:
    import click

    known = made.gre_commands()
    found = gre_lines()
    assert len(found) >= 20
    for place, words in found:
        command = "gre"
        while words and f"{command} {words[0]}" in known:
            command = f"{command} {words.pop(0)}"
        context = click.Context(known[command], info_name=command)
        try:
            known[command].make_parser(context).parse_args(list(words))
        except click.ClickException as error:
            pytest.fail(f"{place}: {error.format_message()}")
        assert command != "gre" or words == ["--version"], place


# -- configuration, environment ----------------------------------------------------------------------


def test_every_key_of_the_gateways_configuration_is_in_its_table(tmp_path: Path) -> None:
    from gre_gateway_email.config.loading import read

    file = tmp_path / "gateway.toml"
    file.write_text('[xmpp]\ndomain = "m.example"\nsecret = "s"\n[users]\n"a@b.example" = "a@x.example"\n')
    page = made.made((DOCS / "reference" / "configuration.md").read_text("utf-8"))
    told: dict[str, str] = {}
    table = ""
    for name, keys, meaning in re.findall(
        r"^\| (?:`\[(\w+)\]`)? ?\| (.*?) \| .*? ?\| ?(.*) \|$", page, re.MULTILINE
    ):
        table = name or table
        assert meaning, f"[{table}] {keys} says nothing"
        told |= {f"{table}.{key}": meaning for key in re.findall(r"`(\w+)`", keys)}
    known = {f"{key.table}.{key.name}" for key in read(file, {})[1].keys.values() if key.table != "users"}
    assert len(known) > 40
    assert known - set(told) == set(), "write it into the README of gre-gateway-email"


def test_every_key_of_the_configuration_of_gre_is_shown() -> None:
    from gre_cli.settings import _KEYS

    page = made.section("gre-cli A real account")
    shown: dict[str, str] = dict(re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|^```)", page, re.MULTILINE | re.DOTALL))
    assert set(shown) == set(_KEYS)
    for table, keys in _KEYS.items():
        for key in keys:
            assert re.search(rf"\b{key} = ", shown[table]), f"[{table}] {key}"


def test_every_variable_of_the_environment_stands_on_a_page() -> None:
    pages = "\n".join((ROOT / "plugins" / name / "README.md").read_text("utf-8") for name in made.PLUGINS)
    for path in [*ROOT.glob("gre_core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]:
        if "testing" not in path.parts and "template" not in path.parts:
            for name in re.findall(r"[\"']\b(GRE_[A-Z_]+[A-Z])\b", path.read_text("utf-8")):
                assert f"`{name}" in pages, f"{path.relative_to(ROOT)}: {name}"


def test_every_wish_for_a_plugin_stands_on_its_page() -> None:
    from gre_cli.settings import _OPTIONS

    pages = "\n".join((ROOT / "plugins" / name / "README.md").read_text("utf-8") for name in made.PLUGINS)
    assert all(f'"{option}"' in pages for option in _OPTIONS.values())


# -- requirements ------------------------------------------------------------------------------------


def names_in(path: Path) -> set[str]:
    """Give the names of the tests of a file, those within classes too."""
    tree = ast.parse(path.read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")}


def test_every_requirement_names_tests_that_exist() -> None:
    known = made.spec_tests()
    named = {key for one in made.requirements() for key in one.get("spec", [])}
    assert named - set(known) == set(), "requirements without a test"
    assert set(known) - named == set(), "name the requirement in docs/explanation/requirements.toml"
    for one in made.requirements():
        assert one["source"] in {"gre", "mime", "openpgp", "ox"}
        assert ("done" in one) != ("not_done" in one), one["wanted"]
        assert "not_done" in one or one.get("spec") or one.get("tests"), one["wanted"]
        for test in one.get("tests", []):
            path, _, name = test.partition("::")
            assert (ROOT / path).is_file(), test
            assert name in names_in(ROOT / path), test


def test_all_specifications_are_shown_with_their_tests() -> None:
    page = made.made((DOCS / "explanation" / "specifications.md").read_text("utf-8"))
    for names in made.spec_tests().values():
        for name in names:
            assert f"`{name}`" in page
    for one in made.requirements():
        assert one["wanted"] in page.replace("&lt;", "<")
        assert one.get("done", one.get("not_done")) in page
        assert all(f"`{name}`" in page for name in one.get("tests", []))


# -- pages -------------------------------------------------------------------------------------------


def pages() -> list[Path]:
    return [
        page
        for page in sorted(DOCS.rglob("*.md"))
        if not {"_build", "_made"} & set(page.parts) and not page.match("docs/plugins/gre-*.md")
    ]


def test_every_marker_is_known() -> None:
    found = [name for page in pages() for name, _ in made.MARKER.findall(page.read_text("utf-8"))]
    assert {*found, "readme"} == set(made.MAKERS)
    for page in pages():
        assert len(made.MARKER.findall(text := page.read_text("utf-8"))) == text.count("<!-- made:"), page


def test_every_plugin_is_in_the_directory_with_its_readme() -> None:
    table = made.directory("")
    assert made.PLUGINS
    for name in made.PLUGINS:
        assert f"[{name}]({name}.md)" in table
        assert made.readme(name).startswith(f"# {name}")


@pytest.mark.parametrize("page", [*pages(), ROOT / "README.md", *ROOT.glob("plugins/*/README.md")], ids=str)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for _, _, target in made.LINK.findall(text):
        path = target.partition("#")[0]
        if path and "://" not in path and "_made" not in path and not path.startswith("mailto:"):
            there = page.parent / path
            plugin = there.name.removesuffix(".md") in made.PLUGINS
            assert there.exists() or plugin, f"{page.relative_to(ROOT)}: {target}"


def test_words_of_the_glossary_stand_in_order() -> None:
    page = (DOCS / "reference" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^(\w[^\n]*)\n  \w", page, re.MULTILINE)
    assert len(words) > 25
    assert sorted(words, key=str.casefold) == words
