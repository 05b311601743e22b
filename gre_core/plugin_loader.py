"""Finds plugins and asks them what they provide, each behind a guard: what one does wrong stops no other.

pluggy's own ``load_setuptools_entrypoints`` stops at the first plugin that fails to import and drops a second
entry point of the same name in silence, and one raising hook aborts the call of all. So each plugin gets a
:class:`pluggy.PluginManager` of its own here, and whatever goes wrong becomes a :class:`Problem`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

import pluggy

from gre_core import hookspecs
from gre_core.api import (
    ENTRY_POINT_GROUP,
    PROJECT,
    DataProvider,
    EncrypterProvider,
    FormatterProvider,
    Provider,
)
from gre_core.errors import PluginContractError, PluginError, PluginLoadError
from gre_core.namespaces import Kind, Namespace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from importlib.metadata import Distribution, EntryPoint
    from typing import TypeGuard

MAX_PROVIDERS: Final = 256
"""How many providers one hook of one plugin may give."""

HOOKS: Final[dict[str, type[Provider]]] = {
    "gre_formatters": FormatterProvider,
    "gre_encrypters": EncrypterProvider,
    "gre_data_fields": DataProvider,
}

Stage = Literal["load", "hook", "contract", "make", "shadowed", "ambiguous"]

_FIELD_OWNER = re.compile(r"[^\s{}<>\x00-\x1f\x7f]{1,256}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a plugin that a person should know and can mend.

    Arguments:
        plugin: id of the plugin, ``distribution:entry-point``.
        version: of its distribution, or ``""``.
        stage: ``load`` (import), ``hook`` (asking what it provides), ``contract`` (it gave something that
            the hook specification does not allow), ``make`` (making the object), ``shadowed`` (another of
            the same name came first), ``ambiguous`` (which provider to use is not clear).
        error: what happened, on one line.
        hint: what to do next.
        cause: the exception behind it, for a traceback.
    """

    plugin: str
    version: str
    stage: Stage
    error: str
    hint: str = ""
    cause: BaseException | None = field(default=None, repr=False, compare=False)

    def as_error(self) -> PluginError:
        """Give the problem as an exception; its cause is set."""
        kind = PluginContractError if self.stage == "contract" else PluginLoadError
        text = f"{self.plugin}: {self.error}" + (f". {self.hint}" if self.hint else "")
        error = kind(text, plugin=self.plugin, version=self.version, stage=self.stage)
        error.__cause__ = self.cause
        return error


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that was loaded, and what it provides.

    Arguments:
        id: ``distribution:entry-point``.
        distribution: its normalised name (``gre-formatter-mime``).
        version: of the distribution, or ``""`` when it was handed over as an object.
        entry_point: its name.
        formatters: what it formats with.
        encrypters: what it encrypts with.
        data_fields: namespaces of the fields that it contributes to the data form of a gateway.
    """

    id: str
    distribution: str
    version: str
    entry_point: str
    formatters: tuple[Namespace, ...] = ()
    encrypters: tuple[Namespace, ...] = ()
    data_fields: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """What was found: plugins with their providers, those that the allow-list kept out, and problems."""

    plugins: list[tuple[LoadedPlugin, tuple[Provider, ...]]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def normalise(distribution: str) -> str:
    """Give the normalised name of a distribution (the packaging specification "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def plugin_id(text: str) -> str:
    """Give a distribution or ``distribution:entry-point`` with the distribution's name normalised."""
    distribution, colon, entry_point = text.partition(":")
    return normalise(distribution) + colon + entry_point


def one_line(error: BaseException) -> str:
    """Describe an exception on one line of at most 300 characters, even when it cannot be printed."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the exception comes from a plugin and may be broken itself
        text = ""
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:300]


def is_stop(error: BaseException) -> bool:
    """Tell whether an exception is the user's wish to stop, and so not a plugin's failure.

    All else is held back, also SystemExit and other direct heirs of BaseException, such as the panic of an
    extension written in Rust.
    """
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


# -- by entry point --------------------------------------------------------------------------------


def discover(allow: Collection[str] | None) -> Findings:
    """Load all plugins of the entry-point group that the allow-list lets in."""
    found = Findings()
    allowed = None if allow is None else frozenset(map(plugin_id, allow))
    for name, version, entry_point in _entry_points(found.problems):
        identity = f"{name}:{entry_point.name}"
        if allowed is not None and not {name, identity} & allowed:
            found.skipped.append(identity)
            continue
        try:
            plugin: object = entry_point.load()
        except BaseException as error:
            if is_stop(error):
                raise
            hint = f"Reinstall or update {name}, or uninstall it"
            found.problems.append(Problem(identity, version, "load", one_line(error), hint, error))
            continue
        ask(found, plugin, LoadedPlugin(identity, name, version, entry_point.name))
    return found


def _entry_points(problems: list[Problem]) -> Iterator[tuple[str, str, EntryPoint]]:
    """Give (normalised distribution, version, entry point) in the order of sys.path, each name once."""
    from importlib.metadata import distributions  # noqa: PLC0415 - 15 ms, only those who discover need it

    places: dict[str, str] = {}
    for distribution in distributions():
        try:
            described = _describe(distribution)
        except Exception as error:  # noqa: BLE001 - metadata may be damaged in any way
            where = str(getattr(distribution, "_path", "a distribution"))
            hint = "Its metadata is damaged; reinstall it"
            problems.append(Problem(os.path.basename(where), "", "load", one_line(error), hint, error))  # noqa: PTH119
            continue
        if described is None:
            continue
        name, version, place, entry_points = described
        if name not in places:
            places[name] = place
            yield from _first_of_each(name, version, entry_points, problems)
        elif places[name] != place:
            text = f"a second {name} in {place} is not used; that in {places[name]} comes first on sys.path"
            problems.append(Problem(name, version, "shadowed", text, "Remove one of the two"))


def _describe(distribution: Distribution) -> tuple[str, str, str, tuple[EntryPoint, ...]] | None:
    # The text first: reading the metadata of all installed distributions would cost a hundred times as much.
    if ENTRY_POINT_GROUP not in (distribution.read_text("entry_points.txt") or ""):
        return None
    entry_points = tuple(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
    place = os.path.realpath(str(distribution.locate_file("")))
    return normalise(distribution.metadata["Name"]), distribution.version or "", place, entry_points


def _first_of_each(
    name: str, version: str, entry_points: Iterable[EntryPoint], problems: list[Problem]
) -> Iterator[tuple[str, str, EntryPoint]]:
    seen: dict[str, str] = {}
    for entry_point in entry_points:
        if entry_point.name not in seen:
            seen[entry_point.name] = entry_point.value
            yield name, version, entry_point
        else:
            error = f"{entry_point.value} is not used; its name was taken by {seen[entry_point.name]}"
            hint = f"Tell the authors of {name}"
            problems.append(Problem(f"{name}:{entry_point.name}", version, "shadowed", error, hint))


# -- as objects ------------------------------------------------------------------------------------


def given(objects: Iterable[object]) -> Findings:
    """Take providers, and modules or objects with hooks, that a program hands over itself."""
    found = Findings()
    for number, each in enumerate(objects, 1):
        if isinstance(each, Provider):
            module = str(getattr(each.make, "__module__", None) or "objects")
            distribution = normalise(module.partition(".")[0])
            identity = f"{distribution}:object-{number}"
            blank = LoadedPlugin(identity, distribution, "", f"object-{number}")
            hook = next(name for name, kind in HOOKS.items() if isinstance(each, kind))
            _keep(found, blank, [each] if _fits(hook, each, blank, found.problems) else [])
        else:
            name = str(getattr(each, "__name__", None) or type(each).__qualname__)
            distribution = normalise(str(getattr(each, "__module__", name)).partition(".")[0])
            if any(plugin.id == f"{distribution}:{name}" for plugin, _ in found.plugins):
                name = f"{name}-{number}"
            ask(found, each, LoadedPlugin(f"{distribution}:{name}", distribution, "", name))
    return found


# -- asking one plugin -----------------------------------------------------------------------------


def ask(found: Findings, plugin: object, blank: LoadedPlugin) -> None:
    """Call the hooks of one plugin, and keep what it provides and what went wrong."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    providers: list[Provider] = []
    try:
        manager.register(plugin, name=blank.id)
        callers = manager.get_hookcallers(plugin) or []
    except BaseException as error:
        if is_stop(error):
            raise
        hint = "Compare its hooks with gre_core.hookspecs"
        found.problems.append(Problem(blank.id, blank.version, "contract", one_line(error), hint, error))
        return
    if not callers:
        hint = "Mark its functions with gre_core.api.hookimpl"
        found.problems.append(Problem(blank.id, blank.version, "contract", "it has no hooks", hint))
    for caller in callers:
        if caller.name in HOOKS:
            providers += _answer(caller, blank, found.problems)
        elif not all(implementation.optionalhook for implementation in caller.get_hookimpls()):
            hint = f"The hooks are {', '.join(HOOKS)}. Correct the name, or update gre-core"
            text = f"there is no hook {caller.name}"
            found.problems.append(Problem(blank.id, blank.version, "contract", text, hint))
    _keep(found, blank, providers)


def _answer(caller: pluggy.HookCaller, blank: LoadedPlugin, problems: list[Problem]) -> list[Provider]:
    """Call one hook and give those of its providers that keep the contract."""
    try:
        answers = caller()  # pluggy leaves out None, so there is one answer or none
        answer = list(islice(iter(answers[0]), MAX_PROVIDERS + 1)) if answers else None
        if answer is not None and len(answer) <= MAX_PROVIDERS:
            return [each for each in answer if _fits(caller.name, each, blank, problems)]
    except BaseException as error:
        if is_stop(error):
            raise
        text, hint = f"{caller.name} failed: {one_line(error)}", f"Update {blank.distribution}"
        problems.append(Problem(blank.id, blank.version, "hook", text, hint, error))
        return []
    text = f"{caller.name} gave {'None' if answer is None else f'more than {MAX_PROVIDERS} providers'}"
    hint = "It must give an iterable of providers; none of them is used"
    problems.append(Problem(blank.id, blank.version, "contract", text, hint))
    return []


def _fits(hook: str, provider: object, blank: LoadedPlugin, problems: list[Problem]) -> TypeGuard[Provider]:
    wanted = HOOKS[hook]
    complaint = ""
    if not isinstance(provider, wanted):
        complaint = f"gave {type(provider).__name__} instead of {wanted.__name__}"
    elif not callable(provider.make):
        complaint = f"gave a provider whose make is {type(provider.make).__name__}, which cannot be called"
    elif isinstance(provider, DataProvider):
        if not isinstance(provider.namespace, str) or _FIELD_OWNER.fullmatch(provider.namespace) is None:
            complaint = "gave a provider whose namespace is not a text that can own data fields"
    elif not isinstance(provider.namespace, Namespace):
        complaint = f"gave a provider whose namespace is {type(provider.namespace).__name__}, not Namespace"
    elif provider.namespace.kind is not _KINDS[wanted]:
        complaint = f"gave {provider.namespace}, which is of the other kind"
    if complaint:
        hint = f"Compare with the example in gre_core.hookspecs.{hook}"
        problems.append(Problem(blank.id, blank.version, "contract", f"{hook} {complaint}", hint))
    return not complaint


_KINDS: Final[dict[type[Provider], Kind]] = {
    FormatterProvider: Kind.FORMATTER,
    EncrypterProvider: Kind.ENCRYPTER,
}


def _keep(found: Findings, blank: LoadedPlugin, providers: Iterable[Provider]) -> None:
    first: dict[tuple[type, str], Provider] = {}
    for provider in providers:
        if first.setdefault((type(provider), str(provider.namespace)), provider) is not provider:
            error = f"it provides {provider.namespace} twice; only the first is used"
            hint = f"Tell the authors of {blank.distribution}"
            found.problems.append(Problem(blank.id, blank.version, "contract", error, hint))
    kept = tuple(first.values())

    def namespaces(kind: type[Provider]) -> tuple[Namespace, ...]:
        return tuple(p.namespace for p in kept if isinstance(p, kind) and isinstance(p.namespace, Namespace))

    plugin = LoadedPlugin(
        blank.id,
        blank.distribution,
        blank.version,
        blank.entry_point,
        namespaces(FormatterProvider),
        namespaces(EncrypterProvider),
        tuple(p.namespace for p in kept if isinstance(p, DataProvider)),
    )
    found.plugins.append((plugin, kept))
