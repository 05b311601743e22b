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

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from xml.etree.ElementTree import Element, SubElement

from slixmpp.exceptions import XMPPError
from slixmpp.plugins.xep_0030.stanza.info import DiscoInfo as DiscoStanza
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath

from gre_core import wire
from gre_core.errors import GreError, PeerError, Refused
from gre_core.gateway import GatewayEngine, Plain, Relayed
from gre_core.incoming import read_error, receipt_for
from gre_core.log import get_logger
from gre_core.ports import Item, Ports, PubSub, Store
from gre_core.slixmpp.ports import DISCO, PUBSUB, Nodes, SlixmppPubSub, Stream, in_namespace
from gre_core.slixmpp.presence import Presences
from gre_core.slixmpp.traps import Reconnector, harden_stream, mend_errors, mend_slixmpp, plugin
from gre_core.stores import MemoryStore

if TYPE_CHECKING:
    from slixmpp import ComponentXMPP, Iq
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.model import Body
    from gre_core.negotiation import Pair

DEFAULT_MAX_STANZA: Final = 512 * 1024
"""Bytes that Prosody takes from a component as it is shipped. More closes the stream of the whole gateway."""

_IN_FLIGHT: Final = 200
_log = get_logger(__name__)

OnEncrypted = Callable[[Relayed], Awaitable[None]]
OnPlain = Callable[[Plain], Awaitable[None]]
OnReceipt = Callable[[str, str], Awaitable[None]]
OnError = Callable[[str, str, PeerError], Awaitable[None]]


async def no_nodes(_jid: str, _node: str, _ids: Sequence[str], /) -> Sequence[Item]:
    """Serve no pubsub node at all."""
    raise PeerError("There is no such node.", condition="item-not-found")


class Gateway:
    """Relays messages between a slixmpp component and the embedder. Made by :func:`attach_gateway`.

    Attributes:
        engine: the protocol.
        ports: store and pubsub, for contributors; the nodes of the gateway's own contacts are read without a stanza.
        presences: who of the users is there, and what their clients announce.
    """

    def __init__(  # noqa: PLR0913 - see attach_gateway
        self,
        component: ComponentXMPP,
        engine: GatewayEngine,
        stream: Stream,
        ports: Ports,
        *,
        on_encrypted: OnEncrypted,
        on_plain: OnPlain | None,
        on_receipt: OnReceipt | None,
        on_error: OnError | None,
        nodes: Nodes,
        identity: tuple[str, str, str],
    ) -> None:
        self.engine = engine
        self.ports = ports
        self.stream = stream
        self._component = component
        self._on_encrypted = on_encrypted
        self._on_plain = on_plain
        self._on_receipt = on_receipt
        self._on_error = on_error
        self._nodes = nodes
        self._identity = identity
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False
        self.presences = Presences(component, stream, engine, self.disco_info())
        namespace = component.default_ns
        component.register_handler(Callback("GRE message", StanzaPath("message"), self._message))
        for name, child, handler in (
            ("GRE data", wire.DATA_TAG, self._data),
            ("GRE pubsub", f"{{{PUBSUB}}}pubsub", self._pubsub),
        ):
            path = MatchXPath(f"{{{namespace}}}iq/{child}")
            component.register_handler(Callback(name, path, self._answering(handler)))
        disco = plugin(component, "xep_0030")
        plugin(component, "xep_0199")
        disco.set_node_handler("get_info", handler=self._disco)

    # -- discovery -----------------------------------------------------------------------------------

    def disco_info(self) -> Element:
        """Make the ``<query/>`` that the domain and each contact answer to disco#info."""
        query = Element(f"{{{DISCO}}}query")
        category, kind, name = self._identity
        SubElement(query, f"{{{DISCO}}}identity", {"category": category, "type": kind, "name": name})
        for feature in (DISCO, *self.engine.features(), "urn:xmpp:ping", f"{PUBSUB}#retrieve-items"):
            SubElement(query, f"{{{DISCO}}}feature", {"var": feature})
        for form_type, fields in self.engine.forms().items():
            x = SubElement(query, f"{{{wire.FORM}}}x", {"type": "result"})
            for var, kind_, values in (
                ("FORM_TYPE", "hidden", (form_type,)),
                *((var, "list-single", values) for var, values in fields.items()),
            ):
                field = SubElement(x, f"{{{wire.FORM}}}field", {"var": var, "type": kind_})
                for value in values:
                    SubElement(field, f"{{{wire.FORM}}}value").text = value
        return query

    def _disco(self, jid: object, node: str | None, _ifrom: object, _data: object) -> DiscoStanza:
        if node and node != f"{self.presences.caps_node}#{self.presences.caps_version}":
            raise XMPPError("item-not-found", "There is no such node.", etype="cancel")
        local = str(jid).rpartition("@")[0]
        if local:
            try:
                self.engine.check_contact(str(jid))
            except Refused as error:
                raise XMPPError("jid-malformed", error.text, etype="modify") from error
        return DiscoStanza(xml=self.disco_info())

    # -- iq ------------------------------------------------------------------------------------------

    def _answering(self, handler: Callable[[Iq], Awaitable[Element]]) -> Callable[[StanzaBase], None]:
        async def answer(iq: Iq) -> None:
            try:
                if iq["type"] != "get":
                    raise Refused("This can only be read.", condition="not-allowed", error_type="cancel")
                payload = await handler(iq)
            except GreError as error:
                self._answer_error(iq.xml, error)
            except Exception as error:  # noqa: BLE001 - no stanza stays unanswered
                _log.error("iq-failed", error_type=type(error).__name__)
                self._answer_error(iq.xml, _internal("The gateway could not answer"))
            else:
                reply = iq.reply()
                reply.set_payload(payload)
                reply.send()

        def run(stanza: StanzaBase) -> None:
            iq = cast("Iq", stanza)
            if iq["type"] in {"get", "set"}:
                self._spawn(answer(iq))

        return run

    async def _data(self, iq: Iq) -> Element:
        data = iq.xml.find(wire.DATA_TAG)
        return await self.engine.answer(str(iq["from"]), str(iq["to"]), cast("Element", data))

    async def _pubsub(self, iq: Iq) -> Element:
        items = iq.xml.find(f"{{{PUBSUB}}}pubsub/{{{PUBSUB}}}items")
        if items is None:
            raise Refused("Only items can be read.", condition="feature-not-implemented", error_type="cancel")
        contact = wire.bare(str(iq["to"]))
        self.engine.check_contact(contact)
        node = items.get("node", "")
        ids = [item.get("id", "") for item in items.findall(f"{{{PUBSUB}}}item")[:100]]
        answer = Element(f"{{{PUBSUB}}}pubsub")
        list_ = SubElement(answer, f"{{{PUBSUB}}}items", {"node": node})
        for item in await self._nodes(contact, node, ids):
            element = SubElement(list_, f"{{{PUBSUB}}}item", {"id": item.id})
            if item.payload is not None:
                element.append(item.payload)
        return answer

    def _answer_error(self, stanza: Element, error: GreError) -> None:
        answer = self.engine.error(stanza, error)
        self._component.send(in_namespace_text(answer, self._component))

    # -- messages ------------------------------------------------------------------------------------

    def _spawn(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = self._component.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if len(self._tasks) >= _IN_FLIGHT and not self._paused:
            self._pause("pause_reading")

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._paused and len(self._tasks) <= _IN_FLIGHT // 2:
            self._pause("resume_reading")

    def _pause(self, how: str) -> None:
        """Let the server wait while too much is under way."""
        transport = cast("Any", self._component.transport)
        self._paused = how == "pause_reading"
        if transport is not None:
            getattr(transport, how)()

    def _message(self, stanza: StanzaBase) -> None:
        self._spawn(self._handle(stanza.xml))

    async def _handle(self, stanza: Element) -> None:
        try:
            await self._dispatch(stanza)
        except GreError as error:
            _log.info("refused", code=error.code, peer_domain=wire.domain(stanza.get("from", "")))
            self._answer_error(stanza, error)
        except Exception as error:  # noqa: BLE001 - no exception reaches the stream, no stanza stays unanswered
            _log.error("relay-failed", error_type=type(error).__name__)
            if stanza.get("type") != "error":
                self._answer_error(stanza, _internal("The message was not relayed: the gateway failed"))

    async def _dispatch(self, stanza: Element) -> None:
        user = wire.bare(stanza.get("from", ""))
        error = read_error(stanza)
        if error is not None:
            if self._on_error is not None:
                await self._on_error(user, stanza.get("id", ""), error)
            return
        confirmed = receipt_for(stanza)
        if confirmed is not None:
            if self._on_receipt is not None:
                await self._on_receipt(user, confirmed)
            return
        message = await self.engine.accept(stanza)
        if message is None:
            return
        if isinstance(message, Relayed):
            await self._on_encrypted(message)
        elif self._on_plain is not None:
            await self._on_plain(message)
        else:
            raise Refused("This gateway relays only encrypted messages.", condition="policy-violation")
        receipt = self.engine.receipt(message)
        if receipt is not None:
            self.stream.put(receipt)

    # -- towards the users ---------------------------------------------------------------------------

    def deliver(self, to: str, legacy_id: str, pair: Pair, body: Body, stanza_id: str) -> None:
        """Send an encrypted message to a user. A receipt or an error comes to the handlers later.

        Arguments:
            to: bare JID of the user.
            legacy_id: the sender on the legacy network.
            pair: what the body is made with.
            body: opaque.
            stanza_id: the same when the message is sent again.

        Raises:
            PeerTimeout: the stream is down.
            TooLarge: the server does not take a stanza of that size.
            InvalidAddress: the sender cannot be written as a JID.
        """
        self.stream.put(self.engine.emit(legacy_id, to, pair, body, stanza_id))

    def deliver_plain(self, to: str, legacy_id: str, text: str, subject: str | None, stanza_id: str) -> None:
        """Send an unencrypted message to a user. Raises as :meth:`deliver`."""
        self.stream.put(self.engine.emit_plain(legacy_id, to, text, subject, stanza_id))

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
    store: Store | None = None,
    identity: tuple[str, str, str] = ("gateway", "smtp", "Gateway"),
    max_stanza: int | None = DEFAULT_MAX_STANZA,
    reconnect: bool = True,
) -> Gateway:
    """Make a slixmpp component a gateway. Call it before ``connect()``.

    Arguments:
        component: the component.
        engine: the protocol, with what the gateway can carry.
        on_encrypted: relays a message. When it returns, the network took the message, and the sender gets a receipt; when
            it raises a :class:`~gre_core.errors.GreError`, the sender gets a stanza error with its text.
        on_plain: the same for unencrypted messages; None refuses them.
        on_receipt: told the user's bare JID and the id of a message that a client confirmed.
        on_error: told the user's bare JID, the id and the error of a message that did not reach the user.
        nodes: serves the pubsub nodes of contacts, such as their public keys (XEP-0373).
        store: for contributors of data fields; kept in memory otherwise.
        identity: category, type and name for disco#info.
        max_stanza: bytes that the server takes in one stanza; None for no limit.
        reconnect: connect again after a loss, with back-off.
    """
    mend_slixmpp()
    mend_errors(component)
    harden_stream(component)
    stream = Stream(component, max_stanza=max_stanza, sender=engine.domain)
    pubsub: PubSub = SlixmppPubSub(stream, nodes, engine.domain)
    ports = Ports(store=MemoryStore() if store is None else store, pubsub=pubsub)
    if reconnect:
        Reconnector(component)
    return Gateway(
        component,
        engine,
        stream,
        ports,
        on_encrypted=on_encrypted,
        on_plain=on_plain,
        on_receipt=on_receipt,
        on_error=on_error,
        nodes=nodes,
        identity=identity,
    )


def in_namespace_text(element: Element, component: ComponentXMPP) -> str:
    """Write a stanza that slixmpp must not touch: an error answer, made by the engine."""
    from slixmpp.xmlstream.tostring import tostring  # noqa: PLC0415 - after mend_slixmpp

    namespace = component.default_ns
    return tostring(in_namespace(element, namespace), xmlns=namespace, stream=component, top_level=True)


def _internal(what: str) -> Refused:
    return Refused(
        f"{what}. Try again later, or tell its operator.",
        condition="internal-server-error",
        error_type="wait",
    )
