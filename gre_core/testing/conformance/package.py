"""The suite for a package: its name, its entry point, its metadata, and what importing it costs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest
from packaging.requirements import Requirement

from gre_core.api import ENTRY_POINT_GROUP
from gre_core.namespaces import package_for
from gre_core.registry import Plugins
from gre_core.testing.conformance.calling import describe
from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

HEAVY: Final = (
    "asyncio", "socket", "ssl", "http", "urllib.request", "multiprocessing", "concurrent.futures",
    "email", "sqlite3", "ctypes", "unittest", "tkinter", "xmlrpc", "ftplib", "smtplib", "imaplib", "poplib",
    "socketserver", "wsgiref", "pydoc", "doctest",
)  # fmt: skip
"""Modules of the standard library that cost time and that no plugin needs before it is made."""

_LIGHT: Final = ("pluggy", "structlog", "typing_extensions")
"""What the core itself loads or may load."""
_BUSY: Final = 20
"""How many times its processor time a hook may last: others use the machine too."""
_HOOKS: Final = ("gre_formatters", "gre_encrypters", "gre_data_fields")
_EVENTS: Final = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "urllib.")
"""What nobody may do before ``make()``: audit events; ``time.sleep`` is one from Python 3.13 on only."""
_PROGRAM: Final = """
import json, sys, time
import gre_core.api, gre_core.hookspecs
before, done = set(sys.modules), []
sys.addaudithook(lambda event, _: done.append(event) if event.startswith({events!r}) else None)
from importlib import import_module
time.sleep = lambda _: done.append("time.sleep")
begun = time.process_time()
for name in sys.argv[1:]:
    module = import_module(name)
    for hook in {hooks!r}:
        if hasattr(module, hook):
            list(getattr(module, hook)())
print(json.dumps([sorted(set(sys.modules) - before), done, time.process_time() - begun]))
"""


class PackageConformance:
    """Everything that a package with plugins must keep.

    ::

        class TestPackage(PackageConformance):
            distribution = "gre-formatter-my-format"

    Attributes:
        distribution: the name of your distribution. Set it.
        heavy: further modules of the standard library that must not be loaded before ``make()``; no others may.
        named_for_its_namespace: the distribution is named as its namespace is; off for a second implementation of a
            namespace, and for what several packages share.
        hook_seconds: of processor time that a hook may take, at best of three. It may wait twenty times as long:
            the machine may be busy.
    """

    distribution: ClassVar[str]
    heavy: ClassVar[tuple[str, ...]] = ()
    named_for_its_namespace: ClassVar[bool] = True
    hook_seconds: ClassVar[float] = 1.0

    def found(self) -> Distribution:
        """Give the installed distribution."""
        __tracebackhide__ = True
        name: str | None = getattr(type(self), "distribution", None)
        if not isinstance(name, str):
            pytest.fail(f"Set `distribution` in {type(self).__name__}", pytrace=False)
        try:
            return distribution(name)
        except PackageNotFoundError:
            demand(condition=False, rule="installed", found=f"there is no distribution {name}")
            raise

    def entry_points(self) -> list[EntryPoint]:
        """Give the entry points of its plugins."""
        __tracebackhide__ = True
        points = list(self.found().entry_points.select(group=ENTRY_POINT_GROUP))
        demand(points, "entry-point", f"no entry point in the group {ENTRY_POINT_GROUP}")
        return points

    def modules(self) -> list[Any]:
        """Give the modules of its plugins."""
        __tracebackhide__ = True
        loaded = []
        for point in self.entry_points():
            try:
                loaded.append(point.load())
            except Exception as error:  # noqa: BLE001 - whatever it is
                demand(condition=False, rule="entry-point", found=f"{point.value}: {describe(error)}")
        return loaded

    # -- tests -------------------------------------------------------------------------------------

    def test_its_entry_point_loads(self) -> None:
        name = self.found().metadata["Name"]
        self.modules()
        plugins = Plugins.discover(allow={name})
        problems = "; ".join(f"{each.plugin}: {each.error}" for each in plugins.problems)
        demand(not problems, "entry-point", problems)
        something = plugins.formatters or plugins.encrypters or plugins.data_providers
        demand(something, "entry-point", "its hooks give no provider")

    def test_its_name_says_what_it_is(self) -> None:
        name = _normal(self.found().metadata["Name"])
        plugins = Plugins.discover(allow={name})
        namespaces = [*plugins.formatters, *plugins.encrypters]
        if not namespaces or not self.named_for_its_namespace:
            pytest.skip("it is not named for a namespace")
        wanted = {_normal(package_for(namespace)) for namespace in namespaces}
        demand(name in wanted, "distribution-name", f"it is named {name}, and provides for {sorted(wanted)}")

    def test_it_imports_as_it_is_named(self) -> None:
        wanted = _normal(self.found().metadata["Name"]).replace("-", "_")
        for point in self.entry_points():
            top = point.value.partition(".")[0].partition(":")[0]
            demand(top == wanted, "import-name", f"{point.value} begins with {top}, not with {wanted}")

    def test_nothing_heavy_is_loaded_before_it_is_made(self) -> None:
        names = [point.value.partition(":")[0] for point in self.entry_points()]
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(hooks=_HOOKS, events=_EVENTS), *names],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        demand(done.returncode == 0, "entry-point", done.stderr.strip()[-300:])
        heavy, light = {*HEAVY, *self.heavy}, {"gre_core", *_LIGHT, *sys.stdlib_module_names}
        light |= {name.partition(".")[0] for name in names} | self._siblings()
        found: list[str] = []
        loaded, called, seconds = json.loads(done.stdout.strip().splitlines()[-1])
        for name in loaded:
            top = name.partition(".")[0]
            if name in heavy or top in heavy or top not in light:
                found.append(name)
        demand(not found, "light-import", f"loaded before make(): {', '.join(found[:10])}")
        demand(not called, "light-import", f"called before make(): {', '.join(called[:10])}")
        limit = 2 + self.hook_seconds  # an import compiles, and machines are slow
        found_time = f"the import and the hooks took {seconds:.1f} s of processor time"
        demand(seconds < limit, "light-import", found_time)

    def test_its_requirement_of_the_core_has_bounds(self) -> None:
        required = [each for each in self._requirements() if _normal(each.name) == "gre-core"]
        demand(required, "version-bounds", "it does not require gre-core at all")
        told = " and ".join(map(repr, map(str, required)))
        operators = {each.operator for requirement in required for each in requirement.specifier}
        bounded = operators & {">=", ">", "~=", "=="} and operators & {"<", "<=", "~=", "=="}
        demand(bounded, "version-bounds", f"the requirement is {told}")
        core = version("gre-core")
        fits = all(each.specifier.contains(core, prereleases=True) for each in required)
        demand(fits, "version-bounds", f"the requirement is {told}, and gre-core {core} is installed")

    def test_its_hooks_repeat_themselves(self) -> None:
        for module in self.modules():
            for hook in _hooks_of(module):
                first = _asked(module, hook)
                for _ in range(2):
                    again = _asked(module, hook)
                    demand(again == first, "hook-repeats", f"{hook} gave {first}, then {again}")

    def test_its_hooks_are_quick(self) -> None:
        for module in self.modules():
            for hook in _hooks_of(module):
                used, waited = [], []
                for _ in range(3):
                    begun, start = time.process_time(), time.perf_counter()
                    _asked(module, hook)
                    used.append(time.process_time() - begun)
                    waited.append(time.perf_counter() - start)
                found = (
                    f"{hook} took {min(used):.1f} s of processor time, {min(waited):.1f} s in all, at best"
                )
                quick = min(used) < self.hook_seconds and min(waited) < _BUSY * self.hook_seconds
                demand(quick, "hook-quick", found)

    def test_it_is_typed(self) -> None:
        for module in self.modules():
            package = sys.modules[module.__name__.partition(".")[0]]
            folders = [Path(path) for path in getattr(package, "__path__", ())]
            there = any((folder / "py.typed").is_file() for folder in folders)
            demand(there, "typed", f"no py.typed in {package.__name__}")

    def _requirements(self) -> list[Requirement]:
        """Give what it needs, without what only its extras need."""
        every = map(Requirement, self.found().requires or ())
        return [each for each in every if each.marker is None or each.marker.evaluate({"extra": ""})]

    def _siblings(self) -> set[str]:
        """Give the modules of packages of the GRE family that it needs: their plugins are light themselves."""
        names = (_normal(each.name) for each in self._requirements())
        return {name.replace("-", "_") for name in names if name.startswith("gre-")}


def _asked(module: object, hook: str) -> list[tuple[object, ...]]:
    """Ask a hook once more; give what its providers are."""
    __tracebackhide__ = True
    try:
        return [_facts(each) for each in getattr(module, hook)()]
    except Exception as error:
        demand(condition=False, rule="hook-repeats", found=f"{hook}: {describe(error)}")
        raise


def _facts(provider: Any) -> tuple[object, ...]:
    facts = (type(provider), str(provider.namespace), provider.title)
    return (*facts, getattr(provider, "dynamic_data", False))


def _hooks_of(module: object) -> list[str]:
    return [hook for hook in _HOOKS if hasattr(module, hook)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
