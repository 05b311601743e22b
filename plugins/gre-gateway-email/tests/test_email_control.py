"""The socket by which commands reach the running gateway: who may ask, what comes back, and what is not believed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from types import SimpleNamespace

import pytest
from gre_gateway_email.app.requests import OperatorRequests
from gre_gateway_email.operate import control
from gre_gateway_email.operate.control import FILE, ControlSocket, NotDone, ask_running
from gre_gateway_email.store import User, open_store

from gre_core.errors import StoreError

JULIET = User("juliet@localhost", ("juliet@example.org",), registered_at=1.0)


@pytest.fixture
async def running(tmp_path):
    asked = []

    async def forget(jid):
        asked.append(jid)
        return 12

    async def fail(_):
        raise StoreError("the disk is full")

    async def break_(_):
        raise ZeroDivisionError("juliet@example.org")

    server = ControlSocket(tmp_path, {"forget": forget, "fail": fail, "break": break_})
    await server.start()
    yield asked
    await server.stop()
    assert not (tmp_path / FILE).exists()


async def raw(folder, line):
    reader, writer = await asyncio.open_unix_connection(folder / FILE)
    writer.write(line)
    if writer.can_write_eof():
        writer.write_eof()
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_command_asks_and_hears(running, tmp_path):
    assert await ask_running(tmp_path, "forget", "juliet@localhost") == 12
    assert running == ["juliet@localhost"]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


async def test_without_a_gateway_nobody_is_asked(tmp_path):
    assert await ask_running(tmp_path, "forget") is None
    assert await ask_running(tmp_path / "none", "forget") is None
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / FILE))  # what a killed gateway leaves
    assert await ask_running(tmp_path, "forget") is None


async def test_what_a_killed_gateway_left_is_taken_over(tmp_path):
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / FILE))
    server = ControlSocket(tmp_path, {})
    await server.start()
    with pytest.raises(NotDone, match="is of another version"):
        await ask_running(tmp_path, "forget")
    await server.stop()


async def test_errors_come_back_in_words(running, tmp_path, caplog):
    with pytest.raises(NotDone, match="The running gateway cannot do that: the disk is full"):
        await ask_running(tmp_path, "fail")
    with pytest.raises(NotDone, match="look at its log"):
        await ask_running(tmp_path, "break")
    assert "juliet@" not in caplog.text
    assert await ask_running(tmp_path, "forget") == 12


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b'{"do": ["x"]}\n', b'{"do": "forget"', b"\xff\n"])
async def test_what_makes_no_sense_changes_nothing(running, tmp_path, line):
    answer = await raw(tmp_path, line)
    assert b"rows" not in answer or line == b'{"do": "forget"'
    assert running == []
    assert await ask_running(tmp_path, "forget") == 12


async def test_a_line_without_end_is_cut(running, tmp_path):
    with contextlib.suppress(ConnectionError):
        assert await raw(tmp_path, b"x" * 100_000) == b""
    assert running == []
    assert await ask_running(tmp_path, "forget") == 12


async def test_other_users_of_the_machine_may_not_ask(running, tmp_path, monkeypatch):
    me = os.geteuid()
    for user, may in ((0, True), (me, True), (me + 4711, False)):
        peer = SimpleNamespace(getsockopt=lambda *_, user=user: struct.pack("3i", 1, user, 1))
        assert control._may_ask(peer) is may
    monkeypatch.setattr(control, "_may_ask", lambda _: False)
    with contextlib.suppress(ConnectionError):
        assert await raw(tmp_path, json.dumps({"do": "forget", "jid": "x"}).encode() + b"\n") == b""
    assert running == []


async def test_a_long_name_of_the_folder_does_no_harm(tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()

    async def one(_):
        return 1

    server = ControlSocket(folder, {"one": one})
    await server.start()
    assert await ask_running(folder, "one") == 1
    await server.stop()
    assert not (folder / FILE).exists()


class FakeRelations:
    def __init__(self):
        self.said = []

    async def contacts_of(self, jid):
        return ["bob"]

    async def end(self, jid, contacts):
        self.said.append(("end", jid, *contacts))

    async def welcome(self, user):
        self.said.append(("welcome", user.jid))

    async def refresh(self, jid):
        self.said.append(("refresh", jid))


@pytest.fixture
async def two_stores(tmp_path):
    """The database as the gateway sees it, and as a command does."""
    url = f"sqlite:///{tmp_path}/gateway.db"
    stores = await open_store(url), await open_store(url)
    yield stores
    for store in stores:
        await store.close()


async def test_what_a_command_changed_counts_at_once(two_stores):
    mine, theirs = two_stores
    relations, woken = FakeRelations(), []
    actions = OperatorRequests(mine, relations, lambda: woken.append(1)).all()
    assert await mine.users.get(JULIET.jid) is None  # and is remembered
    await theirs.users.put(JULIET)
    await actions["came"](JULIET.jid)
    assert await mine.users.get(JULIET.jid) == JULIET
    await actions["changed"](JULIET.jid)
    await actions["look"]("")
    assert woken == [1]
    await actions["remove"](JULIET.jid)
    assert await theirs.users.count() == 0
    assert relations.said == [
        ("welcome", JULIET.jid),
        ("refresh", JULIET.jid),
        ("end", JULIET.jid, "bob"),
    ]


async def test_who_is_forgotten_gets_a_goodbye_and_leaves_memory(two_stores):
    mine, theirs = two_stores
    relations, gone = FakeRelations(), []
    mine.on_forget(gone.append)
    actions = OperatorRequests(mine, relations, lambda: None).all()
    await theirs.users.put(JULIET)
    assert await actions["forget"](JULIET.jid) >= 2
    assert await actions["forget"]("nobody@localhost") == 0
    assert gone == [JULIET.jid, "nobody@localhost"]
    assert relations.said == [("end", JULIET.jid, "bob")]


async def test_a_gateway_with_another_database_says_so(two_stores):
    actions = OperatorRequests(two_stores[0], FakeRelations(), lambda: None).all()
    with pytest.raises(NotDone, match="has another database"):
        await actions["came"](JULIET.jid)
