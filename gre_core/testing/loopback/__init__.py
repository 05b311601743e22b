"""An XMPP router in this process, for demonstrations and tests only.

No TLS, passwords in memory, no persistence, 127.0.0.1 only: never for real use. What it does it does
as Prosody, and the same integration tests run on both, so that it cannot flatter what is tested on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from gre_core.testing.loopback.router import Router
from gre_core.testing.loopback.streams import ClientStream, ComponentStream, Stream
from gre_core.testing.ports import LOOPBACK
from gre_core.testing.server import C2S_LIMIT, COMPONENT_LIMIT, TestServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from gre_core.testing.server import Tap

__all__ = ["LoopbackServer"]


class LoopbackServer:
    """The router with its two listeners.

    Example::

        async with LoopbackServer(accounts={"juliet": "secret"}) as server:
            client = make_client(server, "juliet")

    It knows: login (SASL PLAIN), rosters, presence and subscriptions, messages to bare and full JIDs, offline
    messages, carbons (XEP-0280), PEP (XEP-0163), disco (XEP-0030), ping (XEP-0199), components (XEP-0114).
    There is no server-to-server traffic: a foreign domain is answered with ``not-allowed``, as by Prosody
    without it. A component that is not connected is answered with ``remote-server-timeout``.

    Args:
        domain: the domain of the accounts.
        accounts: passwords by user name.
        components: secrets by component domain.
        tap: called with every raw piece that the server receives and sends.
        c2s_limit: bytes of one stanza from a client; more closes the stream with ``policy-violation``.
        component_limit: bytes of one stanza from a component; more closes with ``not-well-formed``.
    """

    host = LOOPBACK

    def __init__(
        self,
        domain: str = "localhost",
        accounts: Mapping[str, str] | None = None,
        components: Mapping[str, str] | None = None,
        *,
        tap: Tap | None = None,
        c2s_limit: int = C2S_LIMIT,
        component_limit: int = COMPONENT_LIMIT,
    ) -> None:
        self.domain = domain
        self.accounts: Mapping[str, str] = dict(accounts or {})
        self.components: Mapping[str, str] = dict(components or {})
        self.c2s_port: int = 0
        self.component_port: int = 0
        self._tap = tap
        self._limits = (c2s_limit, component_limit)
        self._router = Router(domain, self.accounts, self.components)
        self._servers: list[asyncio.Server] = []
        self._tasks: dict[asyncio.Task[None], Stream] = {}

    async def __aenter__(self) -> Self:
        try:
            self.c2s_port = await self._listen(self._client)
            self.component_port = await self._listen(self._component)
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        tasks = self._stop()
        if tasks:
            await asyncio.wait(tasks, timeout=5)

    def _stop(self) -> list[asyncio.Task[None]]:
        for server in self._servers:
            server.close()
        self._servers.clear()
        tasks = list(self._tasks)
        for task, stream in list(self._tasks.items()):
            stream.cut()
            task.cancel()
        return tasks

    async def kick(self, jid_or_domain: str) -> None:
        """Cut the connection of a full JID, of all resources of a bare JID, or of a component domain.

        Raises:
            TestServerError: nobody was connected under that name.
        """
        streams = [
            stream
            for stream in self._tasks.values()
            if stream.name and jid_or_domain in {stream.name, stream.name.partition("/")[0]}
        ]
        if not streams:
            message = f"{jid_or_domain} is not connected, so it cannot be cut off."
            raise TestServerError(message)
        for stream in streams:
            stream.cut()

    async def _listen(
        self, make_stream: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Stream]
    ) -> int:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            stream = make_stream(reader, writer)
            if task is not None:
                self._tasks[task] = stream
            try:
                with contextlib.suppress(asyncio.CancelledError):  # only ``_stop`` cancels
                    await stream.run()
            finally:
                if task is not None:
                    self._tasks.pop(task, None)

        server = await asyncio.start_server(accept, LOOPBACK, 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Stream:
        return ClientStream(self._router, reader, writer, limit=self._limits[0], tap=self._tap)

    def _component(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Stream:
        return ComponentStream(
            self._router, reader, writer, limit=self._limits[1], tap=self._tap, secrets=self.components
        )
