"""Each encrypted mail of the corpora is opened by GnuPG and by us: the same content, and the same verdict.

Both have the same keys: those that lie beside the mails. Where we differ, the table says why.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.armor import PRIVATE_KEY, armor, dearmor
from gre_openpgp.encrypting.engine import Secret, by_id
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.messages import check_message

from gre_core.errors import GreError, RemoteProtocolError
from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPORA = Path(
    os.environ.get("GRE_CORPORA", Path(__file__).resolve().parents[2].parent / "shared" / "corpora")
)
FOLDERS = {
    "deltachat-core/test-data/key": ["*-secret.asc"],
    "autocrypt-spec/doc/appendix": ["*.sec.asc"],
}
MAILS = ["deltachat-core/test-data/message/*", "autocrypt-spec/doc/appendix/*.eml"]
ARMOR = re.compile(rb"-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----", re.DOTALL)

GOOD, UNSIGNED, BAD, UNKNOWN, REFUSED = "good", "unsigned", "bad", "unknown-signer", "refused"

JUSTIFIED = {
    # A message of RFC 9580 (session keys of version 6, container of version 2), which GnuPG does not read.
    "hp_legacy_display.eml": (REFUSED, GOOD),
}


class Seen(NamedTuple):
    verdict: str
    content: bytes = b""
    signers: frozenset[str] = frozenset()


def mails() -> Iterator[tuple[str, bytes]]:
    for pattern in MAILS:
        for path in sorted(CORPORA.glob(pattern)):
            for number, found in enumerate(ARMOR.finditer(path.read_bytes())):
                name = path.name if not number else f"{path.name}#{number}"
                yield name, found.group().replace(b"\r\n", b"\n")


FOUND = dict(mails())


@pytest.fixture(scope="module")
def keys() -> list[OwnKey]:
    require(CORPORA.is_dir(), "the mails of other projects (folder ../shared/corpora, or GRE_CORPORA)")
    paths = [
        path
        for folder, patterns in FOLDERS.items()
        for pattern in patterns
        for path in sorted((CORPORA / folder).glob(pattern))
    ]
    return [OwnKey.read(ENGINE, dearmor(path.read_bytes(), PRIVATE_KEY)) for path in paths]


@pytest.fixture(scope="module")
def gpg(keys: list[OwnKey]) -> Iterator[Path]:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    home = Path(tempfile.mkdtemp(prefix="gre"))
    try:
        for key in keys:  # one of them is post-quantum, which GnuPG does not take
            command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--import"]
            subprocess.run(command, input=key.secret, check=False, capture_output=True)
        yield home
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def by_gnupg(home: Path, armored: bytes) -> Seen:
    command = ["gpg", "--homedir", str(home), "--batch", "--status-fd", "2", "--decrypt"]
    done = subprocess.run(command, input=armored, capture_output=True, check=False, timeout=60)
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    status = [line.split()[1:] for line in lines if line.startswith("[GNUPG:] ")]
    words = {line[0] for line in status}
    if "DECRYPTION_OKAY" not in words:
        return Seen(REFUSED)
    signers = frozenset(line[-1] for line in status if line[0] == "VALIDSIG")
    if "BADSIG" in words:
        return Seen(BAD, done.stdout)
    if "ERRSIG" in words:
        return Seen(UNKNOWN, done.stdout)
    return Seen(GOOD if signers else UNSIGNED, done.stdout, signers)


def by_us(keys: list[OwnKey], armored: bytes) -> Seen:
    decryptors = {name: each for key in keys for name, each in key.decryptors().items()}
    certs = by_id(key.parsed for key in keys)
    try:
        message = dearmor(armored)
        checked = check_message(message)
        wanted = checked.for_keys(decryptors)
        judged = ENGINE.decrypt(
            checked.keep(message, wanted),
            list(decryptors.values()),
            certs,
            [Secret(key.secret) for key in keys],
        )
    except GreError:
        return Seen(REFUSED)
    signers = frozenset(name.upper() for name in judged.signers)
    if signers:
        return Seen(GOOD, judged.payload, signers)
    if not judged.asked:
        return Seen(UNSIGNED, judged.payload)
    return Seen(BAD if all(name in certs for name in judged.asked) else UNKNOWN, judged.payload)


def test_there_is_something_to_compare() -> None:
    require(CORPORA.is_dir(), "the mails of other projects (folder ../shared/corpora, or GRE_CORPORA)")
    assert len(FOUND) >= 20


@pytest.mark.parametrize("name", sorted(FOUND))
def test_the_verdict_is_that_of_gnupg(gpg: Path, keys: list[OwnKey], name: str) -> None:
    theirs, ours = by_gnupg(gpg, FOUND[name]), by_us(keys, FOUND[name])
    if name in JUSTIFIED:
        assert (theirs.verdict, ours.verdict) == JUSTIFIED[name]
    else:
        assert ours == theirs


def passes_the_check(armored: bytes) -> bool:
    try:
        check_message(dearmor(armored))
    except RemoteProtocolError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(name for name, armored in FOUND.items() if passes_the_check(armored)))
def test_changed_it_is_refused_by_both(gpg: Path, keys: list[OwnKey], name: str) -> None:
    hurt = bytearray(dearmor(FOUND[name]))
    hurt[-30] ^= 1
    assert by_us(keys, armor(bytes(hurt))).verdict == REFUSED
    assert by_gnupg(gpg, bytes(hurt)).verdict == REFUSED
