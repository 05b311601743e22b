"""What plugins are told besides messages: that a session begins, and that a pubsub node changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.api import Acquainting, Observing, Preparing
from gre_core.errors import GreError, PluginError
from gre_core.model import Notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gre_core.namespaces import Namespace
    from gre_core.ports import Ports
    from gre_core.registry import Plugins


class PluginEvents:
    """Tells the plugins of one account what happens. Whatever they raise becomes a notice."""

    def __init__(self, account: str, plugins: Plugins, ports: Ports) -> None:
        self._account = account
        self._plugins = plugins
        self._ports = ports

    def usable(self) -> tuple[Namespace, ...]:
        """Give the formatters and encrypters that can be made: no others may be announced."""
        found = []
        for get, namespaces in (
            (self._plugins.formatter, self._plugins.formatters),
            (self._plugins.encrypter, self._plugins.encrypters),
        ):
            for namespace in namespaces:
                try:
                    get(namespace)
                except PluginError:
                    continue
                found.append(namespace)
        return tuple(found)

    def observed(self) -> dict[str, list[Observing]]:
        """Give the encrypters that follow pubsub nodes, by node."""
        nodes: dict[str, list[Observing]] = {}
        for namespace in self._plugins.encrypters:
            try:
                encrypter = self._plugins.encrypter(namespace)
                if isinstance(encrypter, Observing):
                    for node in list(encrypter.nodes):
                        nodes.setdefault(str(node), []).append(encrypter)
            except Exception:  # noqa: BLE001, S112 - shown when it is used; the others must not suffer
                continue
        return nodes

    async def changed_providers(self) -> list[Notice]:
        """Tell which namespaces are served by another plugin than in the last session.

        Raises:
            StoreError: the store failed.
        """
        notices = []
        for namespace in (*self._plugins.formatters, *self._plugins.encrypters):
            try:
                now = self._plugins.source(namespace).id
            except PluginError:
                continue
            stored = await self._ports.store.get(f"provider/{namespace}")
            before = None if stored is None else stored.decode("utf-8", "replace")
            if before == now:
                continue
            await self._ports.store.put(f"provider/{namespace}", now.encode())
            if before is not None:
                text = f"{namespace} is now served by {now}; until now it was {before}."
                params = {"namespace": str(namespace), "before": before, "after": now}
                notices.append(Notice("provider-changed", text, params))
        return notices

    async def prepare(self) -> list[Notice]:
        """Let the encrypters prepare for a session."""

        async def ask(encrypter: object) -> Iterable[Notice]:
            return (
                await encrypter.prepare(self._account, self._ports)
                if isinstance(encrypter, Preparing)
                else ()
            )

        return await self._each(ask, "prepare-failed", "could not prepare the session")

    async def acquaint(self, contacts: Sequence[str]) -> list[Notice]:
        """Let the encrypters look up contacts whose messages may come."""

        async def ask(encrypter: object) -> Iterable[Notice]:
            return (
                await encrypter.acquaint(self._account, contacts, self._ports)
                if isinstance(encrypter, Acquainting)
                else ()
            )

        return await self._each(ask, "acquaint-failed", "could not look contacts up")

    async def _each(
        self, ask: Callable[[object], Awaitable[Iterable[Notice]]], code: str, failed: str
    ) -> list[Notice]:
        """Ask each encrypter; one that fails must not end the session, nor keep the others from being asked."""
        notices: list[Notice] = []
        for namespace in self._plugins.encrypters:
            params = {"namespace": str(namespace)}
            try:
                notices += _notices(await ask(self._plugins.encrypter(namespace)))
            except GreError as error:
                notices.append(Notice(error.code, error.text, params))
            except Exception as error:  # noqa: BLE001 - a plugin must not end the session
                notices.append(Notice(code, f"{namespace} {failed} ({type(error).__name__}).", params))
        return notices

    async def notified(self, jid: str, node: str) -> list[Notice]:
        """Tell the encrypters that follow a node that it changed."""
        notices: list[Notice] = []
        for encrypter in self.observed().get(node, ()):
            try:
                notices += _notices(await encrypter.notified(jid, node, self._ports))
            except GreError as error:
                notices.append(Notice(error.code, error.text, {"node": node}))
            except Exception as error:  # noqa: BLE001 - a plugin must not end the session
                text = f"A change of {node} could not be handled ({type(error).__name__})."
                notices.append(Notice("notification-failed", text, {"node": node}))
        return notices


def _notices(found: Iterable[object]) -> list[Notice]:
    return [notice for notice in found if isinstance(notice, Notice)]
