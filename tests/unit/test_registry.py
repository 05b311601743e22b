"""The registry, with plugins installed as real ones are: a dist-info folder on sys.path."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING
from unittest.mock import Mock, sentinel

import pytest

from gre_core import namespaces, registry
from gre_core.api import DataProvider, EncrypterProvider, FormatterProvider, hookimpl
from gre_core.errors import (
    AmbiguousProvider,
    InvalidNamespace,
    NoProvider,
    PluginContractError,
    PluginError,
    PluginLoadError,
)
from gre_core.registry import Plugins, package_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIME = namespaces.formatter("mime")
GOOD = """
from gre_core.api import FormatterProvider, formatter, hookimpl
class F:
    def format(self, message, job): return b''
    def parse(self, payload, job): return None
@hookimpl
def gre_formatters():
    return [FormatterProvider(formatter('mime'), F, title='GRE Formatter: MIME')]
"""
HEAD = """
from gre_core.api import *
class F:
    def format(self, message, job): return b''
    def parse(self, payload, job): return None
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Give a function that installs a distribution with one module into a folder on sys.path."""
    before = set(sys.modules)
    serial = itertools.count()

    def install(
        dist: str, source: str, *, folder: str = "site", version: str = "1.2", points: str | None = None
    ) -> Path:
        site = tmp_path / folder
        site.mkdir(exist_ok=True)
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(str(site))
        module = f"plugin_under_test_{next(serial)}_{abs(hash(str(tmp_path)))}"
        (site / f"{module}.py").write_text(source)
        info = site / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        text = points if points is not None else "main = MODULE"
        (info / "entry_points.txt").write_text("[gre.v1]\n" + text.replace("MODULE", module))
        return info

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("plugin_under_test_"):
            del sys.modules[name]


def found(*dists: str, **options: object) -> Plugins:
    """Discover only the given distributions: those of the workspace are installed as well."""
    return Plugins.discover(allow=dists, **options)  # type: ignore[arg-type]


def test_a_plugin_is_found_and_described(install: Callable[..., Path]) -> None:
    install("Gre.Formatter_Nice", GOOD)
    plugins = found("gre-formatter-nice")
    (plugin,) = plugins.loaded
    assert (plugin.id, plugin.version) == ("gre-formatter-nice:main", "1.2")
    assert plugin.formatters == plugins.formatters == (MIME,)
    assert (plugins.encrypters, plugins.problems, plugins.data_providers) == ((), (), ())
    assert plugins.source(MIME) is plugin
    assert plugins.provider(MIME).title == "GRE Formatter: MIME"


def test_an_object_is_made_once(install: Callable[..., Path]) -> None:
    install("a", GOOD)
    plugins = found("a")
    assert plugins.formatter(MIME) is plugins.formatter(MIME)


def test_without_allow_list_everything_in_the_group_is_found(install: Callable[..., Path]) -> None:
    install("zz-extra", GOOD.replace("'mime'", "'zz-extra'"))
    assert namespaces.formatter("zz-extra") in Plugins.discover().formatters


def test_the_allow_list_prevents_the_import(install: Callable[..., Path], tmp_path: Path) -> None:
    install("evil", f"open({str(tmp_path / 'ran')!r}, 'w')\n{GOOD}")
    install("fine", GOOD)
    plugins = found("Fine")
    assert plugins.formatters == (MIME,)
    assert "evil:main" in plugins.skipped
    assert not (tmp_path / "ran").exists()
    found("evil:main")
    assert (tmp_path / "ran").exists()


def test_the_allow_list_can_name_one_entry_point(install: Callable[..., Path]) -> None:
    install("two", GOOD, points="a = MODULE\nb = no_such_module_at_all")
    assert found("two:a").problems == ()
    assert [problem.plugin for problem in found("two:b").problems] == ["two:b"]


@pytest.mark.parametrize(
    ("source", "stage", "text"),
    [
        ("raise ValueError('at import\\nsecond line')", "load", "ValueError: at import second line"),
        ("import no_such_module_at_all", "load", "no_such_module_at_all"),
        ("syntax error here", "load", "SyntaxError"),
        ("import sys; sys.exit(3)", "load", "SystemExit: 3"),
        ("class Panic(BaseException): pass\nraise Panic", "load", "Panic"),
        (
            "class Odd(Exception):\n    def __str__(self): raise KeyError\nraise Odd",
            "load",
            "Odd",
        ),
        (HEAD + "@hookimpl\ndef gre_formatters(): 1 / 0", "hook", "gre_formatters failed: ZeroDivisionError"),
        (HEAD + "@hookimpl\ndef gre_formatters(): raise SystemExit", "hook", "SystemExit"),
        (
            HEAD + "@hookimpl\ndef gre_formatters():\n"
            "    yield FormatterProvider(formatter('mime'), F)\n    raise OSError('half-way')",
            "hook",
            "half-way",
        ),
        (HEAD + "@hookimpl\ndef gre_formatters(): return 7", "hook", "not iterable"),
        (HEAD + "@hookimpl\ndef gre_formatters(): pass", "contract", "None"),
        (HEAD + "@hookimpl\ndef gre_formatters(): return 'a'", "contract", "gave str"),
        (HEAD + "@hookimpl\ndef gre_formatters():\n    while True: yield 1", "contract", "more than 256"),
        (HEAD + "@hookimpl\ndef gre_formatters(wrong): return []", "contract", "wrong"),
        (HEAD + "@hookimpl\ndef gre_cipher(): return []", "contract", "no hook gre_cipher"),
        (HEAD + "def gre_formatters(): return []", "contract", "it has no hooks"),
        (
            HEAD + "@hookimpl\ndef gre_formatters(): return [EncrypterProvider(encrypter('x'), F)]",
            "contract",
            "EncrypterProvider instead of FormatterProvider",
        ),
        (
            HEAD + "@hookimpl\ndef gre_formatters(): return [FormatterProvider(encrypter('x'), F)]",
            "contract",
            "of the other kind",
        ),
        (
            HEAD
            + "@hookimpl\ndef gre_encrypters(): return [EncrypterProvider('urn:xmpp:gre:encrypter:x:0', F)]",
            "contract",
            "is str, not Namespace",
        ),
        (
            HEAD + "@hookimpl\ndef gre_formatters(): return [FormatterProvider(formatter('x'), 'F')]",
            "contract",
            "cannot be called",
        ),
        (
            HEAD + "@hookimpl\ndef gre_data_fields(): return [DataProvider('a{b}', F)]",
            "contract",
            "not a text that can own data fields",
        ),
        (
            HEAD + "@hookimpl\ndef gre_formatters(): return [FormatterProvider(formatter('mime'), F)] * 1 "
            "+ [FormatterProvider(formatter('mime'), F, 'again')]",
            "contract",
            "twice",
        ),
    ],
)
def test_a_broken_plugin_is_a_problem_and_stops_no_other(
    install: Callable[..., Path], source: str, stage: str, text: str
) -> None:
    install("bad", source)
    install("good", GOOD.replace("'mime'", "'good'"))
    plugins = found("bad", "good")
    assert namespaces.formatter("good") in plugins.formatters
    (problem,) = plugins.problems
    assert (problem.plugin, problem.version, problem.stage) == ("bad:main", "1.2", stage)
    assert text in problem.error
    assert "\n" not in problem.error
    assert problem.hint
    with pytest.raises(ExceptionGroup) as caught:
        found("bad", "good", strict=True)
    (error,) = caught.value.exceptions
    assert isinstance(error, PluginError)
    assert "bad:main" in error.text
    assert error.__cause__ is None or type(error.__cause__).__name__ in problem.error


def test_a_failing_hook_does_not_hide_the_other_hooks_of_its_plugin(install: Callable[..., Path]) -> None:
    install("half", GOOD + "\n@hookimpl\ndef gre_encrypters(): 1 / 0\n@hookimpl\ndef gre_new(): return []")
    plugins = found("half")
    assert plugins.formatters == (MIME,)
    assert [problem.stage for problem in plugins.problems] == ["hook", "contract"]


def test_a_hook_of_a_later_core_may_be_marked_optional(install: Callable[..., Path]) -> None:
    install("later", GOOD + "\n@hookimpl(optionalhook=True)\ndef gre_later(): return []")
    assert found("later").problems == ()


def test_ctrl_c_during_an_import_passes(install: Callable[..., Path]) -> None:
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        found("slow")


@pytest.mark.parametrize(
    ("make", "stage", "text"),
    [
        ("lambda: 1 / 0", "make", "ZeroDivisionError"),
        ("exit", "make", "SystemExit"),
        ("lambda: None", "contract", "NoneType lacks format, parse"),
        ("lambda: F", "contract", "is a class"),
        ("lambda: type('Half', (), {'format': print})()", "contract", "Half lacks parse"),
    ],
)
def test_what_cannot_be_made_is_a_problem_and_nothing_else_is_taken(
    install: Callable[..., Path], make: str, stage: str, text: str
) -> None:
    install(
        "bad", HEAD + f"@hookimpl\ndef gre_formatters(): yield FormatterProvider(formatter('mime'), {make})"
    )
    install("good", GOOD)
    plugins = found("bad", "good", prefer={MIME: "bad"})
    assert not plugins.problems
    expected = PluginContractError if stage == "contract" else PluginLoadError
    for _ in range(2):
        with pytest.raises(expected, match="bad:main") as caught:
            plugins.formatter(MIME)
        assert text in caught.value.text
    assert [problem.stage for problem in plugins.problems] == [stage]
    assert plugins.formatters == (MIME,), "negotiation must not step aside to another formatter"


def test_two_providers_never_choose_themselves(install: Callable[..., Path]) -> None:
    install("gre-one", GOOD, version="1.0")
    install("gre-two", GOOD, version="2.0")
    plugins = found("gre-one", "gre-two")
    with pytest.raises(AmbiguousProvider) as caught:
        plugins.formatter(MIME)
    for part in ("gre-one:main 1.0", "gre-two:main 2.0", "prefer=", str(MIME)):
        assert part in caught.value.text
    (problem,) = plugins.problems
    assert problem.stage == "ambiguous"
    assert {"gre-one:main", "gre-two:main"} == set(problem.plugin.split(", "))


@pytest.mark.parametrize("preferred", ["gre-two", "Gre_Two", "gre-two:main"])
def test_prefer_decides_between_two_providers(install: Callable[..., Path], preferred: str) -> None:
    install("gre-one", GOOD)
    install("gre-two", GOOD)
    plugins = found("gre-one", "gre-two", prefer={str(MIME): preferred})
    assert not plugins.problems
    assert plugins.source(MIME).distribution == "gre-two"
    assert type(plugins.formatter(MIME)).__module__ == type(plugins.provider(MIME).make()).__module__


def test_a_preferred_provider_that_is_away_is_not_replaced(install: Callable[..., Path]) -> None:
    install("gre-one", GOOD)
    plugins = found("gre-one", prefer={MIME: "gre-gone"})
    with pytest.raises(NoProvider, match="gre-gone is preferred"):
        plugins.formatter(MIME)
    assert [problem.stage for problem in plugins.problems] == ["ambiguous"]


def test_a_usual_provider_that_does_not_load_is_not_replaced(install: Callable[..., Path]) -> None:
    """Its name says what it would have provided: another package is not taken in its place unasked."""
    install("gre-formatter-late", "raise ImportError('libmime.so')")
    install("gre-formatter-late-other", GOOD.replace("'mime'", "'late'"))
    late = namespaces.formatter("late")
    both = ("gre-formatter-late", "gre-formatter-late-other")
    plugins = found(*both)
    with pytest.raises(AmbiguousProvider, match="gre-formatter-late is installed and broken"):
        plugins.formatter(late)
    assert [problem.stage for problem in plugins.problems] == ["load", "ambiguous"]
    chosen = found(*both, prefer={late: "gre-formatter-late-other"})
    assert chosen.source(late).distribution == "gre-formatter-late-other"
    with pytest.raises(NoProvider, match="gre-formatter-late is preferred"):
        found(*both, prefer={late: "gre-formatter-late"}).formatter(late)


def test_a_preference_must_be_for_a_namespace() -> None:
    with pytest.raises(InvalidNamespace):
        Plugins.of(prefer={"mime": "gre-formatter-mime"})


def test_two_entry_points_of_one_distribution_are_told_apart_by_id(install: Callable[..., Path]) -> None:
    install("pair", GOOD, points="a = MODULE\nb = MODULE")
    with pytest.raises(AmbiguousProvider, match="pair:a"):
        found("pair").source(MIME)
    with pytest.raises(AmbiguousProvider, match=r'"pair:a"'):
        found("pair", prefer={MIME: "pair"}).source(MIME)
    assert found("pair", prefer={MIME: "pair:b"}).source(MIME).entry_point == "b"


def test_equal_entry_point_names_of_two_distributions_both_load(install: Callable[..., Path]) -> None:
    install("one", GOOD, points="same = MODULE")
    install("two", GOOD.replace("'mime'", "'other'"), points="same = MODULE")
    assert sorted(plugin.id for plugin in found("one", "two").loaded) == ["one:same", "two:same"]


def test_a_plugin_that_bears_the_name_of_another_is_shadowed_and_shown(install: Callable[..., Path]) -> None:
    install("gre-twin", GOOD.replace("'mime'", "'late'"), folder="late")
    install("gre-twin", GOOD, folder="early", version="9")  # prepended, so first on sys.path
    plugins = found("gre-twin")
    assert plugins.formatters == (MIME,)
    (problem,) = plugins.problems
    assert (problem.plugin, problem.version, problem.stage) == ("gre-twin", "1.2", "shadowed")
    assert "late" in problem.error


def test_a_folder_that_is_twice_on_the_path_shadows_nothing(
    install: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("once", GOOD)
    (tmp_path / "link").symlink_to(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "link"))
    plugins = found("once")
    assert len(plugins.loaded) == 1
    assert not plugins.problems


def test_an_entry_point_name_that_is_there_twice_loads_once(install: Callable[..., Path]) -> None:
    install("dup", GOOD, points="a = MODULE\na = no_such_module_at_all")
    plugins = found("dup")
    assert len(plugins.loaded) == 1
    assert [(problem.plugin, problem.stage) for problem in plugins.problems] == [("dup:a", "shadowed")]


@pytest.mark.parametrize("damage", ["entry_points.txt", "METADATA"])
def test_damaged_metadata_is_a_problem(install: Callable[..., Path], damage: str) -> None:
    info = install("broken", GOOD)
    if damage == "METADATA":
        (info / damage).unlink()
    else:
        (info / damage).write_bytes(b"[gre.v1]\nmain = \xff\xfe")
    install("good", GOOD)
    plugins = found("good")
    assert plugins.formatters == (MIME,)
    (problem,) = plugins.problems
    assert problem.stage == "load"
    assert problem.plugin == info.name


def test_objects_can_be_handed_over() -> None:
    class Plugin:
        @hookimpl
        def gre_encrypters(self) -> list[EncrypterProvider]:
            return [EncrypterProvider(namespaces.encrypter("x"), object, dynamic_data=True)]  # type: ignore[arg-type]

    provider = FormatterProvider(MIME, Mock())
    data = DataProvider("urn:example:fields", Mock())
    plugins = Plugins.of(provider, data, Plugin())
    assert plugins.formatters == (MIME,)
    assert plugins.encrypters == (namespaces.encrypter("x"),)
    assert plugins.provider(namespaces.encrypter("x")).dynamic_data
    assert plugins.data_providers == (data,)
    assert not plugins.problems


def test_a_module_can_be_handed_over_and_preferred(install: Callable[..., Path]) -> None:
    install("module", GOOD)
    module = sys.modules[type(found("module").formatter(MIME)).__module__]
    plugins = Plugins.of(module, FormatterProvider(MIME, module.F))
    with pytest.raises(AmbiguousProvider):
        plugins.source(MIME)
    name = module.__name__.replace("_", "-")
    preferred = Plugins.of(module, FormatterProvider(MIME, module.F), prefer={MIME: f"{name}:object-2"})
    assert preferred.source(MIME).entry_point == "object-2"


def test_rubbish_handed_over_is_a_problem() -> None:
    plugins = Plugins.of(7, None, FormatterProvider(namespaces.encrypter("x"), Mock()))
    assert [problem.stage for problem in plugins.problems] == ["contract"] * 3
    with pytest.raises(ExceptionGroup):
        Plugins.of(7, strict=True)


def test_contributors_are_made_with_the_ports_and_a_failing_one_is_shown() -> None:
    class Contributor:
        def __init__(self, ports: object) -> None:
            self.ports = ports

        async def fields(self, _request: object, /) -> list[object]:
            return []

    good = DataProvider("urn:example:good", Contributor)  # type: ignore[arg-type]
    bad = DataProvider("urn:example:bad", lambda _ports: 1 / 0)  # type: ignore[arg-type, return-value]
    plugins = Plugins.of(bad, good)
    ((provider, contributor),) = plugins.contributors(sentinel.ports)
    assert provider is good
    assert isinstance(contributor, Contributor)
    assert contributor.ports is sentinel.ports
    assert [problem.stage for problem in plugins.problems] == ["make"]


def test_no_provider_says_which_package_to_install(install: Callable[..., Path]) -> None:
    wanted = namespaces.encrypter("open_pgp", 3)
    assert package_for(wanted) == "gre-encrypter-open-pgp"
    with pytest.raises(NoProvider, match="gre-encrypter-open-pgp"):
        Plugins.of().encrypter(wanted)
    install("gre-encrypter-open-pgp", GOOD)
    with pytest.raises(NoProvider, match="not allowed"):
        found("something-else").encrypter(wanted)
    install("bad", "1 / 0")
    with pytest.raises(NoProvider, match="bad:main"):
        found("bad", "gre-encrypter-open-pgp").encrypter(wanted)


def test_no_provider_knows_other_versions() -> None:
    plugins = Plugins.of(FormatterProvider(MIME, Mock()))
    with pytest.raises(NoProvider, match="Another version is there"):
        plugins.formatter(namespaces.formatter("mime", 1))


def test_the_kind_must_fit() -> None:
    plugins = Plugins.of(FormatterProvider(MIME, Mock()))
    with pytest.raises(NoProvider, match="encrypter"):
        plugins.encrypter(MIME)


def test_a_problem_is_logged_once(install: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    install("bad", "raise ValueError('private words')")
    plugins = found("bad")
    assert plugins.problems == plugins.problems
    (record,) = [record for record in caplog.records if record.name == registry.__name__]
    assert (
        record.getMessage() == "plugin-problem plugin=bad:main version=1.2 stage=load error_type=ValueError"
    )
