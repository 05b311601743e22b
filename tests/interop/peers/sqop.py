"""sqop: the Stateless OpenPGP command line of Sequoia, from its Debian package."""

from __future__ import annotations

from peers.peer import Peer


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
        done = self.run(
            "sqop",
            "decrypt",
            "--verify-with=theirs",
            "--verifications-out=verifications",
            "key",
            data=armored,
        )
        lines = verifications.read_text().splitlines()
        # One line for each valid signature: time, fingerprint of the signing key, of its certificate.
        return done.stdout, *(
            ("good", lines[0].split()[2]) if len(lines) == 1 else (f"{len(lines)} valid", "")
        )

    def encrypt(self, content: bytes, to: str, way: str) -> bytes:
        return self.run("sqop", "encrypt", "--sign-with=key", "theirs", data=content).stdout
