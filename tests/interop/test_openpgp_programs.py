"""Messages of GnuPG, rnp and sqop with keys of every kind that GnuPG makes, compressed or not, locked or not."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pysequoia
import pytest
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.armor import dearmor, is_armored
from gre_openpgp.encrypting.detached import PROTOCOL, judge_detached
from gre_openpgp.encrypting.engine import Judged, Secret, by_id
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.secretkeys import read_subkeys, without_lock
from gre_openpgp.messages import check_message
from gre_openpgp.xep0373 import PublicKey

from gre_core.errors import BadEncrypted, DecryptFailed, GreError, NoUsableKey
from gre_core.model import SignedPart
from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOAD = b"Content-Type: text/plain\r\n\r\n" + "Grüße\r\n".encode() * 50
PASSWORD = "correct horse"
ALICE, BOB, CAROL = "alice@mail.example", "bob@mail.example", "carol@mail.example"
KINDS = {
    "curve25519": ("ed25519", "cv25519"),
    "rsa": ("rsa2048", "rsa2048"),
    "nistp256": ("nistp256", "nistp256"),
    "nistp384": ("nistp384", "nistp384"),
    "nistp521": ("nistp521", "nistp521"),
}


class GnuPG:
    """A home of GnuPG with the keys of several people."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        command = [
            "gpg",
            "--homedir",
            str(self.home),
            "--batch",
            "--yes",
            "--quiet",
            "--trust-model",
            "always",
        ]
        done = subprocess.run(
            [*command, *arguments], input=data, capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout

    def make(self, address: str, kind: str, password: str = "") -> str:
        sign, encrypt = KINDS[kind]
        unlock = ["--pinentry-mode", "loopback", "--passphrase", password]
        self.run(*unlock, "--quick-gen-key", f"<{address}>", sign, "sign", "never")
        listed = self.run("--list-keys", "--with-colons", address).decode()
        fingerprint = listed.split("fpr:::::::::")[1].split(":")[0]
        self.run(*unlock, "--quick-add-key", fingerprint, encrypt, "encr", "never")
        return fingerprint

    def secret(self, address: str, password: str = "") -> bytes:
        unlock = ["--pinentry-mode", "loopback", "--passphrase", password]
        return self.run(*unlock, "--export-secret-keys", address)

    def public(self, address: str) -> bytes:
        return self.run("--export", address)


@pytest.fixture(scope="module")
def gpg() -> Iterator[GnuPG]:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    home = Path(tempfile.mkdtemp(prefix="gre"))
    try:
        made = GnuPG(home)
        made.make(BOB, "curve25519")
        made.make(CAROL, "nistp256")
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def alice(gpg: GnuPG) -> bytes:
    gpg.make(ALICE, "curve25519")
    return gpg.secret(ALICE)


def opened(message: bytes, secret: bytes, *signers: bytes) -> Judged:
    raw = dearmor(message) if is_armored(message) else message
    ours = OwnKey.read(ENGINE, secret).decryptors()
    checked = check_message(raw)
    wanted = checked.for_keys(ours)
    certs = by_id(ENGINE.read(PublicKey.read(signer)) for signer in signers)
    return ENGINE.decrypt(checked.keep(raw, wanted), list(ours.values()), certs, [Secret(secret)])


def fingerprint(cert: bytes) -> str:
    return PublicKey.read(cert).fingerprint.lower()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("password", ["", PASSWORD], ids=["open", "locked"])
def test_keys_of_every_kind_that_gnupg_makes(gpg: GnuPG, kind: str, password: str) -> None:
    address = f"{kind}.{'locked' if password else 'open'}@mail.example"
    gpg.make(address, kind, password)
    secret, bob = gpg.secret(address, password), gpg.public(BOB)
    if password:
        secret = without_lock(secret, password)
    for options in (["-z", "0"], [], ["--compress-algo", "bzip2"], ["-R", address]):
        recipient = [] if "-R" in options else ["-r", address]
        message = gpg.run(*options, *recipient, "-u", BOB, "-s", "-e", data=PAYLOAD)
        judged = opened(message, secret, bob)
        assert (judged.payload, judged.signers) == (PAYLOAD, (fingerprint(bob),)), options
    signer = gpg.public(address)
    unlock = ["--pinentry-mode", "loopback", "--passphrase", password]
    message = gpg.run(*unlock, "-r", BOB, "-u", address, "-s", "-e", data=PAYLOAD)
    assert opened(message, gpg.secret(BOB), signer).signers == (fingerprint(signer),)


def test_a_locked_key_is_unlocked_without_its_program(gpg: GnuPG) -> None:
    address = "lock@mail.example"
    gpg.make(address, "curve25519", PASSWORD)
    locked = gpg.secret(address, PASSWORD)
    assert [key.secret for key in read_subkeys(locked, PASSWORD).values()] == [
        key.secret for key in read_subkeys(without_lock(locked, PASSWORD), None).values()
    ]
    for wrong in ("", "correct horse "):
        with pytest.raises(NoUsableKey, match="wrong"):
            read_subkeys(locked, wrong)
    with pytest.raises(NoUsableKey, match="locked"):
        read_subkeys(locked, None)


@pytest.mark.parametrize("cipher", ["CAMELLIA256", "TWOFISH"])
def test_no_cipher_hides_from_the_host_that_a_message_is_compressed(
    gpg: GnuPG, alice: bytes, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequoia would decompress without a bound."""
    options = ["--cipher-algo", cipher, "--compress-algo", "zlib"]
    message = gpg.run(*options, "-r", ALICE, "-e", data=bytes(1 << 20))
    asked: list[object] = []
    monkeypatch.setattr(pysequoia, "decrypt", lambda *arguments: asked.append(arguments))
    with pytest.raises(DecryptFailed, match="cipher"):
        ENGINE.decrypt(
            message, list(OwnKey.read(ENGINE, alice).decryptors().values()), {}, [Secret(alice)], bounded=True
        )
    assert asked == []


@pytest.mark.parametrize("cipher", ["3DES", "CAST5", "IDEA"])
def test_an_outdated_cipher_is_named_as_the_reason(gpg: GnuPG, alice: bytes, cipher: str) -> None:
    message = gpg.run("--cipher-algo", cipher, "-z", "0", "-r", ALICE, "-e", data=PAYLOAD)
    with pytest.raises(DecryptFailed, match="cipher"):
        opened(message, alice)


@pytest.mark.parametrize("armor", [[], ["--armor"]], ids=["binary", "armored"])
@pytest.mark.parametrize("level", ["0", "6"])
def test_what_was_signed_as_a_file_and_encrypted_after_that_is_judged(
    gpg: GnuPG, alice: bytes, level: str, armor: list[str]
) -> None:
    signed = gpg.run("-z", level, *armor, "-u", BOB, "--sign", data=PAYLOAD)
    message = gpg.run("-z", level, "-r", ALICE, "--encrypt", data=signed)
    bob = gpg.public(BOB)
    judged = opened(message, alice, bob)
    assert (judged.payload, judged.signers) == (PAYLOAD, (fingerprint(bob),))
    assert opened(message, alice).signers == ()
    # What is no signed message stays what it is.
    for content in (signed[:-40], gpg.run("-z", level, "--store", data=PAYLOAD), b"\xa3\x01"):
        plain = opened(gpg.run("-r", ALICE, "--encrypt", data=content), alice, bob)
        assert (plain.payload, plain.signers, plain.asked) == (content, (), ())


@pytest.mark.parametrize("level", ["0", "6"])
def test_several_signers(gpg: GnuPG, alice: bytes, level: str) -> None:
    message = gpg.run("-z", level, "-r", ALICE, "-u", BOB, "-u", CAROL, "-s", "-e", data=PAYLOAD)
    bob, carol = gpg.public(BOB), gpg.public(CAROL)
    judged = opened(message, alice, bob, carol)
    assert sorted(judged.signers) == sorted([fingerprint(bob), fingerprint(carol)])
    assert opened(message, alice, carol).signers == (fingerprint(carol),)
    assert len(opened(message, alice).asked) == 2


@pytest.mark.parametrize("level", ["0", "6"])
def test_text_mode(gpg: GnuPG, alice: bytes, level: str) -> None:
    text = b"one\ntwo  \n\nthree"
    message = gpg.run("-z", level, "--textmode", "-r", ALICE, "-u", BOB, "-s", "-e", data=text)
    judged = opened(message, alice, gpg.public(BOB))
    assert judged.signers
    assert judged.payload.replace(b"\r\n", b"\n") == text


@pytest.mark.parametrize("level", ["0", "6"])
def test_signed_first_and_encrypted_then(gpg: GnuPG, alice: bytes, level: str) -> None:
    signed = gpg.run("-z", level, "-u", BOB, "--sign", data=PAYLOAD)
    message = gpg.run("-r", ALICE, "--no-literal", "-z", "0", "-e", data=signed)
    judged = opened(message, alice, gpg.public(BOB))
    assert (judged.payload, len(judged.signers)) == (PAYLOAD, 1)


def test_a_large_message_in_parts(gpg: GnuPG, alice: bytes) -> None:
    payload = bytes(range(256)) * 40_000
    message = gpg.run("-r", ALICE, "-u", BOB, "-s", "-e", data=payload)
    judged = opened(message, alice, gpg.public(BOB))
    assert (judged.payload, len(judged.signers)) == (payload, 1)


@pytest.mark.parametrize("digest", ["SHA1", "SHA256"])
def test_the_hash_of_the_signature(gpg: GnuPG, alice: bytes, digest: str) -> None:
    weak = ["--weak-digest", "MD5", "--digest-algo", digest]
    message = gpg.run(*weak, "-r", ALICE, "-u", BOB, "-s", "-e", data=PAYLOAD)
    assert bool(opened(message, alice, gpg.public(BOB)).signers) == (digest != "SHA1")


@pytest.mark.parametrize("cipher", ["AES128", "AES192", "AES256"])
def test_each_aes(gpg: GnuPG, alice: bytes, cipher: str) -> None:
    message = gpg.run("--cipher-algo", cipher, "-r", ALICE, "-u", BOB, "-s", "-e", data=PAYLOAD)
    assert opened(message, alice, gpg.public(BOB)).signers


@pytest.mark.parametrize("cipher", ["3DES", "CAST5", "BLOWFISH", "TWOFISH", "CAMELLIA256"])
def test_old_ciphers_are_refused_with_compression(gpg: GnuPG, alice: bytes, cipher: str) -> None:
    """Only who forces them gets them: no key asks for them."""
    message = gpg.run("--cipher-algo", cipher, "-r", ALICE, "-u", BOB, "-s", "-e", data=PAYLOAD)
    with pytest.raises(GreError):
        opened(message, alice, gpg.public(BOB))


def test_detached_signatures_of_gnupg(gpg: GnuPG) -> None:
    bob, carol = gpg.public(BOB), gpg.public(CAROL)
    certs = by_id(ENGINE.read(PublicKey.read(cert)) for cert in (bob, carol))
    for options in (["--armor"], [], ["--textmode"]):
        signature = gpg.run(*options, "-u", BOB, "-u", CAROL, "--detach-sign", data=PAYLOAD)
        judged = judge_detached(ENGINE, SignedPart(PAYLOAD, signature, PROTOCOL), certs)
        assert sorted(judged.signers) == sorted([fingerprint(bob), fingerprint(carol)])
        assert judge_detached(ENGINE, SignedPart(PAYLOAD + b"x", signature, PROTOCOL), certs).signers == ()


def by_rnp(gpg: GnuPG, folder: Path, *options: str) -> bytes:
    require(shutil.which("rnp"), "rnp (apt-get install rnp)")
    ring = folder / "keys"
    ring.write_bytes(gpg.secret(BOB) + gpg.public(ALICE))
    command = [
        "rnp",
        "--notty",
        "--password",
        "x",
        "--keyfile",
        str(ring),
        "-e",
        "-s",
        "-r",
        ALICE,
        "-u",
        BOB,
    ]
    done = subprocess.run([*command, *options], input=PAYLOAD, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options", [["-z", "0"], ["--zip"], ["--zlib"], ["--bzip"], ["--zip", "--armor"]], ids=str
)
def test_rnp(gpg: GnuPG, alice: bytes, tmp_path: Path, options: list[str]) -> None:
    judged = opened(by_rnp(gpg, tmp_path, *options), alice, gpg.public(BOB))
    assert (judged.payload, judged.signers) == (PAYLOAD, (fingerprint(gpg.public(BOB)),))


@pytest.mark.parametrize("mode", ["EAX", "OCB"])
def test_the_aead_form_that_is_in_no_standard_is_refused(
    gpg: GnuPG, alice: bytes, tmp_path: Path, mode: str
) -> None:
    message = by_rnp(gpg, tmp_path, f"--aead={mode}")
    with pytest.raises(BadEncrypted, match="rfc4880"):
        opened(message, alice, gpg.public(BOB))


def test_sqop(gpg: GnuPG, alice: bytes, tmp_path: Path) -> None:
    require(shutil.which("sqop"), "sqop (apt-get install sqop)")
    bob, recipient = tmp_path / "bob", tmp_path / "alice"
    bob.write_bytes(gpg.secret(BOB))
    recipient.write_bytes(gpg.public(ALICE))
    command = ["sqop", "encrypt", "--sign-with", str(bob), str(recipient)]
    done = subprocess.run(command, input=PAYLOAD, capture_output=True, check=True, timeout=60)
    judged = opened(done.stdout, alice, gpg.public(BOB))
    assert (judged.payload, judged.signers) == (PAYLOAD, (fingerprint(gpg.public(BOB)),))
