"""Metrics, health, the file of a running gateway, and the service manager."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys

import aiohttp
import pytest
from gre_gateway_email.config import Http, load
from gre_gateway_email.operate.health import HealthServer
from gre_gateway_email.operate.metrics import Metrics
from gre_gateway_email.operate.operations import Operations
from gre_gateway_email.operate.running import Running, RunningFile, read_running
from gre_gateway_email.operate.systemd import notify, watchdog_seconds
from gre_gateway_email.store.records import QueueCount

from gre_core.errors import StoreError
from gre_core.testing import require


class FakeStore:
    def __init__(self, now=lambda: 1000.0):
        self.asked = 0
        self.fails = False
        self.users = self
        self.now = now

    async def counts(self):
        self.asked += 1
        if self.fails:
            raise StoreError("the database is locked: juliet@example.org")
        return QueueCount(3, 300, self.now() - 60, 0, 1), QueueCount(0, 0, None, 2, 0)

    async def count(self):
        return 42


def sample(text, name):
    return next(
        float(line.rpartition(" ")[2]) for line in text.decode().splitlines() if line.startswith(name + " ")
    )


@pytest.fixture
def metrics():
    clock = iter(float(n) for n in range(1000, 2000, 100))
    return Metrics("1.2", lambda: next(clock))


async def test_metrics_count_what_the_relaying_tells(metrics):
    events = metrics
    events.taken("out", "encrypted", 1000)
    events.taken("in", "made-up", 10)
    events.repeated("out")
    events.refused("in", "5.7.10")
    events.refused("out", "forbidden")
    events.retried("in")
    events.dead("out")
    events.relayed(0.2)
    events.delivered(-5.0)
    text = await metrics.text(FakeStore(), 42)
    assert sample(text, 'gre_email_taken_total{direction="out",kind="encrypted"}') == 1
    assert sample(text, 'gre_email_taken_total{direction="in",kind="other"}') == 1
    assert sample(text, 'gre_email_taken_bytes_total{direction="out"}') == 1000
    assert sample(text, 'gre_email_refused_total{direction="in",reason="5.7.10"}') == 1
    assert sample(text, 'gre_email_refused_total{direction="out",reason="forbidden"}') == 1
    assert sample(text, 'gre_email_relay_seconds_bucket{le="0.25"}') == 1
    assert sample(text, "gre_email_delivery_seconds_sum") == 0
    assert sample(text, 'gre_email_queue_messages{direction="out",state="waiting"}') == 3
    assert sample(text, 'gre_email_queue_messages{direction="in",state="held"}') == 2
    assert sample(text, "gre_email_users") == 42
    assert sample(text, "process_open_fds") > 0


async def test_no_reason_that_a_stranger_chooses_becomes_a_label(metrics):
    for reason in ("juliet@example.org", "5.7.10 no", "", "9.1.1", "x" * 500):
        metrics.refused("in", reason)
    text = (await metrics.text(FakeStore(), 0)).decode()
    assert 'reason="other"} 5.0' in text
    assert "juliet" not in text
    assert text.count("gre_email_refused_total{") == 1


async def test_the_store_is_not_asked_at_each_scrape():
    time = [1000.0]
    metrics, store = Metrics("1", lambda: time[0]), FakeStore()
    for _ in range(3):
        await metrics.text(store, 0)
    assert store.asked == 1
    time[0] += 3
    await metrics.text(store, 0)
    assert store.asked == 2
    time[0] -= 5000  # a clock that was set back
    text = await metrics.text(store, 0)
    assert store.asked == 3
    assert sample(text, 'gre_email_queue_oldest_seconds{direction="out"}') >= 0


async def test_prometheus_finds_nothing_wrong_with_our_metrics():
    promtool = shutil.which("promtool")
    require(promtool, "promtool (apt-get install prometheus)")
    text = await Metrics("1", processes=False).text(FakeStore(), 1)
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


# -- health ----------------------------------------------------------------------------------------


async def ask(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_health_says_what_is_not_ready():
    wrong = {"xmpp": ""}

    async def xmpp():
        return wrong["xmpp"]

    async def database():
        if wrong["xmpp"]:
            raise StoreError("locked by juliet@example.org")
        return ""

    async def metrics():
        return b"x 1\n"

    server = HealthServer(Http(True, "127.0.0.1", 0), metrics, {"xmpp": xmpp, "database": database})
    port = await server.start()
    try:
        assert await ask(port, "/health/ready") == (
            200, "application/json; charset=utf-8", '{"ready": true, "problems": {}}',
        )  # fmt: skip
        wrong["xmpp"] = "not connected"
        status, _, text = await ask(port, "/health/ready")
        assert status == 503
        assert text == '{"ready": false, "problems": {"xmpp": "not connected", "database": "StoreError"}}'
        assert (await ask(port, "/health/live"))[0] == 200
        status, kind, text = await ask(port, "/metrics")
        assert (status, text) == (200, "x 1\n")
        assert kind.startswith("text/plain; version=0.0.4")
        assert (await ask(port, "/"))[0] == 404
    finally:
        await server.stop()


def config_of(folder):
    file = folder / "gateway.toml"
    file.write_text(
        '[xmpp]\ndomain = "mail.example.org"\nsecret = "s"\n[mail]\ndomains = ["example.org"]\n'
        "[http]\nenabled = true\nport = 0\n"
    )
    return load(file, {})


async def test_operations_follow_the_gateway(tmp_path, monkeypatch):
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    config = config_of(tmp_path)
    operations = Operations(config)
    operations.take()
    await operations.start(FakeStore())
    loop = asyncio.get_running_loop()

    async def hear():
        return (await loop.run_in_executor(None, heard.recv, 500)).decode()

    try:
        port = read_running(config.state).http_port
        status, _, text = await ask(port, "/health/ready")
        assert status == 503
        assert '"xmpp"' in text
        assert '"listener"' in text
        operations.listening(2424)
        operations.connected(yes=True)
        assert (await ask(port, "/health/ready"))[0] == 200
        assert "gre_email_connected 1.0" in (await ask(port, "/metrics"))[2]
        running = read_running(config.state)
        assert (running.pid, running.listen_port, running.domain) == (os.getpid(), 2424, "mail.example.org")
        assert running.connected_at >= running.since
        words = [await hear() for _ in range(4)]
        assert "READY=1\nSTATUS=works" in words
        assert "WATCHDOG=1" in words
        operations.connected(yes=False)
        assert (await ask(port, "/health/ready"))[0] == 503
        assert read_running(config.state).connected_at is None
    finally:
        await operations.stop()
    while (word := await hear()) != "STOPPING=1":
        assert word in {"WATCHDOG=1", "STATUS=works", "STATUS=waits for the XMPP server"}
    heard.close()
    assert read_running(config.state) is None


async def test_metrics_say_503_when_the_database_fails(tmp_path):
    operations, store = Operations(config_of(tmp_path)), FakeStore()
    store.fails = True
    operations.take()
    await operations.start(store)
    try:
        port = read_running(tmp_path / "state").http_port
        status, _, text = await ask(port, "/metrics")
        assert status == 503
        assert "juliet" not in text
        assert "juliet" not in (await ask(port, "/health/ready"))[2]
    finally:
        await operations.stop()


# -- the file of a running gateway -----------------------------------------------------------------

RUNNING = Running(os.getpid(), "1", 5.0, "mail.example.org")


def test_a_second_gateway_does_not_get_the_same_state(tmp_path):
    first = RunningFile(tmp_path).take(RUNNING)
    with pytest.raises(StoreError, match=f"is in use: process {os.getpid()} is a gateway"):
        RunningFile(tmp_path).take(RUNNING)
    assert read_running(tmp_path) == RUNNING
    first.release()
    assert read_running(tmp_path) is None
    RunningFile(tmp_path).take(RUNNING).release()


def test_a_killed_gateway_does_not_count_as_running(tmp_path):
    code = (
        "import os, sys, pathlib, signal\n"
        "from gre_gateway_email.operate.running import Running, RunningFile\n"
        "f = RunningFile(pathlib.Path(sys.argv[1])).take(Running(os.getpid(), '1', 5.0, 'd'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], timeout=60, check=False)
    assert (tmp_path / "running.json").stat().st_size > 0
    assert read_running(tmp_path) is None


# -- the service manager ---------------------------------------------------------------------------


def test_without_a_service_manager_nobody_is_told(tmp_path):
    assert notify("READY=1", {}) is False
    assert notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "none")}) is False


def test_an_abstract_socket_is_told():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0gre-test-{os.getpid()}")
        assert notify("READY=1", {"NOTIFY_SOCKET": f"@gre-test-{os.getpid()}"})
        assert heard.recv(100) == b"READY=1"


def test_the_watchdog_is_told_twice_as_often_as_it_wants():
    assert watchdog_seconds({"WATCHDOG_USEC": "60000000"}) == 30
    assert watchdog_seconds({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_seconds({}) is None
