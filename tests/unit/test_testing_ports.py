"""Ports for test servers: nobody else has them, and nobody else gets them."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gre_core.testing import ports

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
ASK = "from gre_core.testing.ports import free_port; print(*(free_port() for _ in range(300)), flush=True); input()"


def test_processes_that_live_at_the_same_time_get_different_ports():
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    try:
        given = [int(port) for program in programs for port in program.stdout.readline().split()]
        given += [ports.free_port() for _ in range(300)]
    finally:
        for program in programs:
            program.communicate("\n")
    assert len(given) == len(set(given)) == 1200


def test_no_outgoing_connection_takes_one():
    if not OUTGOING.exists():
        pytest.skip("only Linux says which ports outgoing connections have")
    first, last = map(int, OUTGOING.read_text().split())
    assert not first <= ports.free_port() <= last


def test_one_that_somebody_listens_on_is_not_given(monkeypatch):
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        used = server.getsockname()[1]
        monkeypatch.setattr(ports, "PORTS", range(used, used + 1))
        monkeypatch.setattr(ports, "_given", set())
        with pytest.raises(OSError, match="in use"):
            ports.free_port()


def test_when_all_were_given_they_are_given_again(monkeypatch):
    one = ports.free_port()
    monkeypatch.setattr(ports, "PORTS", range(one, one + 1))
    monkeypatch.setattr(ports, "_given", {one})
    assert ports.free_port() == one
