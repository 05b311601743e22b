"""Packages that are broken on purpose: each breaks one rule, and the kit says which."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gre_core.testing.conformance import PackageConformance, run_suite
from gre_core.testing.conformance import package as package_suite

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
from gre_core.api import FormatterProvider, formatter, hookimpl
from gre_core.testing.toys import InsecureToyFormatter

@hookimpl
def gre_formatters():
    return [FormatterProvider(formatter("{name}"), InsecureToyFormatter, title="GRE Formatter: Test")]
"""


@dataclass
class Package:
    """What is written into a folder as an installed package."""

    name: str
    distribution: str = ""
    folder: str = ""
    group: str = "gre.v1"
    requires: str = "gre-core>=0.1,<0.2"
    plugin: str = PLUGIN
    typed: bool = True

    def write(self, place: Path) -> str:
        distribution = self.distribution or f"gre-formatter-{self.name}"
        top = self.folder or distribution.replace("-", "_")
        package = place / top
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text(self.plugin.replace("{name}", self.name))
        if self.typed:
            (package / "py.typed").touch()
        info = place / f"{distribution.replace('-', '_')}-0.1.dist-info"
        info.mkdir()
        requires = f"Requires-Dist: {self.requires}\n" if self.requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n{requires}"
        )
        (info / "entry_points.txt").write_text(f"[{self.group}]\ntest = {top}.plugin\n")
        return distribution


PACKAGES = [
    ("", Package("kit-sound")),
    ("entry-point", Package("kit-group", group="gre.v0")),
    ("entry-point", Package("kit-broken", plugin="import not_there\n")),
    ("distribution-name", Package("kit-name", distribution="my-kit-name")),
    ("import-name", Package("kit-import", folder="kit_import_of_mine")),
    ("light-import", Package("kit-heavy", plugin="import asyncio\n" + PLUGIN)),
    ("light-import", Package("kit-library", requires="pytest", plugin="import pytest\n" + PLUGIN)),
    ("light-import", Package("kit-stranger", plugin="import pytest\n" + PLUGIN)),
    ("", Package("kit-two-lines", requires="gre-core>=0.1\nRequires-Dist: gre-core<0.2")),
    ("", Package("kit-extra", requires="gre-core[web]; extra == 'web'\nRequires-Dist: gre-core~=0.1")),
    ("version-bounds", Package("kit-not", requires="gre-core>=0.1,!=0.2")),
    ("version-bounds", Package("kit-lower", requires="gre-core>=0.1")),
    ("version-bounds", Package("kit-upper", requires="gre-core<0.2")),
    ("version-bounds", Package("kit-none", requires="")),
    ("version-bounds", Package("kit-later", requires="gre-core>=7,<8")),
    ("light-import", Package("kit-sleeper", plugin="import time\ntime.sleep(0.01)\n" + PLUGIN)),
    ("light-import", Package("kit-starter", plugin="import os\nos.system('true')\n" + PLUGIN)),
    (
        "hook-repeats",
        Package("kit-thrice", plugin=PLUGIN.replace("    return", "    CALLS.append(1)\n    assert len(CALLS) < 4\n    return")
                .replace("@hookimpl", "CALLS = []\n\n@hookimpl")),
    ),
    (
        "hook-repeats",
        Package("kit-growing", plugin=PLUGIN.replace("    return", "    FOUND.extend(").replace('Test")]', 'Test")])\n    return FOUND')
                .replace("@hookimpl", "FOUND = []\n\n@hookimpl")),
    ),
    (
        "hook-repeats",
        Package("kit-once", plugin=PLUGIN.replace("title=", "title=str(object()) + ").replace("object()", "next(N)")
                .replace("@hookimpl", "from itertools import count\nN = count()\n\n@hookimpl")),
    ),
    ("hook-quick", Package("kit-slow", plugin=PLUGIN.replace("    return", "    import time\n    end = time.process_time() + 0.2\n    while time.process_time() < end: pass\n    return"))),
    ("hook-quick", Package("kit-waiter", plugin=PLUGIN.replace("    return", "    import threading\n    threading.Event().wait(0.5)\n    return"))),
    ("typed", Package("kit-untyped", typed=False)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "package"), [pytest.param(*each, id=f"{each[1].name}-{each[0] or 'sound'}") for each in PACKAGES]
)
def test_a_package_breaks_its_rule_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, package: Package
) -> None:
    distribution = package.write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    if package.name == "kit-waiter":
        monkeypatch.setattr(package_suite, "_BUSY", 3)
    suite: Any = type("Suite", (PackageConformance,), {"distribution": distribution, "hook_seconds": 0.15})
    report = run_suite(suite)
    assert not report.foreign, report.foreign
    wanted = {rule} - {""}
    if package.name == "kit-library":
        wanted |= {"version-bounds"}  # it requires pytest in the place of the core
    assert report.rules == wanted, {name: str(each) for name, each in report.broken.items()}
    for name in [name for name in sys.modules if "kit_" in name]:
        del sys.modules[name]


def test_what_is_not_installed_is_said_to_be_so() -> None:
    suite: Any = type("Suite", (PackageConformance,), {"distribution": "gre-formatter-nowhere"})
    assert run_suite(suite).rules == {"installed"}
