"""The client's engine: sends and receives encrypted messages of one account over any XMPP library.

A host awaits :meth:`ClientEngine.send`, and gives each received ``<message/>`` to :meth:`ClientEngine.handle`.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.archive import archive_id
from gre_core.assessing import Assessor
from gre_core.capabilities import Capabilities
from gre_core.conversing import Correspondent
from gre_core.distribution import Distributor
from gre_core.errors import GreError, ParseFailed, Refused
from gre_core.explaining import Explainer, Explanation
from gre_core.handled import Handled, Mark
from gre_core.incoming import Incoming, read_error, receipt_for, sort_archived, sort_message
from gre_core.jid_escape import canonical, contact
from gre_core.kept import Kept
from gre_core.log import get_logger
from gre_core.message_index import MessageIndex
from gre_core.model import Direction, Message, Notice
from gre_core.namespaces import EME, GRE, Kind
from gre_core.opening import Opener, Received, Unopened
from gre_core.outbox import Outbox, SendState, Sent
from gre_core.plugin_events import PluginEvents
from gre_core.policy import Memory, Policy
from gre_core.sealing import Sealed, Sealer
from gre_core.transmission import Transmitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from gre_core.archive import Archived
    from gre_core.model import Question
    from gre_core.ports import Network, Ports
    from gre_core.registry import Plugins

__all__ = ["ClientEngine", "Explanation", "Received", "Sealed", "SendState", "Sent", "Unopened"]

_SEEN: Final = 2048
_MOST_ACQUAINTED: Final = 64
_log = get_logger(__name__)


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
        self.account: str = canonical(account)
        self.plugins = plugins
        self.network = network
        self._memory = Memory(ports.store, ports.decide)
        self.ports: Ports = replace(ports, decide=self._memory.decide)
        self._capabilities = Capabilities(network, self.ports, policy.capabilities_lifetime)
        self._sealer = Sealer(
            self.account, plugins, self.ports, network, self._capabilities, self._memory, policy
        )
        self._explainer = Explainer(self.account, plugins, self.ports, network, self._capabilities, policy)
        self._index = MessageIndex(ports.store)
        assessor = Assessor(self._memory, self._index, self.ports)
        self._opener = Opener(self.account, plugins, self.ports, assessor)
        self.handled: Handled = Handled(ports.store)
        self._outbox = Outbox(ports.store)
        self._transmitter = Transmitter(self._outbox, self.handled, network)
        distributor = Distributor(self._sealer, self._capabilities, self._memory)
        self._correspondent = Correspondent(
            self._sealer, distributor, self._transmitter, self._index, self._memory
        )
        self._kept = Kept(ports.store)
        self._events = PluginEvents(self.account, plugins, self.ports)
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    # -- session -------------------------------------------------------------------------------------

    def features(self) -> tuple[str, ...]:
        """Give the disco#info features of a client (GRE, "Discovering Support"; XEP-0380).

        What cannot be made is not announced, and without a formatter and an encrypter neither is GRE.
        """
        usable = self._events.usable()
        able = {namespace.kind for namespace in usable} == set(Kind)
        notify = sorted(f"{node}+notify" for node in self._events.observed())
        return (*((GRE, *map(str, usable), EME) if able else ()), wire.RECEIPTS, *notify)

    async def start_session(self) -> tuple[Notice, ...]:
        """Begin a session: forget what was cached, prepare the encrypters, send again what nobody confirmed.

        Result:
            What to show to the user. Failures of plugins are among it.

        Raises:
            StoreError: the store failed.
        """
        self._capabilities.clear()
        notices = await self._events.changed_providers()
        notices += await self._events.prepare()
        return (*notices, *await self.resend())

    async def resend(self, wanted: Callable[[Sent], bool] = lambda _: True) -> tuple[Notice, ...]:
        """Hand the messages that nobody has confirmed to the stream again, with the same origin-id.

        Arguments:
            wanted: chooses among them; all otherwise.

        Result:
            What can never be sent again, to be shown to the user.

        Raises:
            StoreError: the store failed.
        """
        return await self._transmitter.resend(wanted)

    def saw_capabilities(self, jid: str, version: str) -> None:
        """Note the XEP-0115 ``ver`` in a presence; a change makes us ask the peer again."""
        self._capabilities.saw(canonical(jid), version)

    def forget(self, jid: str) -> None:
        """Forget what a contact or a gateway (a domain) announced, so that it is asked again."""
        self._capabilities.forget(canonical(jid))

    async def notified(self, jid: str, node: str) -> tuple[Notice, ...]:
        """Tell the encrypters that a pubsub node changed (XEP-0163); the contact's data is asked for anew."""
        self._capabilities.forget_data(canonical(jid))
        return tuple(await self._events.notified(canonical(jid), node))

    async def acquaint(self, jids: Iterable[str]) -> tuple[Notice, ...]:
        """Let the encrypters look up contacts, so that their messages can be judged: opening looks nothing up.

        Arguments:
            jids: of anybody; contacts on gateways are chosen, at most 64: those with an escaped localpart (XEP-0106),
                and all others of a gateway that we wrote to before.
        """
        bare = dict.fromkeys(wire.bare(jid) for jid in jids)
        contacts: list[str] = []
        for jid in bare:
            local, _, gateway = jid.rpartition("@")
            if "\\" in local or (local and await self._memory.sender_ids(gateway, gateway)):
                contacts.append(jid)
        contacts = contacts[:_MOST_ACQUAINTED]
        return tuple(await self._events.acquaint(contacts)) if contacts else ()

    async def approve(self, question: Question) -> None:
        """Store the user's yes to the question of a :class:`~gre_core.errors.PolicyChanged`. Then try again."""
        await self._memory.approve(question)

    # -- sending -------------------------------------------------------------------------------------

    async def seal(self, jid: str, message: Message, stanza_id: str | None = None) -> Sealed:
        """Make the stanza of an encrypted message, without sending it. See :meth:`Sealer.seal` for its errors."""
        return await self._sealer.seal(jid, message, stanza_id)

    async def send(
        self,
        jid: str,
        message: Message,
        stanza_id: str | None = None,
        *,
        reply_to: str | None = None,
        thread: str | None = None,
    ) -> Sent:
        """Encrypt a message, keep it, and send it.

        It is kept until a receipt or an error comes; :meth:`handle` then gives its new state. When the stream is
        down it stays queued and goes out with the next session.

        Arguments:
            jid: bare JID of the contact on the gateway.
            message: what to send.
            stanza_id: an id of the caller's; a random one otherwise.
            reply_to: ``Received.id`` or ``Sent.id`` of the message that this one answers. What it says about the
                conversation goes into ``message``.
            thread: ``Received.thread`` of a conversation that this one continues without answering a message.

        Raises:
            LocalProtocolError: the message to answer is not remembered.
            GreError: it was not encrypted, and nothing was sent. See :meth:`Sealer.seal`.
        """
        return await self._correspondent.send(jid, message, stanza_id, reply_to, thread)

    async def send_all(
        self,
        to: Iterable[str],
        message: Message,
        *,
        cc: Iterable[str] = (),
        bcc: Iterable[str] = (),
        stanza_id: str | None = None,
        reply_to: str | None = None,
        thread: str | None = None,
    ) -> tuple[Sent, ...]:
        """Encrypt a message to several people and send it: to everybody, or to nobody.

        Inside, the message names all in To and Cc; each of them on one gateway gets the same ciphertext. Each blind
        copy has a ciphertext and a stanza of its own. All bear the same origin-id.

        Arguments:
            to: bare JIDs of contacts, on one or several gateways. At most 50 people in all.
            message: what to send; its ``to`` and ``cc`` are replaced.
            cc: who gets a copy.
            bcc: who gets a copy that nobody else learns of. The gateway of each of them learns it.
            stanza_id: as for :meth:`send`.
            reply_to: as for :meth:`send`.
            thread: as for :meth:`send`.

        Result:
            One value for each stanza; ``Sent.recipients`` tells whom it is for. All of them are relayed when the
            gateways confirmed each.

        Raises:
            PolicyChanged: somebody has no key: the question ``leave-out-recipients`` names them all, and asks whether
                the others shall get the message.
            NoUsableKey: nobody has a key.
            GreError: nothing was sent. As for :meth:`send`.
        """
        return await self._correspondent.send_all(message, (to, cc, bcc), stanza_id, reply_to, thread)

    async def reply(self, received: Received, message: Message, *, to_all: bool = False) -> tuple[Sent, ...]:
        """Answer a message.

        It gets the subject ``Re: ...`` unless it has one, and its place in the conversation. What the message kept
        confidential stays confidential.

        Arguments:
            received: what to answer.
            message: the answer.
            to_all: answer everybody whom the protected part of the message names, not only its author.

        Raises:
            PolicyChanged: the message says that it is from somebody else than whom it came from (question
                ``answer-another``), or as for :meth:`send_all`.
            GreError: nothing was sent. As for :meth:`send_all`.
        """
        return await self._correspondent.reply(received, message, to_all=to_all)

    async def send_plain(self, jid: str, text: str, stanza_id: str | None = None) -> Sent:
        """Send a message that is not encrypted, if the gateway and its past allow it (GRE, "Security Considerations").

        Like an encrypted message it is kept until a receipt or an error comes.

        Raises:
            Refused: the gateway takes only encrypted content.
            PolicyChanged: something better was there before; the user has to decide.
            TooLarge: the server does not take a stanza of that size.
            InvalidAddress: the JID is not that of a contact on a gateway.
        """
        jid, _ = contact(jid)
        gateway = wire.domain(jid)
        peer = await self._capabilities.peer(jid)
        await self._memory.see_offer(gateway, peer.offer)
        if peer.offer.encrypted_only:
            raise Refused(f"{gateway} takes only encrypted messages. Send this one encrypted.")
        await self._memory.require_plain(gateway, jid)
        stanza_id = stanza_id or secrets.token_hex(16)
        stanza = wire.build_plain(jid, stanza_id, text, receipt=peer.receipts)
        return await self._transmitter.dispatch(stanza_id, jid, stanza)

    async def pending(self) -> list[Sent]:
        """List the messages that nobody has confirmed yet, oldest first."""
        return await self._outbox.pending()

    async def give_up(self, stanza_id: str) -> Sent | None:
        """Stop sending a message again: by the user's word."""
        return await self._transmitter.settle(
            stanza_id, None, SendState.REFUSED, error="Given up by the user."
        )

    async def explain(self, jid: str) -> Explanation:
        """Tell what a peer offers, what we have, what was chosen and why.

        Nobody is asked and nothing is remembered. Raises nothing of ours.
        """
        return await self._explainer.explain(jid)

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
        return None if incoming is None else await self._handle(incoming)

    async def handle_archived(self, archived: Archived) -> Received | Unopened | Sent | None:
        """Look at a message from the archive of our account.

        Result:
            As :meth:`handle`. None also for what was handled before, and for what this device sent.

        Raises:
            StoreError: the store failed. Nothing else, whatever the stanza holds.
        """
        incoming = sort_archived(archived.stanza, self.account, archived.stamp)
        if incoming is None or await self.handled.knows(_mark(incoming, archived.id)):
            return None
        waiting = {sent.origin_id for sent in await self.pending()}
        if incoming.direction is Direction.SENT and incoming.id in waiting:
            return None
        result = await self._handle(incoming)
        return replace(result, archived=True) if isinstance(result, Received | Unopened) else result

    def mark(self, stanza: Element, *, trusted_ids: bool) -> Mark | None:
        """Give the names by which a message that came live is recognised in the archive; None when it has no sender.

        Arguments:
            stanza: the ``<message/>``.
            trusted_ids: our server removes archive ids that others made up (XEP-0359).
        """
        incoming = sort_message(stanza, self.account)
        known = archive_id(stanza, self.account) if trusted_ids else None
        return None if incoming is None else _mark(incoming, known)

    async def _handle(self, incoming: Incoming) -> Received | Unopened | Sent | None:
        if not incoming.carbon:
            error = read_error(incoming.stanza)
            if error is not None:
                ours = incoming.peer in {self.account, wire.domain(self.account)}
                return await self._transmitter.settle(
                    incoming.stanza.get("id", ""),
                    None if ours else incoming.peer,
                    SendState.REFUSED,
                    error=error.text,
                    condition=error.condition,
                )
            confirmed = receipt_for(incoming.stanza)
            if confirmed is not None:
                return await self._transmitter.settle(confirmed, incoming.peer, SendState.RELAYED)
        elements = incoming.stanza.findall(wire.ENCRYPTED_TAG)
        if not elements or incoming.stanza.get("type") in {"error", "groupchat"}:
            return None
        result = await self._open(incoming, elements)
        if isinstance(result, Unopened):
            _log.warning("unopened", code=result.error.code, peer_domain=wire.domain(incoming.peer))
            await self._kept.add(incoming, self.ports.now())
        return result

    async def _open(self, incoming: Incoming, elements: Sequence[Element]) -> Received | Unopened:
        try:
            received = await self._opener.open(incoming, elements)
        except GreError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a plugin that returned rubbish must not end the session
            failure = ParseFailed(f"A plugin gave something that is no message ({type(error).__name__}).")
        else:
            return replace(received, repeated=self._is_repeated(incoming))
        return Unopened(failure, incoming.stanza, incoming.peer, incoming.direction, incoming.id)

    def _is_repeated(self, incoming: Incoming) -> bool:
        if incoming.id is None:
            return False
        key = (incoming.direction, incoming.peer, incoming.id)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return False

    async def reopen(self) -> AsyncIterator[Received]:
        """Try again to open what was kept, after a key or a plugin came: ``async for received in engine.reopen()``.

        A message is kept no longer once the caller asks for the next one: until then it is not safe with the host.

        Raises:
            StoreError: the store failed.
        """
        await self.acquaint([incoming.peer async for _, incoming in self._kept.entries()])
        async for key, incoming in self._kept.entries():
            result = await self._open(incoming, incoming.stanza.findall(wire.ENCRYPTED_TAG))
            if isinstance(result, Received):
                yield result
                await self._kept.remove(key)

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


def _mark(incoming: Incoming, known: str | None) -> Mark:
    return Mark(incoming.direction, incoming.peer, incoming.id, known)
