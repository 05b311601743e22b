"""Fakes of the ports, for unit tests of hosts and plugins: no server, no event loop, no pytest.

::

    network = FakeNetwork()
    network.announce("mail.example.org", GRE, toy_formatter().namespace, toy_encrypter().namespace)
    network.answer_data(DataForm("juliet@example.org"))
    engine = ClientEngine(account, Plugins.of(toy_formatter(), toy_encrypter()), fake_ports(), network)
    run(engine.send("bob\\\\40example.net@mail.example.org", Message("Hello")))
    assert network.sent and network.round_trips == 2
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from xml.etree.ElementTree import Element, fromstring, tostring

from gre_core import wire, worker_functions
from gre_core.api import EncrypterProvider, FormatterProvider
from gre_core.errors import (
    GreError,
    PeerError,
    PeerTimeout,
    Refused,
    RemoteProtocolError,
    TooLarge,
    WorkerFailed,
)
from gre_core.failures import read_failure, tell_failure
from gre_core.model import DataForm
from gre_core.namespaces import encrypter, formatter
from gre_core.ports import AccessModel, Decide, DiscoInfo, Item, Ports, Store, refuse, utc_now
from gre_core.stores import MemoryStore
from gre_core.testing.toys import (
    KEY_NODE,
    InsecureToyEncrypter,
    InsecureToyFormatter,
    toy_body,
    toy_payload,
)

if TYPE_CHECKING:
    from datetime import datetime

    from gre_core.gateway import GatewayEngine
    from gre_core.model import Question

__all__ = [
    "KEY_NODE",
    "FakeNetwork",
    "FakePubSub",
    "InlineWorker",
    "InsecureToyEncrypter",
    "InsecureToyFormatter",
    "fake_ports",
    "run",
    "say_yes",
    "toy_body",
    "toy_encrypter",
    "toy_formatter",
    "toy_payload",
]

TOY: Final = "test"
"""The name in the namespaces of the toys."""

T = TypeVar("T")
DataScript = Callable[[str, Element], Awaitable[Element]]
"""Answers a data request to a JID; raises ``PeerError`` or ``PeerTimeout``."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine to its end without any event loop.

    Raises:
        RuntimeError: it waits for something that only an event loop can give.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    text = "The coroutine waits for an event loop. Engines and plugins await their ports only."
    raise RuntimeError(text)


def toy_formatter(version: int = 0, *, name: str = TOY, dynamic_data: bool = False) -> FormatterProvider:
    """Give a provider of the INSECURE, test-only formatter: ``urn:xmpp:gre:formatter:test:0``."""
    return FormatterProvider(
        formatter(name, version), InsecureToyFormatter, "GRE Formatter: Test (INSECURE)", dynamic_data
    )


def toy_encrypter(
    version: int = 0, *, name: str = TOY, dynamic_data: bool = False, keys: bool = False
) -> EncrypterProvider:
    """Give a provider of the INSECURE, test-only encrypter: ``urn:xmpp:gre:encrypter:test:0``.

    Arguments:
        version: in the namespace.
        name: in the namespace.
        dynamic_data: the data form is fetched before each message.
        keys: contacts have key names in the pubsub node :data:`KEY_NODE`, and a change is asked for.
    """

    def make() -> InsecureToyEncrypter:
        return InsecureToyEncrypter(keys=keys)

    return EncrypterProvider(encrypter(name, version), make, "GRE Encrypter: Test (INSECURE)", dynamic_data)


class FakeNetwork:
    """A stream whose other end is a script, or a :class:`~gre_core.gateway.GatewayEngine`.

    Every stanza is written as XML and read again, so that only what survives the wire arrives.

    Attributes:
        down: the stream is down; everything raises ``PeerTimeout``.
        sent: the messages that were sent.
        asked: the round trips, each as (``"disco"`` or ``"data"``, JID).
        requests: the ``<data/>`` elements that were sent.
    """

    def __init__(self, *, max_stanza: int | None = None) -> None:
        """Make a network where nobody answers.

        Arguments:
            max_stanza: bytes that the server takes in one stanza.
        """
        self._max_stanza = max_stanza
        self.down = False
        self.sent: list[Element] = []
        self.asked: list[tuple[str, str]] = []
        self.requests: list[Element] = []
        self._info: dict[str, DiscoInfo | GreError] = {}
        self._data: dict[str, DataScript] = {}
        self._engines: dict[str, tuple[GatewayEngine, str]] = {}

    @property
    def max_stanza(self) -> int | None:
        """The largest stanza that the server takes, in bytes."""
        return self._max_stanza

    @property
    def round_trips(self) -> int:
        """How often something was asked."""
        return len(self.asked)

    # -- the script ----------------------------------------------------------------------------------

    def announce(
        self, jid: str, *features: object, forms: dict[str, dict[str, tuple[str, ...]]] | None = None
    ) -> None:
        """Let a JID announce features; contacts without features of their own answer as their domain does."""
        self._info[jid] = DiscoInfo(frozenset(map(str, features)), forms=forms or {})

    def fail_disco(self, jid: str, error: GreError) -> None:
        """Let disco#info to a JID fail."""
        self._info[jid] = error

    def answer_data(self, answer: DataForm | Element | GreError | DataScript, jid: str = "") -> None:
        """Set the answer to data requests, to one JID or (``""``) to all."""

        async def scripted(_jid: str, _request: Element) -> Element:
            if isinstance(answer, GreError):
                raise answer
            return wire.build_data_form(answer) if isinstance(answer, DataForm) else answer  # type: ignore[return-value]

        self._data[jid] = answer if callable(answer) and not isinstance(answer, Element) else scripted

    def attach(self, engine: GatewayEngine, account: str) -> None:
        """Let a gateway engine answer for its domain and its contacts, to a user."""
        self._engines[engine.domain] = (engine, account)

    # -- the port ------------------------------------------------------------------------------------

    def _require_up(self) -> None:
        if self.down:
            raise PeerTimeout("The fake stream is down.")

    async def disco_info(self, jid: str, /) -> DiscoInfo:
        """Give what was announced."""
        self._require_up()
        self.asked.append(("disco", jid))
        domain = wire.domain(jid)
        info = self._info.get(jid)
        if info is None and domain in self._engines:
            engine, _ = self._engines[domain]
            return DiscoInfo(frozenset(engine.features()), forms=engine.forms())
        info = info or self._info.get(domain)
        if isinstance(info, GreError):
            raise info
        if info is None:
            raise PeerError(f"There is no {jid}.", condition="item-not-found")
        return info

    async def iq_get(self, jid: str, payload: Element, /) -> Element | None:
        """Answer a data request."""
        self._require_up()
        self.asked.append(("data", jid))
        request = through_xml(payload)
        self.requests.append(request)
        script = self._data.get(jid) or self._data.get("")
        if script is not None:
            return through_xml(await script(jid, request))
        if wire.domain(jid) not in self._engines:
            raise PeerError("Nobody answers data requests.", condition="service-unavailable")
        engine, account = self._engines[wire.domain(jid)]
        try:
            return through_xml(await engine.answer(account, jid, request))
        except (Refused, RemoteProtocolError) as error:
            raise PeerError(
                error.text, condition=error.condition, error_type=error.error_type, peer_text=error.text
            ) from error

    async def send_message(self, stanza: Element, /) -> None:
        """Record a message."""
        self._require_up()
        text = tostring(stanza, encoding="utf-8")
        if self._max_stanza is not None and len(text) > self._max_stanza:
            raise TooLarge("The fake server takes less.", size=len(text), limit=self._max_stanza)
        self.sent.append(fromstring(text))


class FakePubSub:
    """Nodes of any JID, and failures.

    Attributes:
        nodes: the items by (JID, node).
        failures: what to raise instead, by (JID, node).
        published: what we published, as (node, item id, access model).
        reads: how often items were read.
    """

    def __init__(self, account: str = "juliet@example.org") -> None:
        """Make a service without nodes; ours are those of the account."""
        self._account = account
        self.nodes: dict[tuple[str, str], dict[str, Element | None]] = {}
        self.failures: dict[tuple[str, str], GreError] = {}
        self.published: list[tuple[str, str, str]] = []
        self.reads: int = 0

    def put(self, jid: str, node: str, *items: str | tuple[str, Element]) -> None:
        """Let a JID have a node with exactly these items, each an id or an id with its payload."""
        self.nodes[jid, node] = dict((item, None) if isinstance(item, str) else item for item in items)

    def _items(self, jid: str, node: str) -> dict[str, Element | None]:
        if (jid, node) in self.failures:
            raise self.failures[jid, node]
        if (jid, node) not in self.nodes:
            raise PeerError(f"{jid} has no node {node}.", condition="item-not-found")
        return self.nodes[jid, node]

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        """Give items, newest last."""
        self.reads += 1
        found = [
            Item(name, payload) for name, payload in self._items(jid, node).items() if item_id in {None, name}
        ]
        return found if max_items is None else found[-max_items:]

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: AccessModel, max_items: int = 1
    ) -> None:
        """Publish an item of ours; the oldest ones go when there are more than ``max_items``."""
        if (self._account, node) in self.failures:
            raise self.failures[self._account, node]
        items = self.nodes.setdefault((self._account, node), {})
        items.pop(item_id, None)
        items[item_id] = payload
        while len(items) > max_items:
            items.pop(next(iter(items)))
        self.published.append((node, item_id, access_model))

    async def retract(self, node: str, item_id: str, /) -> None:
        """Remove an item of ours."""
        self._items(self._account, node).pop(item_id, None)


class InlineWorker:
    """A worker that is none: it runs the functions here, and gives errors as a worker process does.

    Attributes:
        calls: the names of what was called.
    """

    def __init__(self) -> None:
        """Make one that may call everything."""
        self.calls: list[str] = []

    async def run(self, function: str, data: bytes, /) -> bytes:
        """Call ``module:function``."""
        self.calls.append(function)
        worker_functions.allow([function])
        try:
            return worker_functions.get(function)(data)
        except GreError as error:
            raise read_failure(tell_failure(error)) from None
        except SystemExit:
            raise WorkerFailed("It would have ended the worker process.") from None


async def say_yes(_question: Question, /) -> bool:
    """Answer yes to everything: a user who does not read."""
    return True


def fake_ports(
    *,
    store: Store | None = None,
    pubsub: FakePubSub | None = None,
    decide: Decide = refuse,
    now: Callable[[], datetime] = utc_now,
) -> Ports:
    """Make ports of a memory store and a fake pubsub; nothing is decided unless ``decide`` is given."""
    return Ports(store or MemoryStore(), pubsub or FakePubSub(), decide, now)


def through_xml(element: Element) -> Element:
    """Write an element as XML and read it again."""
    return fromstring(tostring(element, encoding="utf-8"))
