"""A gateway over a slixmpp component.

::

    component = slixmpp.ComponentXMPP("mail.example.org", secret, "127.0.0.1", 5347)
    engine = GatewayEngine(
        "mail.example.org", [(formatter("mime"), encrypter("openpgp"))], sender_id=sender_id
    )


    async def relay(message: Relayed) -> None: ...  # raise Refused("...") and the sender sees the text


    gateway = attach_gateway(component, engine, on_encrypted=relay)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core import wire
from gre_core.errors import GreError, PeerError, Refused
from gre_core.gateway import Answer, GatewayEngine, Later, Plain, Relayed
from gre_core.incoming import read_error, receipt_for
from gre_core.jid_escape import canonical
from gre_core.log import get_logger
from gre_core.ports import Ports
from gre_core.slixmpp.answers import Answers, for_everybody, no_nodes
from gre_core.slixmpp.caps import Announced
from gre_core.slixmpp.hardening import harden_stream
from gre_core.slixmpp.ports import SlixmppPubSub
from gre_core.slixmpp.presence import Presences
from gre_core.slixmpp.reconnect import Reconnector
from gre_core.slixmpp.requests import Requests
from gre_core.slixmpp.stream import Stream, answer_error
from gre_core.slixmpp.subscriptions import MemorySubscriptions
from gre_core.slixmpp.traps import mend_sending, mend_slixmpp
from gre_core.slixmpp.work import PATIENCE, WorkQueue, weight, within
from gre_core.stanza_ports import EVENT
from gre_core.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slixmpp import ComponentXMPP
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.model import Body
    from gre_core.negotiation import Pair
    from gre_core.ports import Store
    from gre_core.slixmpp.ports import Nodes, NodesFor
    from gre_core.slixmpp.subscriptions import Subscriptions

DEFAULT_MAX_STANZA: Final = 512 * 1024
"""Bytes that Prosody takes from a component as it is shipped. More closes the stream of the whole gateway."""

AT_ONCE: Final = 200
"""Messages that are relayed at the same time; further ones wait."""

MAX_MEMORY: Final = 64 * 1024 * 1024
"""Bytes of messages under way, beyond which further ones are refused with ``resource-constraint``."""

OnEncrypted = Callable[[Relayed], Awaitable[Later | None]]
OnPlain = Callable[[Plain], Awaitable[Later | None]]
OnReceipt = Callable[[str, str], Awaitable[None]]
OnError = Callable[[str, str, PeerError], Awaitable[None]]

_log = get_logger(__name__)


class Gateway:
    """Relays messages between a slixmpp component and the embedder. Made by :func:`attach_gateway`.

    Attributes:
        engine: the protocol.
        ports: store and pubsub, for contributors; the nodes of the gateway's own contacts are read without a stanza.
        presences: who of the users is there, and what their clients announce.
        stream: whether the server is connected.
        requests: answers requests; the host adds handlers of its own.
        announced: what is announced by disco#info; the host adds features of its own.
        answers: answers discovery; the host adds nodes of its own.
    """

    def __init__(  # noqa: PLR0913 - see attach_gateway
        self,
        component: ComponentXMPP,
        engine: GatewayEngine,
        stream: Stream,
        ports: Ports,
        presences: Presences,
        requests: Requests,
        announced: Announced,
        answers: Answers,
        *,
        on_encrypted: OnEncrypted,
        on_plain: OnPlain | None,
        on_receipt: OnReceipt | None,
        on_error: OnError | None,
    ) -> None:
        self.engine = engine
        self.ports = ports
        self.presences = presences
        self.stream = stream
        self.requests = requests
        self.announced = announced
        self.answers = answers
        self._component = component
        self._on_encrypted = on_encrypted
        self._on_plain = on_plain
        self._on_receipt = on_receipt
        self._on_error = on_error
        self._work = WorkQueue(component, workers=AT_ONCE, max_bytes=MAX_MEMORY)
        self._under_way: set[tuple[str, str, str]] = set()
        component.register_handler(Callback("GRE message", StanzaPath("message"), self._message))

    # -- from the users ------------------------------------------------------------------------------

    def _message(self, stanza: StanzaBase) -> None:
        message = stanza.xml
        if not self._work.put(lambda: self._handle(message), weight(message)):
            busy = "The gateway is busy. Send the message again later."
            error = Refused(busy, condition="resource-constraint", error_type="wait")
            answer_error(self._component, message, error)

    async def _handle(self, stanza: Element) -> None:
        failure: GreError
        try:
            await within(PATIENCE, self._dispatch(stanza))
        except GreError as error:
            failure = error
        except TimeoutError:
            failure = _failed(
                "The network did not answer in time; it may have taken the message, or not",
                "remote-server-timeout",
            )
        except Exception as error:  # noqa: BLE001 - no exception reaches the stream, no stanza stays unanswered
            _log.error("relay-failed", error_type=type(error).__name__)
            failure = _failed("The message was not relayed: the gateway failed", "internal-server-error")
        else:
            return
        _log.info("refused", code=failure.code, peer_domain=wire.domain(stanza.get("from", "")))
        answer_error(self._component, stanza, failure)

    async def _dispatch(self, stanza: Element) -> None:
        user = canonical(stanza.get("from", ""))
        error = read_error(stanza)
        if error is not None:
            if self._on_error is not None:
                await self._on_error(user, stanza.get("id", ""), error)
            return
        confirmed = receipt_for(stanza)
        if confirmed is not None and self._on_receipt is not None:
            await self._on_receipt(user, confirmed)
        message = await self.engine.accept(stanza)
        if isinstance(message, Relayed):
            await self._relay(message)
        elif message is not None:
            if self._on_plain is None:
                raise Refused("This gateway relays only encrypted messages.", condition="policy-violation")
            if not isinstance(await self._on_plain(message), Later):
                self.confirm(Answer.to(message))

    async def _relay(self, message: Relayed) -> None:
        """Relay a message once, also when it is sent again meanwhile: the first one's answer serves both."""
        key = None
        if message.id is not None and not message.body.children:
            # The stanza's own id as well: one message may come to several recipients in stanzas of their own.
            key = (message.user, message.stanza.get("id") or message.id, message.body.text)
            if key in self._under_way:
                return
            self._under_way.add(key)
        try:
            later = isinstance(await self._on_encrypted(message), Later)
        finally:
            if key is not None:
                self._under_way.discard(key)
        if not later:
            self.confirm(Answer.to(message))

    def confirm(self, answer: Answer) -> None:
        """Send the receipt for a message that the network took, if the sender asked for one.

        While the stream is down, it waits in memory for the next session. Never raises.
        """
        receipt = self.engine.receipt_to(answer)
        if receipt is None:
            return
        try:
            self.stream.put(receipt, wait=True)
        except GreError as error:
            _log.error("receipt-not-sent", code=error.code)

    def refuse(self, answer: Answer, error: GreError) -> None:
        """Send the stanza error for a message that the network did not take; otherwise as :meth:`confirm`."""
        try:
            self.stream.put(self.engine.error_to(answer, error), wait=True)
        except GreError as problem:
            _log.error("error-not-sent", code=problem.code)

    # -- towards the users ---------------------------------------------------------------------------

    def deliver(
        self, to: str, legacy_id: str, pair: Pair, body: Body, stanza_id: str, notes: Iterable[str] = ()
    ) -> None:
        """Send an encrypted message to a user. A receipt or an error comes to the handlers later.

        Arguments:
            to: bare JID of the user.
            legacy_id: the sender on the legacy network.
            pair: what the body is made with.
            body: opaque.
            stanza_id: the same when the message is sent again.
            notes: what the reader should know about the mail around it (:mod:`gre_core.notes`).

        Raises:
            PeerTimeout: the stream is down.
            TooLarge: the server does not take a stanza of that size.
            InvalidAddress: the sender cannot be written as a JID.
            LocalProtocolError: body or id have characters that XML forbids, or a note is no code.
        """
        self.stream.put(self.engine.emit(legacy_id, to, pair, body, stanza_id, notes))

    def deliver_plain(
        self,
        to: str,
        legacy_id: str,
        text: str,
        subject: str | None,
        stanza_id: str,
        files: Sequence[str] = (),
        *,
        thread: str | None = None,
    ) -> None:
        """Send an unencrypted message to a user, and a further one for each file. Raises as :meth:`deliver`."""
        emitted = self.engine.emit_plain(legacy_id, to, text, subject, stanza_id, files, thread=thread)
        for stanza in emitted:
            self.stream.put(stanza)

    def deliver_notice(self, to: str, text: str, stanza_id: str) -> None:
        """Say something to a user in the gateway's own name. Raises as :meth:`deliver`."""
        self.stream.put(self.engine.emit_notice(to, text, stanza_id))

    def node_changed(self, to: str, legacy_id: str, node: str) -> None:
        """Tell a user's clients that a pubsub node of a contact changed (XEP-0060, section 7.1.2), without its items.

        Servers drop it when none of them is there.

        Raises:
            PeerTimeout, InvalidAddress: as :meth:`deliver`.
        """
        sender = self.engine.jid_of(legacy_id)
        stanza = Element(wire.MESSAGE_TAG, {"from": sender, "to": to, "type": "headline"})
        event = SubElement(stanza, f"{{{EVENT}}}event")
        items = SubElement(event, f"{{{EVENT}}}items", {"node": node})
        SubElement(items, f"{{{EVENT}}}item", {"id": "current"})
        self.stream.put(stanza)

    def deliver_error(self, to: str, legacy_id: str | None, stanza_id: str, error: GreError) -> int:
        """Send the error for a message whose receipt was sent before: the network gave it back.

        It goes to each client of the user that is there: servers drop errors to others (RFC 6121, section 8.5).

        Arguments:
            to: bare JID of the user.
            legacy_id: the recipient on the legacy network; None when the message was addressed to the gateway itself.
            stanza_id: of the user's message.
            error: what the user is told.

        Result:
            How many clients it went to. None is told when it is 0.

        Raises:
            PeerTimeout, TooLarge, InvalidAddress, LocalProtocolError: as :meth:`deliver`.
        """
        clients = self.presences.clients_of(to)
        source = self.engine.domain if legacy_id is None else self.engine.jid_of(legacy_id)
        for client in clients:
            answer = Answer(client, stanza_id, source)
            self.stream.put(self.engine.error_to(answer, error))
        return len(clients)

    async def features_of(self, user: str) -> frozenset[str]:
        """Give the features that all GRE clients of a user have in common; empty when none is known to be there."""
        return await self.presences.features_of(user)


def attach_gateway(  # noqa: PLR0913 - each has a default or is the embedder's work
    component: ComponentXMPP,
    engine: GatewayEngine,
    *,
    on_encrypted: OnEncrypted,
    on_plain: OnPlain | None = None,
    on_receipt: OnReceipt | None = None,
    on_error: OnError | None = None,
    nodes: Nodes = no_nodes,
    nodes_for: NodesFor | None = None,
    store: Store | None = None,
    subscriptions: Subscriptions | None = None,
    identity: tuple[str, str, str] = ("gateway", "smtp", "Gateway"),
    max_stanza: int | None = DEFAULT_MAX_STANZA,
    reconnect: bool = True,
) -> Gateway:
    """Make a slixmpp component a gateway. Call it before ``connect()``.

    The handlers of 200 messages run at the same time; each has five minutes, then it is cancelled and the sender gets
    an error. Messages that wait take at most 64 MiB; more are refused with an error. While the stream is down, answers
    are kept for the next session.

    Arguments:
        component: the component.
        engine: the protocol, with what the gateway can carry.
        on_encrypted: relays a message. When it returns None, the network took the message, and the sender gets a
            receipt; when it raises a :class:`~gre_core.errors.GreError`, the sender gets a stanza error with its text.
            When it returns ``LATER``, the sender gets no answer now: :meth:`Gateway.confirm` or :meth:`Gateway.refuse`
            gives it.
        on_plain: the same for unencrypted messages; None refuses them. Make the engine with ``encrypted_only=True``
            then, which announces it (GRE, "Business Rules").
        on_receipt: told the user's bare JID and the id of a message that a client confirmed.
        on_error: told the user's bare JID, the id and the error of a message that did not reach the user.
        nodes: serves the pubsub nodes of contacts, such as their public keys (XEP-0373).
        nodes_for: the same where the answer depends on who asks; then ``nodes`` is not asked.
        store: for contributors of data fields; kept in memory otherwise.
        subscriptions: keeps which contacts users see; in memory otherwise, so that users see no contact after a start
            until they log in again.
        identity: category, type and name for disco#info.
        max_stanza: bytes that the server takes in one stanza; None for no limit.
        reconnect: connect again after a loss, with back-off.
    """
    mend_slixmpp()
    mend_sending(component)
    harden_stream(component)
    stream = Stream(component, max_stanza=max_stanza, sender=engine.domain)
    served = for_everybody(nodes) if nodes_for is None else nodes_for
    pubsub = SlixmppPubSub(stream, served, engine.domain)
    if reconnect:
        Reconnector(component)
    announced = Announced(engine, identity)
    requests = Requests(component, stream, engine)
    return Gateway(
        component,
        engine,
        stream,
        Ports(store=MemoryStore() if store is None else store, pubsub=pubsub),
        Presences(component, stream, engine, announced, subscriptions or MemorySubscriptions()),
        requests,
        announced,
        Answers(component, requests, engine, announced, served),
        on_encrypted=on_encrypted,
        on_plain=on_plain,
        on_receipt=on_receipt,
        on_error=on_error,
    )


def _failed(what: str, condition: str) -> Refused:
    return Refused(f"{what}. Try again later, or tell its operator.", condition=condition, error_type="wait")
