"""The holes of PGPy 0.6, each closed. Where PGPy itself can be shown to be wrong, it is. Runs without Sequoia.

What the shared code guards against, on this engine too, is in ``test_openpgp_attacks.py`` and ``test_openpgp_traps.py``.
"""

from __future__ import annotations

import ast
import importlib.util
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import gre_encrypter_openpgp_pgpy
import pytest
from gre_encrypter_openpgp_pgpy import numbers
from gre_encrypter_openpgp_pgpy.engine import ENGINE
from gre_openpgp.encrypting import unwrap as unwrapping
from gre_openpgp.encrypting.engine import Judged, ParsedCert, Secret, by_id
from gre_openpgp.encrypting.keymaking import _pgpy, make_key, revoke, rotate
from gre_openpgp.encrypting.secretkeys import public_part, read_subkeys
from gre_openpgp.encrypting.sessionkeys import open_session_key
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import check_message
from gre_openpgp.packets import walk
from gre_openpgp.xep0373 import PublicKey

from gre_core.errors import BadEncrypted, DecryptFailed, EncryptFailed, NoUsableKey

FORGING = Path(__file__).parents[2] / "gre-encrypter-openpgp" / "tests" / "forging.py"
CONTENT = b"Pay 1 coin."
ADDRESS = "bob@mail.example"
SED = 9


@cache
def _forging() -> Any:
    spec = importlib.util.spec_from_file_location("gre_forging_guards", FORGING)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


forge = _forging()
NOW, DAY = forge.NOW, forge.DAY


@cache
def alice() -> bytes:
    return make_key("<alice@mail.example>")


def parsed(cert: bytes) -> ParsedCert:
    return ENGINE.read(PublicKey.read(cert))


def signers(cert: bytes, signature: bytes, content: bytes = CONTENT) -> tuple[str, ...]:
    """Give who signed by the judgement of this package, when this public key is known."""
    found, asked = ENGINE.verify(content, [signature], by_id([parsed(cert)]))
    assert asked
    return found


def pgpy_accepts(cert: bytes, signature: bytes) -> bool:
    """Tell whether PGPy takes a signature of the content as good."""
    pgpy, _ = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(pgpy.PGPKey.from_blob(cert)[0].verify(CONTENT, pgpy.PGPSignature.from_blob(signature)))


def sealed(*certs: ParsedCert) -> bytes:
    return ENGINE.encrypt(CONTENT, [cert.cert for cert in certs], ENGINE.signer(alice()), None)


def opened(message: bytes) -> Judged:
    return ENGINE.decrypt(message, [], by_id([parsed(public_part(alice()))]), [Secret(alice())])


def session() -> tuple[bytes, Any]:
    """Give a session-key packet for Alice, and the session key in it."""
    message = sealed(parsed(public_part(alice())))
    (first,) = check_message(message).session_keys
    (subkey,) = read_subkeys(alice(), None).values()
    return message[first.start : first.end], open_session_key(message[first.body : first.end], subkey)


# -- what PGPy is asked for -------------------------------------------------------------------------


def test_one_module_calls_it_and_only_for_numbers() -> None:
    """It never sees a message, and never judges a key: none of its classes for these is named."""
    folder = Path(gre_encrypter_openpgp_pgpy.__file__).parent
    used: dict[str, set[str]] = {}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for module in modules:
                if module.split(".")[0] in {"pgpy", "pysequoia"}:
                    used.setdefault(path.name, set()).add(module)
    assert used == {"numbers.py": {"pgpy", "pgpy.packet.fields", "pgpy.packet.packets"}}
    source = (folder / "numbers.py").read_text("utf-8")
    assert not [name for name in ("PGPMessage", "PGPKey", "PGPSignature", "PGPUID") if name in source]


# -- messages ---------------------------------------------------------------------------------------


def test_a_container_without_integrity_protection_is_refused() -> None:
    head, key = session()
    inside = forge.container(forge.literal(CONTENT), key)
    with pytest.raises(BadEncrypted, match="integrity"):
        opened(head + forge.packet(SED, inside[6:]))


def test_nothing_of_a_changed_message_comes_out() -> None:
    message = bytearray(sealed(parsed(public_part(alice()))))
    assert opened(bytes(message)).payload == CONTENT
    for at in range(check_message(bytes(message)).container + 8, len(message)):
        message[at] ^= 1
        with pytest.raises(DecryptFailed):
            opened(bytes(message))
        message[at] ^= 1


@pytest.mark.parametrize("form", ["zip", "zlib", "bzip2"])
def test_a_bomb_is_refused(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head, key = session()
    monkeypatch.setattr(unwrapping, "FREE_CONTENT", 1 << 16)
    bomb = forge.COMPRESSIONS[form](forge.literal(bytes(1 << 22)))
    with pytest.raises(DecryptFailed):
        opened(head + forge.container(bomb, key))


# -- signatures on keys -------------------------------------------------------------------------------


def test_a_grafted_subkey_does_not_sign_for_its_victim() -> None:
    """PGPy takes any subkey packet behind a key as part of it."""
    bob, eve = forge.Key(), forge.Key()
    signature = eve.signature(CONTENT)
    for behind in (forge.packet(14, eve.body), bob.subkey(eve, by=eve), bob.subkey(eve, back=eve, by=eve)):
        cert = bob.certificate(ADDRESS, behind=behind)
        assert signers(cert, signature) == ()
        assert pgpy_accepts(cert, signature)


def test_a_subkey_that_did_not_sign_its_binding_signs_nothing() -> None:
    """The owner of a key claims what somebody else signed, by taking his subkey."""
    bob, carol = forge.Key(), forge.Key()
    signature = carol.signature(CONTENT)
    for back in (None, bob):
        assert signers(bob.certificate(ADDRESS, behind=bob.subkey(carol, back=back)), signature) == ()
    good = bob.certificate(ADDRESS, behind=bob.subkey(carol, back=carol))
    assert signers(good, signature) == (bob.fingerprint.lower(),)


def test_a_grafted_subkey_is_not_encrypted_to() -> None:
    bob, eve = forge.Key(), forge.Key()
    stranger = forge.EncryptionKey()
    good = parsed(bob.certificate(ADDRESS, behind=bob.subkey(stranger, flags=forge.ENCRYPT)))
    assert [key.key_id for key in check_message(sealed(good)).session_keys] == [stranger.fingerprint[-16:]]
    for behind in (forge.packet(14, stranger.body), bob.subkey(stranger, flags=forge.ENCRYPT, by=eve)):
        cert = parsed(bob.certificate(ADDRESS, behind=behind))
        assert cert.problem == "it cannot be encrypted to"
        with pytest.raises(EncryptFailed):
            sealed(cert)


def test_a_name_that_its_owner_did_not_sign_does_not_count() -> None:
    bob = forge.Key()
    cert = bob.certificate("real@mail.example", behind=forge.packet(13, b"<forged@mail.example>"))
    assert parsed(cert).user_ids == ("<real@mail.example>",)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "ripemd160"])
def test_a_key_that_is_held_together_by_a_weak_hash_is_not_valid(algorithm: str) -> None:
    assert parsed(forge.Key().certificate(ADDRESS, algorithm=algorithm)).problem.startswith("it is not valid")


def test_a_revocation_by_an_older_hash_counts_all_the_same() -> None:
    bob = forge.Key()
    for algorithm, revoked in (("sha1", True), ("md5", False)):
        given_up = bob.signature(bob.hashed, forge.KEY_REVOCATION, algorithm=algorithm)
        assert parsed(bob.certificate(ADDRESS, direct=given_up)).revoked is revoked


def test_a_copy_without_the_revocation_does_not_hide_it() -> None:
    """What stands twice in a key is one part of it."""
    bob, child = forge.Key(), forge.EncryptionKey()
    bound = bob.subkey(child, flags=forge.ENCRYPT)
    for behind in (
        bound + bob.subkey_revocation(child) + bound,
        bound + bound + bob.subkey_revocation(child),
    ):
        assert parsed(bob.certificate(ADDRESS, behind=behind)).problem == "it cannot be encrypted to"


# -- what has ended -----------------------------------------------------------------------------------


def test_nothing_is_encrypted_to_what_was_revoked_or_has_ended() -> None:
    """PGPy encrypts to each of them without a word."""
    now = datetime.now(UTC)
    dead = {
        "revoked": revoke(make_key("<bob@mail.example>"), "superseded", "", now),
        "stolen": revoke(make_key("<bob@mail.example>"), "compromised", "", now),
        "expired": make_key("<bob@mail.example>", now - timedelta(days=900)),
    }
    for name, secret in dead.items():
        cert = parsed(public_part(secret))
        assert cert.problem, name
        with pytest.raises(EncryptFailed):
            sealed(cert)


@pytest.mark.parametrize("what", ["revoked", "expired"])
def test_nothing_is_encrypted_to_a_subkey_that_was_revoked_or_has_ended(what: str) -> None:
    bob, old, new = forge.Key(), forge.EncryptionKey(), forge.EncryptionKey()
    lifetime = 50 * DAY if what == "expired" else None
    gone = bob.subkey(old, flags=forge.ENCRYPT, lifetime=lifetime)
    if what == "revoked":
        gone += bob.subkey_revocation(old)
    alone = parsed(bob.certificate(ADDRESS, behind=gone))
    assert alone.problem
    with pytest.raises(EncryptFailed):
        sealed(alone)
    both = parsed(bob.certificate(ADDRESS, behind=gone + bob.subkey(new, flags=forge.ENCRYPT)))
    assert [key.key_id for key in check_message(sealed(both)).session_keys] == [new.fingerprint[-16:]]


def test_our_own_key_signs_nothing_after_its_end() -> None:
    now = datetime.now(UTC)
    for secret in (
        make_key("<bob@mail.example>", now - timedelta(days=900)),
        revoke(alice(), "retired", "", now),
    ):
        with pytest.raises(NoUsableKey):
            ENGINE.signer(secret)


# -- signatures over messages -----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["md5", "sha1"])
def test_weak_hashes_that_it_accepts_are_refused(algorithm: str) -> None:
    bob = forge.Key()
    cert, signature = bob.certificate(ADDRESS), bob.signature(CONTENT, algorithm=algorithm)
    assert pgpy_accepts(cert, signature)
    assert signers(cert, signature) == ()


@pytest.mark.parametrize(
    ("later", "good"), [(DAY, False), (600, True), (-99 * DAY, True), (-101 * DAY, False)]
)
def test_a_signature_is_made_between_the_making_of_its_key_and_now(later: int, good: bool) -> None:
    bob = forge.Key()
    cert, signature = bob.certificate(ADDRESS), bob.signature(CONTENT, created=NOW + later)
    assert bool(signers(cert, signature)) is good
    assert pgpy_accepts(cert, signature)


def test_a_signature_ends_with_its_own_time_and_with_its_key() -> None:
    bob = forge.Key()
    over = bob.signature(CONTENT, created=NOW - 2 * DAY, extra=forge.subpacket(3, DAY.to_bytes(4, "big")))
    assert signers(bob.certificate(ADDRESS), over) == ()
    expired = bob.certificate(ADDRESS, lifetime=50 * DAY)
    assert signers(expired, bob.signature(CONTENT, created=NOW - 10 * DAY)) == ()
    assert signers(expired, bob.signature(CONTENT, created=NOW - 90 * DAY)) != ()


def test_an_empty_verification_is_no_signature() -> None:
    """PGPy's is true."""
    pgpy, _ = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pgpy.types.SignatureVerification()
    assert ENGINE.verify(CONTENT, (), {}) == ((), ())


@pytest.mark.parametrize("answer", [1, "yes", object(), None, False])
def test_only_true_counts(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    bob = forge.Key()
    signature, cert = bob.signature(CONTENT), parsed(bob.certificate(ADDRESS))
    assert ENGINE.verify(CONTENT, [signature], by_id([cert]))[0]
    material = type(cert.cert.primary.numbers.packet.keymaterial)
    monkeypatch.setattr(material, "verify", lambda *_: answer)
    assert ENGINE.verify(CONTENT, [signature], by_id([cert]))[0] == ()


# -- kinds of keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "good"), [(1024, False), (2048, True)])
def test_short_rsa_keys_sign_nothing_and_are_not_encrypted_to(bits: int, good: bool) -> None:
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(c.PubKeyAlgorithm.RSAEncryptOrSign, bits)
        key.add_uid(
            pgpy.PGPUID.new("<bob@mail.example>"),
            usage={c.KeyFlags.Sign, c.KeyFlags.Certify, c.KeyFlags.EncryptCommunications},
            hashes=[c.HashAlgorithm.SHA256],
        )
        signature = bytes(key.sign(CONTENT, hash=c.HashAlgorithm.SHA256))
        cert, secret = bytes(key.pubkey), bytes(key)
    assert pgpy_accepts(cert, signature)
    if good:
        assert signers(cert, signature)
        assert len(check_message(sealed(parsed(cert))).session_keys) == 1
    else:
        with pytest.raises(BadOpenPGP, match="1024 bits"):
            parsed(cert)
        with pytest.raises(NoUsableKey, match="1024 bits"):
            ENGINE.signer(secret)


def test_a_short_rsa_subkey_is_not_encrypted_to() -> None:
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.from_blob(alice())[0]
        short = pgpy.PGPKey.new(c.PubKeyAlgorithm.RSAEncryptOrSign, 1024)
        key.add_subkey(short, usage={c.KeyFlags.EncryptCommunications})
        cert = parsed(bytes(key.pubkey))
    assert len(cert.ids) == 6
    assert len(check_message(sealed(cert)).session_keys) == 1


def test_the_largest_rsa_key_that_is_used_has_8192_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MAX_RSA", 2000)
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(c.PubKeyAlgorithm.RSAEncryptOrSign, 2048)
        key.add_uid(pgpy.PGPUID.new("<bob@mail.example>"), usage={c.KeyFlags.Sign})
    with pytest.raises(BadOpenPGP, match="2048 bits"):
        parsed(bytes(key.pubkey))


def test_a_key_of_a_newer_version_is_refused_in_words() -> None:
    body = bytearray(forge.Key().body)
    body[0] = 6
    with pytest.raises(BadOpenPGP):
        parsed(forge.packet(6, bytes(body)))


# -- what is kept -------------------------------------------------------------------------------------


def test_what_is_kept_and_published_is_never_written_anew() -> None:
    """PGPy writes lengths and subpackets in its own way; other programs compare keys byte for byte."""
    before = alice()
    after = rotate(before, datetime.now(UTC))
    packets = [before[each.start : each.end] for each in walk(before)]
    left = iter([after[each.start : each.end] for each in walk(after)])
    assert all(packet in left for packet in packets)  # each is there, in the same order
    cert = public_part(before)
    assert parsed(cert).key.data == cert
    old_form = forge.Key()
    odd = forge.old_packet(6, old_form.body) + old_form.certificate(ADDRESS)[6 + len(old_form.body) :]
    key = PublicKey.read(odd)
    assert ENGINE.read(key).key.data == odd
    assert ENGINE.merge(key, key) == odd
