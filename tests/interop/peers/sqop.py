"""sqop: the Stateless OpenPGP command line of Sequoia, from its Debian package."""

from __future__ import annotations

from peers.peer import Peer

NO_SIGNATURE = 3
"""The exit code of the Stateless OpenPGP command line for it."""


class Sqop(Peer):
    name = "sqop"
    package = "apt-get install sqop"

    def prepare(self) -> None:
        self.need("sqop")
        key = self.run("sqop", "generate-key", f"<{self.address}>").stdout
        (self.home / "key").write_bytes(key)
        (self.home / "cert").write_bytes(self.run("sqop", "extract-cert", data=key).stdout)

    def version(self) -> str:
        return self.run("sqop", "version").stdout.split()[1].decode()

    def certificate(self) -> bytes:
        return (self.home / "cert").read_bytes()

    def learn(self, certificate: bytes, address: str) -> None:
        (self.home / "theirs").write_bytes(certificate)

    def decrypt(self, armored: bytes) -> tuple[bytes, str, str]:
        verifications = self.home / "verifications"
        verifications.unlink(missing_ok=True)
        options = ("--verify-with=theirs", "--verifications-out=verifications")
        done = self.run("sqop", "decrypt", *options, "key", data=armored, check=False)
        if done.returncode == NO_SIGNATURE:
            return done.stdout, "no valid signature", ""
        assert done.returncode == 0, done.stderr
        lines = verifications.read_text().splitlines()
        # One line for each valid signature: time, fingerprint of the signing key, of its certificate.
        return done.stdout, *(
            ("good", lines[0].split()[2]) if len(lines) == 1 else (f"{len(lines)} valid", "")
        )

    def encrypt(self, content: bytes, to: str, way: str) -> bytes:
        return self.run("sqop", "encrypt", "--sign-with=key", "theirs", data=content).stdout
