"""Telling what would be sent to a contact, and why, without asking the user and without remembering anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gre_core.api import Explaining
from gre_core.errors import EncryptFailed, GreError, NoUsableKey, PolicyChanged
from gre_core.jid_escape import contact
from gre_core.model import Recipient, SealJob
from gre_core.namespaces import Kind
from gre_core.policy import Memory
from gre_core.ports import refuse
from gre_core.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gre_core.capabilities import Capabilities
    from gre_core.model import Notice, Question
    from gre_core.namespaces import Namespace
    from gre_core.negotiation import Agreement, Offer
    from gre_core.policy import Policy
    from gre_core.ports import Network, Ports, Store
    from gre_core.registry import Plugins, Problem
    from gre_core.sealing import Agreed

_SHOWN: Final = 8
"""How many versions of a peer are told."""


@dataclass(frozen=True, slots=True)
class Untaken:
    """A formatter or encrypter of ours, or a pair of them, that is not used with a contact.

    Arguments:
        namespaces: one; two when it is a pair.
        code: ``not-announced``, ``pair-refused`` or ``other-chosen``.
        text: for people: why, and what to do.
    """

    namespaces: tuple[str, ...]
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why messages to a contact are sent as they are, or are not sent.

    Arguments:
        jid: the contact.
        offer: what the gateway announces; None when it did not answer.
        answered_by: the JID that announced it.
        formatters: ours.
        encrypters: ours.
        agreed: what was chosen and why, as if the user agreed to what is asked; None when there is no agreement.
        error: why not; or a :class:`PolicyChanged` with what the user will be asked before anything is sent.
        problems: what is wrong with installed plugins.
        details: the keys, where they come from, and the encryption format, from the encrypter.
        untaken: what we have and do not use with this contact, and why.
    """

    jid: str
    offer: Offer | None
    answered_by: str | None
    formatters: tuple[str, ...]
    encrypters: tuple[str, ...]
    agreed: Agreed | None
    error: GreError | None
    problems: tuple[Problem, ...]
    details: tuple[Notice, ...] = ()
    untaken: tuple[Untaken, ...] = ()


class Explainer:
    """Explains for one account.

    Arguments:
        account: our bare JID.
        plugins: the formatters and encrypters to use.
        ports: of the engine.
        network: the XMPP stream.
        capabilities: what peers announced.
        policy: the user's preferences.
    """

    def __init__(
        self,
        account: str,
        plugins: Plugins,
        ports: Ports,
        network: Network,
        capabilities: Capabilities,
        policy: Policy,
    ) -> None:
        self._account = account
        self._plugins = plugins
        self._ports = ports
        self._network = network
        self._capabilities = capabilities
        self._policy = policy

    async def explain(self, jid: str) -> Explanation:
        """Tell what a peer offers, what we have, what was chosen and why. Raises nothing of ours."""
        offer = answered_by = agreed = None
        failure: GreError | None = None
        details: tuple[Notice, ...] = ()
        questions: list[Question] = []

        async def note_question(question: Question, /) -> bool:
            questions.append(question)
            return True

        ports = replace(self._ports, store=_Forgetful(self._ports.store), decide=note_question)
        memory = Memory(ports.store, note_question)
        sealer = Sealer(
            self._account, self._plugins, ports, self._network, self._capabilities, memory, self._policy
        )
        try:
            folded, legacy_id = contact(jid)
            peer = await self._capabilities.peer(folded)
            offer, answered_by = peer.offer, peer.answered_by
            agreed = await sealer.agree(folded)
            details = await self._details(Recipient(folded, legacy_id), agreed)
        except GreError as error:
            failure = error
        if questions:
            failure = PolicyChanged(questions[0].text, questions[0])
        return Explanation(
            jid,
            offer,
            answered_by,
            tuple(map(str, self._plugins.formatters)),
            tuple(map(str, self._plugins.encrypters)),
            agreed,
            failure,
            self._plugins.problems,
            details,
            tuple(self._untaken(jid, offer, agreed)) if offer is not None and offer.gre else (),
        )

    def _untaken(self, jid: str, offer: Offer, agreed: Agreed | None) -> Iterable[Untaken]:
        """Tell why each of ours that is not used is not used."""
        ours = (*self._plugins.formatters, *self._plugins.encrypters)
        refused = self._capabilities.refused.get(jid, {})
        for namespace in ours:
            if namespace not in offer.formatters | offer.encrypters:
                yield _not_announced(namespace, offer)
            elif agreed is None or any(namespace in pair for pair in (agreed.agreement.pair, *refused)):
                continue
            else:
                yield _other_chosen(namespace, agreed.agreement)
        for pair, said in refused.items():
            names = " and ".join(map(str, pair))
            reason = f": {said.rstrip('.')}" if said else ""
            text = (
                f"The gateway announces {names}, and refused them together{reason}. It may take each with another "
                "partner; ask its operator."
            )
            yield Untaken(tuple(map(str, pair)), "pair-refused", text)

    async def _details(self, recipient: Recipient, agreed: Agreed) -> tuple[Notice, ...]:
        """Let the encrypter tell about keys and format."""
        encrypter = self._plugins.encrypter(agreed.agreement.encrypter)
        if not isinstance(encrypter, Explaining):
            return ()
        job = SealJob(
            account=self._account,
            recipients=(recipient,),
            data=agreed.data,
            formatter=agreed.agreement.formatter,
            encrypter=agreed.agreement.encrypter,
            origin_id="",
            date=self._ports.now(),
            max_size=agreed.max_size,
            options=self._policy.options,
        )
        try:
            return tuple(await encrypter.explain(job, replace(self._ports, decide=refuse)))
        except NoUsableKey:
            self._capabilities.forget_data(recipient.jid)
            raise
        except GreError:
            raise
        except Exception as error:
            text = f"{job.encrypter} failed while explaining ({type(error).__name__}). Tell its authors."
            raise EncryptFailed(text) from error


def _not_announced(namespace: Namespace, offer: Offer) -> Untaken:
    offered = offer.formatters if namespace.kind is Kind.FORMATTER else offer.encrypters
    others = sorted(each.version for each in offered if each.name == namespace.name)
    if others:
        versions = ", ".join(map(str, others[:_SHOWN]))
        advice = f"It announces version {versions} of {namespace.name}: provide that one too."
    else:
        advice = "Ask its operator whether the gateway can carry it."
    return Untaken((str(namespace),), "not-announced", f"The gateway does not announce {namespace}. {advice}")


def _other_chosen(namespace: Namespace, agreement: Agreement) -> Untaken:
    text = (
        f"The gateway announces {namespace}, and another one was chosen: {agreement.reason}. The policy says which "
        "comes first."
    )
    return Untaken((str(namespace),), "other-chosen", text)


class _Forgetful:
    """A store that shows what another one holds, and forgets what is written to it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[str, bytes | None] = {}

    async def get(self, key: str, /) -> bytes | None:
        """Give what was written here, else what the other store holds."""
        return self._written[key] if key in self._written else await self._store.get(key)

    async def put(self, key: str, value: bytes, /) -> None:
        """Keep it here only."""
        self._written[key] = value

    async def delete(self, key: str, /) -> None:
        """Hide it here only."""
        self._written[key] = None

    async def keys(self, prefix: str, /) -> Sequence[str]:
        """List both."""
        present = {*await self._store.keys(prefix), *(key for key in self._written if key.startswith(prefix))}
        return sorted(key for key in present if self._written.get(key, b"") is not None)
