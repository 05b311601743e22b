"""The plugins of one program: what is installed, which provider serves a namespace, and what is wrong.

::

    plugins = Plugins.discover()
    plugins.encrypters  # (Namespace('urn:xmpp:gre:encrypter:openpgp:0'),)
    plugins.encrypter(plugins.encrypters[0])  # made once, at the first call
    plugins.problems  # what could not be used, and what to do about it

There is no global manager: who embeds the framework owns its ``Plugins``.
"""

from __future__ import annotations

from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, cast

from gre_core.api import (
    DataContributor,
    DataProvider,
    Encrypter,
    EncrypterProvider,
    Formatter,
    FormatterProvider,
)
from gre_core.errors import AmbiguousProvider, NoProvider
from gre_core.log import get_logger
from gre_core.namespaces import Kind, Namespace, package_for
from gre_core.plugin_loader import (
    Findings,
    LoadedPlugin,
    Problem,
    discover,
    given,
    is_stop,
    one_line,
    plugin_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gre_core.ports import Ports

    Preference = Mapping[Namespace, str] | Mapping[str, str]

__all__ = ["LoadedPlugin", "Plugins", "Problem", "package_for"]

_log = get_logger(__name__)

Maker = FormatterProvider | EncrypterProvider


def _methods(protocol: type) -> tuple[str, ...]:
    return tuple(
        name for name, value in vars(protocol).items() if not name.startswith("_") and callable(value)
    )


_METHODS: Final[dict[type, tuple[str, ...]]] = {
    each: _methods(each) for each in (Formatter, Encrypter, DataContributor)
}

_UNLOADED: Final = frozenset({"load", "hook", "contract"})
"""Stages of problems after which a plugin provides less than it should."""


class Plugins:
    """All plugins of one program. Make it with :meth:`discover` or :meth:`of`. Any thread may use it.

    A namespace counts as provided as soon as one plugin offers it, also when its provider cannot be made or
    two plugins offer it. So a broken or a second provider becomes an error that names it when the namespace
    is used, and never a silent step to another formatter or encrypter.
    """

    def __init__(self, found: Findings, prefer: Preference, *, strict: bool) -> None:
        self._plugins = tuple(found.plugins)
        self._skipped = tuple(found.skipped)
        self._problems = list(found.problems)
        self._prefer = {_namespace(key): plugin_id(value) for key, value in prefer.items()}
        self._offers: dict[Namespace, list[tuple[LoadedPlugin, Maker]]] = {}
        self._made: dict[Namespace, object] = {}
        self._lock = RLock()
        for plugin, providers in self._plugins:
            for provider in providers:
                if not isinstance(provider, DataProvider):
                    self._offers.setdefault(provider.namespace, []).append((plugin, provider))
        self._problems += filter(None, map(self._unclear, self._offers))
        for problem in self._problems:
            _report(problem)
        if strict and self._problems:
            raise ExceptionGroup("plugins have problems", [problem.as_error() for problem in self._problems])

    @classmethod
    def discover(
        cls,
        *,
        allow: Collection[str] | None = None,
        prefer: Preference | None = None,
        strict: bool = False,
    ) -> Plugins:
        """Load the installed plugins: those under the entry-point group ``gre.v1``.

        Arguments:
            allow: when given, only these are imported, each ``distribution`` or ``distribution:entry-point``.
            prefer: which distribution (or ``distribution:entry-point``) serves a namespace that several
                provide.
            strict: raise when anything is wrong, instead of keeping it in :attr:`problems`.

        Raises:
            ExceptionGroup: ``strict``, and there are problems; it holds one :class:`PluginError` for each.
            InvalidNamespace: a key of ``prefer`` is no namespace.
        """
        return cls(discover(allow), prefer or {}, strict=strict)

    @classmethod
    def of(cls, *objects: object, prefer: Preference | None = None, strict: bool = False) -> Plugins:
        """Take providers, or modules and objects with hooks, from the program itself.

        For frozen applications and for tests, which have no entry points. A distribution is then the
        top-level package of an object, with ``-`` for ``_``.

        Arguments:
            objects: each a provider, or anything whose attributes are marked with ``hookimpl``.
            prefer: as for :meth:`discover`.
            strict: as for :meth:`discover`.

        Raises:
            ExceptionGroup: ``strict``, and there are problems.
            InvalidNamespace: a key of ``prefer`` is no namespace.
        """
        return cls(given(objects), prefer or {}, strict=strict)

    @property
    def loaded(self) -> tuple[LoadedPlugin, ...]:
        """The plugins that were loaded, also those that provide nothing usable."""
        return tuple(plugin for plugin, _ in self._plugins)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The ids of the installed plugins that the allow-list kept out. They were not imported."""
        return self._skipped

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, in the order it was seen. It grows when a provider cannot be made."""
        return tuple(self._problems)

    @property
    def formatters(self) -> tuple[Namespace, ...]:
        """The provided formatters, sorted."""
        return tuple(sorted(each for each in self._offers if each.kind is Kind.FORMATTER))

    @property
    def encrypters(self) -> tuple[Namespace, ...]:
        """The provided encrypters, sorted."""
        return tuple(sorted(each for each in self._offers if each.kind is Kind.ENCRYPTER))

    @property
    def data_providers(self) -> tuple[DataProvider, ...]:
        """The providers of data fields of all plugins, for gateways."""
        return tuple(p for _, providers in self._plugins for p in providers if isinstance(p, DataProvider))

    def source(self, namespace: Namespace) -> LoadedPlugin:
        """Give the plugin that serves a namespace. Remember its id to notice when the provider changes.

        Raises:
            NoProvider: no plugin provides it, or not the preferred one.
            AmbiguousProvider: several do, and ``prefer`` names none of them.
        """
        return self._resolve(namespace)[0]

    def provider(self, namespace: Namespace) -> FormatterProvider | EncrypterProvider:
        """Give the provider that serves a namespace, without making anything. Raises as :meth:`source`."""
        return self._resolve(namespace)[1]

    def formatter(self, namespace: Namespace) -> Formatter:
        """Give the formatter of a namespace. It is made at the first call and then kept.

        Raises:
            NoProvider: no plugin provides it, or not the preferred one.
            AmbiguousProvider: several do, and ``prefer`` names none of them.
            PluginLoadError: it cannot be made.
            PluginContractError: what was made is not a formatter.
        """
        return cast("Formatter", self._make(_of_kind(namespace, Kind.FORMATTER)))

    def encrypter(self, namespace: Namespace) -> Encrypter[Any]:
        """Give the encrypter of a namespace. It is made at the first call and then kept.

        Raises:
            NoProvider: no plugin provides it, or not the preferred one.
            AmbiguousProvider: several do, and ``prefer`` names none of them.
            PluginLoadError: it cannot be made.
            PluginContractError: what was made is not an encrypter.
        """
        return cast("Encrypter[Any]", self._make(_of_kind(namespace, Kind.ENCRYPTER)))

    def contributors(self, ports: Ports) -> tuple[tuple[DataProvider, DataContributor], ...]:
        """Make the contributors of data fields of all plugins, for one gateway with these ports.

        One that cannot be made is left out and becomes one of the :attr:`problems`.
        """
        made: list[tuple[DataProvider, DataContributor]] = []
        for plugin, providers in self._plugins:
            for provider in providers:
                if isinstance(provider, DataProvider):
                    make = partial(provider.make, ports)
                    result = _attempt(make, DataContributor, plugin, provider.namespace)
                    if isinstance(result, Problem):
                        self._add(result)
                    else:
                        made.append((provider, cast("DataContributor", result)))
        return tuple(made)

    def _make(self, namespace: Namespace) -> object:
        with self._lock:
            if namespace not in self._made:
                plugin, provider = self._resolve(namespace)
                protocol = Formatter if namespace.kind is Kind.FORMATTER else Encrypter
                self._made[namespace] = _attempt(provider.make, protocol, plugin, str(namespace))
                if isinstance(problem := self._made[namespace], Problem):
                    self._add(problem)
            made = self._made[namespace]
        if isinstance(made, Problem):
            raise made.as_error()
        return made

    def _add(self, problem: Problem) -> None:
        self._problems.append(problem)
        _report(problem)

    def _unclear(self, namespace: Namespace) -> Problem | None:
        try:
            self._resolve(namespace)
        except (AmbiguousProvider, NoProvider) as error:
            plugins = ", ".join(plugin.id for plugin, _ in self._offers[namespace])
            return Problem(plugins, "", "ambiguous", error.text, "", error)
        return None

    def _resolve(self, namespace: Namespace) -> tuple[LoadedPlugin, Maker]:
        offers = self._offers.get(namespace, [])
        if not offers:
            raise self._no_provider(namespace)
        wanted = self._prefer.get(namespace)
        if wanted is None and (broken := self._broken_usual(namespace)):
            other = offers[0][0].distribution
            text = (
                f"{broken} is installed and broken (see its problem), and {other} provides {namespace} too, but is not "
                f'taken in its place unasked. Mend or uninstall {broken}, or say prefer={{"{namespace}": "{other}"}}'
            )
            plugins = [plugin.id for plugin, _ in offers]
            raise AmbiguousProvider(text, namespace=str(namespace), plugins=plugins)
        if wanted is not None:
            chosen = [offer for offer in offers if wanted in {offer[0].id, offer[0].distribution}]
        else:
            chosen = offers
        names = " and ".join(f"{plugin.id} {plugin.version}".rstrip() for plugin, _ in offers)
        if len(chosen) > 1:
            usual = [plugin for plugin, _ in chosen if plugin.distribution == package_for(namespace)]
            example = chosen[0][0].id if wanted else (*usual, chosen[0][0])[0].distribution
            text = (
                f"{namespace} is provided by {names}. Say which one to use: "
                f'prefer={{"{namespace}": "{example}"}}, or uninstall the other'
            )
            raise AmbiguousProvider(
                text, namespace=str(namespace), plugins=[plugin.id for plugin, _ in chosen]
            )
        if not chosen:
            text = (
                f"{wanted} is preferred for {namespace}, but does not provide it; {names} does. "
                f"Install {wanted}, or change the preference"
            )
            raise NoProvider(text, namespace=str(namespace), preferred=wanted)
        return chosen[0]

    def _broken_usual(self, namespace: Namespace) -> str:
        """Give the package that provides a namespace by convention, if it is there, and could not be loaded."""
        package = package_for(namespace)
        loaded = {plugin.distribution for plugin, _ in self._offers[namespace]}
        broken = {each.plugin.partition(":")[0] for each in self._problems if each.stage in _UNLOADED}
        return package if package in broken and package not in loaded else ""

    def _no_provider(self, namespace: Namespace) -> NoProvider:
        package = package_for(namespace)
        text = f"No plugin provides {namespace}."
        broken = [each.plugin for each in self._problems if each.stage in _UNLOADED]
        if others := [
            str(each) for each in self._offers if (each.kind, each.name) == (namespace.kind, namespace.name)
        ]:
            text += f" Another version is there ({', '.join(others)}): update the package that provides it"
        elif kept_out := [each for each in self._skipped if each.startswith(f"{package}:")]:
            text += f" {kept_out[0]} is installed, but not allowed: add it to the allow-list"
        elif broken:
            text += (
                f" It may be one of those that could not be used ({', '.join(broken)}): see their problems"
            )
        else:
            text += f" Install a package that does; by convention its name is {package}"
        return NoProvider(text, namespace=str(namespace), package=package)


def _namespace(key: Namespace | str) -> Namespace:
    return key if isinstance(key, Namespace) else Namespace.parse(key)


def _of_kind(namespace: Namespace, kind: Kind) -> Namespace:
    if namespace.kind is not kind:
        raise NoProvider(f"{namespace} is not the namespace of a {kind}", namespace=str(namespace))
    return namespace


def _attempt(make: Callable[[], object], protocol: type, plugin: LoadedPlugin, namespace: str) -> object:
    """Make an object and compare it with its Protocol; give a Problem when it is not as it must be."""
    try:
        made = make()
        missing = [name for name in _METHODS[protocol] if not callable(getattr(made, name, None))]
    except BaseException as error:
        if is_stop(error):
            raise
        text = f"{namespace} cannot be made: {one_line(error)}"
        hint = f"Reinstall or update {plugin.distribution}, or uninstall it"
        return Problem(plugin.id, plugin.version, "make", text, hint, error)
    if missing or isinstance(made, type):
        lacks = f"lacks {', '.join(missing)}" if missing else "is a class, not an object of it"
        text = f"{namespace}: what was made is no {protocol.__name__}: {type(made).__name__} {lacks}"
        hint = f"See gre_core.api.{protocol.__name__}; tell the authors of {plugin.distribution}"
        return Problem(plugin.id, plugin.version, "contract", text, hint)
    return made


def _report(problem: Problem) -> None:
    cause = type(problem.cause).__name__ if problem.cause else None
    _log.warning(
        "plugin-problem",
        plugin=problem.plugin,
        version=problem.version,
        stage=problem.stage,
        error_type=cause,
    )
