"""People for the encrypter suite: accounts with stores, a pubsub service, and a gateway that shows them to each other.

Each has an account on XMPP and an address on the legacy network. The gateway serves, at each contact's JID, the nodes
that the person behind it published. So an encrypter that publishes its keys in PEP needs nothing else; one that finds
keys elsewhere overrides ``introduce`` of the suite.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gre_core.jid_escape import escape
from gre_core.model import DataForm, Direction, OpenJob, Recipient, SealJob
from gre_core.namespaces import Namespace, formatter
from gre_core.ports import Ports
from gre_core.stores import MemoryStore
from gre_core.testing.conformance.leaks import decoded
from gre_core.testing.fakes import FakePubSub, InlineWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from xml.etree.ElementTree import Element

    from gre_core.api import Encrypter
    from gre_core.model import Question
    from gre_core.ports import PassphraseRequest

GATEWAY: Final = "gateway.example"
ACCOUNTS: Final = {
    "romeo": ("romeo@xmpp.example", "romeo@montague.example"),
    "juliet": ("juliet@xmpp.example", "juliet@capulet.example"),
    "nurse": ("nurse@xmpp.example", "nurse@capulet.example"),
    "mallory": ("mallory@xmpp.example", "mallory@evil.example"),
}
"""Account and address by name. Romeo, Juliet and the nurse meet; Mallory meets nobody."""

PASSPHRASE: Final = "Deny-7d0c1e-thy-father"
"""What everybody answers when an encrypter asks for a passphrase."""


class SharedNodes(FakePubSub):
    """The pubsub port of one person: own nodes, and those of all others at their contact JIDs."""

    def __init__(
        self, account: str, nodes: dict[tuple[str, str], dict[str, Element | None]], who: Mapping[str, str]
    ) -> None:
        super().__init__(account)
        self.nodes = nodes
        self._who = who

    def _items(self, jid: str, node: str) -> dict[str, Element | None]:
        return super()._items(self._who.get(jid, jid), node)


@dataclass(slots=True)
class Party:
    """One person.

    Attributes:
        name: in the play.
        account: bare JID on XMPP.
        address: on the legacy network.
        ports: what the person's host gives.
        encrypter: made by the provider, for this person alone.
        pubsub: the port, with ``put`` to let somebody have a node.
        worker: the worker, when the host has one; ``calls`` says what was called.
        questions: what the user was asked; the answer is :attr:`People.answer`.
        times: how often the person began anew with an empty store.
    """

    name: str
    account: str
    address: str
    ports: Ports
    encrypter: Encrypter[Any]
    pubsub: FakePubSub
    worker: InlineWorker | None
    questions: list[Question] = field(default_factory=list["Question"])
    times: int = 0

    @property
    def contact(self) -> str:
        """JID at the gateway, by which the others write to this person."""
        return f"{escape(self.address)}@{GATEWAY}"


class People:
    """Everybody, with one clock.

    Arguments:
        make: makes an encrypter for each.
        namespace: of the encrypter.
        accounts: account and address by name, as :data:`ACCOUNTS`.
        worker: hosts have a worker process.

    Attributes:
        answer: what users say to every question: yes while they are introduced, no from then on.
        all: everybody by name.
    """

    def __init__(
        self,
        make: Callable[[], Encrypter[Any]],
        namespace: Namespace,
        accounts: Mapping[str, tuple[str, str]],
        *,
        worker: bool = False,
    ) -> None:
        self._make, self._accounts, self._worker = make, accounts, worker
        self.namespace = namespace
        self.answer = False
        self._nodes: dict[tuple[str, str], dict[str, Element | None]] = {}
        self._who = {f"{escape(address)}@{GATEWAY}": account for account, address in accounts.values()}
        self.all: dict[str, Party] = {name: self._party(name) for name in accounts}

    def _party(self, name: str) -> Party:
        account, address = self._accounts[name]
        pubsub = SharedNodes(account, self._nodes, self._who)
        worker = InlineWorker() if self._worker else None

        async def decide(question: Question) -> bool:
            party.questions.append(question)
            return self.answer

        async def passphrase(_request: PassphraseRequest) -> str | None:
            return PASSPHRASE

        ports = Ports(MemoryStore(), pubsub, decide, self.now, worker, passphrase=passphrase)
        party = Party(name, account, address, ports, self._make(), pubsub, worker)
        return party

    def __getitem__(self, name: str) -> Party:
        """Give somebody by name."""
        return self.all[name]

    @staticmethod
    def now() -> datetime:
        """Give the present time: libraries that sign look at the system's clock."""
        return datetime.now(UTC)

    def restart(self, name: str) -> None:
        """Let somebody begin a new session: a new encrypter, the same store."""
        self.all[name].encrypter = self._make()

    def renew(self, name: str) -> None:
        """Let somebody lose everything: a new encrypter, an empty store, no published nodes."""
        old = self.all[name]
        for key in [key for key in self._nodes if key[0] == old.account]:
            del self._nodes[key]
        self.all[name] = replace(self._party(name), times=old.times + 1)

    def published(self) -> bytes:
        """Give everything that stands in nodes, for everybody to read: also decoded, and its hashes (fingerprints)."""
        told: set[bytes] = set()
        for items in self._nodes.values():
            for payload in items.values():
                for each in () if payload is None else payload.iter():
                    texts = [each.text or "", each.tail or "", *each.attrib.values()]
                    told |= {form for text in texts for form in decoded(text.encode())}
        for piece in tuple(told):
            for name in ("sha1", "sha256", "sha512"):
                digest = hashlib.new(name, piece, usedforsecurity=False)
                told |= {digest.digest(), digest.hexdigest().encode(), digest.hexdigest().upper().encode()}
        return b"\n".join(told)

    # -- jobs --------------------------------------------------------------------------------------

    def seal_job(self, sender: str, *recipients: str, **changes: Any) -> SealJob:
        """Give the facts of a message from one to others."""
        job = SealJob(
            account=self[sender].account,
            recipients=tuple(Recipient(self[name].contact, self[name].address) for name in recipients),
            data=DataForm(self[sender].address),
            formatter=formatter("conformance"),
            encrypter=self.namespace,
            origin_id="5d2f6c1a-9a0e-4b57",
            date=self.now(),
        )
        return replace(job, **changes)

    def open_job(
        self, reader: str, sender: str, direction: Direction = Direction.RECEIVED, **changes: Any
    ) -> OpenJob:
        """Give the facts of a message that one reads; ``sender`` is the other side, also of a copy."""
        received = direction is Direction.RECEIVED
        job = OpenJob(
            account=self[reader].account,
            peer=self[sender].contact,
            direction=direction,
            formatter=formatter("conformance"),
            encrypter=self.namespace,
            expected_sender=self[sender].address if received else None,
            stanza_id="stanza-1",
            received=self.now(),
        )
        return replace(job, **changes)
