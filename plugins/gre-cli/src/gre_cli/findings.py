"""What ``gre doctor`` says about plugins: what is wrong with each, and why one that somebody expects is not taken."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING, Final

from gre_cli.safe import clean_line
from gre_core.api import ENTRY_POINT_GROUP
from gre_core.errors import AmbiguousProvider, GreError, InvalidNamespace, NoProvider
from gre_core.namespaces import Namespace
from gre_core.plugin_loader import normalise, plugin_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

    from gre_core.registry import LoadedPlugin, Plugins

_OURS: Final = re.compile(r"gre-(formatter|encrypter)-.+")


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
        yield Finding(clean_line(name), clean_line(problem.error), wrong=True, hint=clean_line(problem.hint))
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


def about_one(plugins: Plugins, wanted: str) -> Finding:
    """Tell whether a plugin is taken, and why not.

    Arguments:
        plugins: what was found.
        wanted: a namespace, a distribution, or ``distribution:entry-point``.
    """
    try:
        namespace = Namespace.parse(wanted)
    except InvalidNamespace:
        return _about_package(plugins, plugin_id(wanted))
    try:
        source = plugins.source(namespace)
    except GreError as error:
        return Finding(wanted, clean_line(error.text), wrong=True)
    return Finding(wanted, f"served by {source.id} {source.version}".rstrip())


def _about_package(plugins: Plugins, wanted: str) -> Finding:
    what, package = clean_line(wanted), wanted.partition(":")[0]

    def matches(identity: str) -> bool:
        return wanted in {identity, normalise(identity.partition(":")[0])}

    problems = [each for each in plugins.problems if any(map(matches, each.plugin.split(", ")))]
    if problems:
        told = "; ".join(f"{each.stage}: {each.error}" for each in problems)
        hint = clean_line(problems[0].hint)
        return Finding(what, clean_line(f"found, and not taken. {told}"), wrong=True, hint=hint)
    for plugin in plugins.loaded:
        if matches(plugin.id):
            return _about_loaded(plugins, plugin)
    if any(map(matches, plugins.skipped)):
        hint = "Add it to `allow` under [plugins] in the configuration"
        return Finding(what, "installed, but not on the allow-list; it was not loaded", wrong=True, hint=hint)
    try:
        installed = distribution(package)
    except (PackageNotFoundError, ValueError):
        return _not_installed(what)
    if _has_entry_point(installed):
        names = ", ".join(installed.entry_points.select(group=ENTRY_POINT_GROUP).names)
        return Finding(what, f"no such entry point: {package} has {names}", wrong=True)
    return _without_entry_point(what, installed)


def _about_loaded(plugins: Plugins, plugin: LoadedPlugin) -> Finding:
    passed_over = dict(_passed_over(plugins, plugin))
    if not passed_over:
        return Finding(plugin.id, "found, loaded and taken wherever a peer announces what it provides")
    told = ", ".join(
        f"{namespace} (the configuration prefers {other})" for namespace, other in passed_over.items()
    )
    hint = f'Under [plugins], set prefer = {{ "{next(iter(passed_over))}" = "{plugin.distribution}" }}'
    return Finding(plugin.id, f"found and loaded, but not used for {told}", wrong=True, hint=hint)


def _not_installed(what: str) -> Finding:
    known = sorted(
        {normalise(each.name or "") for each in distributions() if ENTRY_POINT_GROUP in _entry_points(each)}
    )
    close = get_close_matches(what, known, n=1)
    similar = f". There is {close[0]}" if close else ""
    hint = f"In its folder: {sys.executable} -m pip install -e ."
    return Finding(
        what, f"not found: it is not installed for {sys.executable}{similar}", wrong=True, hint=hint
    )


def _without_entry_point(what: str, installed: Distribution) -> Finding:
    groups = sorted({each.group for each in installed.entry_points})
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
