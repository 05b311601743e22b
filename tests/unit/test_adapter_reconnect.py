"""Trap 6: reconnection, step by step, with slixmpp's own connection loop and no server."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from slixmpp import ClientXMPP, ComponentXMPP

from gre_core.slixmpp import reconnect
from gre_core.slixmpp.reconnect import Reconnector
from gre_core.testing.ports import free_port
from gre_core.testing.slix import _ssl_context


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(reconnect, "uniform", lambda _low, _high: 1.0)


@pytest.fixture
async def component(monkeypatch):
    xmpp = ComponentXMPP("mail.localhost", "secret", "127.0.0.1", 1)
    reconnector = Reconnector(xmpp)
    xmpp.connects = []
    monkeypatch.setattr(xmpp, "connect", lambda *where: xmpp.connects.append(where))
    yield xmpp
    reconnector._cancel()


def lose(xmpp):
    xmpp.event("disconnected", "lost")


async def waits(xmpp):
    """The seconds until the next attempt, or None."""
    loop = asyncio.get_running_loop()
    timers = [t for t in loop._scheduled if not t.cancelled() and "Reconnector" in repr(t)]
    return [round(timer.when() - loop.time()) for timer in timers]


async def test_the_back_off_doubles_up_to_a_minute(component):
    delays = []
    for _ in range(9):
        lose(component)
        delays += await waits(component)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_the_back_off_begins_anew_after_a_stable_session_only(component, monkeypatch):
    lose(component)
    lose(component)
    component.event("session_start")
    assert await waits(component) == [30]
    lose(component)
    assert await waits(component) == [4]
    monkeypatch.setattr(reconnect, "STABLE", 0.01)
    component.event("session_start")
    await asyncio.sleep(0.03)
    lose(component)
    assert await waits(component) == [1]


async def test_it_connects_to_the_same_address(component, monkeypatch):
    monkeypatch.setattr(reconnect, "STABLE", 0.0)
    monkeypatch.setattr(reconnect, "FIRST", 0.01)
    component.custom_address = ("127.0.0.1", 5347)
    component.event("session_start")
    await asyncio.sleep(0.01)
    lose(component)
    await asyncio.sleep(0.03)
    assert component.connects == [("127.0.0.1", 5347)]


async def test_it_stops_when_the_program_disconnects_and_connect_starts_it_again(component):
    await component.disconnect()
    lose(component)
    assert await waits(component) == []
    component.event("connecting")
    lose(component)
    assert await waits(component) == [1]


async def test_a_disconnect_while_it_waits_ends_the_waiting(component):
    lose(component)
    assert await waits(component) == [1]
    await component.disconnect()
    assert await waits(component) == []


@pytest.mark.parametrize(
    ("kind", "condition", "again"),
    [
        ("component", "not-authorized", False),
        ("component", "conflict", True),
        ("component", "host-unknown", True),
        ("client", "conflict", False),
        ("client", "policy-violation", True),
        ("client", "system-shutdown", True),
    ],
)
async def test_which_stream_errors_end_it(kind, condition, again):
    """Two clients with one resource would throw each other out for ever; a component waits until the old one is gone."""
    if kind == "component":
        xmpp = ComponentXMPP("mail.localhost", "secret", "127.0.0.1", 1)
    else:
        xmpp = ClientXMPP("juliet@localhost/a", "secret", ssl_context=_ssl_context())
    reconnector = Reconnector(xmpp)
    xmpp.event("stream_error", {"condition": condition})
    lose(xmpp)
    assert await waits(xmpp) == ([1] if again else [])
    reconnector._cancel()


async def test_it_stops_when_the_login_is_refused():
    xmpp = ClientXMPP("juliet@localhost/a", "secret", ssl_context=_ssl_context())
    Reconnector(xmpp)
    xmpp.event("failed_all_auth")
    lose(xmpp)
    assert await waits(xmpp) == []


@pytest.mark.parametrize("how", ["cut off", "reset", "garbage"])
async def test_a_tls_handshake_that_fails_is_a_loss(monkeypatch, how):
    """slixmpp calls disconnect() then, as a program does that wants to end, or does not even notice."""
    monkeypatch.setattr(reconnect, "FIRST", 0.01)
    monkeypatch.setattr(reconnect, "LOGIN", 0.3)
    connections = []

    async def fail(reader, writer):
        connections.append(writer)
        await reader.readuntil(b"version='1.0'>")
        writer.write(
            b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        )
        await reader.readuntil(b"starttls")
        writer.write(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await reader.read(100)
        if how == "garbage":
            writer.write(b"garbage" * 100)
            return
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with await asyncio.start_server(fail, "127.0.0.1", 0) as server:
        xmpp = ClientXMPP("juliet@localhost/a", "secret", ssl_context=_ssl_context())
        xmpp.enable_direct_tls = False
        Reconnector(xmpp)._delay = 0.01
        xmpp.connect(*server.sockets[0].getsockname())
        async with asyncio.timeout(10):
            while len(connections) < 3:
                await asyncio.sleep(0.01)
        await xmpp.disconnect(wait=0)
        for writer in connections:
            writer.transport.abort()


async def test_a_server_that_accepts_and_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(reconnect, "LOGIN", 0.05)
    monkeypatch.setattr(reconnect, "FIRST", 0.01)
    connections = []

    async def silent(_reader, writer):
        connections.append(writer)

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        xmpp = ComponentXMPP("mail.localhost", "secret", *server.sockets[0].getsockname())
        Reconnector(xmpp)
        xmpp.connect()
        async with asyncio.timeout(5):
            while len(connections) < 2:
                await asyncio.sleep(0.01)
        await xmpp.disconnect(wait=0)
        for writer in connections:
            writer.close()


async def test_a_server_that_refuses_at_first_is_tried_again_soon(monkeypatch):
    """slixmpp's own loop would wait for three seconds, then nine, then twenty-one."""
    monkeypatch.setattr(reconnect, "FIRST", 0.02)
    port, accepted = free_port(), asyncio.Event()
    xmpp = ComponentXMPP("mail.localhost", "secret", "127.0.0.1", port)
    reconnector = Reconnector(xmpp)
    reconnector._delay = 0.02
    failures = []
    xmpp.add_event_handler("connection_failed", failures.append)
    xmpp.connect()
    async with asyncio.timeout(5):
        while len(failures) < 3:
            await asyncio.sleep(0.005)
        async with await asyncio.start_server(lambda _r, _w: accepted.set(), "127.0.0.1", port):
            await accepted.wait()
            await xmpp.disconnect(wait=0)


async def test_disconnect_ends_the_attempts_of_slixmpp_itself():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        xmpp = ComponentXMPP("mail.localhost", "secret", *closed.getsockname())
        Reconnector(xmpp)
        xmpp.connect()
        await asyncio.sleep(0.05)
        assert xmpp.is_connecting()
        await xmpp.disconnect()
        assert not xmpp.is_connecting()


async def test_disconnect_leaves_no_task_behind():
    xmpp = ComponentXMPP("mail.localhost", "secret", "127.0.0.1", free_port())
    Reconnector(xmpp)
    xmpp.connect()
    await asyncio.sleep(0.02)
    await xmpp.disconnect()
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_after_disconnect_connect_sends_again(monkeypatch):
    """The task that sends is made anew."""
    xmpp = ComponentXMPP("mail.localhost", "secret", "127.0.0.1", free_port())
    Reconnector(xmpp)
    xmpp.connect()
    await xmpp.disconnect()
    xmpp.connect()
    await asyncio.sleep(0.01)
    assert not xmpp._run_out_filters.done()
    await xmpp.disconnect()
