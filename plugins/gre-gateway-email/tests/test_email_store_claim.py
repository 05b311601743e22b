"""Only one gateway works on a database."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from gre_gateway_email.store import User, claim, open_store

from gre_core.errors import StoreError
from gre_core.testing import require
from gre_core.testing.postgres import PostgresServer

LIMIT = 60


def never():
    raise AssertionError("the database was said to be taken")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(claim, "PATIENCE", 0.3)


@pytest.fixture
async def own_postgres():
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as server:
        yield server


@pytest.fixture
async def store(database_url):
    store = await open_store(database_url, claim=never)
    yield store
    await store.close()


async def cut(url: str, spared: int = 0) -> None:
    """End all connections, as a server does that restarts, but that of one of its processes."""
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> $1",
            spared,
        )
    finally:
        await admin.close()


async def taken_over(url: str) -> asyncpg.Connection:
    """Take the database as soon as its gateway loses the connection, and cut that."""
    other = await asyncpg.connect(url)
    waiting = asyncio.ensure_future(other.execute(f"SELECT pg_advisory_lock({claim.LOCK})"))
    await asyncio.sleep(0.2)
    await cut(url, spared=other.get_server_pid())
    await waiting
    return other


def files() -> int:
    """Count the open files of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(condition) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_second_gateway_is_refused_and_told_why(store, database_url, impatient):
    with pytest.raises(StoreError, match=r"used by another gateway.*Stop it"):
        await open_store(database_url, claim=never)
    await store.users.count()


async def test_the_commands_work_beside_the_gateway(store, database_url):
    other = await open_store(database_url)
    await other.users.put(User("juliet@localhost", ("juliet@example.org",)))
    await other.close()
    assert await store.users.count() == 1


async def test_a_claim_ends_with_the_store(store, database_url, impatient):
    await store.close()
    again = await open_store(database_url, claim=never)
    await again.close()


async def test_a_refused_gateway_leaves_nothing_open(store, database_url, impatient):
    before = files()
    for _ in range(3):
        with pytest.raises(StoreError):
            await open_store(database_url, claim=never)
    await until(lambda: files() <= before)


HOLDER = """
import asyncio, sys
from gre_gateway_email.store import open_store

async def main():
    await open_store(sys.argv[1], claim=lambda: None)
    print("open", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_gateway_that_was_killed_does_not_keep_the_next_one_away(database_url):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, database_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim, "PATIENCE", 0.3)
        with pytest.raises(StoreError, match="another gateway"):
            await open_store(database_url, claim=never)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    store = await open_store(database_url, claim=never)
    await store.close()


async def test_one_file_by_two_names_is_one_database(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "state")
    (tmp_path / "state").mkdir()
    store = await open_store(f"sqlite:///{tmp_path / 'state' / 'gateway.db'}", claim=never)
    with pytest.raises(StoreError, match="another gateway"):
        await open_store(f"sqlite:///{tmp_path / 'link' / 'gateway.db'}", claim=never)
    await store.close()


async def test_a_server_that_has_not_noticed_yet_is_waited_for(own_postgres):
    dying = await asyncpg.connect(own_postgres.url)
    await dying.execute(f"SELECT pg_advisory_lock({claim.LOCK})")
    opening = asyncio.ensure_future(open_store(own_postgres.url, claim=never))
    await asyncio.sleep(0.5)
    assert not opening.done()
    await dying.close()
    store = await opening
    await store.close()


async def test_a_lost_connection_is_claimed_again_by_the_next_write(own_postgres, impatient):
    store = await open_store(own_postgres.url, claim=never)
    await cut(own_postgres.url)
    await store.users.put(User("juliet@localhost", ("juliet@example.org",)))
    with pytest.raises(StoreError, match="another gateway"):
        await open_store(own_postgres.url, claim=never)
    await store.close()


async def test_a_lost_connection_is_claimed_again_when_nothing_is_written(
    own_postgres, impatient, monkeypatch
):
    monkeypatch.setattr(claim, "CHECK_EVERY", 0.1)
    store = await open_store(own_postgres.url, claim=never)
    for _ in range(2):
        await own_postgres.restart()
        watcher = await asyncpg.connect(own_postgres.url)
        async with asyncio.timeout(LIMIT):
            while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"):
                await asyncio.sleep(0.05)
        await watcher.close()
    await store.close()


async def test_one_whose_database_was_taken_writes_nothing_and_says_so(own_postgres, impatient):
    taken = asyncio.Event()
    store = await open_store(own_postgres.url, claim=taken.set)
    other = await taken_over(own_postgres.url)
    with pytest.raises(StoreError, match="another gateway"):
        await store.users.put(User("juliet@localhost", ("juliet@example.org",)))
    assert taken.is_set()
    begin = time.monotonic()
    with pytest.raises(StoreError, match="another gateway"):
        await store.users.put(User("juliet@localhost", ("juliet@example.org",)))
    assert time.monotonic() - begin < 5  # it does not wait for each write
    assert await other.fetchval("SELECT count(*) FROM users") == 0
    await other.close()
    await store.close()


async def test_the_idle_one_whose_database_was_taken_is_told(own_postgres, impatient, monkeypatch):
    monkeypatch.setattr(claim, "CHECK_EVERY", 0.1)
    taken = asyncio.Event()
    store = await open_store(own_postgres.url, claim=taken.set)
    other = await taken_over(own_postgres.url)
    async with asyncio.timeout(LIMIT):
        await taken.wait()
    await other.close()
    await store.close()
