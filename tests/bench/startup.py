"""How long people and programs wait before anything happens: imports, and the first answer of the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

Figures = dict[str, float]

IMPORTS = {
    "import_gre_core_ms": "import gre_core",
    "import_everything_of_gre_core_ms": "from gre_core import *",
    "import_gre_core_api_ms": "import gre_core.api",
    "import_gre_core_slixmpp_ms": "import gre_core.slixmpp",
    "import_plugins_ms": "import gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin",
    "discover_plugins_ms": "from gre_core import Plugins; Plugins.discover()",
}
COMMANDS = {
    "gre_help_ms": ["gre_cli", "--help"],
    "gre_version_ms": ["gre_cli", "--version"],
    "gateway_help_ms": ["gre_gateway_email", "--help"],
}


def startup(rounds: int = 15) -> Figures:
    """Give what each import, and each command, adds to a process that does nothing, in ms of processor time."""
    empty = ["-c", "pass"]
    figures = {}
    programs = {name: ["-c", code] for name, code in IMPORTS.items()}
    programs |= {name: ["-m", *words] for name, words in COMMANDS.items()}
    for name, words in programs.items():
        _cost(words)  # its bytecode is there afterwards
        figures[name] = max(median(_cost(words) - _cost(empty) for _ in range(rounds)) * 1000, 0.0)
    return figures


def _cost(words: list[str]) -> float:
    """Give the processor time of a process, in seconds: other programs on the machine do not count."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    for name, figure in startup().items():
        print(f"{name:38} {figure:8.1f}")
