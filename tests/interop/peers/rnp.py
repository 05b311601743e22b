"""RNP: the OpenPGP library of Thunderbird, with its command line."""

from __future__ import annotations

import re

from peers.peer import Peer


class Rnp(Peer):
    name = "rnp"
    package = "apt-get install rnp"

    def prepare(self) -> None:
        self.need("rnp", "rnpkeys")
        self.keys("--generate-key", "--userid", f"<{self.address}>", "--password", "")

    def keys(self, *arguments: str, data: bytes = b"") -> bytes:
        return self.run("rnpkeys", "--homedir", self.home, *arguments, data=data).stdout

    def version(self) -> str:
        return self.run("rnp", "--version").stdout.split()[1].decode()

    def certificate(self) -> bytes:
        return self.keys("--export-key", self.address)

    def learn(self, certificate: bytes, address: str) -> None:
        (self.home / "theirs").write_bytes(certificate)
        self.keys("--import-keys", "theirs")

    def decrypt(self, armored: bytes) -> tuple[bytes, str, str]:
        (self.home / "message").write_bytes(armored)
        arguments = ("--password", "", "--decrypt", "message", "--output", "content", "--overwrite")
        done = self.run("rnp", "--homedir", self.home, *arguments)
        said = (done.stdout + done.stderr).decode(errors="replace")
        good = said.count("Good signature made") == 1 and "Signature(s) verified successfully" in said
        signer = re.search(r"^pub .*\n +([0-9a-f]{40})$", said, re.MULTILINE)
        judged = ("good", signer[1]) if good and signer else (said, "")
        return (self.home / "content").read_bytes(), *judged

    def encrypt(self, content: bytes, to: str, way: str) -> bytes:
        options = (
            "--password",
            "",
            "--sign",
            "--userid",
            self.address,
            "--encrypt",
            "--recipient",
            to,
            "--armor",
        )
        return self.run("rnp", "--homedir", self.home, *options, "--output", "-", data=content).stdout
