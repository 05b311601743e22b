"""The host's side: starts the child, keeps its calls in order, and starts it anew after whatever happened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gre_core.api import UsesWorker, WorkerParsing
from gre_core.errors import PluginError, Refused, WorkerFailed
from gre_core.failures import read_failure
from gre_core.log import get_logger
from gre_core.worker import child
from gre_core.worker.pipes import Pipes

if TYPE_CHECKING:
    from gre_core.registry import Plugins

MEBIBYTE: Final = 1 << 20
MEMORY: Final = 1024 * MEBIBYTE
"""Address space of a worker process, in bytes: enough to open a message of 100 MB."""

SECONDS: Final = 60.0
"""How long one call may take."""

MAX_DATA: Final = 256 * MEBIBYTE
"""Longest request and longest answer, in bytes."""

_STARTS: Final = 3
_REAP_PAUSE: Final = 0.02
_MAX_CALLS: Final = 10_000
_log = get_logger(__name__)

Functions = Iterable[str] | Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A running worker process.

    Arguments:
        pid: of the process.
        memory: how much address space it may take, in bytes; 0 when this system sets no limit.
        protections: what else holds for it, for people.
    """

    pid: int
    memory: int
    protections: tuple[str, ...]


@dataclass(slots=True, eq=False)
class _Call:
    function: int
    data: bytes = field(repr=False)
    answer: asyncio.Future[bytes] = field(repr=False)


class WorkerProcess:
    """Runs named functions on bytes in a child process. A :class:`~gre_core.ports.Worker`.

    The child is started with the first call and ends with this process. It gets no environment variables and opens no
    file or connection by itself. A call that crashes it, takes too long or too much memory fails alone: the child is
    started anew, and the calls behind that one are run there. It belongs to one event loop.

    Arguments:
        functions: the only ones that it may call, as ``module:function``; or what gives them when it is started.
        memory: its address space in bytes. On systems without such a limit, :attr:`WorkerInfo.memory` is 0.
        timeout: seconds for one call, from when the child begins with it.
        max_data: longest request and longest answer, in bytes.
        python: the interpreter.

    Attributes:
        timeout: as it was given.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        memory: int = MEMORY,
        timeout: float = SECONDS,
        max_data: int = MAX_DATA,
        python: str = sys.executable,
    ) -> None:
        self._functions = functions
        self._names: list[str] = []
        self._memory = memory
        self.timeout = timeout
        self._max_data = max_data
        self._python = python
        self._calls: dict[int, _Call] = {}
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        self._info: asyncio.Future[WorkerInfo] | None = None
        self._failed_starts = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended: list[subprocess.Popen[bytes]] = []
        self._closed = False

    @classmethod
    def for_plugins(
        cls, plugins: Plugins, *, memory: int = MEMORY, timeout: float = SECONDS
    ) -> WorkerProcess:
        """Make one for what these formatters and encrypters do in a worker process.

        Arguments:
            plugins: they are made when the process is started.
            memory: see the class.
            timeout: see the class.
        """
        return cls(lambda: functions_of(plugins), memory=memory, timeout=timeout)

    @staticmethod
    def supported() -> bool:
        """Tell whether this system has what it needs: pipes that an event loop watches, so not Windows."""
        return os.name == "posix"

    # -- for hosts -----------------------------------------------------------------------------------

    async def run(self, function: str, data: bytes, /) -> bytes:
        """Call ``module:function`` with the data.

        Raises:
            Refused: the function is not among those that were allowed, or the data are too long.
            WorkerFailed: the process ended, took too long or too much memory, or cannot be started.
            GreError: what the function raised. Of an error that is none of ours only the kind is told.
        """
        self._start()
        if function not in self._names:
            raise Refused("A function was asked for that the worker process may not call", function=function)
        if len(data) > self._max_data:
            raise Refused(
                f"{len(data)} bytes are more than a worker process takes",
                size=len(data),
                limit=self._max_data,
            )
        if len(self._calls) >= _MAX_CALLS:
            raise WorkerFailed(f"More than {_MAX_CALLS} calls wait for the worker process. Try again later")
        self._number = self._number % 0xFFFF_FFFF + 1
        call = _Call(self._names.index(function), data, asyncio.get_running_loop().create_future())
        if not self._calls:
            self._since = asyncio.get_running_loop().time()
        self._calls[self._number] = call
        self._send(self._number, call)
        self._watch()
        return await call.answer

    async def info(self) -> WorkerInfo:
        """Start the process if it does not run, and tell about it; raises :class:`WorkerFailed`."""
        self._start()
        assert self._info is not None
        try:
            return await asyncio.wait_for(asyncio.shield(self._info), self.timeout)
        except TimeoutError:
            raise WorkerFailed(_NO_START.format(python=self._python)) from None

    async def close(self) -> None:
        """End the process. Calls that are not answered fail."""
        self._closed = True
        self._end()
        self._fail_all(WorkerFailed("The worker process was ended"))
        if self._timer is not None:
            self._timer.cancel()
        while self._ended:
            self._reap()
            await asyncio.sleep(_REAP_PAUSE if self._ended else 0)

    # -- the child -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._closed:
            raise WorkerFailed("The worker process was ended")
        if self._pipes is not None:
            return
        loop = asyncio.get_running_loop()
        self._names = list(self._functions() if callable(self._functions) else self._functions)
        try:
            process = subprocess.Popen(  # pipes of its own; everything else of ours stays closed
                [self._python, "-I", child.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
            )
        except OSError as error:
            raise WorkerFailed(f"The worker process cannot be started: {error.strerror}") from None
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno())
        process.stdin.close()
        process.stdout.close()
        self._process = process
        self._info = loop.create_future()
        self._pipes = Pipes(loop, requests, answers, self._max_data, self._on_answer, self._on_end)
        path = [str(Path(entry).absolute()) for entry in sys.path if entry]
        setup = {"path": path, "functions": self._names, "memory": self._memory, "parent": os.getpid()}
        data = json.dumps(setup).encode()
        self._pipes.send(child.REQUEST.pack(0, 0, len(data)) + data)

    def _send(self, number: int, call: _Call) -> None:
        assert self._pipes is not None
        self._pipes.send(child.REQUEST.pack(number, call.function, len(call.data)), call.data)

    def _end(self) -> None:
        if self._pipes is not None:
            self._pipes.close()
            self._pipes = None
        if self._info is not None:
            if not self._info.done():
                self._info.set_exception(WorkerFailed(_NO_START.format(python=self._python)))
                self._info.exception()  # so that nobody needs to ask for it
            self._info = None
        if self._process is not None:
            self._process.kill()
            self._ended.append(self._process)
            self._process = None
            self._reap()

    def _reap(self) -> None:
        """Leave no zombie: ask again until the system has let go of it."""
        self._ended = [process for process in self._ended if process.poll() is None]
        if self._ended and not self._closed:
            asyncio.get_running_loop().call_later(_REAP_PAUSE, self._reap)

    # -- answers -------------------------------------------------------------------------------------

    def _on_answer(self, number: int, status: int, data: bytes) -> bool:
        if not number:
            return self._on_ready(data)
        if number != next(iter(self._calls), None) or self._info is None or not self._info.done():
            return False
        self._since = asyncio.get_running_loop().time()
        if status > child.FAILED:
            self._culprit(_TOO_MUCH if status == child.OUT_OF_MEMORY else _BROKE, self._memory)
            return True
        call = self._calls.pop(number)
        if call.answer.done():  # whoever asked did not wait
            return True
        if status == child.DONE:
            call.answer.set_result(data)
        else:
            call.answer.set_exception(read_failure(data))
        return True

    def _on_ready(self, data: bytes) -> bool:
        if self._info is None or self._info.done() or self._process is None:
            return False
        told = json.loads(data)  # from before it has read anything
        self._info.set_result(WorkerInfo(self._process.pid, told["memory"], tuple(told["protections"])))
        self._failed_starts = 0
        self._since = asyncio.get_running_loop().time()
        return True

    # -- what goes wrong -----------------------------------------------------------------------------

    def _on_end(self) -> None:
        if self._info is not None and self._info.done():
            self._culprit(_ENDED, self._memory)
            return
        self._failed_starts += 1
        self._end()
        if self._failed_starts < _STARTS:
            self._go_on()
        else:
            self._failed_starts = 0
            self._fail_all(WorkerFailed(_NO_START.format(python=self._python)))

    def _culprit(self, text: str, limit: float) -> None:
        """Fail the call that was running, and run those behind it in a new child."""
        number = next(iter(self._calls), None)
        self._end()
        if number is not None:
            _log.warning("worker-restarted", count=len(self._calls))
            call = self._calls.pop(number)
            if not call.answer.done():
                call.answer.set_exception(
                    WorkerFailed(text.format(limit=limit, mib=self._memory // MEBIBYTE))
                )
        self._go_on()

    def _go_on(self) -> None:
        self._calls = {number: call for number, call in self._calls.items() if not call.answer.done()}
        if not self._calls or self._closed:
            return
        try:
            self._start()
        except WorkerFailed as error:
            self._fail_all(error)
            return
        self._since = asyncio.get_running_loop().time()
        for number, call in self._calls.items():
            self._send(number, call)

    def _fail_all(self, error: WorkerFailed) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.answer.done():
                call.answer.set_exception(WorkerFailed(error.text))

    def _watch(self) -> None:
        """Look at the clock when the call that runs now would be over time; one timer serves all calls."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._since + self.timeout, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if not self._calls:
            return
        if asyncio.get_running_loop().time() >= self._since + self.timeout:
            if self._info is not None and not self._info.done():
                self._end()
                self._fail_all(WorkerFailed(_NO_START.format(python=self._python)))
            else:
                self._culprit(_TOO_LONG, self.timeout)
        if self._calls:
            self._watch()


def functions_of(plugins: Plugins) -> list[str]:
    """Name what the formatters and encrypters run in a worker process; what cannot be made is left out."""
    names: list[str] = []
    for namespace in plugins.formatters:
        with contextlib.suppress(PluginError):
            formatter = plugins.formatter(namespace)
            if isinstance(formatter, WorkerParsing):
                names.append(formatter.worker_parser)
    for namespace in plugins.encrypters:
        with contextlib.suppress(PluginError):
            encrypter = plugins.encrypter(namespace)
            if isinstance(encrypter, UsesWorker):
                names += encrypter.worker_functions
    return names


_ENDED: Final = (
    "The worker process ended on it. It may need more than the {mib} MiB of memory that are allowed"
)
_TOO_MUCH: Final = "It needs more than the {mib} MiB of memory that are allowed"
_TOO_LONG: Final = "It took longer than the {limit:g} seconds that are allowed"
_BROKE: Final = "A library failed badly on it; the worker process was started anew"
_NO_START: Final = (
    "The worker process cannot be started with {python}. Look whether gre-core is installed there"
)
