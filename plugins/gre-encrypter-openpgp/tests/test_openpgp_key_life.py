"""The life of a key of ours, with GnuPG as the judge: make, name, extend, rotate, revoke, lock, import, export."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.armor import dearmor
from gre_openpgp.encrypting.keymaking import (
    DEFAULT_LIFETIME,
    add_user_id,
    extend,
    locked,
    make_key,
    revoke,
    rotate,
)
from gre_openpgp.encrypting.management import OwnKeys, RevocationReason
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.secretkeys import is_locked, public_part, without_lock
from gre_openpgp.encrypting.transferable import joined, merged, packets
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import walk
from gre_openpgp.xep0373 import PUBLIC_KEYS, read_list
from hypothesis import given, settings
from hypothesis import strategies as st

from gre_core.api import Signature
from gre_core.errors import NoUsableKey, PeerTimeout
from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = "alice@xmpp.example"
OURS = "alice@mail.example"
WORDS = "correct horse"


class GnuPG:
    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *arguments: str, data: bytes = b"", fails: bool = False) -> str:
        return self.raw(*arguments, data=data, fails=fails).decode("utf-8", "replace")

    def raw(self, *arguments: str, data: bytes = b"", fails: bool = False) -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--pinentry-mode", "loopback"]
        done = subprocess.run(
            [*command, *arguments], input=data, capture_output=True, check=False, timeout=60
        )
        assert (done.returncode != 0) is fails, done.stderr.decode("utf-8", "replace")
        return done.stderr if fails else done.stdout

    def records(self) -> list[list[str]]:
        listed = self.run("--with-colons", "--fixed-list-mode", "--check-sigs", "--with-subkey-fingerprint")
        return [line.split(":") for line in listed.splitlines()]

    def record(self, kind: str, number: int = 0) -> list[str]:
        return [fields for fields in self.records() if fields[0] == kind][number]


@pytest.fixture
def gpg() -> Iterator[GnuPG]:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    home = Path(tempfile.mkdtemp(prefix="gre"))  # short: sockets lie in it; mode 0700
    try:
        yield GnuPG(home)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def keys(world: Any) -> OwnKeys:
    """The management that shares its keys with the running session."""
    own: OwnKeys = world.encrypter.own_keys(ALICE, world.ports)
    return own


def now() -> datetime:
    return datetime.now(UTC)


def cert_of(secret: bytes) -> pysequoia.Cert:
    return pysequoia.Tsk.from_bytes(secret).extract_certificate()


def listed(world: Any) -> dict[str, str]:
    items = world.nodes.nodes.get((ALICE, PUBLIC_KEYS), [])
    return {entry.fingerprint: entry.date for entry in read_list(items[-1].payload)} if items else {}


# -- the shape -------------------------------------------------------------------------------------


def test_a_new_key_has_the_tested_shape(gpg: GnuPG) -> None:
    shape = gpg.run("--list-packets", data=make_key(f"<{OURS}>"))
    assert shape.count(":secret key packet:") == shape.count(":secret sub key packet:") == 1
    assert shape.count(":signature packet:") == 2
    assert "version 4, algo 22" in shape  # EdDSA
    assert "version 4, algo 18" in shape  # ECDH
    for line in (
        "key expires after 2y0d0h0m",
        "(key flags: 03)",
        "(key flags: 0C)",
        "(features: 01)",
        "(pref-zip-algos: 0)",
        "(primary user ID)",
    ):
        assert shape.count(line) == 1, line


def test_a_new_key_lives_two_years_or_as_long_as_was_said() -> None:
    start = now()
    assert cert_of(make_key("<a@b.example>", start)).expiration - start < DEFAULT_LIFETIME  # type: ignore[operator]
    assert cert_of(make_key("<a@b.example>", lifetime=None)).expiration is None


def test_gnupg_takes_the_key_after_each_change(gpg: GnuPG) -> None:
    secret = make_key(f"<{OURS}>")
    first = packets(secret)
    end = now() + timedelta(days=3000)
    changes = {
        "extended": lambda key: extend(key, end, now()),
        "rotated": lambda key: rotate(key, now()),
        "named": lambda key: add_user_id(key, "Älice <second@mail.example>", lifetime=end - now()),
        "revoked": lambda key: revoke(key, "compromised", "stolen in Köln", now()),
    }
    for what, change in changes.items():
        changed = change(secret)
        assert packets(secret) < packets(changed), what  # all that was there is there, byte for byte
        gpg.run("--import", data=changed)
        assert not [fields for fields in gpg.records() if fields[0] in {"sig", "rev"} and fields[1] != "!"], (
            what
        )
        secret = changed
    assert first < packets(secret)
    primary = gpg.record("pub")
    assert primary[1] == "r"
    assert int(primary[6]) == pytest.approx(end.timestamp(), abs=5)
    assert [gpg.record("sub", number)[1] for number in (0, 1)] == ["r", "r"]
    assert "reason for revocation: Key has been compromised" in gpg.run("--check-sigs")
    assert "revocation comment: stolen in Köln" in gpg.run("--check-sigs")


def test_an_extension_changes_nothing_else(gpg: GnuPG) -> None:
    secret = make_key(f"<{OURS}>")
    for until in (now() + timedelta(days=4000), None):
        longer = extend(secret, until, now())
        shape = gpg.run("--list-packets", data=longer)
        assert shape.count("(features: 01)") == shape.count("(pref-zip-algos: 0)") == 2
        assert shape.count("(key flags: 03)") == 2
        expiration = cert_of(longer).expiration
        if until is None:
            assert expiration is None
        else:
            assert expiration is not None
            assert abs(expiration - until) < timedelta(seconds=2)


@pytest.mark.parametrize("algorithms", [("ed25519", "cv25519"), ("rsa2048", "rsa2048")])
def test_keys_of_gnupg_are_unlocked_extended_and_rotated(gpg: GnuPG, algorithms: tuple[str, str]) -> None:
    phrase = ("--passphrase", WORDS)
    gpg.run(*phrase, "--quick-gen-key", f"Alice <{OURS}>", algorithms[0], "sign", "1y")
    fingerprint = gpg.record("fpr")[9]
    gpg.run(*phrase, "--quick-add-key", fingerprint, algorithms[1], "encr", "1y")
    exported = gpg.raw(*phrase, "--export-secret-keys", fingerprint)
    assert is_locked(exported)
    with pytest.raises(NoUsableKey, match="wrong"):
        without_lock(exported, "another")
    secret = without_lock(exported, WORDS)
    assert not is_locked(secret)
    end = now() + timedelta(days=5000)
    longer = extend(secret, end, now() + timedelta(seconds=1))
    message = gpg.raw("--trust-model", "always", "-r", OURS, "-e", data=b"before")
    gpg.run("--import", data=bytes(cert_of(longer)))
    assert {int(gpg.record(kind)[6]) for kind in ("pub", "sub")} == {int(end.timestamp())}
    turned = rotate(longer, now() + timedelta(seconds=1))
    gpg.run("--import", data=bytes(cert_of(turned)))
    assert sorted(gpg.record("sub", number)[1] for number in (0, 1)) in (["-", "r"], ["r", "u"])
    assert packets(secret) < packets(turned)
    assert message  # and it still opens there
    assert gpg.run(*phrase, "-d", data=message) == "before"


def test_a_locked_export_is_what_gnupg_imports(gpg: GnuPG) -> None:
    secret = make_key(f"<{OURS}>")
    shut = locked(secret, WORDS)
    assert is_locked(shut)
    assert without_lock(shut, WORDS) == secret or packets(without_lock(shut, WORDS)) == packets(secret)
    gpg.run("--import", data=shut)
    gpg.run("--passphrase", "another", "-s", data=b"x", fails=True)
    gpg.run("--passphrase", WORDS, "-s", data=b"x")


def test_what_pgpy_cannot_read_is_said() -> None:
    modern = pysequoia.Tsk.generate("<a@b.example>", profile=pysequoia.Profile.RFC9580)
    for change in (
        lambda: rotate(bytes(modern), now()),
        lambda: extend(bytes(modern), None, now()),
        lambda: revoke(bytes(modern), "retired", "", now()),
        lambda: locked(bytes(modern), "x"),
    ):
        with pytest.raises(NoUsableKey, match="not supported"):
            change()


# -- parts -----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(3)), twice=st.booleans())
def test_however_changes_are_merged_nothing_is_lost(order: list[int], twice: bool) -> None:
    forms = _forms()
    result = forms[order[0]]
    for number in order[1:] + (order if twice else []):
        result = merged(result, forms[number])
    assert packets(result) == frozenset[tuple[int, bytes]]().union(*map(packets, forms))
    assert len(list(walk(result))) == len(packets(result))
    cert = cert_of(result)
    assert len(cert.user_ids) == 2


_made: list[bytes] = []


def _forms() -> list[bytes]:
    if not _made:
        secret = make_key(f"<{OURS}>")
        _made.extend(
            [rotate(secret, now()), add_user_id(secret, "<b@mail.example>"), extend(secret, None, now())]
        )
    return _made


def test_the_public_part_keeps_the_order_and_holds_no_secret() -> None:
    for form in _forms():
        public = public_part(form)
        assert packets(public) == packets(bytes(cert_of(form)))
        tags = {5: 6, 7: 14}
        assert [p.tag for p in walk(public)] == [tags.get(p.tag, p.tag) for p in walk(form)]
    modern = pysequoia.Tsk.generate("<a@b.example>", profile=pysequoia.Profile.RFC9580)
    assert packets(public_part(bytes(modern))) == packets(bytes(modern.extract_certificate()))
    rsa = pysequoia.Tsk.generate("<a@b.example>", cipher_suite=pysequoia.CipherSuite.RSA3k)
    assert packets(public_part(bytes(rsa))) == packets(bytes(rsa.extract_certificate()))


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\xc5\x03\x04\x00\x00", b"\xc5\x07\x04\x00\x00\x00\x00\x63\x00"]
)
def test_damaged_secret_keys_are_our_error(data: bytes) -> None:
    with pytest.raises(NoUsableKey):
        OwnKey.read(ENGINE, data)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 220), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_changed_anywhere_reading_a_secret_key_gives_one_of_our_errors(at: int, value: int, cut: int) -> None:
    data = bytearray(_forms()[1])
    data[at] = value
    for form in (bytes(data), bytes(data[:cut])):
        with contextlib.suppress(NoUsableKey):
            OwnKey.read(ENGINE, form)
        with contextlib.suppress(NoUsableKey, BadOpenPGP):
            without_lock(form, WORDS)


def test_a_key_taken_apart_is_the_same_together() -> None:
    from gre_openpgp.encrypting.transferable import components

    for form in _forms():
        assert joined(components(form)) == form


# -- in a session ----------------------------------------------------------------------------------


async def test_make_list_and_show(keys: OwnKeys, world: Any) -> None:
    assert await keys.list() == ()
    with pytest.raises(NoUsableKey, match="gre keys make"):
        await keys.show()
    made = await keys.make(OURS)
    assert (made.active, made.revoked, made.locked, made.version) == (True, False, False, 4)
    assert made.announced == ""
    assert made.user_ids == (f"<{OURS}>",)
    primary, subkey = made.subkeys
    assert (primary.primary, primary.signs, primary.encrypts) == (True, True, False)
    assert (subkey.primary, subkey.signs, subkey.encrypts) == (False, False, True)
    assert primary.fingerprint == made.fingerprint
    assert await keys.list() == (made,)
    for name in (made.fingerprint.lower(), made.fingerprint[-16:], " ".join(made.fingerprint)):
        assert await keys.show(name) == made
    for name in ("", made.fingerprint[-8:], "F" * 40):
        with pytest.raises(NoUsableKey):
            await keys.show(name)
    with pytest.raises(NoUsableKey, match="already"):
        await keys.make(OURS)
    await world.seal()
    assert list(listed(world)) == [made.fingerprint]
    assert (await keys.show()).announced


async def test_a_second_key_is_made_only_by_force(keys: OwnKeys, world: Any) -> None:
    first = await keys.make(OURS)
    await keys.publish()
    elsewhere = OwnKeys(
        world.engine, ALICE, world.ports.__class__(type(world.ports.store)(), world.ports.pubsub)
    )
    with pytest.raises(NoUsableKey, match="gre keys restore"):
        await elsewhere.make(OURS)
    second = await keys.make(OURS, force=True)
    assert [key.fingerprint for key in await keys.list()] == [second.fingerprint, first.fingerprint]
    back = await keys.activate(first.fingerprint)
    assert back.active
    assert [key.active for key in await keys.list()] == [True, False]


async def test_old_and_new_mail_opens_after_a_rotation(keys: OwnKeys, world: Any, gpg: GnuPG) -> None:
    before = await world.own_cert()
    old = pysequoia.encrypt(b"old", [before], world.bob.signer(), armor=False)
    rotated = await keys.rotate()
    assert rotated.announced == ""
    assert [(part.encrypts, part.revoked) for part in rotated.subkeys[1:]] == [(True, False), (True, True)]
    gpg.run("--import", data=await keys.export(secret=True))
    await world.seal()  # publishes it
    served = read_list(world.nodes.nodes[ALICE, PUBLIC_KEYS][-1].payload)
    assert [entry.fingerprint for entry in served] == [rotated.fingerprint]
    gpg.run("--import", data=bytes(world.bob.extract_certificate()))
    new = gpg.raw("--trust-model", "always", "-z0", "-r", OURS, "-e", data=b"new")
    recipients = gpg.run("--list-packets", "--list-only", data=new)
    assert rotated.subkeys[1].id in recipients
    assert rotated.subkeys[2].id not in recipients
    assert (await world.open(new)).payload == b"new"
    assert (await world.open(old)).payload == b"old"
    assert gpg.run("-d", data=old) == "old"
    world.encrypter = type(world.encrypter)()
    assert (await world.open(old)).payload == b"old"
    again = await world.encrypter.own_keys(ALICE, world.ports).rotate()
    assert [part.revoked for part in again.subkeys[1:]] == [False, True, True]
    assert (await world.open(new)).payload == b"new"
    assert (await world.open(old)).payload == b"old"


async def test_messages_are_sealed_to_the_new_subkey_at_once(keys: OwnKeys, world: Any) -> None:
    await world.seal()
    rotated = await keys.rotate()
    from gre_openpgp.messages import check_message

    ids = {key.key_id for key in check_message(await world.seal()).session_keys}
    assert rotated.subkeys[1].id in ids
    assert rotated.subkeys[2].id not in ids


async def test_an_expired_key_signs_again_when_it_was_extended(world: Any, make_odd: Any) -> None:
    keys = world.encrypter.own_keys(ALICE, world.ports)
    start = now() - timedelta(days=10)
    await keys.import_key(make_odd(OURS, created=start, lifetime=timedelta(days=11)))
    await world.seal()
    world.now = now() + timedelta(days=2)
    with pytest.raises(NoUsableKey, match="gre keys extend"):
        await world.seal()
    world.now = None
    extended = await keys.extend()
    assert extended.expires is not None
    assert extended.expires > now() + timedelta(days=700)
    world.now = now() + timedelta(days=2)
    await world.seal()


async def test_a_key_that_ends_soon_is_said(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS, expires_in=timedelta(days=20))
    notices = await world.encrypter.prepare(ALICE, world.ports)
    assert [notice.code for notice in notices] == ["own-key-expires"]
    await keys.extend(timedelta(days=60))
    assert list(await world.encrypter.prepare(ALICE, world.ports)) == []


@pytest.mark.parametrize("reason", list(RevocationReason))
async def test_a_revocation_is_published_in_the_call(
    keys: OwnKeys, world: Any, reason: RevocationReason
) -> None:
    await world.seal()
    fingerprint = (await keys.show()).fingerprint
    message = pysequoia.encrypt(b"old", [await world.own_cert()], world.bob.signer(), armor=False)
    world.nodes.published.clear()
    gone = await keys.revoke(reason, "a reason")
    assert gone.revoked
    assert world.nodes.published == [f"{PUBLIC_KEYS}:{fingerprint}", PUBLIC_KEYS]
    served = world.nodes.nodes[ALICE, f"{PUBLIC_KEYS}:{fingerprint}"][-1].payload
    import base64

    assert pysequoia.Cert.from_bytes(base64.b64decode("".join(served.itertext()))).is_revoked
    with pytest.raises(NoUsableKey, match="revoked"):
        await world.seal()
    assert (await world.open(message)).payload == b"old"


async def test_a_revocation_that_could_not_be_published_is_published_at_the_next_session(
    keys: OwnKeys, world: Any
) -> None:
    await world.seal()
    world.nodes.errors[ALICE, PUBLIC_KEYS] = PeerTimeout("late")
    with pytest.raises(PeerTimeout):
        await keys.revoke(RevocationReason.RETIRED)
    assert (await keys.show()).announced == ""
    world.nodes.errors.clear()
    world.nodes.published.clear()
    await world.encrypter.prepare(ALICE, world.ports)
    assert len(world.nodes.published) == 2
    assert (await keys.show()).announced


async def test_an_unpublished_key_is_revoked_without_being_published(keys: OwnKeys, world: Any) -> None:
    await keys.make(OURS)
    await keys.revoke(RevocationReason.RETIRED)
    assert world.nodes.published == []


async def test_export(keys: OwnKeys, gpg: GnuPG) -> None:
    made = await keys.make(OURS)
    gpg.run("--import", data=await keys.export())
    assert gpg.record("fpr")[9] == made.fingerprint
    assert is_locked(dearmor(await keys.export(secret=True, passphrase=WORDS), "PRIVATE KEY BLOCK"))
    gpg.run("--import", data=await keys.export(secret=True))
    gpg.run("-s", data=b"x")


async def test_a_key_of_an_xmpp_user_bears_the_name_that_xep0373_wants(keys: OwnKeys, gpg: GnuPG) -> None:
    made = await keys.make(f"xmpp:{ALICE}")
    assert made.user_ids == (f"xmpp:{ALICE}",)
    gpg.run("--import", data=await keys.export())
    assert gpg.record("uid")[9].replace("\\x3a", ":") == f"xmpp:{ALICE}"  # a colon divides fields
    gpg.run("--always-trust", "-r", f"xmpp:{ALICE}", "-e", data=b"x")


@pytest.mark.parametrize(
    "name", ["xmpp:alice @xmpp.example", "xmpp:alice@xmpp.example\n", "xmpp:<alice@xmpp.example>"]
)
async def test_an_odd_name_of_an_xmpp_user_is_refused(keys: OwnKeys, name: str) -> None:
    with pytest.raises(NoUsableKey, match="no address"):
        await keys.make(f"{name}x")


async def test_a_key_of_gnupg_is_imported_and_used(keys: OwnKeys, world: Any, gpg: GnuPG) -> None:
    phrase = ("--passphrase", WORDS)
    gpg.run(*phrase, "--quick-gen-key", f"Alice <{OURS}>", "ed25519", "sign", "never")
    fingerprint = gpg.record("fpr")[9]
    gpg.run(*phrase, "--quick-add-key", fingerprint, "cv25519", "encr", "never")
    exported = gpg.raw(*phrase, "--armor", "--export-secret-keys", fingerprint)
    with pytest.raises(NoUsableKey, match="Give the passphrase"):
        await keys.import_key(exported)
    with pytest.raises(NoUsableKey):
        await keys.import_key(exported, "another")
    assert await keys.list() == ()
    info = await keys.import_key(exported, WORDS)
    assert (info.fingerprint, info.active, info.locked) == (fingerprint, True, False)
    rotated = await keys.rotate()
    assert await keys.import_key(exported, WORDS) == rotated  # merged: what was done here is not undone
    await world.seal()
    message = gpg.raw("--trust-model", "always", "-z0", "-r", OURS, "-e", data=b"x")
    opened = await world.open(message)
    assert (opened.payload, opened.verdict.signature) == (b"x", Signature.UNSIGNED)
