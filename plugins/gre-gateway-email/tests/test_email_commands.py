"""``status``, ``queue``, ``forget`` and ``users``, on a real database, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time

import pytest
from gre_gateway_email.__main__ import main
from gre_gateway_email.operate.running import Running, RunningFile
from gre_gateway_email.store import InboundMessage, OutboundMail, User, default_url, open_store

CONFIG = '[xmpp]\ndomain = "mail.example.org"\nsecret = "s"\n[mail]\ndomains = ["example.org"]\n'
CONTENT = b"CONTENT-THAT-NOBODY-MAY-SEE"


def outbound(n, **changes):
    values = {
        "id": f"out{n}", "key": bytes([n]) * 16, "user": "juliet@xmpp.example", "user_full": "juliet@xmpp.example/r",
        "stanza_id": f"s{n}", "stanza_to": "bob\\40example.net@mail.example.org", "stanza_type": "chat", "wants_receipt": True,
        "sender": "juliet@example.org", "recipients": ("bob@example.net",), "message_id": f"m{n}@example.org",
        "mail": CONTENT, "created_at": time.time() - 7200,
    }  # fmt: skip
    return OutboundMail(**(values | changes))


def inbound(n, **changes):
    values = {
        "id": f"in{n}", "user": "juliet@xmpp.example", "address": "juliet@example.org", "sender": "bob@example.net",
        "kind": "plain", "subject": "SUBJECT-THAT-NOBODY-MAY-SEE", "size": 27, "received_at": time.time() - 60,
        "expires_at": time.time() + 1e6,
    }  # fmt: skip
    return InboundMessage(**(values | changes)), CONTENT


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    path.chmod(0o640)
    return path


@pytest.fixture
def fill(tmp_path):
    """``fill(work)``: open the database of the configuration, and let ``await work(store)`` use it."""

    def run(work):
        async def use():
            (tmp_path / "state").mkdir(exist_ok=True)
            store = await open_store(default_url(tmp_path / "state"))
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(use())

    return run


@pytest.fixture
def filled(fill):
    async def put(store):
        await store.users.put(User("juliet@xmpp.example", ("juliet@example.org", "j@example.org")))
        await store.outbox.add(outbound(1))
        await store.outbox.add(outbound(2))
        await store.outbox.bury(outbound(2), "the relay said no")
        await store.inbox.add(
            [inbound(3), inbound(4, user="romeo@xmpp.example", address="romeo@example.org")]
        )
        await store.inbox.bury("in4", "the user is gone")

    fill(put)


@pytest.fixture
def command(config, capsys):
    """``command("queue", "list")``: exit code, standard output, standard error."""

    def run(*words):
        code = main([*words, "--config", str(config)])
        said = capsys.readouterr()
        assert CONTENT.decode() not in said.out + said.err
        assert "NOBODY-MAY-SEE" not in said.out + said.err
        return code, said.out, said.err

    return run


# -- status ----------------------------------------------------------------------------------------


def test_status_before_the_first_start(command, tmp_path):
    code, said, _ = command("status")
    assert code == 1
    assert "gateway    does not run" in said
    assert "database   none yet in" in said
    assert not (tmp_path / "state").exists()


def test_status_says_what_waits_also_while_it_does_not_run(command, filled):
    code, said, _ = command("status")
    assert code == 1
    assert "users      1" in said
    assert "out        1 wait (27 bytes, the oldest for 2 h), 0 held, 1 dead" in said
    assert "in         1 wait (27 bytes, the oldest for 1 min), 0 held, 1 dead" in said
    assert "look at dead letters: gre-email-gateway queue list --dead" in said


def test_status_of_a_running_gateway(command, filled, tmp_path):
    running = RunningFile(tmp_path / "state")
    now = time.time()
    try:
        running.take(Running(os.getpid(), "0.0.9", now - 3600, "mail.example.org", None, 2424, 8095))
        code, said, _ = command("status")
        assert code == 1
        assert f"(1 h), process {os.getpid()}" in said
        assert "mail.example.org is NOT connected; it tries again" in said
        assert "0.0.9 runs, " in said
        assert "is installed: start it again" in said
        running.write(Running(os.getpid(), "0.0.9", now - 3600, "mail.example.org", now - 60, 2424, 8095))
        code, said, _ = command("status")
        assert code == 0
        assert "mail.example.org is connected since" in said
        assert "metrics    http://127.0.0.1:8095/metrics" in said
        assert command("status", "--quiet") == (0, "", "")
        code, said, _ = command("status", "--json")
        shown = json.loads(said)
        assert (shown["running"], shown["connected"], shown["users"]) == (True, True, 1)
        assert shown["queue"]["out"]["waiting"] == 1
        assert 7000 < shown["queue"]["out"]["oldest_seconds"] < 9000
        assert shown["queue"]["in"]["dead"] == 1
    finally:
        running.release()


# -- queue -----------------------------------------------------------------------------------------


def test_the_queue_shows_no_content_and_short_addresses(command, filled):
    code, said, _ = command("queue", "list")
    assert code == 0
    head, first, second = said.splitlines()
    assert head.split()[:3] == ["ID", "WAY", "STATE"]
    assert first.split() == [
        "out1",
        "out",
        "waiting",
        "2",
        "h",
        "0",
        "now",
        "j…@example.org",
        "b…@example.net",
        "-",
    ]
    assert second.split()[:3] == ["in3", "in", "waiting"]
    assert "juliet@" not in said
    _, said, _ = command("queue", "list", "--addresses")
    assert "juliet@example.org" in said
    assert "bob@example.net" in said


def test_dead_letters_are_listed_shown_replayed_and_dropped(command, filled):
    _, said, _ = command("queue", "list", "--dead")
    assert {line.split()[0] for line in said.splitlines()[1:]} == {"out2", "in4"}
    assert "the relay said no" in said
    _, said, _ = command("queue", "show", "out2")
    assert "reason       the relay said no" in said
    assert "from         j…@example.org" in said
    _, said, _ = command("queue", "show", "in4", "--json", "--addresses")
    assert json.loads(said)["user"] == "romeo@xmpp.example"
    assert command("queue", "replay", "out2") == (0, "out2 is tried again\n", "")
    assert command("queue", "drop", "in4") == (0, "in4 is removed\n", "")
    assert command("queue", "list", "--dead") == (0, "There are no dead letters.\n", "")
    _, said, _ = command("queue", "list", "--json")
    assert {(entry["id"], entry["state"], entry["attempts"]) for entry in json.loads(said)} == {
        ("out1", "waiting", 0), ("out2", "waiting", 0), ("in3", "waiting", 0),
    }  # fmt: skip


def test_all_dead_letters_at_once(command, filled):
    code, said, _ = command("queue", "drop", "--all-dead")
    assert code == 0
    assert sorted(said.splitlines()) == ["in4 is removed", "out2 is removed"]
    assert command("queue", "drop", "--all-dead") == (0, "There are no dead letters.\n", "")


def test_what_is_not_a_dead_letter_is_left_alone(command, filled):
    assert command("queue", "drop", "out1") == (1, "out1 is not a dead letter: nothing was done\n", "")
    code, _, error = command("queue", "show", "nothing")
    assert code == 1
    assert "There is no message nothing" in error
    code, _, error = command("queue", "drop")
    assert code == 1
    assert "--all-dead" in error


def test_an_empty_queue_and_no_database_are_told(command, fill, tmp_path):
    code, _, error = command("queue", "list")
    assert code == 1
    assert "There is no database in" in error
    assert not (tmp_path / "state").exists()

    async def nothing(_store):
        pass

    fill(nothing)
    assert command("queue", "list") == (0, "Nothing waits.\n", "")


# -- users and forget ------------------------------------------------------------------------------


def test_users_are_listed_added_blocked_and_removed(command, filled):
    assert command("users", "add", "Romeo@xmpp.example", "romeo@example.org")[0] == 0
    code, _, error = command("users", "add", "tybalt@xmpp.example", "Romeo@example.org")
    assert code == 1
    assert "Romeo@example.org belongs to romeo@xmpp.example" in error
    code, _, error = command("users", "add", "tybalt@xmpp.example", "tybalt@elsewhere.example")
    assert code == 1
    assert "is not in example.org, the domains of [mail]" in error
    assert command("users", "block", "romeo@xmpp.example")[0] == 0
    _, said, _ = command("users", "list")
    assert [line.split() for line in said.splitlines()[1:]] == [
        ["juliet@xmpp.example", "juliet@example.org", "j@example.org", "-"],
        ["romeo@xmpp.example", "romeo@example.org", "blocked"],
    ]
    command("users", "unblock", "romeo@xmpp.example")
    _, said, _ = command("users", "list", "--json")
    assert [user["blocked"] for user in json.loads(said)] == [False, False]
    assert command("users", "remove", "romeo@xmpp.example")[0] == 0
    code, _, error = command("users", "remove", "romeo@xmpp.example")
    assert code == 1
    assert "is not registered" in error
    assert command("users", "block", "nobody")[0] == 1


@pytest.mark.parametrize("name", ["juliet@xmpp.example", "Juliet@Example.org", "j@example.org"])
def test_forget_erases_all_of_a_user(command, filled, fill, name, tmp_path):
    code, said, _ = command("forget", name, "--yes")
    assert code == 0
    assert said.startswith("Erased all of juliet@xmpp.example: ")
    assert "archives (MAM) of the XMPP server" in said

    async def look(store):
        return await store.users.count(), [entry.id for entry in await store.queue(None)]

    assert fill(look) == (0, ["in4"])
    code, said, _ = command("forget", "juliet@xmpp.example", "--yes")
    assert "There was nothing of juliet@xmpp.example." in said
    files = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"juliet@" not in files


def test_forget_asks_and_takes_no_for_an_answer(config, filled, fill):
    done = subprocess.run(
        [sys.executable, "-m", "gre_gateway_email", "forget", "juliet@xmpp.example", "--config", config],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "give --yes" in done.stderr

    async def count(store):
        return await store.users.count()

    assert fill(count) == 1


def test_who_stands_in_the_configuration_is_removed_there_first(command, config, filled):
    config.write_text(CONFIG + '[users]\n"juliet@example.org" = "juliet@xmpp.example"\n')
    code, _, error = command("forget", "juliet@xmpp.example", "--yes")
    assert code == 1
    assert f"{config}:7: [users] juliet@example.org makes juliet@xmpp.example a user at each start" in error
