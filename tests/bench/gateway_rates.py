"""What the gateway costs with many users, and whether mails come in as fast as messages go out."""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from gre_core.testing.postfix import SmtpSink
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer

sys.path.insert(0, str(Path(__file__).parents[1] / "load"))

from gateway_process import GatewayProcess
from letters import GATEWAY, MAIL_DOMAIN, PEER, mail, stanza
from mail_sender import MailSender
from many_users import DOMAIN, ManyUsers

if TYPE_CHECKING:
    from collections.abc import Callable

Figures = dict[str, float]

ACTIVE = 100
"""Users who write and get mail while the cost is measured; all others are registered and there."""

WINDOW = 50
SENDERS = 20
"""Connections of the mail server: as many as Postfix opens to one destination."""

SIZE = 700
STARTS = 3
ROUNDS = 15
"""Of both directions. A single round varies by a quarter with what else the machine does, the middle of so many by less
than a tenth."""

PAUSE = 0.2
"""Seconds after each direction, in which the gateway ends what it does behind the last message."""

PATIENCE = 120.0
RESTS = 0.05
"""Processor time in a second below which a gateway has nothing to do."""

_CONFIG = """
[limits]
messages_per_hour = 10_000_000
recipients_per_hour = 10_000_000
"""


class Traffic:
    """Messages out and mails in, each until the last one is confirmed."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.users = ManyUsers(self._one_less, self._one_less, self._error)
        self._gateway = gateway
        self._left: set[str] = set()
        self._under_way = 0
        self._moved = asyncio.Event()
        self._serial = 0

    async def outbound(self, chosen: list[int]) -> float:
        """Send a message from each of these users; give messages a second until the last receipt."""
        start = time.perf_counter()
        for number in chosen:
            await self._until(lambda: self._under_way < WINDOW)
            self._under_way += 1
            self._serial += 1
            self.users.send(number, stanza(f"out-u-{self._serial}", SIZE, plain=False))
        await self._until(lambda: self._under_way == 0)
        return len(chosen) / (time.perf_counter() - start)

    async def inbound(self, chosen: list[int]) -> float:
        """Deliver a mail for each of these users by LMTP; give mails a second until the last one arrived."""
        start = time.perf_counter()
        numbers = iter(chosen)

        async def send() -> None:
            sender = MailSender(self._gateway.lmtp_port, lmtp=True)
            for number in numbers:
                await self._until(lambda: self._under_way < WINDOW * 4)
                self._under_way += 1
                self._serial += 1
                to = f"u{number}@{MAIL_DOMAIN}"
                await sender.send(PEER, to, mail(f"in-u-{self._serial}", SIZE, to, plain=False))
            sender.close()

        await asyncio.gather(*(send() for _ in range(SENDERS)))
        await self._until(lambda: self._under_way == 0)
        return len(chosen) / (time.perf_counter() - start)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    def _one_less(self, _id: str) -> None:
        self._under_way -= 1
        self._moved.set()

    def _error(self, id_: str, text: str) -> None:
        message = f"the gateway refused {id_}: {text}"
        raise RuntimeError(message)


def cpu_seconds(pid: int) -> float:
    """Give the processor time of a process (Linux)."""
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def register(gateway: GatewayProcess, count: int) -> None:
    """Write users into the database, as if they had registered."""
    from gre_gateway_email.config import load
    from gre_gateway_email.store import User, default_url, open_store

    config = load(gateway.config)
    store = await open_store(config.database or default_url(config.state))
    try:
        await asyncio.gather(
            *(
                store.users.put(User(ManyUsers.jid(number), (f"u{number}@{MAIL_DOMAIN}",), registered_at=1.0))
                for number in range(count)
            )
        )
    finally:
        await store.close()


class Scene:
    """A gateway with so many registered users, of whom a hundred write and get mail.

    Arguments:
        count: of users.
        database: URL, or None for SQLite.
    """

    def __init__(self, count: int, database: str | None = None) -> None:
        self.figures: Figures = {}
        self._count = count
        self._database = database
        self._chance = random.Random(count)
        self._active = self._chance.sample(range(count), ACTIVE)
        self._rates: dict[str, list[float]] = {"outbound": [], "inbound": []}
        self._cpu: dict[str, list[float]] = {"outbound": [], "inbound": []}

    async def begin(self, stack: AsyncExitStack) -> None:
        """Start all, and the gateway a few times."""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gre-bench-")))
        components = {GATEWAY: "secret-of-gateway", DOMAIN: "secret-of-users"}
        server = await stack.enter_async_context(ProsodyServer(accounts={}, components=components))
        sink = await stack.enter_async_context(SmtpSink())
        # As an installed program has it: the bytecode is made once, at the first start, which does not count.
        bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        self._gateway = gateway = GatewayProcess(
            folder, server, sink.port, {}, database=self._database, extra=_CONFIG, environment=bytecode
        )
        stack.push_async_callback(gateway.end)
        await register(gateway, self._count)
        self._traffic = traffic = Traffic(gateway)
        await traffic.users.start(server)
        stack.push_async_callback(traffic.users.stop)
        starts = []
        for _ in range(1 + STARTS):
            await gateway.start()
            starts.append(gateway.started_in)
            await gateway.stop()
        self.figures["start_seconds"] = statistics.median(starts[1:])
        await gateway.start()
        traffic.users.show(self._count)
        await self._rest()
        for work in (traffic.outbound, traffic.inbound):  # each user's client and key are asked for once
            await work(self._active)

    async def _rest(self) -> None:
        """Wait until all users are greeted: that goes on behind the first messages, and is not what they cost."""
        async with asyncio.timeout(PATIENCE * 2):
            spent = 1.0
            while spent > RESTS:
                before = cpu_seconds(self._gateway.pid)
                await asyncio.sleep(1)
                spent = cpu_seconds(self._gateway.pid) - before

    async def round(self, messages: int) -> None:
        """Send so many messages each way; in each round the other way comes first."""
        ways = [("outbound", self._traffic.outbound), ("inbound", self._traffic.inbound)]
        if len(self._rates["outbound"]) % 2:
            ways.reverse()
        for name, work in ways:
            before = cpu_seconds(self._gateway.pid)
            self._rates[name].append(await work(self._chance.choices(self._active, k=messages)))
            await asyncio.sleep(PAUSE)
            self._cpu[name].append((cpu_seconds(self._gateway.pid) - before) / messages * 1000)

    def inbound_vs_outbound(self) -> float:
        """Give the middle of what the rounds say: both halves of a round had the same machine, two rounds may not."""
        pairs = [
            into / out for into, out in zip(self._rates["inbound"], self._rates["outbound"], strict=True)
        ]
        low, middle, high = statistics.quantiles(pairs, n=4)
        self.figures |= {"inbound_vs_outbound_quartile_1": low, "inbound_vs_outbound_quartile_3": high}
        return middle

    async def end(self) -> None:
        """Take the middle of all rounds. Memory is read when every user has sent a message and got one."""
        for name in self._rates:
            self.figures[f"{name}_per_second"] = statistics.median(self._rates[name])
            self.figures[f"{name}_cpu_ms"] = statistics.median(self._cpu[name])
        for work in (self._traffic.outbound, self._traffic.inbound):
            await work(list(range(self._count)))  # fills every cache that has an entry for each user
        self.figures["memory_mb"] = self._gateway.resident() / 1e6
        await self._gateway.stop()


async def gateway_rates(messages: int = 1000) -> tuple[Figures, Figures]:
    """Measure with 100 and with 10,000 users, in turn; give ratios, and the figures behind them."""
    few, many = Scene(100), Scene(10_000)
    async with AsyncExitStack() as stack:
        for scene in (few, many):
            await scene.begin(stack)
        for number in range(ROUNDS):
            await few.round(messages)
            if number % 2 == 0:
                await many.round(messages)
        for scene in (few, many):
            await scene.end()
    ratios = {
        "inbound_vs_outbound": few.inbound_vs_outbound(),
        "outbound_10k_users_vs_100": many.figures["outbound_cpu_ms"] / few.figures["outbound_cpu_ms"],
        "inbound_10k_users_vs_100": many.figures["inbound_cpu_ms"] / few.figures["inbound_cpu_ms"],
    }
    absolute = {f"users_100_{name}": figure for name, figure in few.figures.items()}
    absolute |= {f"users_10k_{name}": figure for name, figure in many.figures.items()}
    return ratios, absolute


async def gateway_rates_postgresql(messages: int = 1000) -> tuple[Figures, Figures]:
    """Measure both directions with PostgreSQL."""
    async with PostgresServer() as postgres, AsyncExitStack() as stack:
        scene = Scene(100, postgres.url)
        await scene.begin(stack)
        for _ in range(ROUNDS):
            await scene.round(messages)
        await scene.end()
    ratios = {"inbound_vs_outbound_postgresql": scene.inbound_vs_outbound()}
    return ratios, {f"postgresql_{name}": figure for name, figure in scene.figures.items()}


if __name__ == "__main__":
    work = gateway_rates_postgresql if "postgresql" in sys.argv else gateway_rates
    for found in asyncio.run(work()):
        for name, figure in found.items():
            print(f"{name:40} {figure:10.3f}")
