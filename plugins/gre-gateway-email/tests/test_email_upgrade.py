"""Databases of every older version, with a row in each table, are brought up to date and lose nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from gre_gateway_email.__main__ import main
from gre_gateway_email.operate.running import Running, RunningFile
from gre_gateway_email.store import open_store
from gre_gateway_email.store.database import Database
from gre_gateway_email.store.upgrade import HEAD, SCRIPTS, revision_of
from sqlalchemy import MetaData, select, text


def scripts():
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config


REVISIONS = [script.revision for script in ScriptDirectory.from_config(scripts()).walk_revisions()][::-1]


def test_the_newest_revision_is_the_one_that_the_program_wants():
    assert ScriptDirectory.from_config(scripts()).get_heads() == [HEAD]
    assert REVISIONS[-1] == HEAD


def value_of(column, number):
    kind = column.type.python_type
    if column.name in {"recipients", "notes", "files"}:
        return '["a", "b"]'
    if column.name == "name":
        return ("database", "envelope-ids", "other")[number]  # of secrets
    if column.name in {"jid", "folded"}:
        return f"{column.name}-{number}@example.org"
    if column.name == "state":
        return ("waiting", "held", "dead")[number]
    if column.name == "kind":
        return "plain"
    return {
        str: f"Grüße {number}",
        bytes: b"\x00\xff%d" % number,
        bool: number == 0,
        int: number + 1,
        float: 1e9 + number,
    }[kind]


def make_old(connection, revision):
    config = scripts()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    there = MetaData()
    there.reflect(connection)
    for table in there.sorted_tables:
        if table.name in {"alembic_version", "versions"}:
            continue
        connection.execute(
            table.insert(), [{column.name: value_of(column, n) for column in table.c} for n in range(3)]
        )


def rows_of(connection, like=None):
    """Give all rows; with ``like``, only its tables and their columns."""
    there = MetaData()
    there.reflect(connection)
    found = {}
    for table in there.sorted_tables:
        if table.name in {"alembic_version", "versions"} or (like is not None and table.name not in like):
            continue
        columns = list(table.c) if like is None else [table.c[name] for name in like[table.name][0]]
        found[table.name] = [dict(row) for row in connection.execute(select(*columns)).mappings()]
        found[table.name].sort(key=repr)
    return found


@pytest.mark.parametrize("revision", REVISIONS)
async def test_nothing_is_lost_on_the_way_from_an_older_version(database_url, revision):
    if database_url.startswith("sqlite"):
        Path(database_url.partition(":///")[2]).parent.mkdir()
    old = Database(database_url)
    await old.write(lambda connection: make_old(connection, revision), marked=False)
    before = await old.read(rows_of)
    assert {len(rows) for rows in before.values()} == {3}
    assert await old.read(revision_of) == revision
    await old.close()

    store = await open_store(database_url)
    assert await store._database.read(lambda connection: rows_of(connection, before)) == before
    outbound, inbound = await store.counts()
    for count in (outbound, inbound):
        assert (count.waiting, count.held, count.dead) == (1, 1, 1)
    assert len(await store.queue()) == 6
    assert await store.users.count() == 3
    assert await store.inbox.content((await store.inbox.due(2e9, 9))[0].id) == b"\x00\xff0"
    await store.close()


@pytest.mark.usefixtures("logging_restored")
def test_commands_and_the_gateway_refuse_a_newer_database_in_words(tmp_path, capsys):
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[xmpp]\ndomain = "mail.example.org"\nsecret = "s"\n[mail]\ndomains = ["example.org"]\n[listen]\nport = 0\n'
    )
    config.chmod(0o640)
    url = f"sqlite:///{tmp_path / 'state' / 'gateway.db'}"

    async def make_newer():
        store = await open_store(url)
        await store._database.write(
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '999'"))
        )
        await store.close()

    asyncio.run(make_newer())
    for words in (
        ("run",),
        ("status",),
        ("queue", "list"),
        ("users", "list"),
        ("database", "move", "sqlite:////x"),
    ):
        assert main([*words, "--config", str(config)]) == 1
        said = capsys.readouterr().err
        assert "was written by a newer version of gre-gateway-email. Install that version again, or" in said
        assert "Traceback" not in said
    assert main(["check", "--config", str(config)]) == 1
    assert "WRONG  [database]" in (said := capsys.readouterr().out)
    assert "newer version" in said


def test_a_command_leaves_the_tables_of_an_older_gateway_alone_while_it_runs(tmp_path, capsys):
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[xmpp]\ndomain = "mail.example.org"\nsecret = "s"\n[mail]\ndomains = ["example.org"]\n'
    )
    config.chmod(0o640)
    (tmp_path / "state").mkdir(mode=0o700)

    async def old_one(work):
        database = Database(f"sqlite:///{tmp_path / 'state' / 'gateway.db'}")
        try:
            return await work(database)
        finally:
            await database.close()

    asyncio.run(old_one(lambda database: database.write(lambda it: make_old(it, REVISIONS[0]), marked=False)))
    running = RunningFile(tmp_path / "state").take(Running(os.getpid(), "0.0.1", 5.0, "mail.example.org"))
    assert main(["users", "list", "--config", str(config)]) == 1
    assert "Version 0.0.1 of the gateway runs" in capsys.readouterr().err
    assert asyncio.run(old_one(lambda database: database.read(revision_of))) == REVISIONS[0]
    running.release()
    assert main(["users", "list", "--config", str(config)]) == 0
    assert asyncio.run(old_one(lambda database: database.read(revision_of))) == HEAD
