"""``database``: backups that can be put back, and everything moved between SQLite and PostgreSQL with nothing lost."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing

import pytest
from gre_gateway_email.__main__ import main
from gre_gateway_email.operate.running import Running, RunningFile
from gre_gateway_email.store import HarvestedKey, InboundMessage, OutboundMail, User, open_store
from gre_gateway_email.store.database import Database
from gre_gateway_email.store.moving import move
from gre_gateway_email.store.schema import metadata
from sqlalchemy import select

from gre_core.errors import StoreError

JULIET = "juliet@localhost"


def outbound(n):
    return OutboundMail(
        id=f"o{n}", key=b"\x00\xff%d" % n, user=JULIET, user_full=f"{JULIET}/r", stanza_id=f"s{n}", stanza_to="bob",
        stanza_type="chat", wants_receipt=True, sender="juliet@example.org", recipients=("bob@example.net", "c@example.net"),
        message_id=f"m{n}@example.org", mail=os.urandom(2000), created_at=time.time(), next_at=time.time(),
    )  # fmt: skip


def inbound(n):
    message = InboundMessage(
        id=f"i{n}", user=JULIET, address="juliet@example.org", sender="bob@example.net", kind="plain", subject="Grüße 🎉",
        notes=("a", "b"), size=3000, received_at=time.time(), next_at=time.time(), expires_at=time.time() + 1e5,
    )  # fmt: skip
    return message, os.urandom(3000)


async def fill(url, users=523, messages=37):
    store = await open_store(url)
    await asyncio.gather(
        *(
            store.users.put(User(f"u{n}@localhost", (f"U{n}@example.org", f"v{n}@example.org")))
            for n in range(users)
        )
    )
    for n in range(messages):
        await store.outbox.add(outbound(n))
        await store.inbox.add([inbound(n)])
    await store.outbox.sent(outbound(0))
    await store.outbox.bury(outbound(1), "no")
    await store.contact_keys.put(HarvestedKey(JULIET, "bob@example.net", b"key", "autocrypt", True, 5.0))
    secret = await store.secret("envelope-ids")
    await store.close()
    return secret


async def content_of(url):
    """All rows of all tables, as our types read them."""
    database = Database(url)
    found = {}
    for table in metadata.sorted_tables:
        rows = await database.read(lambda connection, table=table: connection.execute(select(table)).all())
        found[table.name] = sorted(map(tuple, rows), key=repr)
    await database.close()
    found.pop("versions")
    return found


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'old' / 'gateway.db'}"


async def test_everything_is_moved_to_postgresql_and_back(sqlite_url, database_url, tmp_path):
    secret = await fill(sqlite_url)
    before = await content_of(sqlite_url)
    counts = await move(sqlite_url, database_url)
    assert counts["users"] == 523
    assert counts["addresses"] == 1046
    assert (counts["outbox"], counts["inbox"], counts["relayed"] > 0) == (36, 37, True)
    assert await content_of(database_url) == before
    assert await content_of(sqlite_url) == before, "the old one stays"
    store = await open_store(database_url)
    assert await store.secret("envelope-ids") == secret
    assert await store.outbox.is_known(outbound(0).key) == "done", "the hashes are of the same secret"
    assert (await store.users.by_address("u7@EXAMPLE.org")).jid == "u7@localhost"
    await store.close()
    before = await content_of(database_url)
    third = f"sqlite:///{tmp_path / 'third' / 'gateway.db'}"
    await move(database_url, third)
    assert await content_of(third) == before


async def test_a_database_with_rows_is_no_target(sqlite_url, database_url):
    await fill(sqlite_url, 2, 2)
    await fill(database_url, 1, 2)
    before = await content_of(database_url)
    with pytest.raises(StoreError, match=r"is not empty .*give an empty one"):
        await move(sqlite_url, database_url)
    assert await content_of(database_url) == before


async def test_a_move_that_breaks_leaves_nothing_and_can_be_repeated(sqlite_url, database_url, monkeypatch):
    from gre_gateway_email.store import moving

    await fill(sqlite_url, 3, 3)
    real = moving._copy

    async def break_at_inbox(reading, writing, table):
        if table.name == "inbox":
            raise StoreError("the plug was pulled")
        return await real(reading, writing, table)

    monkeypatch.setattr(moving, "_copy", break_at_inbox)
    with pytest.raises(StoreError, match="the plug was pulled"):
        await move(sqlite_url, database_url)
    assert not any((await content_of(database_url)).values())
    monkeypatch.setattr(moving, "_copy", real)
    await move(sqlite_url, database_url)
    assert await content_of(database_url) == await content_of(sqlite_url)


async def test_rows_that_are_missing_afterwards_are_noticed(sqlite_url, database_url, monkeypatch):
    from gre_gateway_email.store import moving

    await fill(sqlite_url, 3, 3)
    real = moving._copy

    async def too_many(reading, writing, table):
        return await real(reading, writing, table) + (table.name == "outbox")

    monkeypatch.setattr(moving, "_copy", too_many)
    with pytest.raises(StoreError, match="has 2 rows in outbox instead of 3: nothing was moved"):
        await move(sqlite_url, database_url)
    assert not any((await content_of(database_url)).values())


async def test_while_a_gateway_works_on_one_of_them_nothing_is_moved(sqlite_url, database_url):
    await fill(sqlite_url, 1, 2)
    for used in (sqlite_url, database_url):
        gateway = await open_store(used, claim=lambda: None)
        with pytest.raises(StoreError, match="is used by another gateway"):
            await move(sqlite_url, database_url)
        await gateway.close()


async def test_a_database_is_not_moved_to_itself(sqlite_url):
    await fill(sqlite_url, 1, 2)
    with pytest.raises(StoreError):
        await move(sqlite_url, sqlite_url)


# -- as an operator types it -----------------------------------------------------------------------

CONFIG = '[xmpp]\ndomain = "mail.example.org"\nsecret = "s"\n[mail]\ndomains = ["example.org"]\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "gateway.toml").write_text(CONFIG)
    (tmp_path / "gateway.toml").chmod(0o640)
    return tmp_path


@pytest.fixture
def command(folder, capsys):
    def run(*words):
        code = main([*map(str, words), "--config", str(folder / "gateway.toml")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def own_url(folder):
    return f"sqlite:///{folder / 'state' / 'gateway.db'}"


def test_a_backup_is_made_and_put_back(command, folder):
    url, backup = own_url(folder), folder / "backup.db"
    assert command("database", "backup", backup)[2].startswith(
        "gre-email-gateway database: There is no database in"
    )
    asyncio.run(fill(url, 5, 5))
    before = asyncio.run(content_of(url))

    async def work(store):
        await store.forget("u1@localhost")
        await store.users.put(User("late@localhost", ("late@example.org",)))

    async def while_it_runs():
        store = await open_store(url, claim=lambda: None)
        code, said, wrong = await asyncio.to_thread(command, "database", "backup", backup)
        assert (code, wrong) == (0, "")
        assert said.startswith(f"wrote {backup} (")
        await work(store)
        await store.close()

    asyncio.run(while_it_runs())
    assert backup.stat().st_mode & 0o777 == 0o600
    code, _, wrong = command("database", "backup", backup)
    assert code == 1, "a file that is there is not overwritten"
    assert "File exists: remove it, or choose another name" in wrong
    later = asyncio.run(content_of(url))
    assert later != before

    code, said, wrong = command("database", "restore", backup)
    assert (code, wrong) == (0, "")
    assert f"{backup} is the database now." in said
    assert asyncio.run(content_of(url)) == before
    assert (folder / "state" / "gateway.db").stat().st_mode & 0o777 == 0o600
    kept = folder / "state" / "gateway.db.before-restore"
    assert asyncio.run(content_of(f"sqlite:///{kept}")) == later


def test_a_backup_is_put_back_where_nothing_is_left(command, folder):
    url, backup = own_url(folder), folder / "backup.db"
    asyncio.run(fill(url, 5, 5))
    before = asyncio.run(content_of(url))
    command("database", "backup", backup)
    for file in (folder / "state").iterdir():
        file.unlink()
    assert command("database", "restore", backup)[0] == 0
    assert asyncio.run(content_of(url)) == before


def test_what_is_no_backup_is_not_put_back(command, folder):
    url = own_url(folder)
    asyncio.run(fill(url, 2, 2))
    before = asyncio.run(content_of(url))
    other = folder / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")
    text_file = folder / "notes.txt"
    text_file.write_text("no database" * 500)
    newer = folder / "newer.db"
    command("database", "backup", newer)
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
    for file, says in ((other, "is not a database of the email gateway"), (text_file, "is not a database"),
                       (folder / "none", "is not a database"), (newer, "by a newer version")):  # fmt: skip
        code, _, wrong = command("database", "restore", file)
        assert code == 1
        assert says in wrong
    assert asyncio.run(content_of(url)) == before


def test_nothing_is_put_back_or_moved_while_the_gateway_runs(command, folder):
    asyncio.run(fill(own_url(folder), 1, 2))
    command("database", "backup", folder / "backup.db")
    running = RunningFile(folder / "state").take(Running(os.getpid(), "1", 5.0, "mail.example.org"))
    for words in (("restore", folder / "backup.db"), ("move", f"sqlite:///{folder / 'x.db'}")):
        code, _, wrong = command("database", *words)
        assert code == 1
        assert f"The gateway runs (process {os.getpid()}): stop it first" in wrong
    running.release()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_everything_is_moved_by_a_command(command, folder, database_url):
    asyncio.run(fill(own_url(folder), 3, 3))
    target = folder / "database-url"
    target.write_text(database_url + "\n")
    target.chmod(0o600)
    code, said, wrong = command("database", "move", target)
    assert (code, wrong) == (0, "")
    assert "users         3" in said
    assert "set [database] url_file" in said
    assert "secret" not in said.replace("secrets", "")
    with (folder / "gateway.toml").open("a") as file:
        file.write('[database]\nurl_file = "database-url"\n')
    assert "users      3" in command("status")[1]
    code, _, wrong = command("database", "backup", folder / "b.db")
    assert code == 1
    assert "pg_dump" in wrong
    assert not (folder / "b.db").exists()


@pytest.mark.parametrize("target", ["none", "empty"])
def test_a_target_that_is_none_is_told(command, folder, target):
    asyncio.run(fill(own_url(folder), 1, 2))
    (folder / "empty").write_text("juliet\n")
    code, _, wrong = command("database", "move", folder / target)
    assert code == 2
    assert str(folder / target) in wrong


def test_the_text_of_a_wrong_url_has_no_password(command, folder):
    asyncio.run(fill(own_url(folder), 1, 2))
    code, _, wrong = command("database", "move", "postgresql://gre:hunter2@127.0.0.1:1/gre")
    assert code == 1
    assert "hunter2" not in wrong
    assert "127.0.0.1:1" in wrong
