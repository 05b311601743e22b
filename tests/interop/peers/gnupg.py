"""GnuPG."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from peers.peer import Peer, status_of_gnupg
from peers.table import DEFAULT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GnuPG", "Keyring"]


class Keyring(Peer):
    """A home of GnuPG: also what mutt and notmuch work with."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.gnupg = self.home / "g"
        self.gnupg.mkdir(mode=0o700)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "GNUPGHOME": str(self.gnupg)}

    def gpg(self, *arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.run("gpg", "--batch", "--yes", "--quiet", "--status-fd", "2", *arguments, data=data)

    def prepare(self) -> None:
        self.gpg(
            "--pinentry-mode", "loopback", "--passphrase", "",
            "--quick-generate-key", f"Outside <{self.address}>", "future-default", "default", "never",
        )  # fmt: skip

    def certificate(self) -> bytes:
        return self.gpg("--export", self.address).stdout

    def learn(self, certificate: bytes, address: str) -> None:
        self.gpg("--import", data=certificate)
        # What a user does who compared the fingerprint: from then on no program asks again.
        listed = self.gpg("--with-colons", "--list-keys", address).stdout.decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        self.gpg("--quick-lsign-key", fingerprint)

    def close(self) -> None:
        if gpgconf := shutil.which("gpgconf"):
            command = [gpgconf, "--homedir", str(self.gnupg), "--kill", "all"]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
        super().close()


class GnuPG(Keyring):
    name = "GnuPG"
    package = "apt-get install gnupg"
    ways = (DEFAULT, "ZIP", "ZLIB", "BZIP2", "anonymous")

    def prepare(self) -> None:
        self.need("gpg")
        super().prepare()

    def version(self) -> str:
        return self.run("gpg", "--version").stdout.split()[2].decode()

    def decrypt(self, armored: bytes) -> tuple[bytes, str, str]:
        done = self.gpg("--decrypt", data=armored)
        return done.stdout, *status_of_gnupg(done.stderr)

    def encrypt(self, content: bytes, to: str, way: str) -> bytes:
        options = {DEFAULT: (), "anonymous": ("--throw-keyids",)}.get(
            way, ("-z", "6", "--compress-algo", way)
        )
        return self.gpg(*options, "--armor", "--sign", "--encrypt", "--recipient", to, data=content).stdout
