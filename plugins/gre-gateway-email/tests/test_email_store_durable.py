"""The store when something breaks: processes that are killed, databases that go away, disks that are full."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from gre_gateway_email.store import OutboundMail, User, default_url, open_store
from gre_gateway_email.store.upgrade import HEAD
from sqlalchemy import inspect, text

from gre_core.errors import StoreError
from gre_core.testing import require
from gre_core.testing.postgres import PostgresServer


def mail(name: str, content: bytes = b"x" * 1000) -> OutboundMail:
    return OutboundMail(
        id=name,
        key=name.encode(),
        user="juliet@localhost",
        user_full="juliet@localhost/r",
        stanza_id="s",
        stanza_to="bob@mail.localhost",
        stanza_type="chat",
        wants_receipt=True,
        sender="juliet@example.org",
        recipients=("bob@example.net",),
        message_id=f"{name}@example.org",
        mail=content,
    )


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("gre_gateway_email.store.database.PATIENCE", 0.3)


@pytest.fixture
async def own_postgres():
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as server:
        yield server


# -- processes that are killed -----------------------------------------------------------------------

WRITER = """
import asyncio, itertools, sys
from gre_gateway_email.store import OutboundMail, open_store

async def main():
    store = await open_store(sys.argv[1])
    numbers = itertools.count()

    async def work():
        for number in numbers:
            name = f"{sys.argv[2]}-{number}"
            mail = OutboundMail(id=name, key=name.encode(), user="u@localhost", user_full="u@localhost/r",
                stanza_id="", stanza_to="", stanza_type="chat", wants_receipt=False, sender="", recipients=("b@x.y",),
                message_id=name, mail=b"x" * 1000)
            await store.outbox.add(mail)
            print("added", name, flush=True)
            if number % 2:
                await store.outbox.sent(mail)
                print("sent", name, flush=True)

    await asyncio.gather(*(work() for _ in range(20)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_outlives_the_process(database_url):
    chance = random.Random(5)
    acknowledged: dict[str, str] = {}
    for turn in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, database_url, str(turn)], stdout=subprocess.PIPE, text=True
        ) as child:
            lines = [child.stdout.readline() for _ in range(chance.randrange(20, 400))]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        for line in lines:
            if line.endswith("\n"):
                done, name = line.split()
                acknowledged[name] = done
    store = await open_store(database_url)
    for name, done in acknowledged.items():
        answer = await store.outbox.is_known(name.encode())
        # What was sent may have been acknowledged to a process that did not live to say so.
        assert answer == "done" if done == "sent" else answer in {"waiting", "done"}, name
    await store.close()
    assert len(acknowledged) > 50


async def test_a_database_that_is_killed_under_load_loses_nothing(own_postgres, monkeypatch):
    monkeypatch.setattr("gre_gateway_email.store.database.PATIENCE", 60.0)
    store = await open_store(own_postgres.url)
    acknowledged = []
    stop = False

    async def work(worker: int) -> None:
        number = 0
        while not stop:
            name = f"{worker}-{number}"
            number += 1
            assert await store.outbox.add(mail(name)) == "new", name
            acknowledged.append(name)

    workers = [asyncio.create_task(work(worker)) for worker in range(10)]
    for _ in range(3):
        seen = len(acknowledged)
        async with asyncio.timeout(60):
            while len(acknowledged) < seen + 30:
                await asyncio.sleep(0.01)
        await own_postgres.restart()
    stop = True
    await asyncio.gather(*workers)  # none of them saw an error: a short absence is waited for
    waiting = {one.id for one in await store.queue(limit=1_000_000)}
    assert waiting == set(acknowledged)
    await store.close()


async def test_a_database_that_is_away_is_an_error_soon_and_works_when_it_is_back(own_postgres, impatient):
    store = await open_store(own_postgres.url)
    await store.outbox.add(mail("before"))
    await own_postgres.kill()
    async with asyncio.timeout(20):
        results = await asyncio.gather(
            *(store.outbox.add(mail(f"away-{n}")) for n in range(20)), store.counts(), return_exceptions=True
        )
    assert all(isinstance(result, StoreError) for result in results), results
    assert not any("secret" in str(result) for result in results)
    await own_postgres.start()
    assert await store.outbox.add(mail("after")) == "new"
    assert {one.id for one in await store.queue()} == {"before", "after"}
    await store.close()


class Cutting:
    """A proxy before PostgreSQL that cuts the connection at COMMIT: before or after it was passed on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut: str | None = None
        self.cuts = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _connected(self, reader, writer):
        there, onward = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._copy(there, writer))
        while data := await reader.read(65_536):
            if self.cut and b"COMMIT" in data:
                self.cuts += 1
                if self.cut == "before":
                    onward.transport.abort()
                else:
                    back.cancel()
                    onward.write(data)
                    await there.read(65_536)  # it is committed
                    onward.close()
                self.cut = None
                writer.transport.abort()
                return
            onward.write(data)
        onward.close()

    async def _copy(self, reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_without_an_answer_is_cleared_up(own_postgres, cut):
    async with Cutting(own_postgres.port) as proxy:
        store = await open_store(own_postgres.url.replace(str(own_postgres.port), str(proxy.port)))
        proxy.cut = cut
        assert await asyncio.gather(*(store.outbox.add(mail(f"m{n}")) for n in range(5))) == ["new"] * 5
        assert proxy.cuts == 1
        assert len(await store.queue()) == 5
        await store.close()


# -- SQLite ------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state" / "gateway.db"


@pytest.fixture
async def store(file):
    store = await open_store(f"sqlite:///{file}")
    yield store
    await store.close()


async def test_nobody_else_can_read_the_files(store, file):
    await store.outbox.add(mail("m"))
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"gateway.db", "gateway.db-wal", "gateway.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_file_that_others_could_read_is_closed_to_them(file):
    file.parent.mkdir(parents=True)
    file.touch(0o644)
    await (await open_store(f"sqlite:///{file}")).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_full_disk_is_an_error_and_no_more_than_that(store, impatient):
    await store.outbox.add(mail("before"))
    await store._database.write(lambda connection: connection.execute(text("PRAGMA max_page_count=60")))
    results = await asyncio.gather(
        *(store.outbox.add(mail(f"full-{n}", b"x" * 100_000)) for n in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, StoreError) for result in results)
    assert "full" in str(results[0])
    assert [one.id for one in await store.queue()] == ["before"]
    await store._database.write(lambda connection: connection.execute(text("PRAGMA max_page_count=1000000")))
    assert await store.outbox.add(mail("after", b"x" * 100_000)) == "new"
    assert {one.id for one in await store.queue()} == {"before", "after"}


async def test_a_lock_of_another_program_is_waited_for_but_not_forever(file, monkeypatch):
    monkeypatch.setattr("gre_gateway_email.store.database.BUSY_TIMEOUT", 200)
    store = await open_store(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.outbox.add(mail("m"))
    assert await store.outbox.is_known(b"m") == "new"  # reading works all the time
    other.execute("ROLLBACK")
    other.close()
    assert await store.outbox.add(mail("m")) == "new"
    await store.close()


async def test_what_was_removed_is_not_left_in_the_file(store, file):
    mark = b"PLAIN-TO-SEE-" * 40
    mails = [mail(f"m{n}", mark * (1 + n % 30)) for n in range(60)]
    await asyncio.gather(*(store.outbox.add(each) for each in mails))
    await asyncio.gather(*(store.outbox.sent(each) for each in mails))
    await store.close()
    raw = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert raw
    assert b"PLAIN-TO-SEE" not in raw
    assert b"bob@example.net" not in raw


def left_in(folder: Path) -> bool:
    return any(b"PLAIN-TO-SEE" in path.read_bytes() for path in folder.iterdir())


async def removed_soon(folder: Path) -> None:
    async with asyncio.timeout(60):
        while left_in(folder):
            await asyncio.sleep(0.05)


async def test_what_was_removed_leaves_the_log_when_the_gateway_rests(store, file, monkeypatch):
    monkeypatch.setattr("gre_gateway_email.store.sqlite_thread.REST", 0.2)
    await store.outbox.add(mail("m", b"PLAIN-TO-SEE-" * 1000))
    await store.outbox.sent(mail("m"))
    await removed_soon(file.parent)
    assert await store.outbox.add(mail("next")) == "new"


async def test_what_was_removed_leaves_the_log_of_a_busy_gateway_too(store, file, monkeypatch):
    monkeypatch.setattr("gre_gateway_email.store.sqlite_thread.REST", 30.0)
    monkeypatch.setattr("gre_gateway_email.store.sqlite_thread.LATEST", 0.3)
    await store.outbox.add(mail("m", b"PLAIN-TO-SEE-" * 1000))
    await store.outbox.sent(mail("m"))
    assert left_in(file.parent), "the log is not empty before its time"
    await removed_soon(file.parent)


async def test_the_log_is_emptied_after_a_reader_is_done(store, file, monkeypatch):
    monkeypatch.setattr("gre_gateway_email.store.sqlite_thread.REST", 0.1)
    await store.outbox.add(mail("m", b"PLAIN-TO-SEE-" * 1000))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN")
    assert other.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    await store.outbox.sent(mail("m"))
    await asyncio.sleep(0.5)
    assert left_in(file.parent), "who reads still sees it"
    assert await store.outbox.add(mail("next")) == "new", "and keeps nobody from writing"
    other.close()
    await removed_soon(file.parent)


# -- callers -----------------------------------------------------------------------------------------


async def test_one_that_cannot_be_stored_does_not_take_others_along(database_url):
    store = await open_store(database_url)
    await store.outbox.add(mail("there"))
    same_id = OutboundMail(
        **{name: getattr(mail("there"), name) for name in OutboundMail.__slots__} | {"key": b"other"}
    )
    results = await asyncio.gather(
        *(store.outbox.add(mail(f"m{n}")) for n in range(5)),
        store.outbox.add(same_id),
        store.users.put(User("j@localhost", ("j@example.org",))),
        return_exceptions=True,
    )
    assert results[:5] == ["new"] * 5
    assert isinstance(results[5], StoreError)
    assert "@" not in str(results[5])
    assert results[6] is None
    await store.close()


async def test_callers_who_give_up_do_no_harm(database_url):
    store = await open_store(database_url)
    chance = random.Random(1)
    for turn in range(20):
        tasks = [asyncio.create_task(store.outbox.add(mail(f"{turn}-{n}"))) for n in range(10)]
        tasks += [asyncio.create_task(store.counts()) for _ in range(10)]
        await asyncio.sleep(chance.random() / 100)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            isinstance(each, asyncio.CancelledError) or not isinstance(each, Exception) for each in results
        )
    kept = {one.id for one in await store.queue(limit=1000)}
    assert {f"{turn}-{n}" for turn in range(20) for n in range(1, 10, 2)} <= kept
    await store.close()


async def test_closing_finishes_what_is_under_way(database_url):
    store = await open_store(database_url)
    tasks = [asyncio.create_task(store.outbox.add(mail(f"m{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*tasks) == ["new"] * 50
    with pytest.raises(StoreError):
        await store.outbox.add(mail("late"))


# -- opening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot be read"),
        ("postgresql://gre:hunter2@127.0.0.1:1/gre", "cannot be reached"),
        ("postgresql://gre:hunter2@[::1/gre", "cannot be read"),
        ("mysql://gre:hunter2@localhost/gre", "not supported"),
        ("postgresql://gre:hunter2@127.0.0.1:1/gre?nonsense=1", "nonsense"),
        ("sqlite://", "names a file"),
        ("sqlite:////dev/null/gateway.db", "cannot be used"),
    ],
)
async def test_a_url_that_is_of_no_use_is_told(url, words, impatient):
    with pytest.raises(StoreError, match=words) as caught:
        await open_store(url)
    assert "hunter2" not in repr(caught.value)
    assert "hunter2" not in "".join(map(str, [caught.value.__cause__, caught.value.args]))


async def test_a_wrong_password_is_told_without_it(own_postgres, impatient):
    with pytest.raises(StoreError, match="does not let us in") as caught:
        await open_store(own_postgres.url.replace(":secret@", ":hunter2@"))
    assert "hunter2" not in str(caught.value)


async def test_a_missing_driver_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreError, match=r"gre-gateway-email\[postgresql\]"):
        await open_store("postgresql://gre@localhost/gre")


async def test_a_file_that_is_no_database_is_told(tmp_path):
    path = tmp_path / "gateway.db"
    path.write_bytes(b"this is not what you look for\n" * 100)
    with pytest.raises(StoreError, match="not an SQLite database"):
        await open_store(f"sqlite:///{path}")


async def test_a_newer_database_is_refused_and_left_alone(database_url):
    store = await open_store(database_url)
    await store._database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '999'")))
    await store.close()
    with pytest.raises(StoreError, match="newer version"):
        await open_store(database_url)


OLDER = textwrap.dedent('''
    """One more."""
    import sqlalchemy as sa
    from alembic import op

    revision = "next"
    down_revision = "{head}"


    def upgrade():
        op.add_column("outbox", sa.Column("colour", sa.Text, nullable=False, server_default="blue"))
''')


async def test_an_older_database_is_upgraded_with_what_is_in_it(database_url, tmp_path, monkeypatch):
    store = await open_store(database_url)
    await store.outbox.add(mail("old"))
    secret = await store.secret("x")
    await store.close()

    from gre_gateway_email.store import upgrade

    scripts = tmp_path / "scripts"
    subprocess.run(["cp", "-r", Path(upgrade.__file__).parent / "migrations", scripts], check=True)
    (scripts / "versions" / "r_next.py").write_text(OLDER.format(head=HEAD))
    monkeypatch.setattr(upgrade, "SCRIPTS", str(scripts))
    monkeypatch.setattr(upgrade, "HEAD", "next")
    stores = await asyncio.gather(*(open_store(database_url) for _ in range(3)))  # several programs at once
    for store in stores:
        found = await store._database.read(lambda c: c.execute(text("SELECT id, colour FROM outbox")).all())
        assert [tuple(row) for row in found] == [("old", "blue")]
        assert await store.secret("x") == secret
        await store.close()


async def test_messages_of_the_first_version_are_kept(database_url):
    from alembic import command
    from alembic.config import Config
    from gre_gateway_email.store.database import Database
    from gre_gateway_email.store.upgrade import SCRIPTS

    def first(connection):
        config = Config()
        config.set_main_option("script_location", SCRIPTS)
        config.attributes["connection"] = connection
        command.upgrade(config, "1")
        columns = [row["name"] for row in inspect(connection).get_columns("inbox")]
        given = {"id": "m1", "jid": "juliet@localhost", "notes": "[]", "files": "[]", "content": b"text"}
        numbers = {"size", "wants_report", "received_at", "attempts", "next_at", "expires_at"}
        values = {name: given.get(name, 0 if name in numbers else "x") for name in columns}
        values |= {"wants_report": False, "state": "waiting"}
        names = ", ".join(columns)
        connection.execute(
            text(f"INSERT INTO inbox ({names}) VALUES ({', '.join(f':{name}' for name in columns)})"), values
        )

    Path(database_url.partition(":///")[2]).parent.mkdir(exist_ok=True)
    database = Database(database_url)
    await database.write(first, marked=False)
    await database.close()
    store = await open_store(database_url)
    message = await store.inbox.get("m1")
    assert (message.user, message.subject, message.thread) == ("juliet@localhost", "x", "")
    assert await store.inbox.content("m1") == b"text"
    inside = await store._database.read(lambda connection: inspect(connection).get_columns("inbox"))
    if database_url.startswith("sqlite"):
        assert inside[-1]["name"] == "content", "SQLite reads what stands before it without its pages"
    await store.close()


async def test_the_migrations_make_the_tables_that_the_code_knows(database_url):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from gre_gateway_email.store.schema import metadata
    from gre_gateway_email.store.upgrade import SCRIPTS

    def different(context, _column, _known, there, wanted):
        return there.compile(context.dialect) != wanted.compile(context.dialect)

    assert ScriptDirectory(SCRIPTS_PATH).get_heads() == [HEAD]
    assert SCRIPTS == "gre_gateway_email.store:migrations"
    store = await open_store(database_url)
    differences = await store._database.read(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": different}), metadata
        )
    )
    assert differences == []
    await store.close()


SCRIPTS_PATH = str(Path(str(sys.modules[open_store.__module__].__file__)).parent / "migrations")


def test_the_default_is_a_file_in_the_state_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_url(Path("state")) == f"sqlite:///{tmp_path}/state/gateway.db"
