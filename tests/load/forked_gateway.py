"""A gateway that is started many times: as a fork of a process that has imported everything (see ``nursery.py``)."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway_process import GatewayProcess

NURSERY = Path(__file__).parent / "nursery.py"


class ForkedGateway(GatewayProcess):
    """See :class:`gateway_process.GatewayProcess`."""

    _nursery: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _pid: asyncio.Future[int]
    _ready: asyncio.Future[bool]
    _code: asyncio.Future[int] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._pid.result()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._code is not None and not self._code.done()

    async def spawn(self) -> None:
        """Start the process, and do not wait for it."""
        nursery = self._nursery
        if nursery is None:
            with self.log.open("ab") as log:
                nursery = self._nursery = await asyncio.create_subprocess_exec(
                    *(sys.executable, str(NURSERY), str(self.config)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, **self._environment},
                )
            self._reader = asyncio.ensure_future(self._read(nursery))
        loop = asyncio.get_running_loop()
        self.generation += 1
        self._pid, self._ready, self._code = loop.create_future(), loop.create_future(), loop.create_future()
        assert nursery.stdin is not None
        nursery.stdin.write(f"{self.generation}\n".encode())
        await asyncio.shield(self._pid)

    async def ready(self, patience: float = 180) -> bool:
        """Wait until it says that it is ready; False when it ended before."""
        return await asyncio.wait_for(asyncio.shield(self._ready), patience)

    async def ended(self) -> int:
        """Wait until the process is gone; give its exit code."""
        assert self._code is not None
        return await asyncio.shield(self._code)

    async def end(self) -> None:
        """Kill it, if it runs, and the process that it was forked from."""
        if self.running:
            await self._pid  # whoever ends a run early may do so before it is known
        self.kill()
        if self._nursery is not None and self._reader is not None:
            assert self._nursery.stdin is not None
            self._nursery.stdin.close()
            await self._nursery.wait()
            await self._reader

    # -- inside --------------------------------------------------------------------------------------

    async def _read(self, nursery: asyncio.subprocess.Process) -> None:
        assert nursery.stdout is not None
        while line := await nursery.stdout.readline():
            word, _, rest = line.decode(errors="replace").strip().partition(" ")
            if word == "pid":
                self._pid.set_result(int(rest))
            elif word == "ready:":
                self._ready.set_result(True)
            elif word == "ended" and self._code is not None:
                if not self._ready.done():
                    self._ready.set_result(False)
                self._code.set_result(int(rest))
        for future in (self._pid, self._ready, self._code):
            if future is not None and not future.done():
                future.set_exception(RuntimeError(f"the nursery ended: see {self.log}"))
