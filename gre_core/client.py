"""The client's engine: sends and receives encrypted messages of one account over any XMPP library.

A host awaits :meth:`ClientEngine.send`, and gives each received ``<message/>`` to :meth:`ClientEngine.handle`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from gre_core import wire
from gre_core.api import Observing, Preparing
from gre_core.capabilities import Capabilities
from gre_core.errors import GreError, PeerTimeout, PluginError, Refused
from gre_core.incoming import Incoming, read_error, receipt_for, sort_message
from gre_core.log import get_logger
from gre_core.model import Direction, Message, Notice
from gre_core.namespaces import EME, GRE
from gre_core.opening import Opener, Received, Unopened
from gre_core.outbox import Outbox, SendState, Sent
from gre_core.policy import Memory, Policy
from gre_core.ports import Ports
from gre_core.sealing import Agreed, Sealed, Sealer

if TYPE_CHECKING:
    from gre_core.model import Question
    from gre_core.negotiation import Offer
    from gre_core.ports import Network
    from gre_core.registry import Plugins, Problem

__all__ = ["ClientEngine", "Explanation", "Received", "Sealed", "SendState", "Sent", "Unopened"]

_SEEN: Final = 2048
_KEPT: Final = 256
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why messages to a contact are sent as they are, or are not sent.

    Arguments:
        jid: the contact.
        offer: what the gateway announces; None when it did not answer.
        answered_by: the JID that announced it.
        formatters: ours.
        encrypters: ours.
        agreed: what was chosen and why; None when there is no agreement.
        error: why not.
        problems: what is wrong with installed plugins.
    """

    jid: str
    offer: Offer | None
    answered_by: str | None
    formatters: tuple[str, ...]
    encrypters: tuple[str, ...]
    agreed: Agreed | None
    error: GreError | None
    problems: tuple[Problem, ...]


class ClientEngine:
    """Sends and receives encrypted messages of one account.

    Arguments:
        account: our bare JID.
        plugins: the formatters and encrypters to use.
        ports: store, pubsub, the user's decisions, clock.
        network: the XMPP stream.
        policy: the user's preferences.
    """

    def __init__(
        self, account: str, plugins: Plugins, ports: Ports, network: Network, policy: Policy | None = None
    ) -> None:
        policy = policy or Policy()
        self.account = account
        self.plugins = plugins
        self.network = network
        self._memory = Memory(ports.store, ports.decide)
        self.ports = replace(ports, decide=self._memory.decide)
        self._capabilities = Capabilities(network, self.ports, policy.capabilities_lifetime)
        self._sealer = Sealer(account, plugins, self.ports, network, self._capabilities, self._memory, policy)
        self._opener = Opener(account, plugins, self.ports, self._memory)
        self._outbox = Outbox(ports.store)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    # -- session -------------------------------------------------------------------------------------

    def features(self) -> tuple[str, ...]:
        """Give the disco#info features of a client (GRE, "Discovering Support"; XEP-0380)."""
        ours = (*self.plugins.formatters, *self.plugins.encrypters)
        notify = sorted(f"{node}+notify" for node in self._observed())
        return (GRE, *map(str, ours), EME, wire.RECEIPTS, *notify)

    def _observed(self) -> dict[str, list[Observing]]:
        nodes: dict[str, list[Observing]] = {}
        for namespace in self.plugins.encrypters:
            try:
                encrypter = self.plugins.encrypter(namespace)
            except PluginError:
                continue
            if isinstance(encrypter, Observing):
                for node in encrypter.nodes:
                    nodes.setdefault(node, []).append(encrypter)
        return nodes

    async def start_session(self) -> tuple[Notice, ...]:
        """Begin a session: forget what was cached, prepare the encrypters, send again what nobody confirmed.

        Result:
            What to show to the user. Failures of plugins are among it, none is raised.
        """
        self._capabilities.clear()
        notices: list[Notice] = []
        for namespace in (*self.plugins.formatters, *self.plugins.encrypters):
            notices += await self._changed_provider(str(namespace), namespace)
        for namespace in self.plugins.encrypters:
            try:
                encrypter = self.plugins.encrypter(namespace)
                if isinstance(encrypter, Preparing):
                    notices += await encrypter.prepare(self.account, self.ports)
            except GreError as error:
                notices.append(Notice(error.code, error.text, {"namespace": str(namespace)}))
            except Exception as error:  # noqa: BLE001 - a plugin must not end the session
                text = f"{namespace} could not prepare the session ({type(error).__name__})."
                notices.append(Notice("prepare-failed", text, {"namespace": str(namespace)}))
        await self.resend()
        return tuple(notices)

    async def _changed_provider(self, key: str, namespace: object) -> list[Notice]:
        try:
            now = self.plugins.source(namespace).id  # type: ignore[arg-type]
        except PluginError:
            return []
        before = await self.ports.store.get(f"provider/{key}")
        if before is None or before.decode() != now:
            await self.ports.store.put(f"provider/{key}", now.encode())
        if before is None or before.decode() == now:
            return []
        text = f"{key} is now served by {now}; until now it was {before.decode()}."
        return [Notice("provider-changed", text, {"namespace": key, "before": before.decode(), "after": now})]

    async def resend(self) -> None:
        """Hand every message that nobody has confirmed to the stream again, with the same origin-id."""
        for sent in await self._outbox.pending():
            try:
                await self._transmit(sent.id)
            except PeerTimeout:
                return

    def saw_capabilities(self, jid: str, version: str) -> None:
        """Note the XEP-0115 ``ver`` in a presence; a change makes us ask the peer again."""
        self._capabilities.saw(wire.bare(jid), version)

    def forget(self, jid: str) -> None:
        """Forget what a contact or a gateway (a domain) announced, so that it is asked again."""
        self._capabilities.forget(jid)

    async def notified(self, jid: str, node: str) -> tuple[Notice, ...]:
        """Tell the encrypters that a pubsub node changed (XEP-0163)."""
        notices: list[Notice] = []
        for encrypter in self._observed().get(node, ()):
            try:
                notices += await encrypter.notified(wire.bare(jid), node, self.ports)
            except GreError as error:
                notices.append(Notice(error.code, error.text, {"node": node}))
            except Exception as error:  # noqa: BLE001 - a plugin must not end the session
                text = f"A change of {node} could not be handled ({type(error).__name__})."
                notices.append(Notice("notification-failed", text, {"node": node}))
        return tuple(notices)

    async def approve(self, question: Question) -> None:
        """Store the user's yes to the question of a :class:`~gre_core.errors.PolicyChanged`. Then try again."""
        await self._memory.approve(question)

    # -- sending -------------------------------------------------------------------------------------

    async def seal(self, jid: str, message: Message, stanza_id: str | None = None) -> Sealed:
        """Make the stanza of an encrypted message, without sending it. See :meth:`Sealer.seal` for its errors."""
        return await self._sealer.seal(jid, message, stanza_id)

    async def send(self, jid: str, message: Message, stanza_id: str | None = None) -> Sent:
        """Encrypt a message, keep it, and send it.

        It is kept until a receipt or an error comes; :meth:`handle` then gives its new state. When the stream is
        down it stays queued and goes out with the next session.

        Raises:
            GreError: it was not encrypted, and nothing was sent. See :meth:`Sealer.seal`.
        """
        sealed = await self._sealer.seal(jid, message, stanza_id)
        sent = await self._outbox.add(sealed.id, sealed.to, sealed.stanza)
        try:
            sent = await self._transmit(sealed.id, sealed.stanza) or sent
        except PeerTimeout:
            return sent
        if not sealed.agreed.receipts:
            settled = await self._outbox.settle(sealed.id, None, SendState.SENT)
            return settled or sent
        return sent

    async def _transmit(self, stanza_id: str, stanza: Element | None = None) -> Sent | None:
        if stanza is None:
            stanza = await self._outbox.stanza(stanza_id)
        await self.network.send_message(stanza)
        return await self._outbox.attempted(stanza_id)

    async def send_plain(self, jid: str, text: str, stanza_id: str) -> None:
        """Send a message that is not encrypted, when the gateway and its past allow it (GRE, "Security Considerations").

        Raises:
            Refused: the gateway takes only encrypted content.
            PolicyChanged: something better was there before; the user has to decide.
        """
        peer = await self._capabilities.peer(jid)
        await self._memory.see_offer(wire.domain(jid), peer.offer)
        if peer.offer.encrypted_only:
            raise Refused(f"{wire.domain(jid)} takes only encrypted messages. Send this one encrypted.")
        await self._memory.require_plain(wire.domain(jid), jid)
        stanza = Element(wire.MESSAGE_TAG, {"to": jid, "type": "chat", "id": stanza_id})
        SubElement(stanza, wire.BODY_TAG).text = text
        await self.network.send_message(stanza)

    async def pending(self) -> list[Sent]:
        """List the messages that nobody has confirmed yet, oldest first."""
        return await self._outbox.pending()

    async def give_up(self, stanza_id: str) -> Sent | None:
        """Stop sending a message again: by the user's word."""
        return await self._outbox.settle(stanza_id, None, SendState.REFUSED, error="Given up by the user.")

    async def explain(self, jid: str) -> Explanation:
        """Tell what a peer offers, what we have, what was chosen and why. Raises nothing of ours."""
        offer = answered_by = agreed = failure = None
        try:
            peer = await self._capabilities.peer(jid)
            offer, answered_by = peer.offer, peer.answered_by
            agreed = await self._sealer.agree(jid)
        except GreError as error:
            failure = error
        return Explanation(
            jid,
            offer,
            answered_by,
            tuple(map(str, self.plugins.formatters)),
            tuple(map(str, self.plugins.encrypters)),
            agreed,
            failure,
            self.plugins.problems,
        )

    # -- receiving -----------------------------------------------------------------------------------

    async def handle(self, stanza: Element) -> Received | Unopened | Sent | None:
        """Look at a received ``<message/>``.

        Result:
            ``Received``: opened. ``Unopened``: encrypted, but it could not be opened; it is kept. ``Sent``: a message
            of ours changed its state. None: nothing for this engine.

        Raises:
            StoreError: the store failed. Nothing else, whatever the stanza holds.
        """
        incoming = sort_message(stanza, self.account)
        if incoming is None:
            return None
        if not incoming.carbon:
            error = read_error(incoming.stanza)
            if error is not None:
                return await self._outbox.settle(
                    incoming.stanza.get("id", ""),
                    incoming.peer,
                    SendState.REFUSED,
                    error=error.text,
                    condition=error.condition,
                )
            confirmed = receipt_for(incoming.stanza)
            if confirmed is not None:
                return await self._outbox.settle(confirmed, incoming.peer, SendState.RELAYED)
        element = incoming.stanza.find(wire.ENCRYPTED_TAG)
        if element is None or incoming.stanza.get("type") in {"error", "groupchat"}:
            return None
        return await self._open(incoming, element)

    async def _open(self, incoming: Incoming, element: Element) -> Received | Unopened:
        try:
            received = await self._opener.open(incoming, element)
        except GreError as error:
            _log.warning("unopened", code=error.code, peer_domain=wire.domain(incoming.peer))
            await self._keep(incoming)
            return Unopened(error, incoming.stanza, incoming.peer, incoming.direction, incoming.id)
        if incoming.id is not None:
            key = (incoming.peer, incoming.id)
            if key in self._seen:
                return replace(received, repeated=True)
            self._seen[key] = None
            if len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        return received

    async def _keep(self, incoming: Incoming) -> None:
        """Keep the stanza of what could not be opened, so that it can be tried again with another key or plugin."""
        store = self.ports.store
        keys = await store.keys("unopened/")
        for old in keys[: max(len(keys) - _KEPT + 1, 0)]:
            await store.delete(old)
        stamp = f"{self.ports.now():%Y%m%dT%H%M%S.%f}"
        await store.put(f"unopened/{stamp}", tostring(incoming.stanza))

    def receipt(self, stanza: Element) -> Element | None:
        """Make the receipt that a received message asks for (XEP-0184); None when it asks for none.

        Send it once the message is safe with the host. Carbons are never confirmed.
        """
        incoming = sort_message(stanza, self.account)
        if incoming is None or incoming.carbon or incoming.direction is not Direction.RECEIVED:
            return None
        request, stanza_id = incoming.stanza.find(wire.REQUEST_TAG), incoming.stanza.get("id")
        if request is None or not stanza_id or incoming.stanza.get("type") in {"error", "groupchat"}:
            return None
        receipt = Element(
            wire.MESSAGE_TAG, {"to": incoming.peer_full, "type": incoming.stanza.get("type", "normal")}
        )
        SubElement(receipt, wire.RECEIVED_TAG, {"id": stanza_id})
        return receipt
