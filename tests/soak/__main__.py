"""Sends many messages both ways through one gateway process, and looks whether it grows: ``nox -s soak``.

::

    python tests/soak --messages 100000 --database postgresql

Ends with 0 when every message arrived once, and memory, open files, threads, tasks and the database stay within their
bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "load"))

from ending import end_when_terminated
from figures import write_table
from gateway_process import GatewayProcess
from ledger import Ledger
from letters import GATEWAY, MAIL_DOMAIN, PEER, checksum, mail, stanza
from mail_sender import MailSender, persist
from mail_sink import MailSink
from xmpp_user import XmppUser

from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer

USERS = ("juliet", "nurse")
WINDOW = 20
SENDERS = 8
SIZE = 1000
UNDER_WAY = 300
"""Mails that were taken and have not arrived, beyond which no more are handed over."""

MEMORY_GROWTH = 1.10
"""Memory at the end, against memory after the first tenth of the messages."""
BYTES_KEPT = 700
"""What the database may grow by for one message: its hashed ids are kept for some days, with their indexes."""

CONFIG = """
[limits]
messages_per_hour = 10_000_000
recipients_per_hour = 10_000_000
megabytes_per_hour = 1_000_000
"""


class Soak:
    """One run.

    Arguments:
        gateway: the process.
        users: the clients.
        ledger: what was sent and what arrived.
        database: gives how many bytes the database has.
    """

    def __init__(self, gateway: GatewayProcess, users: list[XmppUser], ledger: Ledger, database: Any) -> None:
        self.gateway = gateway
        self._users = users
        self._ledger = ledger
        self._database = database
        self._sent = 0
        self._finished = asyncio.Event()

    async def round(self, first: int, last: int) -> float:
        """Send the messages of these numbers in both directions; give how many a second went each way."""
        begin = time.perf_counter()
        numbers_out, numbers_in = iter(range(first, last)), iter(range(first, last))
        await asyncio.gather(
            *(self._out(user, numbers_out) for user in self._users),
            *(self._in(numbers_in) for _ in range(SENDERS)),
        )
        async with asyncio.timeout(600):
            while self._ledger.open.total():
                await asyncio.sleep(0.05)
        return (last - first) / (time.perf_counter() - begin)

    async def _out(self, user: XmppUser, numbers: Any) -> None:
        for number in numbers:
            await user.slot(WINDOW)
            marker = f"out-{user.name}-{number}"
            self._ledger.begin(marker, "out", checksum(marker, SIZE), receipts=True)
            user.send(marker, stanza(marker, SIZE, plain=False))
            await asyncio.sleep(0)

    async def _in(self, numbers: Any) -> None:
        sender = MailSender(self.gateway.lmtp_port, lmtp=True)
        for number in numbers:
            user = USERS[number % len(USERS)]
            marker, to = f"in-{user}-{number}", f"{user}@{MAIL_DOMAIN}"
            while self._ledger.open["in"] > UNDER_WAY:
                await asyncio.sleep(0.01)
            self._ledger.begin(marker, "in", checksum(marker, SIZE), receipts=True)
            self._ledger.accepted(
                marker, await persist(sender, PEER, to, mail(marker, SIZE, to, plain=False))
            )
        sender.close()

    async def look(self) -> dict[str, int]:
        """Measure the gateway at rest."""
        gc.collect()
        await asyncio.sleep(2)
        gateway = self.gateway
        return {
            "memory": gateway.resident(),
            "files": gateway.descriptors(),
            "threads": gateway.threads(),
            "tasks": await gateway.tasks(),
            "database": await self._database(),
        }


async def run(messages: int, database: str, planted: str) -> tuple[bool, dict[str, object]]:
    """Make one run; give whether all bounds were kept, and the figures."""
    end_when_terminated()
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gre-soak-")))
        xmpp = await stack.enter_async_context(
            ProsodyServer(
                accounts=dict.fromkeys(USERS, "secret"),
                components={GATEWAY: "secret-of-gateway"},
                offline=True,
            )
        )
        url = None
        if database == "postgresql":
            url = (await stack.enter_async_context(PostgresServer())).url

        async def database_size() -> int:
            if url is None:
                return sum(file.stat().st_size for file in (folder / "state").glob("*.db*"))
            import asyncpg

            connection = await asyncpg.connect(url)
            try:
                return int(await connection.fetchval("select pg_database_size(current_database())"))
            finally:
                await connection.close()

        sink = MailSink(ledger.mail)
        await sink.start()
        stack.push_async_callback(sink.stop)
        addresses = {f"{name}@{MAIL_DOMAIN}": f"{name}@{xmpp.domain}" for name in USERS}
        environment = {"GRE_PLANTED": planted} if planted else {}
        gateway = GatewayProcess(
            folder, xmpp, sink.port, addresses, database=url, extra=CONFIG, environment=environment
        )
        stack.push_async_callback(gateway.end)
        users = [XmppUser(xmpp, name, ledger, receipts=True, patience=60.0) for name in USERS]
        for user in users:
            await user.start()
            stack.push_async_callback(user.stop)
        await gateway.start()
        soak = Soak(gateway, users, ledger, database_size)
        warm = max(messages // 10, 500)
        await soak.round(0, warm)
        before = await soak.look()
        rate = await soak.round(warm, messages)
        after = await soak.look()
        code = await gateway.stop()
    verdict = ledger.judge()
    repeated = sum(verdict.repeated.values())
    kept = (after["database"] - before["database"]) / max(2 * (messages - warm), 1)
    growth = after["memory"] / before["memory"]
    faults = {
        "a message was lost or left without an answer": not verdict.proven,
        "a message was repeated": repeated > 0,
        f"memory grew {growth:.3f} times": growth > MEMORY_GROWTH,
        f"open files grew from {before['files']} to {after['files']}": after["files"] > before["files"],
        f"threads grew from {before['threads']} to {after['threads']}": after["threads"] > before["threads"],
        f"tasks grew from {before['tasks']} to {after['tasks']}": after["tasks"] > before["tasks"],
        f"the database grew {kept:.0f} bytes for each message": kept > BYTES_KEPT,
        f"the gateway ended with {code}": code != 0,
    }
    figures: dict[str, object] = {
        "messages each way": messages,
        "lost": len(verdict.lost),
        "repeated": repeated,
        "messages a second each way, both at once": round(rate),
        "memory after the first tenth, MiB": round(before["memory"] / 2**20, 1),
        "memory at the end, MiB": round(after["memory"] / 2**20, 1),
        "open files after the first tenth": before["files"],
        "open files at the end": after["files"],
        "threads": f"{before['threads']} → {after['threads']}",
        "tasks": f"{before['tasks']} → {after['tasks']}",
        "bytes that the database keeps of a message": round(kept),
    }
    for name, figure in figures.items():
        print(f"{name:48} {figure}")
    wrong = [fault for fault, found in faults.items() if found]
    for fault in wrong:
        print(f"WRONG: {fault}")
    for marker in (*verdict.lost, *verdict.unanswered, *verdict.unexplained)[:5]:
        print(ledger.timeline(marker))
    print("NOT PROVEN" if wrong else "PROVEN")
    return not wrong, figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="in each direction")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--write", type=Path, help="a page of documentation that takes the figures")
    parser.add_argument(
        "--plant", default="", help="a bug (see tests/load/inside/planted.py) that has to be found"
    )
    options = parser.parse_args()
    proven, figures = asyncio.run(run(options.messages, options.database, options.plant))
    if options.write and proven:
        write_table(options.write, f"soak-{options.database}", figures)
    sys.exit(not proven)
