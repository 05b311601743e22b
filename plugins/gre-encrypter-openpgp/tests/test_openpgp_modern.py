"""Messages between keys of every kind that Sequoia makes, plain and compressed: version 4 and 6, classical, post-quantum."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pysequoia
import pytest
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.encrypting.engine import Secret, by_id
from gre_openpgp.encrypting.keymaking import revive_subkeys
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.secretkeys import read_subkeys
from gre_openpgp.messages import check_message

from gre_core.errors import GreError

V4, V6 = pysequoia.Profile.RFC4880, pysequoia.Profile.RFC9580
SUITES = pysequoia.CipherSuite
CONTENT = b"Content-Type: text/plain\r\n\r\ntext\r\n"
SHAPES: dict[str, dict[str, Any]] = {
    "v4 curve25519": {"cipher_suite": SUITES.Cv25519, "profile": V4},
    "v4 curve448": {"cipher_suite": SUITES.Cv448, "profile": V4},
    "v4 p256": {"cipher_suite": SUITES.P256, "profile": V4},
    "v4 p521": {"cipher_suite": SUITES.P521, "profile": V4},
    "v4 rsa": {"cipher_suite": SUITES.RSA2k, "profile": V4},
    "v4 ml-kem": {"encryption_algorithm": pysequoia.EncryptionAlgorithm.MLKEM768_X25519},
    "v6 curve25519": {"cipher_suite": SUITES.Cv25519, "profile": V6},
    "v6 curve448": {"cipher_suite": SUITES.Cv448, "profile": V6},
    "v6 p384": {"cipher_suite": SUITES.P384, "profile": V6},
    "v6 rsa": {"cipher_suite": SUITES.RSA2k, "profile": V6},
    "v6 ml-kem-768 and ml-dsa-65": {"cipher_suite": SUITES.MLDSA65_Ed25519, "profile": V6},
    "v6 ml-kem-1024 and ml-dsa-87": {"cipher_suite": SUITES.MLDSA87_Ed448, "profile": V6},
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("compression", ["plain", "zip", "zlib", "bzip2"])
def test_each_kind_of_key_opens_and_signs(forge: Any, name: str, compression: str) -> None:
    if "ml-kem" in name:
        pytest.importorskip(
            "cryptography.hazmat.primitives.asymmetric.mlkem", reason="cryptography before 47"
        )
    key = pysequoia.Tsk.generate("<alice@mail.example>", **SHAPES[name])
    own = OwnKey.read(ENGINE, bytes(key))
    head, session = forge.session_of(own.secret, bytes(key.extract_certificate()))
    signed = pysequoia.sign(key.signer(), CONTENT, armor=False)
    packets = forge.COMPRESSIONS.get(compression, lambda data: data)(signed)
    sample = pysequoia.encrypt(b"", [key.extract_certificate()], armor=False)
    second = check_message(sample).version == 2
    message = head + (forge.container_v2 if second else forge.container)(packets, session)
    for bounded in (False, True):
        decryptors = list(own.decryptors().values())
        judged = ENGINE.decrypt(
            message, decryptors, by_id([own.parsed]), [Secret(own.secret)], bounded=bounded
        )
        assert (judged.payload, judged.signers) == (CONTENT, (own.fingerprint.lower(),))


def test_an_old_library_opens_no_post_quantum_key_and_says_so(
    forge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mlkem", reason="cryptography before 47")
    key = pysequoia.Tsk.generate("<alice@mail.example>", **SHAPES["v4 ml-kem"])
    own = OwnKey.read(ENGINE, bytes(key))
    head, session = forge.session_of(own.secret, bytes(key.extract_certificate()))
    packets = forge.COMPRESSIONS["zip"](pysequoia.sign(key.signer(), CONTENT, armor=False))
    monkeypatch.delattr("cryptography.hazmat.primitives.asymmetric.mlkem", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mlkem", None)
    decryptors = list(own.decryptors().values())
    message = head + forge.container(packets, session)
    with pytest.raises(GreError):
        ENGINE.decrypt(message, decryptors, by_id([own.parsed]), [Secret(own.secret)])


def test_13_old_compressed_mail_opens_with_an_ended_subkey(forge: Any, make_odd: Any) -> None:
    year = timedelta(days=365)
    start = datetime.now(UTC) - 3 * year
    for shape in ({"lifetime": year}, {"revoked": True}):
        secret = make_odd("alice@mail.example", created=start, lifetime=10 * year, subkeys=[{}, shape])
        names = list(read_subkeys(secret, None))
        assert len(names) == 2
        own = OwnKey.read(ENGINE, secret)
        message = _to(forge, secret, names[1])
        judged = ENGINE.decrypt(message, list(own.decryptors().values()), {}, [Secret(secret)], bounded=True)
        assert judged.payload == CONTENT


def _to(forge: Any, secret: bytes, fingerprint: str) -> bytes:
    """Encrypt to one subkey, whatever became of it: what was sent while it lived."""
    alone = revive_subkeys(secret)[fingerprint]
    public = bytes(pysequoia.Tsk.from_bytes(alone).extract_certificate())
    head, session = forge.session_of(alone, public)
    message: bytes = head + forge.container(forge.zipped(forge.literal(CONTENT)), session)
    return message
