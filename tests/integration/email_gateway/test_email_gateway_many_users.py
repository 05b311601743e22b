"""The gateway starts and stops with thousands of users: all are told, nothing is flooded, messages go on meanwhile.

1,000 users here; ``GRE_MANY_USERS=10000`` for as many as the gateway is made for.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest
from gre_gateway_email.store import default_url, open_store
from xmpp_stream import XmppStream

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.prosody import ProsodyServer

DOMAIN, USERS = "mail.localhost", "users.localhost"
BOB = "bob\\40example.net@mail.localhost"
COUNT = int(os.environ.get("GRE_MANY_USERS", "1000"))
CONTACTS = 5
RECEIVED = "{urn:xmpp:receipts}received"


@pytest.fixture(params=["prosody", "ejabberd"])
async def server(request):
    cls = {"prosody": ProsodyServer, "ejabberd": EjabberdServer}[request.param]
    require(cls.installed(), f"{request.param} (apt-get install {request.param})")
    async with cls(accounts={"juliet": "secret"}, components={DOMAIN: "secret", USERS: "secret"}) as server:
        yield server


def user(number):
    return f"u{number:05}@{USERS}"


class Everybody:
    """All users: a domain that one component serves. One in ten is there, and says so when it is asked."""

    def __init__(self):
        self.seen = collections.Counter()
        self.receipts = {}
        self.stream = XmppStream(self._take)

    def _take(self, stanza):
        kind, to = stanza.get("type"), stanza.get("to")
        if stanza.tag.endswith("}presence"):
            # What goes to one client answers it: only what goes to a user counts.
            self.seen[kind, "@" in stanza.get("from")] += "/" not in to
            if kind == "probe" and to[5] == "1":
                self.stream.send(f"<presence from='{to}/c' to='{DOMAIN}'/>")
        elif stanza.tag.endswith("}message") and stanza.find(RECEIVED) is not None:
            self.receipts[stanza.find(RECEIVED).get("id")] = time.monotonic()


async def fill(gateway):
    """Register all, each with contacts; every other one has let the gateway see the presence."""
    gateway.state.mkdir(mode=0o700)
    store = await open_store(default_url(gateway.state))
    await store.users.sync_config([(f"u{n:05}@example.org", user(n)) for n in range(COUNT)])
    await store.close()
    with contextlib.closing(sqlite3.connect(gateway.state / "gateway.db")) as database, database:
        database.execute("UPDATE users SET from_config = 0")
        database.executemany(
            "INSERT INTO contacts (jid, contact, sees, agreed) VALUES (?, ?, 1, ?)",
            [(user(n), DOMAIN, 1 if n % 2 else None) for n in range(COUNT)]
            + [(user(n), f"c{c}\\40example.net@{DOMAIN}", 1) for n in range(COUNT) for c in range(CONTACTS)],
        )


def memory(gateway):
    """Resident, in MB."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


async def test_all_are_told_at_start_and_stop_while_messages_go_on(server, relay, tmp_path, kit):
    text = f"""
[xmpp]
domain = "{DOMAIN}"
port = {server.component_port}
secret = "secret"
[smtp]
port = {relay.port}
[listen]
port = 0
[mail]
domains = ["example.org"]
[registration]
servers = ["localhost"]
[limits]
messages_per_hour = 100000
recipients_per_hour = 100000
"""
    gateway, everybody = kit.GatewayProcess(tmp_path, text), Everybody()
    await fill(gateway)
    await everybody.stream.open_component(server.host, server.component_port, USERS, "secret")
    run = asyncio.ensure_future(everybody.stream.run())
    seen, sent = everybody.seen, {}
    try:
        await gateway.start()
        began, at_first = time.monotonic(), memory(gateway)
        async with asyncio.timeout(600):
            while seen[None, False] < COUNT or len(everybody.receipts) < 5:
                name = f"m{len(sent)}"
                sent[name] = time.monotonic()
                everybody.stream.send(
                    f"<message from='{user(1)}/c' to='{BOB}' id='{name}' type='chat'><body>hello</body>"
                    "<request xmlns='urn:xmpp:receipts'/></message>"
                )
                await asyncio.sleep(0.5)
        print(f"{COUNT} users were told in {time.monotonic() - began:.0f} s; {dict(seen)}")
        async with asyncio.timeout(120):
            # Half have let the gateway see who is there. Who has not is asked, and sees the contacts at once.
            while seen[None, True] < COUNT * CONTACTS * 60 // 100 or len(everybody.receipts) < len(sent):
                await asyncio.sleep(0.05)
        assert seen["subscribe", False] == seen["probe", False] == COUNT // 2, seen
        waited = [everybody.receipts[name] - at for name, at in sent.items()]
        print(f"receipts came after {max(waited):.2f} s at most, memory {at_first} to {memory(gateway)} MB")
        assert memory(gateway) < 150
        assert memory(gateway) - at_first < 40
        await gateway.stop()
        async with asyncio.timeout(60):
            while seen["unavailable", False] < COUNT:
                await asyncio.sleep(0.05)
        assert gateway.log.read_text().count("xmpp-connected") == 1, "the server closed the stream"
    finally:
        await gateway.stop()
        run.cancel()
        await everybody.stream.close()
