"""A full disk, a clock that jumps, servers that are away: nothing acknowledged is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import asyncpg  # type: ignore[import-untyped]
import pytest
from gre_gateway_email.store.claim import LOCK
from letters import PEER, mail
from mail_sender import MailSender, NotTakenNow, Refused
from stage import Stage

from gre_core.testing import require
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer

DAY = 86_400
LIMIT = 60


@pytest.fixture(autouse=True)
def _prosody():
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")


async def until(condition, what=""):
    """Wait until something is so."""
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"did not happen: {what}", pytrace=True)


def answered(stage, marker):
    letter = stage.ledger.letters[marker]
    return letter.acknowledged is not None or bool(letter.refused)


def arrived(stage, *markers):
    return all(stage.ledger.letters[marker].arrivals for marker in markers)


def nothing_is_lost(stage):
    verdict = stage.ledger.judge()
    assert not verdict.lost, "\n".join(map(stage.ledger.timeline, verdict.lost))
    assert not verdict.strange


# -- a full disk -----------------------------------------------------------------------------------


@contextmanager
def small_disk(folder, size):
    """Mount a file system of so many bytes."""
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder],
        capture_output=True, check=False,
    ).returncode == 0  # fmt: skip
    require(mounted, "the right to mount a file system (root, with CAP_SYS_ADMIN)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Leave no room."""
    file = folder / "ballast"
    with file.open("wb", buffering=0) as sink:
        for piece in (1 << 16, 1 << 10, 1):
            try:
                while sink.write(b"\0" * piece):
                    pass
            except OSError:
                pass
    return file


async def goes_on_after_a_full_disk(stage, disk):
    """Fill the disk of the database: everybody is told to come again, and nothing is lost when there is room."""
    gateway = stage.gateway
    await gateway.start()
    sender = stage.lmtp()
    await until(lambda: stage.users["juliet"].online.is_set())
    before = [stage.send("juliet", 1), await stage.deliver(sender, "juliet", 1)]
    await until(lambda: arrived(stage, *before), "a message each way")
    await stage.sink.stop()
    kept = stage.send("juliet", 2)  # stored, and waiting for the relay
    await asyncio.sleep(1)
    ballast = fill(disk)
    replies = set()
    for number in range(2, 6):
        try:
            await stage.deliver(sender, "juliet", number, 60_000)
        except NotTakenNow as error:
            replies.add(str(error))
    assert len(replies) == 1, replies
    assert "452 4.3.1" in replies.pop()
    refused = stage.send("juliet", 3, 60_000)
    await until(
        lambda: any(what.startswith("error") for _, what in stage.ledger.letters[refused].notes),
        "an error for what cannot be stored",
    )
    assert "resource-constraint" in stage.ledger.letters[refused].notes[0][1]
    assert not stage.ledger.letters[refused].refused, "it may be sent again"
    assert gateway.running
    ballast.unlink()
    await stage.sink.start()
    for number in range(2, 6):
        await stage.deliver(sender, "juliet", number, 60_000)
    markers = [kept, *(f"in-juliet-{number}" for number in range(2, 6))]
    await until(lambda: arrived(stage, *markers), "all that was stored, and all that came again")
    await until(lambda: answered(stage, kept), "the receipt")
    stage.users["juliet"].repeat(refused)
    await until(lambda: arrived(stage, refused) and answered(stage, refused), "the message sent again")
    nothing_is_lost(stage)
    assert await gateway.stop() == 0


async def test_a_full_disk_puts_everybody_off_and_loses_nothing(tmp_path):
    async with Stage(tmp_path / "stage", patience=600) as stage:
        with small_disk(tmp_path / "disk", 4 << 20) as disk:
            gateway = stage.gateway
            text = gateway.config.read_text().replace(str(gateway.folder / "state"), str(disk / "state"))
            gateway.config.write_text(text)
            await goes_on_after_a_full_disk(stage, disk)


async def test_a_full_disk_under_postgresql_puts_everybody_off_and_loses_nothing(tmp_path):
    """The tables are on a disk of their own: where the log of PostgreSQL is, a full disk ends the whole server."""
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as database:
        # Not beneath the folder of this test, which the server's user may not enter.
        with tempfile.TemporaryDirectory(prefix="gre-tablespace-") as folder:
            Path(folder).chmod(0o711)
            with small_disk(Path(folder) / "disk", 8 << 20) as disk:
                space = disk / "space"
                space.mkdir(mode=0o700)
                shutil.chown(space, "postgres")
                disk.chmod(0o711)
                admin = await asyncpg.connect(database.url)
                await admin.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
                await admin.execute("ALTER DATABASE postgres SET default_tablespace = small")
                await admin.close()
                async with Stage(tmp_path / "stage", database=database.url, patience=600) as stage:
                    await goes_on_after_a_full_disk(stage, disk)
                await database.stop()


# -- a clock that jumps ----------------------------------------------------------------------------


def faked_clock(file):
    """Give an environment in which the clock is what a file says; what measures intervals goes on as always."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    require(libraries, "libfaketime (apt-get install faketime)")
    file.write_text("+0")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.mark.parametrize("days", [-3, +3, -400, +400])
async def test_a_clock_that_jumps_stops_nothing(tmp_path, days):
    clock = tmp_path / "clock"
    async with Stage(tmp_path / "stage", environment=faked_clock(clock), patience=600) as stage:
        await stage.gateway.start()
        sender = stage.lmtp()
        first = [stage.send("juliet", 1), await stage.deliver(sender, "juliet", 1)]
        await until(lambda: arrived(stage, *first), "a message each way")
        await stage.sink.stop()
        waiting = stage.send("juliet", 2)
        await asyncio.sleep(1.5)  # tried at least once; the next try is due by the old clock
        clock.write_text(f"{days:+}d")
        await stage.sink.start()
        later = [stage.send("juliet", 3), await stage.deliver(sender, "juliet", 3)]
        await until(lambda: arrived(stage, *later), "a message each way after the jump")
        # Forward it may be over time, and then the user is told so. Back it waits no longer than before.
        await until(lambda: answered(stage, waiting), "an answer for what waited while the clock jumped")
        if days < 0:
            assert arrived(stage, waiting)
        clock.write_text("+0")
        last = [stage.send("juliet", 4), await stage.deliver(sender, "juliet", 4)]
        await until(lambda: arrived(stage, *last), "a message each way after the jump back")
        await until(lambda: all(answered(stage, f"out-juliet-{number}") for number in (1, 3, 4)), "receipts")
        nothing_is_lost(stage)
        assert await stage.gateway.stop() == 0


# -- servers that are away -------------------------------------------------------------------------


async def test_a_relay_that_is_away_delays_and_loses_nothing(tmp_path):
    async with Stage(tmp_path / "stage", patience=600) as stage:
        await stage.gateway.start()
        await stage.sink.stop()
        markers = [stage.send("juliet", number) for number in range(10)]
        await asyncio.sleep(3)
        assert not any(stage.ledger.letters[marker].arrivals for marker in markers)
        await stage.sink.start()
        await until(lambda: arrived(stage, *markers), "the mails")
        await until(lambda: all(answered(stage, marker) for marker in markers), "the receipts")
        verdict = stage.ledger.judge()
        assert verdict.proven
        assert not verdict.refused
        assert not verdict.repeated


async def test_an_xmpp_server_that_is_away_delays_and_loses_nothing(tmp_path):
    async with Stage(tmp_path / "stage") as stage:
        await stage.gateway.start()
        await stage.xmpp.kill()
        sender = stage.lmtp()
        markers = [await stage.deliver(sender, user, number) for user in stage.users for number in range(5)]
        markers += [stage.send("juliet", 1)]
        await asyncio.sleep(3)
        await stage.xmpp.start()
        await until(lambda: arrived(stage, *markers), "the messages")
        nothing_is_lost(stage)
        assert await stage.gateway.stop() == 0


async def test_a_database_that_is_away_puts_everybody_off_and_loses_nothing(tmp_path):
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with (
        PostgresServer() as database,
        Stage(tmp_path / "stage", database=database.url, patience=2) as stage,
    ):
        await stage.gateway.start()
        sender = stage.lmtp()
        markers = [stage.send("juliet", 1), await stage.deliver(sender, "juliet", 1)]
        await until(lambda: arrived(stage, *markers), "a message each way")
        await database.kill()
        with pytest.raises(NotTakenNow, match=r"45[12]"):
            await stage.deliver(sender, "juliet", 2)
        markers += [stage.send("juliet", 3), "in-juliet-2"]
        await asyncio.sleep(1)
        assert stage.gateway.running
        await database.start()
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    await stage.deliver(sender, "juliet", 2)
                    break
                except NotTakenNow:
                    await asyncio.sleep(0.3)
        await until(lambda: arrived(stage, *markers), "everything, by the same process")
        await until(lambda: answered(stage, "out-juliet-3"), "the receipt")
        nothing_is_lost(stage)
        assert await stage.gateway.stop() == 0


# -- two gateways ----------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request, tmp_path):
    """A database by its URL, which two gateways can be told to use."""
    if request.param == "sqlite":
        yield SimpleNamespace(url=f"sqlite:///{tmp_path / 'shared' / 'gateway.db'}")
        return
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as server:
        yield server


async def second_fails(gateway):
    """Start a gateway that cannot work; give what it says."""
    await gateway.spawn()
    async with asyncio.timeout(LIMIT):
        assert not await gateway.ready(LIMIT)
        assert await gateway.ended() in {1, 2}
    return gateway.log.read_text()


async def test_a_second_gateway_of_the_same_domain_waits_for_its_turn_and_says_so(tmp_path):
    async with Stage(tmp_path / "stage") as stage:
        await stage.gateway.start()
        second = stage.another_gateway("second")
        stage.stack.push_async_callback(second.end)
        await second.spawn()
        ready = asyncio.ensure_future(second.ready(LIMIT))
        await until(lambda: "conflict" in second.log.read_text(), "the second says what is wrong")
        markers = [stage.send("juliet", 1), await stage.deliver(stage.lmtp(), "juliet", 1)]
        await until(lambda: arrived(stage, *markers), "a message each way by the first")
        assert not ready.done()
        assert "Traceback" not in second.log.read_text()
        assert await stage.gateway.stop() == 0
        assert await ready  # it takes over
        assert await second.stop() == 0
        nothing_is_lost(stage)


async def test_a_second_gateway_of_the_same_state_folder_says_so_and_does_no_harm(tmp_path):
    async with Stage(tmp_path / "stage") as stage:
        gateway, second = stage.gateway, stage.another_gateway("second")
        stage.stack.push_async_callback(second.end)
        own, shared = (str(each.folder / "state") for each in (second, gateway))
        second.config.write_text(second.config.read_text().replace(own, shared))
        await gateway.start()
        said = await second_fails(second)
        assert "is in use" in said
        assert "Traceback" not in said
        markers = [stage.send("juliet", 1), await stage.deliver(stage.lmtp(), "juliet", 1)]
        await until(lambda: arrived(stage, *markers), "a message each way")
        # The claim goes with the process, however it ends.
        gateway.kill()
        await gateway.ended()
        await gateway.start()
        markers = [stage.send("juliet", 2), await stage.deliver(stage.lmtp(), "juliet", 2)]
        await until(lambda: arrived(stage, *markers), "a message each way after a kill")
        nothing_is_lost(stage)


async def test_a_second_gateway_of_the_same_database_says_so_and_does_no_harm(tmp_path, database):
    async with Stage(tmp_path / "stage", database=database.url) as stage:
        gateway, second = stage.gateway, stage.another_gateway("second")
        stage.stack.push_async_callback(second.end)
        await gateway.start()
        said = await second_fails(second)
        assert "is used by another gateway" in said
        assert "Traceback" not in said
        markers = [stage.send("juliet", 1), await stage.deliver(stage.lmtp(), "juliet", 1)]
        await until(lambda: arrived(stage, *markers), "a message each way")
        # The claim goes with the process, however it ends.
        gateway.kill()
        await gateway.ended()
        await second.start()
        sender = MailSender(second.lmtp_port, lmtp=True)
        markers = [stage.send("juliet", 2), await stage.deliver(sender, "juliet", 2)]
        await until(lambda: arrived(stage, *markers), "a message each way by the second")
        nothing_is_lost(stage)
        assert await second.stop() == 0


async def test_a_gateway_whose_database_was_taken_by_another_ends_and_says_so(tmp_path):
    require(PostgresServer.installed(), "PostgreSQL (apt-get install postgresql)")
    async with PostgresServer() as database, Stage(tmp_path / "stage", database=database.url) as stage:
        await stage.gateway.start()
        other, admin = [await asyncpg.connect(database.url) for _ in range(2)]
        taking = asyncio.ensure_future(other.execute(f"SELECT pg_advisory_lock({LOCK})"))
        await asyncio.sleep(0.3)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gre-email-gateway'"
        )
        await taking
        async with asyncio.timeout(LIMIT):
            assert await stage.gateway.ended() == 1
        said = stage.gateway.log.read_text()
        assert "Another gateway has taken the database" in said
        assert "Traceback" not in said
        await other.close()
        await admin.close()
        await stage.gateway.start()
        markers = [stage.send("juliet", 1), await stage.deliver(stage.lmtp(), "juliet", 1)]
        await until(lambda: arrived(stage, *markers), "a message each way when it is free again")
        nothing_is_lost(stage)


# -- a mail of 60 MB -------------------------------------------------------------------------------

HUGE = 60_000_000
LARGEST_GROWTH = 16 << 20


async def raw_lmtp(port, *, size):
    """Say what a mail server says before the data; give streams and the reply to MAIL."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def say(line):
        writer.write(line)
        while True:
            reply = (await reader.readline()).decode()
            if reply[3:4] != "-":
                return reply.strip()

    await say(b"")
    await say(b"LHLO mx.example.net\r\n")
    reply = await say(f"MAIL FROM:<{PEER}>{f' SIZE={size}' if size else ''}\r\n".encode())
    return say, writer, reply


async def test_a_mail_of_60_mb_is_refused_before_it_is_sent(tmp_path):
    async with Stage(tmp_path / "stage") as stage:
        await stage.gateway.start()
        _, writer, reply = await raw_lmtp(stage.gateway.lmtp_port, size=HUGE)
        writer.close()
        assert reply.startswith("552")


async def test_a_mail_of_60_mb_that_comes_unannounced_costs_no_memory(tmp_path):
    async with Stage(tmp_path / "stage") as stage:
        gateway = stage.gateway
        await gateway.start()
        sender = stage.lmtp()
        await stage.deliver(sender, "juliet", 1, 200_000)
        before = most = gateway.resident()
        say, writer, reply = await raw_lmtp(gateway.lmtp_port, size=0)
        assert reply.startswith("250")
        assert (await say(b"RCPT TO:<juliet@example.org>\r\n")).startswith("250")
        assert (await say(b"DATA\r\n")).startswith("354")
        line = b"x" * 998 + b"\r\n"
        for _ in range(HUGE // 1_000_000):
            writer.write(line * 1000)
            await writer.drain()
            most = max(most, gateway.resident())
        assert (await say(b".\r\n")).startswith("552 5.3.4")
        assert most - before < LARGEST_GROWTH, f"{(most - before) >> 20} MiB"
        assert (await say(b"RSET\r\n")).startswith("250")
        writer.close()
        marker = await stage.deliver(sender, "juliet", 2)
        await until(lambda: arrived(stage, marker), "a mail afterwards")


async def test_a_mail_of_60_mb_that_the_operator_allows_harms_nobody(tmp_path):
    """It is stored, held or refused; in any case others get theirs meanwhile, and the process lives."""
    async with Stage(tmp_path / "stage") as stage:
        gateway = stage.gateway
        text = gateway.config.read_text().replace("[listen]\n", "[listen]\nmax_size = 67_000_000\n")
        gateway.config.write_text(text)
        await gateway.start()
        content = mail("in-romeo-1", 43_000_000, "romeo@example.org", plain=False)
        assert len(content) > 58_000_000
        large = asyncio.ensure_future(stage.lmtp().send(PEER, "romeo@example.org", content, patience=LIMIT))
        slowest, sender = 0.0, stage.lmtp()
        for number in range(20):
            begin = time.monotonic()
            marker = await stage.deliver(sender, "juliet", number)
            await until(lambda marker=marker: arrived(stage, marker), "a small mail meanwhile")
            slowest = max(slowest, time.monotonic() - begin)
        try:
            reply = await large
        except Refused as error:
            reply = str(error)
        assert reply[:3] in {"250", "552"}, reply
        assert gateway.resident() < 700 << 20
        assert await gateway.stop() == 0
        print(f"{reply}; the slowest small mail took {slowest:.1f} s")
