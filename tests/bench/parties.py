"""Two users of the real engines with the real plugins, joined in memory: no stream, no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin

from gre_core import (
    ClientEngine,
    DataForm,
    DiscoInfo,
    Item,
    MemoryStore,
    Message,
    Plugins,
    Ports,
    Question,
    wire,
)
from gre_core.api import encrypter, formatter
from gre_core.errors import NoUsableKey, PeerError
from gre_core.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

MIME = formatter("mime")
OPENPGP = encrypter("openpgp")


class Nodes:
    """The pubsub nodes of one party; both see all."""

    def __init__(self, jid: str, shared: dict[tuple[str, str], dict[str, Item]]) -> None:
        self._jid = jid
        self._shared = shared

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        """Give all items of a node."""
        del item_id, max_items
        found = self._shared.get((jid, node))
        if not found:
            text = "There is no such node."
            raise PeerError(text, condition="item-not-found")
        return list(found.values())

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: str, max_items: int = 1
    ) -> None:
        """Keep an item."""
        del access_model, max_items
        self._shared.setdefault((self._jid, node), {})[item_id] = Item(item_id, payload)

    async def retract(self, node: str, item_id: str, /) -> None:
        """Take an item out."""
        self._shared.get((self._jid, node), {}).pop(item_id, None)


class Wire:
    """A gateway that announces the pair and gives each party its address."""

    max_stanza = None

    def __init__(self, sender_id: str) -> None:
        self._sender_id = sender_id
        self.trips = 0

    async def disco_info(self, _jid: str, /) -> DiscoInfo:
        """Announce MIME and OpenPGP."""
        self.trips += 1
        return DiscoInfo(frozenset({"urn:xmpp:gre:0", str(MIME), str(OPENPGP), wire.RECEIPTS}))

    async def iq_get(self, _jid: str, _payload: Element, /) -> Element:
        """Answer a data request."""
        self.trips += 1
        return wire.build_data_form(DataForm(self._sender_id))

    async def send_message(self, _stanza: Element, /) -> None:
        """Take a message."""


async def _yes(_question: Question, /) -> bool:
    return True


async def two_parties(
    *, worker: bool = False, shared: dict[tuple[str, str], dict[str, Item]] | None = None
) -> tuple[ClientEngine, ClientEngine]:
    """Give two engines that have made their keys and know each other's.

    Arguments:
        worker: the second one opens messages in a worker process.
        shared: the pubsub nodes of everybody.
    """
    shared = {} if shared is None else shared
    engines: list[ClientEngine] = []
    for address in ("alice@a.example", "bob@b.example"):
        jid = f"{address.replace('@', chr(92) + '40')}@gateway"
        plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
        process = WorkerProcess.for_plugins(plugins) if worker and engines else None
        ports = Ports(MemoryStore(), Nodes(jid, shared), _yes, worker=process)
        engines.append(ClientEngine(jid, plugins, ports, Wire(address)))
    first, second = engines
    for engine in engines:
        await engine.start_session()
    try:
        await second.seal(first.account, Message(text="makes the key"))
    except NoUsableKey:
        pass  # the first party has no key yet; the second has one now
    await first.seal(second.account, Message(text="makes the key"))
    await second.seal(first.account, Message(text="fetches the other key: opening a message never does"))
    return first, second
