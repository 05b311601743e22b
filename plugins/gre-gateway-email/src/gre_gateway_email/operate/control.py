"""How the commands of an operator reach the gateway that runs: a socket in the state directory.

The commands work on the database themselves. What a running gateway has to know at once, or to do because only it has
the XMPP stream, they ask it for: one line of JSON there, one line back. Only root and the gateway's own user may ask.

::

    {"do": "forget", "jid": "juliet@example.org"}
    {"rows": 12}
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import GreError
from gre_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from pathlib import Path

    Action = Callable[[str], Awaitable[int]]

FILE: Final = "control"
PATIENCE: Final = 30.0
"""Seconds that one request may take: the database may be busy."""

_LONGEST: Final = 8192
_AT_ONCE: Final = 4
_LONGEST_PATH: Final = 100
"""Bytes: the kernel takes 107 for the name of a socket."""

_log = get_logger(__name__)


class NotDone(GreError):
    """The running gateway could not do what a command asked it for."""

    code = "control"


class ControlSocket:
    """Answers the commands of an operator.

    Arguments:
        folder: the state directory. Only this process works on it: it holds the lock of ``running.json``.
        actions: by name; each gets a JID or ``""``, and gives a number.
    """

    def __init__(self, folder: Path, actions: Mapping[str, Action]) -> None:
        self._folder = folder
        self._actions = actions
        self._server: asyncio.Server | None = None
        self._busy = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Begin to answer. A folder that takes no sockets does not keep the gateway from working."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short_name(self._folder) as name:
                self._remove()
                made.bind(name)
                os.chmod(name, 0o600)  # noqa: PTH101 - the name may lead through a descriptor
            self._server = await asyncio.start_unix_server(self._answer, sock=made, limit=_LONGEST)
        except OSError as error:
            made.close()
            _log.warning("control-closed", error_type=type(error).__name__)

    async def stop(self) -> None:
        """Stop to answer."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._remove()

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            (self._folder / FILE).unlink()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE), self._busy:
                if _may_ask(writer.get_extra_info("socket")):
                    answer = await self._do(await reader.readline())
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except (TimeoutError, OSError, ValueError) as error:
            _log.debug("control-ended", error_type=type(error).__name__)
        finally:
            writer.close()

    async def _do(self, line: bytes) -> dict[str, object]:
        try:
            asked: Any = json.loads(line)
            action, jid = self._actions[asked["do"]], asked.get("jid", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": "is of another version: start it again"}
        try:
            return {"rows": await action(str(jid))}
        except GreError as error:
            return {"error": f"cannot do that: {error.text}"}
        except Exception as error:  # noqa: BLE001 - whatever it was, the gateway goes on
            _log.error("control-failed", error_type=type(error).__name__)
            return {"error": "cannot do that: look at its log"}


async def ask_running(folder: Path, action: str, jid: str = "") -> int | None:
    """Ask the gateway that runs on a state directory for something.

    Result:
        What it gives; None when none runs there, or it cannot be reached from here.

    Raises:
        NotDone: it could not do it. The text says why.
    """
    try:
        with _short_name(folder) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=_LONGEST)
    except OSError:
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(json.dumps({"do": action, "jid": jid}).encode() + b"\n")
            answer = json.loads(await reader.readline())
    except (TimeoutError, OSError, ValueError):
        raise NotDone("The running gateway gives no answer: look at its log") from None
    finally:
        writer.close()
    if "error" in answer:
        raise NotDone(f"The running gateway {answer['error']}")
    return int(answer["rows"])


def _may_ask(connection: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):  # the mode of folder and socket has to do
        return True
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in {0, os.geteuid()}


@contextmanager
def _short_name(folder: Path) -> Generator[str]:
    """Give a name of the socket that is not too long, however long that of its folder is."""
    name = str(folder / FILE)
    if len(os.fsencode(name)) <= _LONGEST_PATH:
        yield name
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{FILE}"
    finally:
        os.close(descriptor)
