"""One user with a client engine, one gateway engine, one contact behind it: joined without server or event loop.

::

    scene = Scene()
    scene.send("Hello")
    relayed = scene.relay()  # what the gateway makes of the stanza
    assert relayed.recipients[0].legacy_id == "bob@example.com"
    received = scene.deliver(scene.from_legacy("Hello yourself"))
    assert received.message.text == "Hello yourself"
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.client import ClientEngine
from gre_core.gateway import GatewayEngine, Plain, Relayed
from gre_core.model import Message
from gre_core.registry import Plugins
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import (
    FakeNetwork,
    FakePubSub,
    fake_ports,
    run,
    say_yes,
    through_xml,
    toy_encrypter,
    toy_formatter,
)
from gre_core.testing.toys import toy_body, toy_payload

if TYPE_CHECKING:
    from gre_core.api import DataContributor, DataProvider, EncrypterProvider, FormatterProvider
    from gre_core.errors import GreError
    from gre_core.negotiation import Pair
    from gre_core.opening import Received, Unopened
    from gre_core.outbox import Sent
    from gre_core.policy import Policy
    from gre_core.ports import Decide, Store

ACCOUNT: Final = "juliet@example.org"
DOMAIN: Final = "mail.example.net"
SENDER_ID: Final = "juliet@capulet.example"
"""Who the contact sees: our identifier on the legacy network."""
LEGACY: Final = "bob@example.com"
CONTACT: Final = "bob\\40example.com@mail.example.net"

_CARBONS: Final = "urn:xmpp:carbons:2"
_FORWARD: Final = "urn:xmpp:forward:0"
_PAIR: Final = (toy_formatter().namespace, toy_encrypter().namespace)


class Scene:
    """A client, a gateway and a contact.

    Arguments:
        providers: the client's; one toy formatter and one toy encrypter otherwise.
        pairs: what the gateway carries.
        encrypted_only: the gateway takes only encrypted content.
        max_size: the gateway's size limit.
        contributors: who adds to the gateway's data form.
        decide: the user's answers; yes to everything otherwise.
        policy: the user's preferences.
        store: the client's.
        max_stanza: the server's limit.

    Attributes:
        client: the client engine.
        gateway: the gateway engine.
        network: between them.
        pubsub: the nodes that the client can read.
        store: the client's state.
        users: sender_id by bare JID: who is registered with the gateway.
        now: the client's clock. Set it.
    """

    def __init__(
        self,
        *providers: FormatterProvider | EncrypterProvider,
        pairs: Iterable[Pair] = (_PAIR,),
        encrypted_only: bool = False,
        max_size: int | None = None,
        contributors: Iterable[tuple[DataProvider, DataContributor]] = (),
        decide: Decide = say_yes,
        policy: Policy | None = None,
        store: Store | None = None,
        max_stanza: int | None = None,
    ) -> None:
        """Make the scene; nothing was asked or sent yet."""
        self.users: dict[str, str] = {ACCOUNT: SENDER_ID}
        self.now: datetime = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.store: Store = store or MemoryStore()
        self.pubsub: FakePubSub = FakePubSub(ACCOUNT)
        self.network: FakeNetwork = FakeNetwork(max_stanza=max_stanza)
        self._plugins = Plugins.of(*(providers or (toy_formatter(), toy_encrypter())))
        self._policy = policy
        self._decide = decide
        self._ids = count(1)
        self.client: ClientEngine = self._new_client()
        self.serve(pairs, encrypted_only=encrypted_only, max_size=max_size, contributors=contributors)

    def _new_client(self) -> ClientEngine:
        ports = fake_ports(store=self.store, pubsub=self.pubsub, decide=self._decide, now=lambda: self.now)
        return ClientEngine(ACCOUNT, self._plugins, ports, self.network, self._policy)

    def restart(self) -> None:
        """End the client and start it again with the same store."""
        self.client = self._new_client()

    def wait(self, seconds: float) -> None:
        """Let time pass for the client."""
        self.now += timedelta(seconds=seconds)

    def serve(
        self,
        pairs: Iterable[Pair] = (_PAIR,),
        *,
        encrypted_only: bool = False,
        max_size: int | None = None,
        contributors: Iterable[tuple[DataProvider, DataContributor]] = (),
    ) -> None:
        """Replace the gateway by another one with the same domain and users."""
        self.gateway: GatewayEngine = GatewayEngine(
            DOMAIN,
            pairs,
            sender_id=self._sender_id,
            contributors=contributors,
            encrypted_only=encrypted_only,
            max_size=max_size,
        )
        self.network.attach(self.gateway, ACCOUNT)

    async def _sender_id(self, user: str) -> str | None:
        return self.users.get(user)

    # -- from the user to the contact ----------------------------------------------------------------

    def send(self, message: Message | str = "Hello", to: str = CONTACT, **options: str) -> Sent:
        """Let the client send; raises what it raises."""
        content = Message(message) if isinstance(message, str) else message
        return run(self.client.send(to, content, **options))

    @property
    def last(self) -> Element:
        """The last message that the client sent, as its server passes it on."""
        stanza = through_xml(self.network.sent[-1])
        stanza.set("from", f"{ACCOUNT}/balcony")
        return stanza

    def accept(self, stanza: Element | None = None) -> Relayed | Plain | None:
        """Let the gateway look at a message, the last sent one otherwise; raises what it raises."""
        return run(self.gateway.accept(self.last if stanza is None else stanza))

    def relay(self) -> Relayed:
        """Let the gateway take the last message, which must be encrypted."""
        relayed = self.accept()
        assert isinstance(relayed, Relayed)
        return relayed

    def confirm(self, sender: str = CONTACT) -> Received | Unopened | Sent | None:
        """Let the client receive the gateway's receipt for the last message, as if from ``sender``."""
        receipt = self.gateway.receipt(self.relay())
        assert receipt is not None
        receipt.set("from", sender)
        return self.deliver(receipt)

    def refuse(self, error: GreError, sender: str = CONTACT) -> Received | Unopened | Sent | None:
        """Let the client receive an error for the last message, as if from ``sender``."""
        answer = self.gateway.error(self.last, error)
        answer.set("from", sender)
        return self.deliver(answer)

    # -- from the contact to the user ----------------------------------------------------------------

    def from_legacy(
        self,
        text: str = "Hello yourself",
        *,
        signer: str | None = LEGACY,
        claimed: str | None = LEGACY,
        stanza_id: str | None = None,
        **fields: Any,
    ) -> Element:
        """Make the stanza by which the gateway relays a message of the contact.

        Arguments:
            text: what the contact writes.
            signer: who signs; None leaves it unsigned.
            claimed: who the message says it is from.
            stanza_id: a new one otherwise.
            fields: further ones of the message: ``to``, ``cc``, ``message_id``, ``date`` and so on.
        """
        body = toy_body(toy_payload(Message(text, **fields), claimed), to=[ACCOUNT], signer=signer)
        name = stanza_id or f"legacy-{next(self._ids)}"
        return through_xml(self.gateway.emit(LEGACY, ACCOUNT, _PAIR, body, name))

    def deliver(self, stanza: Element) -> Received | Unopened | Sent | None:
        """Let the client receive a stanza."""
        return run(self.client.handle(through_xml(stanza)))

    def carbon(self, stanza: Element, kind: str = "sent", sender: str | None = ACCOUNT) -> Element:
        """Wrap a message as a carbon copy (XEP-0280): ``sent`` or ``received``."""
        outer = Element(wire.MESSAGE_TAG, {"to": f"{ACCOUNT}/chamber"})
        if sender is not None:
            outer.set("from", sender)
        SubElement(SubElement(outer, f"{{{_CARBONS}}}{kind}"), f"{{{_FORWARD}}}forwarded").append(stanza)
        return outer
