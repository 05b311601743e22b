"""Run the conformance kit where only ``gre-core[testing]`` is installed: ``python -I kit_alone.py``.

Run by the nox session ``core_only``: a sound plugin passes, a broken one fails and is told its rule.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import gre_core
from gre_core.testing import conformance, vectors

ABSENT = ("slixmpp", "aiohttp", "platformdirs", "gre-formatter-mime", "gre-encrypter-openpgp", "pysequoia")
SOUND = """
from gre_core.testing.conformance import EncrypterConformance, FormatterConformance
from gre_core.testing.fakes import toy_encrypter, toy_formatter


class TestFormatter(FormatterConformance):
    provider = toy_formatter()


class TestEncrypter(EncrypterConformance):
    provider = toy_encrypter()
    accounts = {name: (f"{name}@example.org",) * 2 for name in ("romeo", "juliet", "nurse", "mallory")}
    needs_keys = asks_about_changed_keys = False
"""
BROKEN = """
from gre_core.api import FormatterProvider, formatter
from gre_core.testing.conformance import FormatterConformance
from gre_core.testing.toys import InsecureToyFormatter


class TestFormatter(FormatterConformance):
    provider = FormatterProvider(formatter("test"), InsecureToyFormatter, "My formatter")
"""


def run(folder: Path, source: str) -> tuple[int, str]:
    """Give the exit code of pytest over a test file, and what it said."""
    file = folder / "test_plugin.py"
    file.write_text(source, "utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\n", "utf-8"
    )  # else pytest looks for one in the folders above
    command = [sys.executable, "-I", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, file.name], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def main() -> None:
    """Import the whole kit, and let it judge two plugins."""
    assert "site-packages" in gre_core.__file__, f"this is not an installed core: {gre_core.__file__}"
    for absent in ABSENT:
        try:
            version(absent)
        except PackageNotFoundError:
            continue
        raise AssertionError(f"{absent} must not be needed by gre-core[testing]")
    for module in pkgutil.walk_packages(conformance.__path__, f"{conformance.__name__}."):
        importlib.import_module(module.name)
    assert all(vectors.read(name) for name in vectors.NAMES)
    with tempfile.TemporaryDirectory() as folder:
        code, told = run(Path(folder), SOUND)
        assert code == 0, told
        assert "switched off in TestEncrypter: needs_keys = False" in told, told
        code, told = run(Path(folder), BROKEN)
        assert code == 1, told
        assert "1 failed" in told, told
        for part in ("title (GRE,", "wanted: The title is that of the specification", "mend:   Give it to"):
            assert part in told, told
    print(f"gre-core[testing] {version('gre-core')} works alone")


if __name__ == "__main__":
    main()
