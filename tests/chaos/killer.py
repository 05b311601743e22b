"""Kills the gateway, at random instants and at chosen ones, and the servers around it now and then."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from flight import Death

if TYPE_CHECKING:
    import random

    from load import Scene

PHASES = (
    "mail acknowledged",  # right after the gateway's 250 for a mail
    "relay took it",  # the relay's 250 has not reached the gateway
    "relay said so",  # the relay's 250 is on its way to the gateway
    "receipt came",  # a user has the receipt
    "message came",  # a user has the message, and has not confirmed it
    "receipt given",  # the user's receipt is on its way
)
COMMITS = ("before", "within", "after")
"""Where the gateway is killed at a commit of its database."""
ROUND = 20
"""Once in so many kills each of the servers is killed, too."""
SERVERS = {6: "xmpp", 12: "postfix", 18: "database"}
CUT_EVERY = 3
"""Once in so many kills a client loses its connection."""
SOME = 3
"""Mails that come for a client between its last look and the end of its connection."""
MANY = 6
PATIENCE = 4.0
"""How long a chosen instant is waited for, in seconds."""


class Killer:
    """Kills, and starts again.

    Arguments:
        scene: what there is to kill.
        chance: decides when.
    """

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self.count: Counter[str] = Counter()
        self.aims: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._scene = scene
        self._chance = chance
        self._ready = False
        self._stopping = False
        self._server_was_away = False
        self._deaths = scene.ledger.flight.deaths

    async def strike(self, kills: int) -> None:
        """Kill the gateway so many times; at the end everything runs."""
        begin = time.monotonic()
        for number in range(kills):
            if self._stopping:
                break
            await self._begin()
            server = SERVERS.get(number % ROUND)
            if server in self._scene.servers:
                await self._kill_server(server)
            if number % CUT_EVERY == 1:
                await self._cut_client()
            await self._kill_gateway()
            if number % 25 == 24:
                waiting = self._scene.ledger.open.total()
                print(
                    f"{number + 1} kills in {time.monotonic() - begin:.0f} s, {waiting} under way", flush=True
                )
        await self._begin()
        await self._up()

    @property
    def never_hit(self) -> list[str]:
        """The instants that were aimed at again and again, and never came: nothing is proven of them."""
        return [
            aim
            for aim, count in self.aims.items()
            if count >= MANY and self.aims.get(f"{aim}, missed") == count
        ]

    def stop(self) -> None:
        """Kill nothing more."""
        self._stopping = True

    # -- inside --------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._ready = False
        await self._scene.gateway.spawn()
        self._scene.ledger.disaster("start gateway")

    async def _up(self) -> None:
        """Wait until the gateway works; start it again when it gave up, as a service manager does."""
        gateway = self._scene.gateway
        while not self._ready:
            if await gateway.ready():
                self._ready = True
                self._scene.ledger.disaster("gateway ready")
                return
            self._ended_by_itself(await gateway.ended())
            await asyncio.sleep(0.5)
            await self._begin()

    def _died(self, begin: float) -> None:
        generation = self._scene.gateway.generation
        self._deaths.append(Death("gateway", begin, time.monotonic(), generation=generation))

    def _ended_by_itself(self, code: int) -> None:
        self._died(0.0)
        self._scene.ledger.disaster(f"gateway ended with {code}")
        # Without a server it may give up at its start; the service manager starts it again.
        if not self._server_was_away:
            self.complaints.append(f"ended by itself with {code}")

    async def _kill_gateway(self) -> None:
        gateway = self._scene.gateway
        aims = ("any time", "any time", "start", *PHASES, *PHASES, *(f"{where} commit" for where in COMMITS))
        aim = self._chance.choice(aims)
        self.aims[aim] += 1
        if aim == "start":
            await asyncio.sleep(self._chance.uniform(0, 1.2))
        else:
            await self._up()
            if aim == "any time":
                await asyncio.sleep(self._chance.uniform(0, 1.5))
            elif not await self._take_aim(aim):
                self.aims[f"{aim}, missed"] += 1
        begin = time.monotonic()
        gateway.kill()
        code = await gateway.ended()
        if code == -signal.SIGKILL:
            self._died(begin)
            self._scene.ledger.disaster(f"kill gateway {gateway.generation}: {aim}")
            self.count["gateway"] += 1
        else:
            self._ended_by_itself(code)
        self._server_was_away = False

    async def _take_aim(self, aim: str) -> bool:
        """Kill the gateway at a chosen instant; False when it did not come in time."""
        scene, times = self._scene, self._chance.randint(1, 12)
        where, _, what = aim.partition(" ")
        if what != "commit":
            return await scene.aim.at(aim, times, scene.gateway.kill, PATIENCE)
        scene.gateway.trap(where, times, self._chance.expovariate(500))
        try:
            await asyncio.wait_for(scene.gateway.ended(), PATIENCE)
        except TimeoutError:
            return False
        return True

    async def _cut_client(self) -> None:
        """Let a client read nothing for a moment, lose its connection, and come back."""
        await self._up()
        user = self._scene.users[self.count["client"] % len(self._scene.users)]
        await self._happens(f"message for {user.name}", 1)  # this gateway knows this client
        begin = time.monotonic()
        user.freeze()
        await self._happens(f"taken for {user.name}", SOME)
        await asyncio.sleep(self._chance.uniform(0, 0.4))
        user.cut(away=self._chance.choice((0.0, 0.0, 1.0, 3.0)))
        self._deaths.append(Death("client", begin, time.monotonic(), user=user.name))
        self._scene.ledger.disaster(f"cut {user.name}")
        self.count["client"] += 1

    async def _happens(self, what: str, times: int) -> None:
        """Wait until something has happened so many times from now, but not for ever."""
        seen, deadline = self._scene.aim.seen, time.monotonic() + PATIENCE
        enough = seen[what] + times
        while seen[what] < enough and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _kill_server(self, name: str) -> None:
        scene = self._scene
        server = scene.servers[name]
        if self._chance.random() < 0.7:
            await self._up()  # otherwise it is killed while the gateway starts
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        self._server_was_away = True
        begin = time.monotonic()
        scene.ledger.disaster(f"kill {name}")
        await server.kill()
        held = scene.unfinished_at_postfix() if name == "postfix" else frozenset[str]()
        self._deaths.append(Death(name, begin, time.monotonic(), held=held))
        await asyncio.sleep(self._chance.uniform(0, 1.0))
        await server.start()
        scene.ledger.disaster(f"start {name}")
        self.count[name] += 1
