"""One test or more for each trap of pysequoia that was measured (the numbers are those of the design notes).

7 (bombs) and 15 (the GIL) are answered by the worker process: see test_openpgp_worker.py. 14 (no intended recipient) is
answered by the formatter, which binds From, To, Date and Message-ID inside the signed payload.
"""

from __future__ import annotations

import base64
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gre_encrypter_openpgp
import pysequoia
import pytest
from gre_encrypter_openpgp import sequoia
from gre_openpgp.encrypting.engine import first_line
from gre_openpgp.encrypting.management import OwnKeys
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.own_store import save_own
from gre_openpgp.messages import check_message
from gre_openpgp.packets import walk
from gre_openpgp.xep0373 import PUBLIC_KEYS

from gre_core.api import Direction, Signature
from gre_core.errors import BadEncrypted, DecryptFailed, EncryptFailed, NotForUs, NoUsableKey

ALICE = "alice@xmpp.example"
OURS = "alice@mail.example"
BOB = "bob\\40mail.example@gateway.example"
YEAR = timedelta(days=365)


def long_ago() -> datetime:
    return datetime.now(UTC) - 3 * YEAR


async def from_bob(world: Any, payload: bytes = b"answer") -> bytes:
    return pysequoia.encrypt(payload, [await world.own_cert()], world.bob.signer(), armor=False)


# -- 1: compression --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ZIP", "ZLIB", "BZ2", "Uncompressed"])
async def test_1_a_compressed_and_signed_message_is_judged(
    world: Any, make_compressed: Any, make_secret: Any, algorithm: str
) -> None:
    alice = bytes(await world.own_cert())
    message = make_compressed(make_secret("bob@mail.example"), alice, b"from gpg", algorithm=algorithm)
    opened = await world.open(message)
    assert opened.payload == b"from gpg"
    assert opened.verdict.signature is Signature.GOOD
    assert opened.verdict.source == "xep-0373"
    assert [notice.code for notice in opened.warnings] == ["key-from-gateway-only"]


@pytest.mark.parametrize("algorithm", ["ZIP", "ZLIB", "BZ2"])
async def test_1_a_compressed_message_without_signature_is_unsigned(
    world: Any, make_compressed: Any, make_secret: Any, algorithm: str
) -> None:
    alice = bytes(await world.own_cert())
    secret = make_secret("bob@mail.example")
    opened = await world.open(make_compressed(secret, alice, b"x", sign=False, algorithm=algorithm))
    assert (opened.payload, opened.verdict.signature) == (b"x", Signature.UNSIGNED)


async def test_1_a_compressed_message_by_an_unknown_signer_is_asked_for(
    world: Any, make_compressed: Any, make_secret: Any
) -> None:
    alice = bytes(await world.own_cert())
    opened = await world.open(make_compressed(make_secret("eve@mail.example"), alice, b"x"))
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert len(opened.missing) == 1


async def test_1_our_key_wants_no_compression(world: Any) -> None:
    # Preferred Compression Algorithms (subpacket 22) with the only value 0, Features (30) with 01.
    raw = bytes(await world.own_cert())
    assert b"\x02\x16\x00" in raw
    assert b"\x02\x1e\x01" in raw


# -- 2: panics -------------------------------------------------------------------------------------


def cut_short(message: bytes, size: int) -> bytes:
    """Give the message with a container of ``size`` bytes, which makes Sequoia 2.4.1 panic up to 40."""
    at = check_message(message).container
    head = 2 if message[at + 1] < 192 else 3
    return message[:at] + bytes([0xD2, size]) + message[at + head :][:size]


@pytest.mark.parametrize("size", [0, 1, 37, 38, 40])
async def test_2_a_short_container_never_reaches_the_library(world: Any, size: int) -> None:
    message = cut_short(await from_bob(world), size)
    with pytest.raises(BadEncrypted, match="too short"):
        await world.open(message)


async def test_2_a_panic_is_our_error_and_does_not_poison(world: Any, monkeypatch: Any) -> None:
    message = await from_bob(world)
    monkeypatch.setattr("gre_openpgp.messages.MIN_SEIPD", 0)  # let the panic happen
    with pytest.raises(DecryptFailed):
        await world.open(cut_short(message, 38))
    assert (await world.open(message)).verdict.signature is Signature.GOOD


@pytest.mark.parametrize("world", ["here"], indirect=True)
async def test_2_without_renewal_the_decryptor_would_be_poisoned(world: Any, monkeypatch: Any) -> None:
    """Pins the reason: when this fails, pysequoia got better and ``renew`` may go."""
    message = await from_bob(world)
    monkeypatch.setattr("gre_openpgp.messages.MIN_SEIPD", 0)
    monkeypatch.setattr("gre_openpgp.encrypting.account.Account.renew", lambda self: None)
    monkeypatch.setattr("gre_encrypter_openpgp.sequoia.SMALL", 0)
    for hurt in (cut_short(message, 38), message):
        with pytest.raises(DecryptFailed):
            await world.open(hurt)


async def test_2_truncated_anywhere_it_is_one_of_our_errors(world: Any) -> None:
    message = await from_bob(world)
    for size in range(0, len(message), 7):
        with pytest.raises((BadEncrypted, DecryptFailed, NotForUs)):
            await world.open(message[:size])


async def test_2_changed_anywhere_it_is_one_of_our_errors(world: Any) -> None:
    message = await from_bob(world)
    for at in range(0, len(message), 5):
        hurt = bytearray(message)
        hurt[at] ^= 0x41
        with pytest.raises((BadEncrypted, DecryptFailed, NotForUs)):
            await world.open(bytes(hurt))


# -- 3, 16: calls that are never made --------------------------------------------------------------


def test_3_notations_are_never_set() -> None:
    folder = Path(gre_encrypter_openpgp.__file__).parent
    assert not [path.name for path in folder.glob("*.py") if "set_notations" in path.read_text("utf-8")]


# -- 4: expired, revoked, not for encryption -------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"created": long_ago(), "lifetime": YEAR}, "expired"),
        ({"revoked": True}, "revoked"),
        ({"subkeys": []}, "cannot be encrypted to"),
        ({"created": long_ago(), "subkeys": [{"lifetime": YEAR}]}, "expired"),
        ({"subkeys": [{"revoked": True}]}, "cannot be encrypted to"),
    ],
)
async def test_4_nothing_is_encrypted_to_a_dead_key(
    world: Any, make_odd: Any, public_of: Any, shape: Any, reason: str
) -> None:
    world.nodes.serve(BOB, public_of(make_odd("bob@mail.example", **shape)))
    with pytest.raises(NoUsableKey, match=reason):
        await world.seal()


def test_4_pysequoia_itself_would_encrypt_to_them(make_odd: Any, public_of: Any) -> None:
    """Pins the reason: the guard is needed."""
    for shape in ({"created": long_ago(), "lifetime": YEAR}, {"revoked": True}):
        cert = pysequoia.Cert.from_bytes(public_of(make_odd("bob@mail.example", **shape)))
        assert pysequoia.encrypt(b"x", [cert], armor=False)


async def test_4_a_key_that_expires_during_the_session_is_refused(
    world: Any, make_odd: Any, public_of: Any
) -> None:
    world.nodes.serve(BOB, public_of(make_odd("bob@mail.example", lifetime=timedelta(days=2))))
    await world.seal()
    world.now = datetime.now(UTC) + timedelta(days=3)
    with pytest.raises(NoUsableKey, match="expired"):
        await world.seal()


async def test_4_a_good_key_beside_a_dead_one_is_used(
    world: Any, make_odd: Any, make_secret: Any, public_of: Any
) -> None:
    dead = public_of(make_odd("bob@mail.example", revoked=True))
    world.nodes.serve(BOB, dead, public_of(make_secret("bob@mail.example")))
    message = await world.seal()
    assert len(check_message(message).session_keys) == 2  # Bob's good one and ours


async def test_4_our_own_revoked_or_expired_key_signs_nothing(world: Any, make_odd: Any) -> None:
    await OwnKeys(world.engine, ALICE, world.ports).import_key(make_odd(OURS, lifetime=timedelta(days=2)))
    await world.seal()
    world.now = datetime.now(UTC) + timedelta(days=3)
    with pytest.raises(NoUsableKey, match="expired"):
        await world.seal()
    with pytest.raises(NoUsableKey, match="revoked"):
        await OwnKeys(world.engine, ALICE, world.ports).import_key(make_odd(OURS, revoked=True))


# -- 5: not encrypted ------------------------------------------------------------------------------


async def test_5_what_is_not_encrypted_is_refused(world: Any) -> None:
    signed = pysequoia.sign(world.bob.signer(), b"text", armor=False)
    with pytest.raises(BadEncrypted, match="not encrypted"):
        await world.open(signed)
    assert pysequoia.decrypt(signed, world.bob.decryptor()).bytes == b"text"  # pins the reason


# -- 6: a flood of session keys --------------------------------------------------------------------


@pytest.mark.sequoia
async def test_6_the_library_sees_only_session_keys_that_may_be_ours(
    world: Any, make_secret: Any, public_of: Any, monkeypatch: Any
) -> None:
    alice = await world.own_cert()
    other = pysequoia.Cert.from_bytes(public_of(make_secret("eve@mail.example")))
    message = pysequoia.encrypt(b"x", [other, alice, other], world.bob.signer(), armor=False)
    seen: list[bytes] = []
    real = pysequoia.decrypt

    def spy(message: bytes, *rest: Any) -> Any:
        seen.append(message)
        return real(message, *rest)

    monkeypatch.setattr(pysequoia, "decrypt", spy)
    monkeypatch.setattr("gre_encrypter_openpgp.sequoia.SMALL", 0)
    assert (await world.open(message)).payload == b"x"
    assert len(check_message(seen[0]).session_keys) == 1


async def test_6_more_than_64_session_keys_are_refused(world: Any) -> None:
    message = await from_bob(world)
    first = check_message(message).session_keys[0]
    with pytest.raises(BadEncrypted, match="64"):
        await world.open(message[: first.end] * 65 + message[first.end :])


async def test_6_hidden_recipients_are_tried(world: Any) -> None:
    message = bytearray(await from_bob(world))
    key = check_message(bytes(message)).session_keys[0]
    at = message.index(bytes.fromhex(key.key_id))
    message[at : at + 8] = bytes(8)
    assert (await world.open(bytes(message))).verdict.signature is Signature.GOOD


async def test_a_message_for_somebody_else_is_not_for_us(world: Any) -> None:
    await world.own_cert()
    message = pysequoia.encrypt(b"x", [world.bob.extract_certificate()], world.bob.signer(), armor=False)
    with pytest.raises(NotForUs):
        await world.open(message)


# -- 8: file to file -------------------------------------------------------------------------------


async def test_8_a_forged_file_leaves_nothing(world: Any, tmp_path: Path) -> None:
    payload = os.urandom(26 * 1024 * 1024)
    hurt = bytearray(await from_bob(world, payload))
    hurt[-5] ^= 1
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(hurt)
    with pytest.raises(DecryptFailed):
        await world.encrypter.decrypt_file(source, target, world.open_job(), world.ports)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


async def test_8_a_compressed_file_is_judged(
    world: Any, tmp_path: Path, make_compressed: Any, make_secret: Any
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    alice = bytes(await world.own_cert())
    source.write_bytes(make_compressed(make_secret("bob@mail.example"), alice, b"x" * 5000))
    opened = await world.encrypter.decrypt_file(source, target, world.open_job(), world.ports)
    assert (target.read_bytes(), opened.payload) == (b"x" * 5000, b"")
    assert opened.verdict.signature is Signature.GOOD
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_8_files_are_private_and_whole(world: Any, tmp_path: Path) -> None:
    source, sealed, target = tmp_path / "source", tmp_path / "sealed", tmp_path / "target"
    payload = os.urandom(300_000)
    source.write_bytes(payload)
    keys = await world.encrypter.seal_keys(world.job(), world.ports)
    await world.encrypter.encrypt_file(source, sealed, keys, world.ports)
    assert pysequoia.decrypt(sealed.read_bytes(), world.bob.decryptor()).bytes == payload
    job = world.open_job(direction=Direction.SENT)
    opened = await world.encrypter.decrypt_file(sealed, target, job, world.ports)
    assert target.read_bytes() == payload
    assert (opened.payload, opened.verdict.signature) == (b"", Signature.GOOD)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"source", "sealed", "target"}


async def test_8_a_file_by_an_unknown_signer_is_judged_without_asking_anybody(
    world: Any, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(await from_bob(world))
    world.nodes.asked.clear()
    world.encrypter = type(world.encrypter)()  # a new session
    await world.ports.store.delete(f"openpgp/contacts/{BOB}")
    opened = await world.encrypter.decrypt_file(source, target, world.open_job(), world.ports)
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-unknown"]
    assert world.nodes.asked == []


async def test_8_a_file_with_many_strangers_is_opened(
    world: Any, tmp_path: Path, make_secret: Any, public_of: Any
) -> None:
    other = pysequoia.Cert.from_bytes(public_of(make_secret("eve@mail.example")))
    source, target = tmp_path / "source", tmp_path / "target"
    alice = await world.own_cert()
    source.write_bytes(pysequoia.encrypt(b"x", [*[other] * 8, alice], world.bob.signer(), armor=False))
    await world.encrypter.decrypt_file(source, target, world.open_job(), world.ports)
    assert target.read_bytes() == b"x"


async def test_8_a_file_that_cannot_be_encrypted_leaves_nothing(world: Any, tmp_path: Path) -> None:
    keys = await world.encrypter.seal_keys(world.job(), world.ports)
    with pytest.raises(EncryptFailed):
        await world.encrypter.encrypt_file(tmp_path / "absent", tmp_path / "target", keys, world.ports)
    assert list(tmp_path.iterdir()) == []


# -- 9, 10: the shape of what we make --------------------------------------------------------------


async def test_9_no_seipdv2_even_to_a_key_that_asks_for_it(world: Any) -> None:
    modern = pysequoia.Tsk.generate(user_id="<bob@mail.example>")
    cert = modern.extract_certificate()
    assert check_message(pysequoia.encrypt(b"x", [cert], armor=False)).version == 2
    world.nodes.serve(BOB, bytes(cert))
    message = await world.seal()
    assert check_message(message).version == 1
    assert pysequoia.decrypt(message, modern.decryptor()).bytes == b"hello"


V4, V6 = pysequoia.Profile.RFC4880, pysequoia.Profile.RFC9580


async def _all_announce_v2(world: Any, theirs: pysequoia.Profile, ours: pysequoia.Profile = V4) -> Any:
    """Let us import a key of Sequoia, and Bob announce one; give his."""
    mine = pysequoia.Tsk.generate(user_id="<alice@mail.example>", profile=ours)
    modern = pysequoia.Tsk.generate(user_id="<bob@mail.example>", profile=theirs)
    await world.encrypter.own_keys(ALICE, world.ports).import_key(bytes(mine))
    world.nodes.serve(BOB, bytes(modern.extract_certificate()))
    both = [mine.extract_certificate(), modern.extract_certificate()]
    assert check_message(pysequoia.encrypt(b"x", both, armor=False)).version == 2
    return modern


@pytest.mark.sequoia
async def test_9_no_seipdv2_when_gnupg_may_hold_a_key(world: Any) -> None:
    modern = await _all_announce_v2(world, V4)
    for payload in (b"hello", bytes(300_000)):  # here, and in the worker
        message = await world.seal(payload)
        checked = check_message(message)
        assert (checked.version, len(checked.session_keys)) == (1, 2)
        assert pysequoia.decrypt(message, modern.decryptor()).bytes == payload
    notices = await world.encrypter.explain(world.job(), world.ports)
    (told,) = [notice for notice in notices if notice.code == "openpgp-format"]
    assert told.params == {"seipd": "1"}
    assert "GnuPG 2.2 may hold" in told.text


async def test_9_no_seipdv2_in_a_file_either(world: Any, tmp_path: Path) -> None:
    modern = await _all_announce_v2(world, V4)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"file" * 1_000_000)
    keys = await world.encrypter.seal_keys(world.job(), world.ports)
    await world.encrypter.encrypt_file(source, target, keys, world.ports)
    checked = check_message(target.read_bytes())
    assert (checked.version, len(checked.session_keys)) == (1, 2)
    assert pysequoia.decrypt(target.read_bytes(), modern.decryptor()).bytes == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.sequoia
async def test_9_keys_that_no_old_program_can_hold_get_seipdv2(world: Any) -> None:
    modern = await _all_announce_v2(world, V6, ours=V6)
    message = await world.seal()
    assert check_message(message).version == 2
    assert pysequoia.decrypt(message, modern.decryptor()).bytes == b"hello"
    notices = await world.encrypter.explain(world.job(), world.ports)
    assert {"seipd": "2"} in [notice.params for notice in notices]


@pytest.mark.sequoia
async def test_9_what_sequoia_orders_otherwise_is_not_sent(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _all_announce_v2(world, V4)
    monkeypatch.setattr("gre_encrypter_openpgp.formats.key_id", lambda _: "0" * 16)
    with pytest.raises(EncryptFailed, match="every recipient reads"):
        await world.seal()


async def test_10_our_key_is_curve25519_and_rsa_recipients_are_served(world: Any) -> None:
    from pysequoia.packet import PacketPile

    rsa = pysequoia.Tsk.generate(user_id="<bob@mail.example>", cipher_suite=pysequoia.CipherSuite.RSA2k)
    world.nodes.serve(BOB, bytes(rsa.extract_certificate()))
    message = await world.seal()
    assert pysequoia.decrypt(message, rsa.decryptor()).bytes == b"hello"
    keys = [p.key_algorithm for p in PacketPile.from_bytes(bytes(await world.own_cert())) if p.fingerprint]
    assert [str(algorithm) for algorithm in keys] == ["PublicKeyAlgorithm.EdDSA", "PublicKeyAlgorithm.ECDH"]


# -- 11: which verdict -----------------------------------------------------------------------------


async def test_11_unsigned(world: Any) -> None:
    opened = await world.open(pysequoia.encrypt(b"x", [await world.own_cert()], armor=False))
    assert (opened.payload, opened.verdict.signature) == (b"x", Signature.UNSIGNED)


async def test_11_unknown_signer_is_asked_for_once(world: Any, make_secret: Any) -> None:
    eve = pysequoia.Tsk.from_bytes(make_secret("eve@mail.example"))
    message = pysequoia.encrypt(b"x", [await world.own_cert()], eve.signer(), armor=False)
    opened = await world.open(message)
    assert opened.payload == b"x"
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert opened.missing == (eve.extract_certificate().fingerprint.upper(),)


async def test_11_a_valid_signature_by_a_key_of_another_name_is_the_wrong_signer(
    world: Any, make_secret: Any, public_of: Any
) -> None:
    opened = await world.open(await from_bob(world), expected_sender="carol@mail.example")
    assert opened.verdict.signature is Signature.WRONG_SIGNER
    assert "bob@mail.example" in opened.verdict.detail
    both = make_secret("bob@mail.example"), make_secret("eve@mail.example")
    world.nodes.serve(BOB, *(public_of(secret) for secret in both))
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    eve = pysequoia.Tsk.from_bytes(both[1])
    opened = await world.open(pysequoia.encrypt(b"x", [await world.own_cert()], eve.signer(), armor=False))
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-not-accepted"]


async def test_11_our_own_signature_shown_as_theirs_is_reflected(world: Any) -> None:
    opened = await world.open(await world.seal())
    assert opened.verdict.signature is Signature.REFLECTED
    assert "your own" in opened.verdict.detail


async def test_11_their_signature_on_a_copy_of_our_message_is_the_wrong_signer(world: Any) -> None:
    opened = await world.open(await from_bob(world), direction=Direction.SENT)
    assert opened.verdict.signature is not Signature.GOOD


async def test_11_a_signature_by_a_revoked_key_is_bad(world: Any) -> None:
    message = await from_bob(world)
    cert = world.bob.extract_certificate()
    raw, revocation = bytes(cert), bytes(cert.revoke(world.bob.certifier()))
    end = next(walk(raw)).end
    world.nodes.serve(BOB, raw[:end] + revocation + raw[end:], date="2026-02-02T00:00:00Z")
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    opened = await world.open(message)
    assert opened.verdict.signature is Signature.BAD
    assert opened.payload == b"answer"


# -- 12, 13: several and old subkeys ---------------------------------------------------------------


async def test_12_every_subkey_decrypts(world: Any, make_odd: Any, public_of: Any) -> None:
    secret = make_odd(OURS, subkeys=[{}, {}, {}])
    await OwnKeys(world.engine, ALICE, world.ports).import_key(secret)
    await world.seal()  # so that Bob's key is known
    cert = pysequoia.Cert.from_bytes(public_of(secret))
    message = pysequoia.encrypt(b"x", [cert], world.bob.signer(), armor=False)
    keys = check_message(message).session_keys
    assert len(keys) == 3
    for key in keys:
        one = message[key.start : key.end] + message[keys[-1].end :]
        assert (await world.open(one)).verdict.signature is Signature.GOOD


@pytest.mark.parametrize(
    "shape",
    [
        {"created": long_ago(), "lifetime": 10 * YEAR, "subkeys": [{"lifetime": YEAR}, {}]},
        {"created": long_ago(), "lifetime": 10 * YEAR, "subkeys": [{"revoked": True}, {}]},
    ],
    ids=["expired", "revoked"],
)
async def test_13_old_mail_opens_with_an_ended_subkey(world: Any, make_odd: Any, shape: Any) -> None:
    secret = make_odd(OURS, **shape)
    await OwnKeys(world.engine, ALICE, world.ports).import_key(secret)
    alone = pysequoia.Tsk.from_bytes(secret)
    old = old_message(secret, world.bob)
    with pytest.raises(RuntimeError):  # pins the reason
        pysequoia.decrypt(old, alone.decryptor())
    assert (await world.open(old)).payload == b"old"


async def test_13_old_mail_opens_with_an_expired_key_that_signs_nothing(world: Any, make_odd: Any) -> None:
    secret = make_odd(OURS, created=long_ago(), lifetime=YEAR)
    await save_own(OwnKey.read(world.engine, secret), world.ports.store)
    assert (await world.open(old_message(secret, world.bob))).payload == b"old"
    with pytest.raises(NoUsableKey, match="expired"):
        await world.seal()


def old_message(secret: bytes, bob: Any) -> bytes:
    """Encrypt to the first subkey of a key, whatever became of it: what was sent while it lived."""
    from gre_openpgp.encrypting.keymaking import revive_subkeys
    from gre_openpgp.packets import key_id

    first = next(iter(revive_subkeys(secret).items()))
    cert = pysequoia.Cert.from_bytes(bytes(pysequoia.Tsk.from_bytes(first[1]).extract_certificate()))
    message = pysequoia.encrypt(b"old", [cert], bob.signer(), armor=False)
    assert check_message(message).session_keys[0].key_id == key_id(first[0])
    return message


# -- 17: types and texts ---------------------------------------------------------------------------


async def test_17_any_bytes_like_payload_is_taken(world: Any) -> None:
    assert await world.seal(bytearray(b"hello"))


@pytest.mark.sequoia
async def test_17_the_texts_of_pysequoia_that_we_rely_on(world: Any, make_secret: Any) -> None:
    alice = await world.own_cert()
    signer, decryptor = world.bob.signer(), next(iter(world.encrypter._accounts.values()))[1].decryptors()
    ours = next(iter(decryptor.values()))
    signed = pysequoia.encrypt(b"x", [alice], signer, armor=False)

    def text(*arguments: Any) -> str:
        with pytest.raises(RuntimeError) as caught:
            pysequoia.decrypt(*arguments)
        return first_line(caught.value)

    assert text(signed, ours, lambda ids: []) == sequoia.NO_VALID_SIGNATURE
    assert text(signed, world.bob.decryptor(), lambda ids: []) == sequoia.NO_KEY
    assert text(signed[:-3] + b"abc", ours, lambda ids: []) == "Message has been manipulated"


@pytest.mark.sequoia
async def test_17_the_text_for_compression(world: Any, make_compressed: Any, make_secret: Any) -> None:
    alice = bytes(await world.own_cert())
    message = make_compressed(make_secret("bob@mail.example"), alice, b"x")
    ours = next(iter(next(iter(world.encrypter._accounts.values()))[1].decryptors().values()))
    with pytest.raises(RuntimeError) as caught:
        pysequoia.decrypt(message, ours, lambda ids: [])
    assert first_line(caught.value) == sequoia.UNEXPECTED_STRUCTURE


def test_an_error_never_shows_a_stack_trace() -> None:
    assert first_line(RuntimeError("what\n\nStack backtrace:\n 0: ...")) == "what"


# -- what stands in <encrypted/> -------------------------------------------------------------------


async def test_white_space_armor_and_the_openpgp_element_are_accepted(world: Any) -> None:
    from xml.etree.ElementTree import Element

    from gre_openpgp.armor import armor

    from gre_core.api import Body

    message = await from_bob(world)
    text = base64.encodebytes(message).decode()
    element = Element("{urn:xmpp:openpgp:0}openpgp")
    element.text = f"\n  {text}\n"
    for body in (Body(f"\r\n{text} "), Body("\n", (element,)), Body(armor(message).decode())):
        keys = await world.encrypter.open_keys(body, world.open_job(), world.ports)
        assert (await world.encrypter.decrypt(body, keys, world.ports)).payload == b"answer"


@pytest.mark.parametrize(
    "text", ["", "   ", "!!!!", "QUJ", "-----BEGIN PGP MESSAGE-----", "\ud800", "ümlaut", "AAAA"]
)
async def test_what_is_no_base64_of_a_message_is_refused(world: Any, text: str) -> None:
    with pytest.raises(BadEncrypted):
        await world.open(text)


async def test_two_children_are_refused(world: Any) -> None:
    from xml.etree.ElementTree import Element

    from gre_core.api import Body

    element = Element("{urn:xmpp:openpgp:0}openpgp")
    for children in ((element, element), (Element("other"),)):
        with pytest.raises(BadEncrypted):
            await world.encrypter.open_keys(Body("", children), world.open_job(), world.ports)


async def test_keys_of_one_body_do_not_open_another(world: Any) -> None:
    from gre_core.api import Body

    message = await from_bob(world)
    keys = await world.encrypter.open_keys(
        Body(base64.b64encode(message).decode()), world.open_job(), world.ports
    )
    hurt = message[:-4] + b"\0\0\0\0"
    with pytest.raises(DecryptFailed):
        await world.encrypter.decrypt(Body(base64.b64encode(hurt).decode()), keys, world.ports)
