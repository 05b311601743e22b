"""OpenPGP.js: the library of Mailvelope, Proton Mail and other programs that run in a browser."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from gre_core.testing import require
from peers.peer import Peer

SCRIPT = Path(__file__).with_suffix(".mjs")
FOLDER = Path(os.environ.get("GRE_NODE_FOLDER") or Path(__file__).parents[3] / ".nox" / "node")
"""Where ``nox -s interop`` puts it."""


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


class OpenPGPjs(Peer):
    name = "OpenPGP.js"
    package = "apt-get install nodejs npm; nox -s interop installs the rest"

    def prepare(self) -> None:
        self.need("node")
        require((FOLDER / "node_modules/openpgp").is_dir(), f"{self.name} ({self.package})")
        self.pair = self.step("key", address=self.address)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "OPENPGPJS": str(FOLDER / "index.js")}

    def step(self, name: str, **order: str) -> dict[str, str]:
        done = self.run("node", SCRIPT, name, data=json.dumps(order).encode())
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def version(self) -> str:
        return str(json.loads((FOLDER / "node_modules/openpgp/package.json").read_text())["version"])

    def certificate(self) -> bytes:
        return self.pair["publicKey"].encode()

    def learn(self, certificate: bytes, address: str) -> None:
        self.theirs = _text(certificate)

    def decrypt(self, armored: bytes) -> tuple[bytes, str, str]:
        keys = {"privateKey": self.pair["privateKey"], "theirs": self.theirs}
        answer = self.step("decrypt", **keys, message=armored.decode())
        return base64.b64decode(answer["content"]), answer["signature"], answer["signer"]

    def encrypt(self, content: bytes, to: str, way: str) -> bytes:
        keys = {"privateKey": self.pair["privateKey"], "theirs": self.theirs}
        return self.step("encrypt", **keys, content=_text(content))["message"].encode()
