"""What surrounds the servers: ejabberd for measurements, the sink for mails, taps, clean ends."""

from __future__ import annotations

import asyncio
import os
import smtplib
import subprocess
from contextlib import suppress
from typing import Any

import pytest
from slixmpp import JID

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.postfix import PostfixServer, SmtpSink
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.server import ServerProcess, TestServerError, find_program
from gre_core.testing.slix import make_client, make_component, offline, online

CONTACT = r"alice\40example.org@mail.localhost"


def alive(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_ejabberd_carries_messages_to_and_from_a_component():
    require(EjabberdServer.installed(), "ejabberd (apt-get install ejabberd)")
    accounts, components = {"juliet": 'se"cr\\et'}, {"mail.localhost": 'sec"ret'}
    async with EjabberdServer(accounts=accounts, components=components) as server:
        pid = server.pid
        juliet, gateway = make_client(server, "juliet", "a"), make_component(server, "mail.localhost")
        await online(juliet)
        await online(gateway)
        gateway.add_event_handler(
            "message",
            lambda m: gateway.send_message(m["from"], m["body"], mtype="chat", mfrom=m["to"]),
        )
        answers: asyncio.Queue[Any] = asyncio.Queue()
        juliet.add_event_handler("message", answers.put_nowait)
        async with asyncio.timeout(30):
            juliet.send_message(JID(CONTACT), "x" * 300_000, mtype="chat")
            answer = await answers.get()
        assert (str(answer["from"]), len(answer["body"])) == (CONTACT, 300_000)
        with pytest.raises(TestServerError, match="login was refused"):
            await online(make_client(server, "juliet", password="wrong"))
        for xmpp, name in ((gateway, "mail.localhost"), (juliet, "juliet@localhost/a")):
            gone = asyncio.Event()
            xmpp.add_event_handler("disconnected", lambda _, gone=gone: gone.set())
            await server.kick(name)
            async with asyncio.timeout(30):
                await gone.wait()
    assert not alive(pid)


async def test_the_sink_takes_mails():
    require(SmtpSink.installed(), "smtp-sink (apt-get install postfix)")

    def send(port):
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.sendmail("a@x.example", ["b@y.example"], "Subject: one\r\n\r\nhello\r\n")
            smtp.sendmail("a@x.example", ["b@y.example"], "Subject: two\r\n\r\nhello\r\n")

    async with SmtpSink(keep=True) as sink:
        await asyncio.to_thread(send, sink.port)
        texts = [mail.read_text() for mail in sink.mails]
    assert len(texts) == 2
    assert all("hello" in text and "X-Rcpt-Args: <b@y.example>" in text for text in texts)


async def test_the_sink_can_refuse():
    require(SmtpSink.installed(), "smtp-sink (apt-get install postfix)")

    def send(port):
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.sendmail("a@x.example", ["b@y.example"], "Subject: x\r\n\r\nhello\r\n")

    async with SmtpSink(options=("-r", "RCPT")) as sink:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            await asyncio.to_thread(send, sink.port)


async def test_a_whole_postfix_relays_keeps_mails_over_a_kill_and_refuses_strangers():
    require(PostfixServer.installed(), "postfix (apt-get install postfix), run by root")

    def send(port, to):
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.sendmail("a@example.org", [to], "Subject: x\r\n\r\nhello\r\n")

    async with PostfixServer(["example.org"]) as postfix:
        pids = [postfix.pid]
        await asyncio.to_thread(send, postfix.submission_port, "b@y.example")
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="Relay access denied"):
            await asyncio.to_thread(send, postfix.port, "b@y.example")
        (queue_id,) = postfix.queued
        content = await postfix.content(queue_id)
        assert b"\nSubject: x\n" in content
        assert content.endswith(b"\n\nhello\n")
        await postfix.kill()
        assert len(postfix.queued) == 1
        async with SmtpSink(keep=True) as sink:
            postfix.relay_port = sink.port
            await postfix.start()
            pids.append(postfix.pid)
            async with asyncio.timeout(30):
                while postfix.queued:
                    await postfix.flush()
                    await asyncio.sleep(0.1)
            assert "X-Rcpt-Args: <b@y.example>" in sink.mails[0].read_text()
    assert not any(alive(pid) for pid in pids)


async def test_the_tap_records_what_the_router_receives_and_sends():
    records = []
    async with LoopbackServer(
        accounts={"juliet": "a", "romeo": "b"},
        components={"mail.localhost": "c"},
        tap=lambda *record: records.append(record),
    ) as server:
        juliet, romeo = make_client(server, "juliet", "a"), make_client(server, "romeo", "b")
        gateway = make_component(server, "mail.localhost")
        for xmpp in (juliet, romeo, gateway):
            await online(xmpp)
        got = asyncio.Event()
        gateway.add_event_handler("message", lambda _: got.set())
        juliet.send_message(JID("romeo@localhost/b"), "planted leak", mtype="chat")
        juliet.send_message(JID("x@mail.localhost"), "planted leak", mtype="chat")
        async with asyncio.timeout(30):
            await got.wait()
        for xmpp in (juliet, romeo, gateway):
            await offline(xmpp)
    seen = {(direction, jid) for direction, jid, data in records if b"planted leak" in data}
    assert seen == {
        ("in", "juliet@localhost/a"),
        ("out", "romeo@localhost/b"),
        ("out", "mail.localhost"),
    }
    assert any(direction == "in" and b"<auth" in data for direction, jid, data in records if not jid)


async def test_a_server_that_ends_at_once_is_explained():
    process = ServerProcess("example", "sh", "")
    directory = process.directory
    with pytest.raises(TestServerError, match=r"ended at once with status 3[\s\S]*no such luck"):
        await process.start(["sh", "-c", "echo no such luck; exit 3"], ports=[1])
    await process.stop()
    assert not directory.exists()


async def test_a_server_that_does_not_listen_is_given_up():
    process = ServerProcess("example", "sh", "")
    try:
        with pytest.raises(TestServerError, match=r"did not listen within 0\.2 s"):
            await process.start(["sh", "-c", "trap '' TERM; exec sleep 60"], ports=[1], patience=0.2)
        pid = process.pid
    finally:
        await process.stop()
    assert not alive(pid)


async def test_cancelling_leaves_neither_process_nor_file():
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    running = asyncio.Event()
    seen: dict[str, Any] = {}

    async def use():
        async with ProsodyServer(accounts={"juliet": "a"}) as server:
            seen["pid"], seen["directory"] = server.pid, server.log_file.parent
            running.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await running.wait()
    assert seen["directory"].stat().st_mode & 0o077 == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(seen["pid"])
    assert not seen["directory"].exists()


async def test_the_router_ends_with_connected_clients():
    async with LoopbackServer(accounts={"juliet": "a"}) as server:
        juliet = make_client(server, "juliet")
        await online(juliet)
        gone = asyncio.Event()
        juliet.add_event_handler("disconnected", lambda _: gone.set())
    async with asyncio.timeout(30):
        await gone.wait()
    with pytest.raises(OSError):
        await asyncio.open_connection(server.host, server.c2s_port)


def test_require_skips_on_a_desk_and_fails_in_ci(monkeypatch):
    require(condition=True, what="nothing")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a missing thing"):
        require(condition=False, what="a missing thing")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needed in CI: a missing thing"):
        require(condition=False, what="a missing thing")


def psql(url, *words):
    return asyncio.to_thread(
        subprocess.run,
        [find_program("psql"), "-X", "-q", "-A", "-t", "-d", url, *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


async def test_postgresql_keeps_what_was_committed_when_it_is_killed():
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as server:
        await psql(server.url, "-c", "create table t (x int)", "-c", "insert into t values (1), (2)")
        # In the middle of other work, of a connection that does not look whether its server still lives.
        busy = "do $$ begin loop perform 1; end loop; end $$"
        work = asyncio.create_task(psql(server.url, "-c", "begin; insert into t values (3)", "-c", busy))
        while "loop" not in (await psql(server.url, "-c", "select query from pg_stat_activity")).stdout:
            await asyncio.sleep(0.02)
        before = server.pid
        await server.restart()
        with pytest.raises(subprocess.CalledProcessError):
            await work
        assert (await psql(server.url, "-c", "select sum(x) from t")).stdout == "3\n"
        assert (await psql(server.url, "-c", "show fsync", "-c", "show listen_addresses")).stdout == (
            "on\n127.0.0.1\n"
        )
        await server.stop()
        await server.start()
        assert (await psql(server.url, "-c", "select count(*) from t")).stdout == "2\n"
        pid, directory = server.pid, server.log_file.parent
    assert not alive(before)
    assert not alive(pid)
    assert not directory.exists()


async def test_prosody_keeps_messages_for_later_when_it_is_killed():
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    async with ProsodyServer(accounts={"juliet": "a", "romeo": "b"}, offline=True) as server:
        romeo = make_client(server, "romeo", "b", plugins=("xep_0199",))
        await online(romeo)
        romeo.send_message(JID("juliet@localhost"), "for later", mtype="chat")
        await romeo.plugin["xep_0199"].ping(JID("localhost"))  # what was sent before it has been worked on
        await server.restart()
        juliet = make_client(server, "juliet", "a")
        got = asyncio.get_running_loop().create_future()
        juliet.add_event_handler("message", lambda message: got.set_result(message["body"]))
        await online(juliet)
        juliet.send_presence()
        async with asyncio.timeout(30):
            assert await got == "for later"
        await offline(juliet)
        romeo.abort()
