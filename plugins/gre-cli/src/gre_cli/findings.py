"""What ``gre doctor`` says about plugins: what is wrong with each, and why one that somebody expects is not taken."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pluggy

import gre_core
from gre_cli.providers import how, providing
from gre_cli.providers import problem as first_sentence
from gre_cli.safe import clean_line
from gre_core.api import ENTRY_POINT_GROUP
from gre_core.errors import AmbiguousProvider, GreError, InvalidNamespace, NoProvider
from gre_core.namespaces import Kind, Namespace, package_for
from gre_core.plugin_loader import normalise, plugin_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import Distribution

    from gre_cli.settings import Settings
    from gre_core.registry import LoadedPlugin, Plugins, Problem

_OURS: Final = re.compile(r"gre-(formatter|encrypter)-.+")
_MACHINERY: Final = tuple(str(Path(str(module.__file__)).parent) for module in (gre_core, pluggy, importlib))
"""Where errors of plugins pass through, and never arise."""
_STAGES: Final = {
    "load": "failed (load)",
    "hook": "failed (hook)",
    "contract": "failed (contract)",
    "make": "failed (make)",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis.

    Arguments:
        what: the subject.
        text: what was found.
        wrong: whether it has to be mended.
        hint: how.
    """

    what: str
    text: str
    wrong: bool = False
    hint: str = ""


def about_plugins(plugins: Plugins) -> Iterator[Finding]:
    """Tell what is wrong with the plugins that are there, and which are there and not taken."""
    for problem in plugins.problems:
        if isinstance(problem.cause, AmbiguousProvider | NoProvider):
            continue  # told with the choice that there is
        name = f"{problem.plugin} {problem.version}".strip()
        yield Finding(clean_line(name), clean_line(_told(problem)), wrong=True, hint=clean_line(problem.hint))
    for kind, namespaces, example in (
        ("formatter", plugins.formatters, "gre-formatter-mime"),
        ("encrypter", plugins.encrypters, "gre-encrypter-openpgp"),
    ):
        if not namespaces:
            yield Finding(
                f"{kind}s",
                "none is installed, so nothing can be sent or read",
                wrong=True,
                hint=f"Install one, for example {example}, from the same place as gre-core",
            )
    for name in plugins.skipped:
        yield Finding(name, "installed, but not on the allow-list; it was not loaded")
    for plugin in plugins.loaded:
        for namespace, other in _passed_over(plugins, plugin):
            yield Finding(plugin.id, f"not used for {namespace}: the configuration prefers {other}")
    for each in distributions():
        name = normalise(each.name or "")
        if _OURS.fullmatch(name) and not _has_entry_point(each):
            yield _without_entry_point(name, each)


def about_one(plugins: Plugins, wanted: str, settings: Settings) -> Finding:
    """Tell whether a plugin is taken, and why not.

    Arguments:
        plugins: what was found.
        wanted: a namespace, a distribution with or without what comes before its short name, or
            ``distribution:entry-point``.
        settings: to say where a choice is written down.
    """
    if wanted.startswith("urn:"):
        return _about_namespace(plugins, clean_line(wanted), settings)
    return _about_package(plugins, _whole_name(plugins, plugin_id(wanted)), settings)


def _about_namespace(plugins: Plugins, wanted: str, settings: Settings) -> Finding:
    known = (*plugins.formatters, *plugins.encrypters)
    try:
        namespace = Namespace.parse(wanted)
    except InvalidNamespace:
        text = "not found: it is no namespace of GRE, urn:xmpp:gre:formatter:NAME:0 or urn:xmpp:gre:encrypter:NAME:0"
        return Finding(wanted, text, wrong=True, hint=_did_you_mean(wanted, map(str, known)))
    try:
        source = plugins.source(namespace)
    except AmbiguousProvider as error:
        return _ambiguous(wanted, namespace, error, plugins, settings)
    except GreError as error:
        package = package_for(namespace)
        there = (*(one.plugin for one in plugins.problems), *plugins.skipped)
        if any(package == each.partition(":")[0] for each in there):
            return _about_package(plugins, package, settings)
        hint = _did_you_mean(wanted, map(str, known))
        return Finding(wanted, clean_line(f"not found: {error.text}"), wrong=True, hint=hint)
    if any(str(namespace) in one.error for one in _problems_of(plugins, source.id)):
        return _about_package(plugins, source.id, settings)
    return Finding(wanted, f"served by {source.id} {source.version}".rstrip())


def _about_package(plugins: Plugins, wanted: str, settings: Settings) -> Finding:
    what, package = clean_line(wanted), wanted.partition(":")[0]
    if problems := _problems_of(plugins, wanted):
        return _failed(what, problems, plugins, settings)
    for plugin in plugins.loaded:
        if _is(wanted, plugin.id):
            return _about_loaded(plugins, plugin, settings)
    if any(_is(wanted, each) for each in plugins.skipped):
        hint = f"Add it to `allow` under [plugins] of {settings.config}"
        return Finding(what, "installed, but not on the allow-list; it was not loaded", wrong=True, hint=hint)
    try:
        installed = distribution(package)
    except (PackageNotFoundError, ValueError):
        return _not_installed(what)
    if _has_entry_point(installed):
        names = ", ".join(installed.entry_points.select(group=ENTRY_POINT_GROUP).names)
        return Finding(what, f"not found: {package} has no such entry point, but {names}", wrong=True)
    return _without_entry_point(what, installed)


def _is(wanted: str, identity: str) -> bool:
    return wanted in {identity, normalise(identity.partition(":")[0])}


def _problems_of(plugins: Plugins, wanted: str) -> list[Problem]:
    return [one for one in plugins.problems if any(_is(wanted, each) for each in one.plugin.split(", "))]


def _failed(what: str, problems: list[Problem], plugins: Plugins, settings: Settings) -> Finding:
    first = problems[0]
    if isinstance(first.cause, AmbiguousProvider):
        namespace = Namespace.parse(str(first.cause.params["namespace"]))
        return _ambiguous(what, namespace, first.cause, plugins, settings)
    told = "; ".join(map(_told, problems))
    hint = first.hint
    if place := _place(first):
        hint = f"It failed at {place}. When the package is not yours: {first.hint}"
    elif first.stage == "load" and (points := _entry_point_values(first.plugin)):
        hint = f"Its entry point is {points}. Correct pyproject.toml or the module, and install it again"
    return Finding(what, clean_line(told), wrong=True, hint=clean_line(hint))


def _told(problem: Problem) -> str:
    return f"{_STAGES.get(problem.stage, problem.stage)}: {problem.error}"


def _place(problem: Problem) -> str:
    """Tell where in a plugin an error arose, as ``file:line``; nothing when it was never entered."""
    if isinstance(problem.cause, SyntaxError) and problem.cause.filename:
        return f"{problem.cause.filename}:{problem.cause.lineno}"
    frames = traceback.extract_tb(problem.cause.__traceback__) if problem.cause is not None else []
    entered = [each for each in frames if not _is_machinery(each.filename)]
    module = problem.plugin.partition(":")[0].replace("-", "_")
    own = [each for each in entered if module in each.filename] or entered
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _is_machinery(file: str) -> bool:
    # Where importlib_metadata is imported, it finds the packages in place of the standard library.
    return file.startswith(_MACHINERY) or "<" in file or Path(file).parent.name == "importlib_metadata"


def _entry_point_values(plugin: str) -> str:
    package, _, name = plugin.partition(":")
    try:
        points = distribution(package).entry_points.select(group=ENTRY_POINT_GROUP)
    except (PackageNotFoundError, ValueError):
        return ""
    return ", ".join(f'{each.name} = "{each.value}"' for each in points if name in {"", each.name})


def _ambiguous(
    what: str, namespace: Namespace, error: AmbiguousProvider, plugins: Plugins, settings: Settings
) -> Finding:
    offers = providing(plugins, str(namespace))
    offers = tuple(
        sorted(offers, key=lambda plugin: not _is(what, plugin.id))
    )  # who was asked about comes first
    hint = how(settings, str(namespace), offers)
    return Finding(what, clean_line(f"not taken: {first_sentence(error)}"), wrong=True, hint=hint)


def _about_loaded(plugins: Plugins, plugin: LoadedPlugin, settings: Settings) -> Finding:
    passed_over = dict(_passed_over(plugins, plugin))
    if passed_over:
        told = ", ".join(
            f"{namespace} (the configuration prefers {other})" for namespace, other in passed_over.items()
        )
        hint = (
            f'Write prefer = {{ "{next(iter(passed_over))}" = "{plugin.distribution}" }} under [plugins] of '
            f"{settings.config}"
        )
        text = f"shadowed: found and loaded, but not used for {told}"
        return Finding(plugin.id, text, wrong=True, hint=hint)
    if plugin.formatters or plugin.encrypters:
        return Finding(plugin.id, "found, loaded and taken wherever a peer announces what it provides")
    if plugin.data_fields:
        return Finding(plugin.id, "found and loaded; gateways that allow it ask it for its data fields")
    hint = "Let gre_formatters, gre_encrypters or gre_data_fields give a provider"
    return Finding(plugin.id, "found and loaded, but it provides nothing", wrong=True, hint=hint)


def _whole_name(plugins: Plugins, wanted: str) -> str:
    """Put before a short name what its package begins with: ``gre-formatter-`` for ``mime``."""
    known = {
        *_packages(),
        *(name for each in distributions() if _OURS.fullmatch(name := normalise(each.name or ""))),
    }
    known |= {each.plugin.partition(":")[0] for each in plugins.problems}
    package, colon, point = wanted.partition(":")
    for kind in Kind:
        if (whole := f"gre-{kind}-{package}") in known:
            return f"{whole}{colon}{point}"
    return wanted


def _packages() -> set[str]:
    return {normalise(each.name or "") for each in distributions() if _has_entry_point(each)}


def _did_you_mean(wanted: str, known: Iterable[str]) -> str:
    close = get_close_matches(wanted, sorted(known), n=1, cutoff=0.75)
    return f"Did you mean {close[0]}?" if close else ""


def _not_installed(what: str) -> Finding:
    packages = _packages()
    short = {each.split("-", 2)[-1]: each for each in sorted(packages)}
    similar = _did_you_mean(what, packages)
    if not similar and (close := get_close_matches(what, sorted(short), n=1)):
        similar = f"Did you mean {short[close[0]]}?"
    install = f"In its folder: {shlex.quote(sys.executable)} -m pip install -e ."
    hint = f"{similar} Otherwise, in its folder: {install.partition(': ')[2]}" if similar else install
    return Finding(what, f"not found: it is not installed for {sys.executable}", wrong=True, hint=hint)


def _without_entry_point(what: str, installed: Distribution) -> Finding:
    groups = sorted(_entry_points(installed))
    there = f"; it has {', '.join(groups)}" if groups else ""
    hint = (
        f'In its pyproject.toml: [project.entry-points."{ENTRY_POINT_GROUP}"] and NAME = "MODULE.plugin", '
        "and install it again"
    )
    text = f"not found: installed, but without an entry point in the group {ENTRY_POINT_GROUP}{there}"
    return Finding(what, clean_line(text), wrong=True, hint=hint)


def _passed_over(plugins: Plugins, plugin: LoadedPlugin) -> Iterator[tuple[Namespace, str]]:
    """Give what a plugin provides and another one serves, because the user prefers it."""
    for namespace in (*plugin.formatters, *plugin.encrypters):
        try:
            source = plugins.source(namespace)
        except GreError:
            continue  # that is a problem of its own
        if source.id != plugin.id:
            yield namespace, source.id


def _has_entry_point(installed: Distribution) -> bool:
    return ENTRY_POINT_GROUP in _entry_points(installed)


def _entry_points(installed: Distribution) -> set[str]:
    return {each.group for each in installed.entry_points}
