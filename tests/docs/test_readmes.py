"""The Python in the README of each plugin runs, and its functions do what they say.

The programs in README.md itself run in tests/integration/test_adapter_programs.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in ROOT.glob("plugins/*/README.md")
    if BLOCK.search(page.read_text("utf-8"))
)

PARTIES = """
from gre_core.testing.fakes import FakePubSub, fake_ports, run
JULIET, ROMEO = "juliet@example.org", r"romeo\\40example.net@mail.example.org"
ports = fake_ports(pubsub=FakePubSub(JULIET))
"""

CALLS = {
    "plugins/gre-encrypter-openpgp-pgpy/README.md": """
made = run(OwnKeys(JULIET, ports).make(JULIET))
run(who_am_i(JULIET, ports))
assert made.fingerprint in shown()
""",
    "plugins/gre-encrypter-openpgp/README.md": """
elsewhere = OwnKeys(JULIET, fake_ports(pubsub=FakePubSub(JULIET)))
made = run(elsewhere.make(JULIET))
run(take_over(JULIET, ports, run(elsewhere.export(secret=True))))
assert f"I sign as {made.fingerprint}" in shown()
from gre_core.errors import GreError
try:
    run(look(JULIET, ports, ROMEO))
except GreError as error:  # nobody has published a key, so there is none to verify
    assert "key" in error.text, error
else:
    raise AssertionError("there was nothing to verify")
keys = OwnKeys(JULIET, ports)
run(look_after(keys))
code = re.search("Write this down: (.+)", shown())[1]
run(on_another_device(OwnKeys(JULIET, fake_ports(pubsub=ports.pubsub)), code))
run(lost(keys))
assert all(key.revoked for key in run(keys.list()))
""",
    "plugins/gre-openpgp/README.md": "assert not items  # the folder is empty",
}
"""What a reader would do with the functions that a page defines."""

SHOWN = """
import io, re, sys
_out = io.StringIO()
sys.stdout = _out
shown = _out.getvalue
"""


@pytest.mark.parametrize("page", PAGES)
def test_a_readme_runs_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()  # what gre-openpgp reads
    blocks = BLOCK.findall((ROOT / page).read_text("utf-8"))
    calls = PARTIES + CALLS[page] if page in CALLS else ""
    code = "\n".join([SHOWN, *blocks, calls])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_function_of_a_readme_is_called() -> None:
    for page in PAGES:
        code = "\n".join(BLOCK.findall((ROOT / page).read_text("utf-8")))
        for name in re.findall(r"^(?:async )?def (\w+)", code, re.MULTILINE):
            assert f"{name}(" in CALLS.get(page, ""), f"{page}: {name} is never called"
