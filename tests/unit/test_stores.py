"""The two stores: the same contract, and what a directory on a disk adds to it."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gre_core import stores
from gre_core.errors import StoreError
from gre_core.ports import Creating
from gre_core.stores import FileStore, MemoryStore, default_directory

if TYPE_CHECKING:
    from pathlib import Path

    from gre_core.ports import Store


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else FileStore(tmp_path / "new" / "store")


AWKWARD = [
    "a",
    "A",
    ".",
    "..",
    "a/../../b",
    "%41",
    "ä/ß",
    "\ud800",
    "\x00\n",
    "con",
    "~" * 64,
    "x" * 512,
    "日" * 512,
]


@pytest.mark.parametrize("key", AWKWARD)
async def test_every_key_is_kept(store: Store, key: str) -> None:
    assert await store.get(key) is None
    await store.put(key, b"old")
    await store.put(key, b"")
    assert await store.get(key) == b""
    assert list(await store.keys("")) == [key]
    assert list(await store.keys(key)) == [key]
    await store.delete(key)
    await store.delete(key)
    assert await store.get(key) is None
    assert list(await store.keys("")) == []


async def test_a_value_is_created_once(store: Store) -> None:
    assert isinstance(store, Creating)
    assert await store.create("key", b"first")
    assert not await store.create("key", b"first")
    assert not await store.create("key", b"second")
    assert await store.get("key") == b"first"
    await store.put("key", b"third")
    await store.delete("key")
    assert await store.create("key", b"fourth")
    assert await store.keys("") == ["key"]
    with pytest.raises(StoreError):
        await store.create("", b"x")


async def test_of_several_stores_on_one_directory_one_creates(tmp_path: Path) -> None:
    several = [FileStore(tmp_path / "s") for _ in range(5)]
    won = [await each.create("x" * 300, str(number).encode()) for number, each in enumerate(several)]
    assert won == [True, False, False, False, False]
    assert await several[4].get("x" * 300) == b"0"
    assert len(list((tmp_path / "s").iterdir())) == 1
    (path,) = (tmp_path / "s").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_keys_do_not_mix(store: Store) -> None:
    for number, key in enumerate(AWKWARD):
        await store.put(key, bytes([number]))
    assert [await store.get(key) for key in AWKWARD] == [bytes([number]) for number in range(len(AWKWARD))]
    assert list(await store.keys("")) == sorted(AWKWARD)


@pytest.mark.parametrize("key", ["", "x" * 513])
async def test_a_key_has_1_to_512_characters(store: Store, key: str) -> None:
    for call in (store.get(key), store.put(key, b""), store.delete(key)):
        with pytest.raises(StoreError, match="1 to 512"):
            await call


KEYS = st.text(alphabet=st.sampled_from("ab/%~.A\x00ä\ud800"), min_size=1, max_size=6) | st.text(
    min_size=1, max_size=512
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=40)), max_size=12),
    prefix=st.text(alphabet="ab/%~.Aä", max_size=3),
)
async def test_a_file_store_behaves_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes | None]], prefix: str
) -> None:
    directory = tmp_path_factory.mktemp("store")
    store, model = FileStore(directory), dict[str, bytes]()
    for key, value in steps:
        if value is None:
            await store.delete(key)
            model.pop(key, None)
        else:
            await store.put(key, value)
            model[key] = value
    again = FileStore(directory)
    assert list(await again.keys(prefix)) == sorted(key for key in model if key.startswith(prefix))
    assert {key: await again.get(key) for key in await again.keys("")} == model


async def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await FileStore(tmp_path / "store").put("key", b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()] == [0o600]


async def test_a_directory_that_others_can_read_is_taken_from_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert await FileStore(tmp_path).get("key") is None
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


async def test_reading_makes_no_directory(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "none")
    assert await store.get("key") is None
    assert list(await store.keys("")) == []
    await store.delete("key")
    assert not (tmp_path / "none").exists()


async def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"of another")
    store = FileStore(tmp_path / "store")
    await store.put("key", b"")
    (tmp_path / "store" / "key").unlink()
    (tmp_path / "store" / "key").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError):
        await store.get("key")
    await store.put("key", b"ours")
    assert await store.get("key") == b"ours"
    assert (tmp_path / "secret").read_bytes() == b"of another"


async def test_a_pipe_or_a_folder_in_the_place_of_a_value_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for key in ("pipe", "folder"):
        with pytest.raises(StoreError):
            await FileStore(tmp_path).get(key)


async def test_a_failed_write_leaves_the_old_value_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    await store.put("key", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device.*free space"):
        await store.put("key", b"new")
    assert await store.get("key") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


async def test_the_value_and_its_directory_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
    )
    await FileStore(tmp_path).put("key", b"value")
    assert synced == [False, True]


async def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    old, young = tmp_path / ".new-old", tmp_path / ".new-young"
    for path in (old, young):
        path.write_bytes(b"half a key")
    long_ago = time.time() - 2 * 3600
    os.utime(old, (long_ago, long_ago))
    store = FileStore(tmp_path)
    assert list(await store.keys("")) == []
    assert not old.exists()
    assert young.exists()


async def test_foreign_files_are_no_keys(tmp_path: Path) -> None:
    for name in ("README.txt", "%", "%ff", "x~y", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    assert list(await FileStore(tmp_path).keys("")) == []


async def test_a_file_where_the_directory_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="file"):
            await FileStore(place).put("key", b"")


async def test_the_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StoreError, match="another user"):
        await FileStore(tmp_path).get("key")


async def test_a_directory_that_vanishes_is_made_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    await store.put("key", b"1")
    (tmp_path / "store" / "key").unlink()
    (tmp_path / "store").rmdir()
    assert await store.get("key") is None
    await store.put("key", b"2")
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


async def test_listing_reads_no_file_of_a_short_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    await store.put("a/1", b"")
    await store.put("b/" + "x" * 400, b"")
    monkeypatch.setattr(FileStore, "_read", lambda *_: pytest.fail("a file was read"))
    assert list(await store.keys("a/")) == ["a/1"]


async def test_values_do_not_show() -> None:
    store = MemoryStore()
    await store.put("key", b"secret")
    assert "secret" not in repr(store)


def test_the_place_of_an_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    place = default_directory("../juliet@example.org")
    assert place.parent == tmp_path / "gre" / "accounts"
    assert place.name == "%2e%2e%2fjuliet@example%2eorg"
    assert not place.exists()


def test_without_platformdirs_a_directory_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(StoreError, match=r"gre-core\[slixmpp\]"):
        default_directory("juliet@example.org")


def test_names_of_files_are_short_and_plain() -> None:
    names = {stores._file_name(key) for key in AWKWARD}
    assert len(names) == len(AWKWARD)
    assert all(len(name) <= 240 and name.isascii() and name == name.lower() for name in names)
