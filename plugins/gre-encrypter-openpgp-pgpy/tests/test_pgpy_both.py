"""Sequoia and PGPy, each as writer and as reader: the same messages open, with the same verdicts."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pysequoia
import pytest
from gre_encrypter_openpgp.engine import ENGINE as SEQUOIA
from gre_encrypter_openpgp_pgpy.engine import ENGINE as PGPY
from gre_openpgp.encrypting import vault
from gre_openpgp.encrypting.engine import Engine, Judged, Secret, by_id
from gre_openpgp.encrypting.keymaking import _pgpy, extend, make_key, revoke, rotate
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.secretkeys import public_part
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import check_message
from gre_openpgp.xep0373 import PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gre_core.errors import DecryptFailed, GreError

ENGINES = {"sequoia": SEQUOIA, "pgpy": PGPY}
PAYLOAD = b"Pay 1 coin."
KINDS = ("ours", "rotated", "extended", "rsa", "p256", "p384", "by sequoia")


@cache
def secret(kind: str, name: str = "alice@mail.example") -> bytes:
    """A secret key of a kind that both read; made once in a test run."""
    before = datetime.now(UTC) - timedelta(days=3)
    if kind == "ours":
        return make_key(f"<{name}>")
    if kind == "rotated":
        return rotate(make_key(f"<{name}>", before), before + timedelta(days=1))
    if kind == "extended":
        return extend(make_key(f"<{name}>", before), None, before + timedelta(days=1))
    if kind == "by sequoia":
        return bytes(pysequoia.Tsk.generate(f"<{name}>"))
    pgpy, c = _pgpy()
    a = c.PubKeyAlgorithm
    main, sub = {
        "rsa": ((a.RSAEncryptOrSign, 2048), (a.RSAEncryptOrSign, 2048)),
        "p256": ((a.ECDSA, c.EllipticCurveOID.NIST_P256), (a.ECDH, c.EllipticCurveOID.NIST_P256)),
        "p384": ((a.ECDSA, c.EllipticCurveOID.NIST_P384), (a.ECDH, c.EllipticCurveOID.NIST_P384)),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(*main, created=before)
        key.add_uid(
            pgpy.PGPUID.new(f"<{name}>"),
            usage={c.KeyFlags.Sign, c.KeyFlags.Certify},
            hashes=[c.HashAlgorithm.SHA256],
            ciphers=[c.SymmetricKeyAlgorithm.AES256],
            compression=[c.CompressionAlgorithm.Uncompressed],
            created=before,
            primary=True,
        )
        key.add_subkey(
            pgpy.PGPKey.new(*sub, created=before),
            usage={c.KeyFlags.EncryptCommunications, c.KeyFlags.EncryptStorage},
            created=before,
        )
        return bytes(key)


@cache
def own(engine: str, kind: str, name: str) -> OwnKey:
    return OwnKey.read(ENGINES[engine], secret(kind, name))


def write(engine: str, signer: str, recipients: tuple[str, ...], payload: bytes) -> bytes:
    library = ENGINES[engine]
    certs = [own(engine, kind, "bob@mail.example").parsed for kind in recipients]
    by = own(engine, signer, "alice@mail.example").signer(datetime.now(UTC))
    return library.encrypt(payload, [cert.cert for cert in certs], by, library.lowered_by(certs))


def read(engine: str, kind: str, message: bytes, signers: tuple[str, ...]) -> Judged | str:
    library: Engine = ENGINES[engine]
    ours = own(engine, kind, "bob@mail.example")
    certs = by_id(own(engine, each, "alice@mail.example").parsed for each in signers)
    try:
        checked = check_message(message)
        wanted = checked.for_keys(ours.decryptors())
        decryptors = [ours.decryptors()[each.key_id] for each in wanted]
        return library.decrypt(
            checked.keep(message, wanted), decryptors, certs, [Secret(ours.secret)], bounded=True
        )
    except GreError as error:
        return error.code


payloads = st.binary(max_size=3000) | st.text(max_size=1000).map(lambda text: text.encode("utf-8"))


@settings(deadline=None, max_examples=40)
@given(
    payload=payloads,
    signer=st.sampled_from(KINDS),
    recipients=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True).map(tuple),
    known=st.sampled_from(["signer", "nobody", "another"]),
    writer=st.sampled_from(sorted(ENGINES)),
)
def test_what_one_writes_both_read_with_the_same_verdict(
    payload: bytes, signer: str, recipients: tuple[str, ...], known: str, writer: str
) -> None:
    message = write(writer, signer, recipients, payload)
    others = tuple(kind for kind in ("ours", "rsa") if kind != signer)[:1]
    signers = {"signer": (signer,), "nobody": (), "another": others}[known]
    for kind in recipients:
        by_sequoia, by_pgpy = (read(name, kind, message, signers) for name in ("sequoia", "pgpy"))
        assert isinstance(by_sequoia, Judged)
        assert by_sequoia == by_pgpy
        assert by_sequoia.payload == payload
        assert bool(by_sequoia.signers) == (known == "signer")
        assert by_sequoia.asked


@cache
def sealed(writer: str, kind: str) -> bytes:
    return write(writer, kind, (kind,), PAYLOAD)


def both(kind: str, message: bytes, signers: tuple[str, ...]) -> Judged | str:
    """Give what both make of a message."""
    by_sequoia, by_pgpy = (read(name, kind, message, signers) for name in ("sequoia", "pgpy"))
    assert by_sequoia == by_pgpy
    return by_pgpy


@settings(deadline=None, max_examples=100)
@given(
    at=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    writer=st.sampled_from(sorted(ENGINES)),
    kind=st.sampled_from(KINDS),
)
def test_a_changed_bit_is_refused_by_both_in_the_same_words(
    at: float, bit: int, writer: str, kind: str
) -> None:
    message = bytearray(sealed(writer, kind))
    message[int(at * len(message))] ^= 1 << bit
    found = both(kind, bytes(message), (kind,))
    if isinstance(found, Judged):  # what was changed is not looked at, such as the length of a number
        assert (found.payload, bool(found.signers)) == (PAYLOAD, True)
    else:
        assert found in {"bad-encrypted", "decrypt-failed", "not-for-us"}


@pytest.mark.parametrize("writer", sorted(ENGINES))
def test_a_message_for_another_key_is_not_for_us(writer: str) -> None:
    for kind in KINDS:
        message = sealed(writer, kind)
        for other in KINDS:
            if other != kind:
                assert both(other, message, (kind,)) == "not-for-us"


@pytest.mark.parametrize("writer", sorted(ENGINES))
def test_a_message_that_ends_too_early_is_refused(writer: str) -> None:
    message = sealed(writer, "ours")
    for end in range(len(message)):
        assert isinstance(both("ours", message[:end], ("ours",)), str)


@settings(deadline=None, max_examples=60)
@given(
    signer=st.sampled_from(KINDS),
    at=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    where=st.sampled_from(["nowhere", "content", "signature"]),
)
def test_a_signature_with_a_changed_bit_is_bad_to_both(signer: str, at: float, bit: int, where: str) -> None:
    parts = {
        "nowhere": bytearray(b"x"),
        "content": bytearray(PAYLOAD),
        "signature": bytearray(detached(signer)),
    }
    parts[where][int(at * len(parts[where]))] ^= 1 << bit
    content, signature = bytes(parts["content"]), bytes(parts["signature"])
    found = [
        library.verify(content, [signature], by_id([own(name, signer, "alice@mail.example").parsed]))
        for name, library in ENGINES.items()
    ]
    assert found[0][0] == found[1][0]
    if where == "nowhere":
        assert found[0][0]
    elif where == "content":
        assert not found[0][0]


@pytest.mark.parametrize("kind", KINDS)
def test_both_say_the_same_of_a_key(kind: str) -> None:
    keys = [PublicKey.read(public_part(secret(kind)))]
    now = datetime.now(UTC)
    if kind == "ours":
        past = now - timedelta(days=900)
        keys.append(PublicKey.read(public_part(make_key("<old@mail.example>", past))))
        for reason in ("superseded", "compromised"):
            gone = revoke(make_key("<gone@mail.example>"), reason, "", now)
            keys.append(PublicKey.read(public_part(gone)))
    for key in keys:
        first, second = SEQUOIA.read(key), PGPY.read(key)
        for name in ("key", "ids", "user_ids", "problem", "expires", "revoked", "ends"):
            assert getattr(first, name) == getattr(second, name), name


@pytest.mark.parametrize("writer", sorted(ENGINES))
@pytest.mark.parametrize("reader", sorted(ENGINES))
def test_what_one_locks_the_other_unlocks(writer: str, reader: str) -> None:
    locked = ENGINES[writer].lock(b"secret key", "Ä words")
    assert vault.is_locked(locked)
    assert vault.unlock(ENGINES[reader], locked, "Ä words") == b"secret key"
    assert vault.unlock(ENGINES[reader], locked, "other words") is None


@pytest.mark.parametrize("first", sorted(ENGINES))
@pytest.mark.parametrize("second", sorted(ENGINES))
def test_two_forms_of_a_key_are_joined_and_a_revocation_stays(first: str, second: str) -> None:
    plain = secret("ours")
    revoked = revoke(plain, "compromised", "", datetime.now(UTC))
    forms = [PublicKey.read(public_part(each)) for each in (plain, revoked)]
    for mine, other in (forms, forms[::-1]):
        joined = PublicKey.read(ENGINES[first].merge(mine, other))
        assert ENGINES[second].read(joined).revoked


@cache
def detached(kind: str) -> bytes:
    signer = pysequoia.Tsk.from_bytes(secret(kind, "alice@mail.example")).signer()
    made: bytes = pysequoia.sign(signer, PAYLOAD, mode=pysequoia.SignatureMode.DETACHED, armor=False)
    return made


def test_a_detached_signature_of_sequoia_is_judged() -> None:
    signer = pysequoia.Tsk.from_bytes(secret("ours", "alice@mail.example")).signer()
    made = pysequoia.sign(signer, b"content", mode=pysequoia.SignatureMode.DETACHED, armor=False)
    certs = by_id([own("pgpy", "ours", "alice@mail.example").parsed])
    assert PGPY.verify(b"content", [made], certs)[0]
    assert not PGPY.verify(b"contents", [made], certs)[0]
    assert PGPY.verify(b"content", [made], {})[0] == ()


# -- what only Sequoia can -------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["RFC9580"])
def test_keys_of_version_6_are_refused_in_words(suite: str) -> None:
    profile = getattr(pysequoia.Profile, suite)
    key = pysequoia.Tsk.generate("<alice@mail.example>", profile=profile)
    with pytest.raises(BadOpenPGP, match="gre-encrypter-openpgp"):
        PGPY.read(PublicKey.read(bytes(key.extract_certificate())))
    with pytest.raises(GreError, match="version 6"):
        OwnKey.read(PGPY, bytes(key))


def test_what_is_too_large_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from gre_encrypter_openpgp_pgpy import engine, sealing

    message = write("pgpy", "ours", ("ours",), bytes(5000))
    monkeypatch.setattr(engine, "_LARGEST", 4000)
    with pytest.raises(DecryptFailed, match="Sequoia"):
        PGPY.decrypt(message, [], {}, [Secret(secret("ours", "bob@mail.example"))])
    monkeypatch.setattr(sealing, "MAX_CONTENT", 4000)
    with pytest.raises(GreError, match="Sequoia"):
        write("pgpy", "ours", ("ours",), bytes(5000))
