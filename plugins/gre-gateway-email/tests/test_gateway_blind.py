"""The gateway cannot read: neither it nor anything it loads imports an OpenPGP library or an encrypter."""

from __future__ import annotations

import subprocess
import sys

FORBIDDEN = (
    "pysequoia", "pgpy", "gnupg", "gpg", "pgpdump", "cryptography", "nacl", "Crypto", "johnnycanencrypt", "sop",
    "gre_encrypter_openpgp", "gre_encrypter_openpgp_pgpy", "gre_encrypter_wasm", "gre_formatter_mime", "gre_cli",
)  # fmt: skip

PROGRAM = """
import asyncio, importlib.abc, pathlib, pkgutil, sys, tempfile

FORBIDDEN = set({forbidden!r})
asked = []

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            asked.append(name)
            raise ImportError("forbidden here: " + name)

sys.meta_path.insert(0, Watch())

import gre_gateway_email
for module in pkgutil.iter_modules(gre_gateway_email.__path__):
    importlib.import_module("gre_gateway_email." + module.name)

from gre_gateway_email.app import App
from gre_gateway_email.config import load

async def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    file = folder / "gateway.toml"
    file.write_text('[xmpp]\\ndomain = "mail.localhost"\\nport = 1\\nsecret = "x"\\n'
                    '[listen]\\nport = 0\\n[keys]\\ndirectory = "."\\n[users]\\n"a@example.org" = "a@localhost"\\n')
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    await App(load(file)).run(stop, print)

asyncio.run(main())
{leak}
loaded = sorted(name for name in sys.modules if name.partition(".")[0] in FORBIDDEN)
assert not loaded, loaded
# slixmpp itself tries python-gnupg for XEP-0027, which the gateway does not have; the command keeps it out.
assert set(asked) <= {{"gnupg"}}, asked
print("blind")
"""


def run(leak: str = "") -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(forbidden=FORBIDDEN, leak=leak)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_running_gateway_imports_no_openpgp_library_and_no_encrypter():
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("blind")


def test_the_command_keeps_out_what_slixmpp_would_take_along():
    program = """
import sys, types
sys.argv = ["gre-email-gateway", "run", "--config", "no-such-file"]
from gre_gateway_email.__main__ import main
assert main() == 2
assert sys.modules["gnupg"] is None
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_watch_would_notice():
    done = run("try:\n    import gre_encrypter_openpgp\nexcept ImportError:\n    pass")
    assert done.returncode != 0
    assert "gre_encrypter_openpgp" in done.stderr
