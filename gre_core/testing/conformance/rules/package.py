"""What holds for packages with plugins."""

from __future__ import annotations

from typing import Final

from gre_core.testing.conformance.rules.rule import Rule

_NAMES: Final = "the page Writing a plugin, names"

RULES: Final = (
    Rule(
        "installed",
        "importlib.metadata",
        "The distribution is installed where the tests run.",
        "Install it (`pip install -e .`), and correct `distribution` in the test class.",
    ),
    Rule(
        "entry-point",
        "gre_core.api, ENTRY_POINT_GROUP",
        "An entry point in the group gre.v1 leads to a module with hooks, and all of it loads without a problem.",
        '[project.entry-points."gre.v1"] name = "my_package.plugin", and @hookimpl on its functions.',
    ),
    Rule(
        "distribution-name",
        _NAMES,
        "The distribution is named gre-formatter-NAME or gre-encrypter-NAME, as its namespace is.",
        "Rename it: users look for this name, and the core names it when the plugin is missing.",
    ),
    Rule(
        "import-name",
        _NAMES,
        "The distribution gre-formatter-foo imports as gre_formatter_foo.",
        "Rename the folder below src/, and the entry point.",
    ),
    Rule(
        "light-import",
        "gre_core.api, providers",
        "Importing the plugin and asking its hooks loads no library (no dependency, no asyncio, socket or ssl), opens "
        "no socket, starts no process, does not sleep and takes no time to speak of.",
        "Import them inside make(), or in the module that make() imports.",
    ),
    Rule(
        "version-bounds",
        "gre_core.api, ENTRY_POINT_GROUP: the ABI",
        "The requirement of gre-core has a lower and an upper bound, and allows the one that is installed.",
        '"gre-core>=0.1,<0.2" in the dependencies.',
    ),
    Rule(
        "hook-repeats",
        "gre_core.hookspecs",
        "A hook gives the same providers each time, as something that can be gone through.",
        "Build the list from constants, and return it (no generator that is kept).",
    ),
    Rule(
        "hook-quick",
        "gre_core.hookspecs",
        "A hook answers at once: it runs at each start of each host.",
        "Move work into make(), and let the hook return constants.",
    ),
    Rule(
        "typed",
        "PEP 561",
        "The package has a file py.typed: hosts check their code against it.",
        "Put an empty py.typed into the package, and into the wheel.",
    ),
)
