"""The holes of PGPy 0.6, each closed where Sequoia judges: it makes keys, and never sees a message or judges a signature.

What it would get wrong is judged right by what stands in its place; the rest of the guards is in
``test_openpgp_attacks.py``. Those of the package that judges by PGPy are in its own tests.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import gre_encrypter_openpgp
import pysequoia
import pytest
from gre_encrypter_openpgp.sequoia import verify
from gre_openpgp import encrypting
from gre_openpgp.encrypting import keymaking
from gre_openpgp.encrypting.keymaking import _pgpy

from gre_core.errors import BadEncrypted

CONTENT = b"Pay 1 coin."


def test_only_the_making_of_keys_imports_it() -> None:
    folders = [Path(str(module.__file__)).parent for module in (gre_encrypter_openpgp, encrypting)]
    found = {
        path.name
        for folder in folders
        for path in folder.glob("*.py")
        if re.search(r"import pgpy|from pgpy", path.read_text("utf-8"))
    }
    assert found == {"keymaking.py"}


def test_it_never_verifies_decrypts_or_decompresses() -> None:
    source = Path(keymaking.__file__).read_text("utf-8")
    assert not re.findall(r"\.verify\(|\.decrypt\(|PGPMessage|SignatureVerification", source)


async def test_a_container_without_integrity_protection_is_refused(world: Any, forge: Any) -> None:
    """PGPy opens it (SED, packet 9)."""
    await world.own_cert()
    account = next(iter(world.encrypter._accounts.values()))[1]
    head, _ = forge.session_of(account.own.secret, account.own.parsed.key.data)
    with pytest.raises(BadEncrypted, match="integrity"):
        await world.open(head + forge.packet(9, bytes(100)))


def test_an_empty_verification_is_no_signature() -> None:
    """PGPy's is truthy."""
    assert verify(CONTENT, (), {}) == ((), ())


@pytest.mark.parametrize(("bits", "good"), [(1024, False), (2048, True)])
def test_short_rsa_keys_sign_nothing(bits: int, good: bool) -> None:
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(c.PubKeyAlgorithm.RSAEncryptOrSign, bits)
        key.add_uid(
            pgpy.PGPUID.new("<bob@mail.example>"),
            usage={c.KeyFlags.Sign, c.KeyFlags.Certify},
            hashes=[c.HashAlgorithm.SHA256],
        )
        signature = bytes(key.sign(CONTENT, hash=c.HashAlgorithm.SHA256))
        assert key.pubkey.verify(CONTENT, pgpy.PGPSignature.from_blob(signature))  # pins the reason
    cert = pysequoia.Cert.from_bytes(bytes(key.pubkey))
    signers, asked = verify(CONTENT, (signature,), dict.fromkeys(_names(cert), cert))
    assert asked
    assert bool(signers) is good


@pytest.mark.parametrize("algorithm", ["MD5", "SHA1"])
def test_weak_hashes_that_it_accepts_are_refused(forge: Any, algorithm: str) -> None:
    pgpy, _ = _pgpy()
    key = forge.Key()
    cert = key.certificate("bob@mail.example")
    signature = key.signature(CONTENT, algorithm=algorithm.lower())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pgpy.PGPKey.from_blob(cert)[0]
        assert theirs.verify(CONTENT, pgpy.PGPSignature.from_blob(signature))  # pins the reason
    parsed = pysequoia.Cert.from_bytes(cert)
    assert verify(CONTENT, (signature,), dict.fromkeys(_names(parsed), parsed))[0] == ()


def _names(cert: pysequoia.Cert) -> tuple[str, str]:
    return cert.fingerprint, cert.fingerprint[-16:]
