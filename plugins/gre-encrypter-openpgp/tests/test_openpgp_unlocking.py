"""Our keys at rest: protected by a passphrase, unlocked once, locked again after a while."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_openpgp.encrypting import vault
from gre_openpgp.encrypting.keymaking import locked, make_key
from gre_openpgp.encrypting.keyring import ATTEMPTS, LOOK_AGAIN, Unlocking
from gre_openpgp.encrypting.management import OwnKeys
from gre_openpgp.encrypting.own import KeyLocked, OwnKey
from gre_openpgp.encrypting.own_store import ACTIVE, KEYS, OWN, PUBLIC, load_own
from gre_openpgp.encrypting.secretkeys import SECRET_KEY, SECRET_SUBKEY
from gre_openpgp.packets import walk
from gre_openpgp.xep0373 import PUBLIC_KEYS

from gre_core.api import Direction, OpenJob, Signature
from gre_core.errors import NoUsableKey, OpenError, SealError
from gre_core.stores import FileStore, MemoryStore
from gre_core.testing import require

if TYPE_CHECKING:
    from pathlib import Path

    from gre_core.ports import PassphraseRequest, Ports

ALICE = "alice@xmpp.example"
OURS = "alice@mail.example"
WORDS = "correct horse battery"
SECOND = timedelta(seconds=1)


class User:
    """Answers what a passphrase is asked for; counts."""

    def __init__(self, *answers: str | None, new: str | None = WORDS) -> None:
        self.answers = list(answers)
        self.new = new
        self.asked: list[PassphraseRequest] = []

    async def __call__(self, request: PassphraseRequest) -> str | None:
        self.asked.append(request)
        await asyncio.sleep(0)
        if request.new:
            return self.new
        return self.answers.pop(0) if self.answers else WORDS

    @property
    def unlocks(self) -> int:
        return sum(not request.new for request in self.asked)


def with_user(world: Any, user: User) -> User:
    world.ports = replace(world.ports, passphrase=user)
    return user


def new_session(world: Any, unlocking: Unlocking | None = None) -> None:
    world.encrypter = type(world.encrypter)(unlocking)


async def stored(ports: Ports) -> dict[str, bytes]:
    return {name: await ports.store.get(name) or b"" for name in await ports.store.keys("")}


def secrets_of(secret: bytes) -> list[bytes]:
    """The secret numbers, as they would stand in a file that is not protected."""
    return [
        secret[packet.end - 34 : packet.end - 2]
        for packet in walk(secret)
        if packet.tag in {SECRET_KEY, SECRET_SUBKEY}
    ]


async def for_us(world: Any, text: bytes = b"hello") -> bytes:
    (key,) = await load_own(world.engine, world.ports.store)
    cert = pysequoia.Cert.from_bytes(key.parsed.key.data)
    return pysequoia.encrypt(text, [cert], world.bob.signer(), armor=False)


# -- at rest ---------------------------------------------------------------------------------------


async def test_a_new_key_is_protected_and_opens_with_its_passphrase_only(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    assert [(request.new, request.account) for request in user.asked] == [(True, ALICE)]
    key = world.encrypter.own_keys(ALICE, world.ports)._ring.active
    numbers = secrets_of(key.secret)
    assert len(numbers) == 2
    assert all(len(number) == 32 for number in numbers)
    for name, value in (await stored(world.ports)).items():
        assert not any(number in value for number in numbers), name
        assert WORDS.encode() not in value, name
    lying = await world.ports.store.get(KEYS + key.fingerprint)
    assert vault.unlock(world.engine, lying, "another") is None
    assert vault.unlock(world.engine, lying, WORDS) == key.secret


async def test_without_a_passphrase_it_is_kept_as_it_is(world: Any) -> None:
    for answer in (None, ""):
        world.ports = replace(world.ports, store=MemoryStore())
        world.nodes.nodes = {key: value for key, value in world.nodes.nodes.items() if key[0] != ALICE}
        with_user(world, User(new=answer))
        new_session(world)
        await world.seal()
        (key,) = await load_own(world.engine, world.ports.store)
        assert not key.protected
        assert not key.locked
        assert not (await world.encrypter.own_keys(ALICE, world.ports).show()).locked


async def test_gnupg_reads_the_stored_key_with_the_passphrase(world: Any) -> None:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    with_user(world, User())
    await world.seal()
    (key,) = await load_own(world.engine, world.ports.store)
    home = tempfile.mkdtemp(prefix="gre")
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback"]
    try:
        got = subprocess.run(
            [*gpg, "--passphrase", WORDS, "-d"], input=key.stored, capture_output=True, check=True, timeout=60
        ).stdout
        assert key.unlock(WORDS)
        assert got == key.secret
        shape = subprocess.run(
            [*gpg, "--passphrase", WORDS, "--list-packets"],
            input=key.stored,
            capture_output=True,
            check=False,
        ).stdout
        assert b"s2k 3, hash 8" in shape
        assert b"count 65011712" in shape
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


async def test_nothing_that_is_shown_holds_a_secret(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with_user(world, User())
    await world.seal()
    new_session(world)
    await world.seal()
    ring = world.encrypter.own_keys(ALICE, world.ports)._ring
    account = world.encrypter._account(ALICE, world.ports)
    shown = [repr(ring), repr(ring.active), repr(account), repr(account.secrets()), caplog.text]
    shown.append(repr(await world.encrypter.seal_keys(world.job(), world.ports)))
    shown.append(repr(await world.encrypter.own_keys(ALICE, world.ports).list()))
    with_user(world, User("wrong guess", "wrong guess", "wrong guess"))
    new_session(world)
    with pytest.raises(KeyLocked) as caught:
        await world.seal()
    shown += [str(caught.value), repr(caught.value), repr(caught.value.params)]
    for text in shown:
        for secret in (
            WORDS,
            "wrong guess",
            *(repr(number)[2:-1] for number in secrets_of(ring.active.secret)),
        ):
            assert secret not in text


async def test_the_public_part_is_read_without_a_passphrase(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    user.asked.clear()
    keys = OwnKeys(world.engine, ALICE, world.ports)
    info = await keys.show()
    assert info.locked
    assert info.user_ids == (f"<{OURS}>",)
    assert b"PUBLIC KEY" in await keys.export()
    await keys.publish()
    new_session(world)
    await world.encrypter.prepare(ALICE, world.ports)
    assert user.asked == []


async def test_a_message_for_somebody_else_asks_for_nothing(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    new_session(world)
    user.asked.clear()
    other = pysequoia.encrypt(b"x", [world.bob.extract_certificate()], armor=False)
    with pytest.raises(OpenError, match="gre keys list"):
        await world.open(other)
    assert user.asked == []


# -- unlocking -------------------------------------------------------------------------------------


async def test_the_passphrase_is_asked_for_once(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    new_session(world)
    user.asked.clear()
    for _ in range(3):
        await world.seal()
        assert (await world.open(await for_us(world))).payload == b"hello"
    assert user.unlocks == 1
    assert len(user.asked) == 1
    assert user.asked[0].key == (await load_own(world.engine, world.ports.store))[0].fingerprint


async def test_a_wrong_passphrase_is_asked_again(world: Any) -> None:
    with_user(world, User())
    await world.seal()
    new_session(world)
    user = with_user(world, User("wrong", "also wrong", WORDS))
    await world.seal()
    assert [request.attempt for request in user.asked] == [1, 2, 3]


@pytest.mark.parametrize("answers", [("a", "b", "c", "d"), (None,)], ids=["wrong", "none"])
async def test_without_it_nothing_is_sent_and_nothing_is_lost(
    world: Any, answers: tuple[str | None, ...]
) -> None:
    with_user(world, User())
    await world.seal()
    message = await for_us(world)
    new_session(world)
    user = with_user(world, User(*answers))
    with pytest.raises(KeyLocked, match="Nothing is lost") as caught:
        await world.open(message)
    assert isinstance(caught.value, OpenError)
    assert isinstance(caught.value, SealError)
    assert user.unlocks == min(len(answers), ATTEMPTS)
    with pytest.raises(KeyLocked):
        await world.open(message)  # right after a refusal nobody is asked again
    assert user.unlocks == min(len(answers), ATTEMPTS)
    user.answers = [WORDS]
    world.now = datetime.now(UTC) + timedelta(seconds=11)
    assert (await world.open(message)).payload == b"hello"


async def test_to_send_is_always_asked(world: Any) -> None:
    with_user(world, User())
    await world.seal()
    new_session(world)
    user = with_user(world, User(None, None, WORDS))
    for _ in range(2):
        with pytest.raises(KeyLocked):
            await world.seal()
    await world.seal()
    assert user.unlocks == 3


async def test_a_file_is_opened_after_unlocking(world: Any, tmp_path: Path) -> None:
    user = with_user(world, User())
    await world.seal()
    source, target = tmp_path / "in.pgp", tmp_path / "out"
    source.write_bytes(await for_us(world, b"a file"))
    new_session(world)
    user.asked.clear()
    job: OpenJob = world.open_job()
    opened = await world.encrypter.decrypt_file(source, target, job, world.ports)
    assert target.read_bytes() == b"a file"
    assert opened.verdict.signature in {Signature.GOOD, Signature.UNKNOWN_SIGNER}
    assert user.unlocks == 1
    new_session(world)
    with_user(world, User(None))
    with pytest.raises(KeyLocked):
        await world.encrypter.decrypt_file(source, tmp_path / "other", job, world.ports)
    assert not (tmp_path / "other").exists()


async def test_a_hidden_recipient_may_be_us(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    message = await for_us(world)
    from gre_openpgp.messages import check_message

    (key,) = check_message(message).session_keys
    at = message.index(bytes.fromhex(key.key_id))
    hidden = message[:at] + bytes(8) + message[at + 8 :]
    new_session(world)
    user.asked.clear()
    assert (await world.open(hidden)).payload == b"hello"
    assert user.unlocks == 1


# -- for how long ----------------------------------------------------------------------------------


async def test_it_is_locked_after_a_while_without_use(world: Any) -> None:
    user = with_user(world, User())
    start = datetime.now(UTC)
    world.now = start
    await world.seal()
    account = world.encrypter._account(ALICE, world.ports)
    for minutes in (9, 18, 27):
        world.now = start + timedelta(minutes=minutes)
        await world.seal()
    assert user.unlocks == 0
    world.now = start + timedelta(minutes=27) + timedelta(minutes=10)
    await account.load(world.ports)  # whatever is asked for locks it
    assert account.own.locked
    assert account.secrets() == ()
    assert account.decryptors() == {}
    assert WORDS not in str(vars(account)) + str(account.own._passphrase)
    await world.seal()
    assert user.unlocks == 1


async def test_it_is_locked_after_the_longest_time_whatever_happens(world: Any) -> None:
    user = with_user(world, User())
    start = world.now = datetime.now(UTC)
    await world.seal()
    for minutes in range(5, 125, 5):
        world.now = start + timedelta(minutes=minutes)
        await world.seal()
        assert user.unlocks == (minutes >= 120), minutes


async def test_a_clock_that_goes_back_locks(world: Any) -> None:
    user = with_user(world, User())
    world.now = datetime.now(UTC)
    await world.seal()
    world.now -= SECOND
    await world.seal()
    assert user.unlocks == 1


async def test_times_can_be_chosen(world: Any) -> None:
    user = with_user(world, User())
    start = world.now = datetime.now(UTC)
    await world.seal()
    new_session(world, Unlocking(idle=timedelta(seconds=5), longest=timedelta(seconds=8)))
    await world.seal()
    for seconds, asked in ((4, 1), (7, 1), (8, 2)):
        world.now = start + seconds * SECOND
        await world.seal()
        assert user.unlocks == asked, seconds


async def test_an_unprotected_key_is_never_locked(world: Any) -> None:
    user = with_user(world, User(new=None))
    world.now = datetime.now(UTC)
    await world.seal()
    world.now += timedelta(days=3)
    await world.seal()
    assert user.unlocks == 0


# -- changing it -----------------------------------------------------------------------------------


async def test_the_passphrase_is_changed_and_taken_away(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    new_session(world)
    keys = world.encrypter.own_keys(ALICE, world.ports)
    user.asked.clear()
    user.new = "another one"
    assert (await keys.change_passphrase()).locked
    assert [request.new for request in user.asked] == [False, True]
    user.new = None
    new_session(world)
    user.answers = ["another one"]
    assert not (await world.encrypter.own_keys(ALICE, world.ports).change_passphrase()).locked
    new_session(world)
    user.asked.clear()
    await world.seal()
    assert user.asked == []


async def test_a_changed_key_stays_protected_by_the_same_passphrase(world: Any) -> None:
    user = with_user(world, User())
    await world.seal()
    keys = world.encrypter.own_keys(ALICE, world.ports)
    for change in (keys.rotate, keys.extend):
        assert (await change()).locked
    world.answer = True
    await world.seal(sender="alice@other.example")
    new_session(world)
    user.asked.clear()
    message = await world.seal()
    assert (await world.open(message, direction=Direction.SENT)).verdict.signature is Signature.GOOD
    assert len(user.asked) == 1


async def test_an_imported_locked_key_is_protected_the_same_way(world: Any) -> None:
    user = with_user(world, User(new="for this device"))
    shut = locked(make_key(f"<{OURS}>"), "of the file")
    info = await world.encrypter.own_keys(ALICE, world.ports).import_key(shut, "of the file")
    assert info.locked
    for value in (await stored(world.ports)).values():
        assert b"of the file" not in value
    assert await world.ports.store.keys(OWN + "passwords/") == []
    new_session(world)
    user.answers = ["for this device"]
    await world.seal()


# -- the store -------------------------------------------------------------------------------------


async def test_a_store_of_version_0_1_still_loads(world: Any) -> None:
    secret = make_key(f"<{OURS}>")
    name = OwnKey.read(world.engine, secret).fingerprint
    await world.ports.store.put(KEYS + name, secret)
    await world.ports.store.put(ACTIVE, name.encode())
    await world.seal()
    assert (await OwnKeys(world.engine, ALICE, world.ports).show()).fingerprint == name


async def test_a_password_that_lies_beside_its_key_is_removed(world: Any) -> None:
    secret = make_key(f"<{OURS}>")
    name = OwnKey.read(world.engine, secret).fingerprint
    await world.ports.store.put(KEYS + name, locked(secret, WORDS))
    await world.ports.store.put(OWN + "passwords/" + name, WORDS.encode())
    await world.ports.store.put(ACTIVE, name.encode())
    await world.seal()
    for where, value in (await stored(world.ports)).items():
        assert "passwords" not in where
        assert WORDS.encode() not in value
    new_session(world)
    await world.seal()
    assert (await OwnKeys(world.engine, ALICE, world.ports).show()).fingerprint == name


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other", "public"])
async def test_a_damaged_store_is_said(world: Any, damage: str) -> None:
    with_user(world, User())
    await world.seal()
    (key,) = await load_own(world.engine, world.ports.store)
    data = {
        "cut": key.stored[:-9],
        "changed": key.stored[:-9] + bytes([key.stored[-9] ^ 1]) + key.stored[-8:],
        "empty": b"",
        "other": world.engine.lock(make_key("<x@y.example>"), WORDS),
    }
    if damage == "public":
        await world.ports.store.delete(PUBLIC + key.fingerprint)
    else:
        await world.ports.store.put(KEYS + key.fingerprint, data[damage])
    new_session(world)
    with pytest.raises(NoUsableKey) as caught:
        await world.seal()
    assert not isinstance(caught.value, KeyLocked)
    assert world.nodes.published.count(PUBLIC_KEYS) == 1


async def test_a_change_of_another_process_is_seen(world: Any) -> None:
    with_user(world, User())
    world.now = datetime.now(UTC)
    await world.seal()
    await OwnKeys(world.engine, ALICE, world.ports).rotate()  # as another process would
    world.now += LOOK_AGAIN
    from gre_openpgp.messages import check_message

    info = await OwnKeys(world.engine, ALICE, world.ports).show()
    ids = {key.key_id for key in check_message(await world.seal()).session_keys}
    assert info.subkeys[1].id in ids
    assert info.subkeys[2].id not in ids


async def test_two_that_make_the_first_key_at_once_use_one(world: Any, tmp_path: Path) -> None:
    user = User()
    shared = FileStore(tmp_path / "store")
    ports = [
        replace(world.ports, store=store, passphrase=user)
        for store in (shared, FileStore(tmp_path / "store"))
    ]
    made = await asyncio.gather(*(OwnKeys(world.engine, ALICE, port).make(OURS) for port in ports))
    assert made[0] == made[1]
    assert len(await shared.keys(KEYS)) == 1
    assert len(await shared.keys(PUBLIC)) == 1
    assert len({request.key for request in user.asked}) == 2  # two keys were made; one went


async def test_several_messages_at_once_use_one_first_key(world: Any) -> None:
    user = with_user(world, User())
    await asyncio.gather(*(world.seal(str(number).encode()) for number in range(4)))
    assert len({request.key for request in user.asked}) == 1
    assert len(await world.ports.store.keys(KEYS)) == 1


def test_the_file_of_a_key_is_private_and_of_a_known_kind(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from gre_core.ports import Ports
from gre_core.stores import FileStore
from gre_core.testing.fakes import FakePubSub
from gre_encrypter_openpgp.management import OwnKeys
async def words(request): return "correct horse battery"
asyncio.run(OwnKeys("a@b.example", Ports(FileStore(Path(sys.argv[1])), FakePubSub(), passphrase=words)).make("a@b.example"))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "s")], check=True)
    for path in (tmp_path / "s").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
