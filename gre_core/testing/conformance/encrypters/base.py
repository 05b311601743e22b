"""What the parts of the encrypter suite share: people, and calls that are judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from gre_core.api import EncrypterProvider, Observing, Preparing
from gre_core.errors import (
    BadEncrypted,
    DecryptFailed,
    GreError,
    NotForUs,
    NoUsableKey,
    PolicyChanged,
    WorkerFailed,
)
from gre_core.model import Body, Direction, Opened, OpenJob, SealJob, Verdict
from gre_core.testing.conformance.calling import call, drive, required
from gre_core.testing.conformance.encrypters.bodies import over_the_wire
from gre_core.testing.conformance.people import ACCOUNTS, People
from gre_core.testing.conformance.provider import ProviderConformance
from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.testing.conformance.people import Party

OPEN_ERRORS = (BadEncrypted, NotForUs, DecryptFailed, WorkerFailed)
"""What opening may raise."""


class EncrypterSuite(ProviderConformance):
    """Attributes and helpers of the encrypter suite.

    Attributes:
        provider: what your ``gre_encrypters`` hook returns. Set it.
        accounts: who takes part: account and address by name.
        signs: messages are signed.
        own_copies: we can open what we sent.
        several_recipients: one message can be for several people.
        needs_keys: nothing can be encrypted to somebody without a key.
        asks_about_changed_keys: a changed key is not used before the user said so.
        huge: size of the largest payload, in bytes.
        hostile: bodies that are dangerous for your encrypter in particular.
    """

    provider: ClassVar[EncrypterProvider]
    accounts: ClassVar[Mapping[str, tuple[str, str]]] = ACCOUNTS
    signs: ClassVar[bool] = True
    own_copies: ClassVar[bool] = True
    several_recipients: ClassVar[bool] = True
    needs_keys: ClassVar[bool] = True
    asks_about_changed_keys: ClassVar[bool] = True
    huge: ClassVar[int] = 2_000_000
    hostile: ClassVar[tuple[Body, ...]] = ()
    methods: ClassVar[tuple[tuple[str, int, bool], ...]] = (
        ("seal_keys", 2, True),
        ("encrypt", 3, True),
        ("open_keys", 3, True),
        ("decrypt", 3, True),
    )
    _met: ClassVar[dict[tuple[type, bool], People]] = {}

    # -- people ------------------------------------------------------------------------------------

    def introduce(self, people: People, *names: str) -> None:
        """Let people know each other's keys. Override it when your encrypter does not publish its keys in PEP.

        Each prepares a session, and begins a message to the others: whoever has no key yet makes and publishes one.
        """
        for name in names:
            party = people[name]
            made = party.encrypter
            if isinstance(made, Preparing):
                preparing = made.prepare(party.account, party.ports)
                call(
                    lambda preparing=preparing: drive(preparing),  # type: ignore[misc]
                    own=(),
                    rule="abilities-work",
                    doing="prepare()",
                )
            for other in names:
                if other == name:
                    continue
                sealing = party.encrypter.seal_keys(people.seal_job(name, other), party.ports)
                call(
                    lambda sealing=sealing: drive(sealing),  # type: ignore[misc]
                    own=(NoUsableKey, PolicyChanged),
                    rule="seal-own-errors",
                    doing="seal_keys(), when people meet",
                )

    def new_people(self, *names: str, worker: bool = False) -> People:
        """Give people of whom some know each other (Romeo, Juliet and the nurse otherwise), and Mallory nobody."""
        __tracebackhide__ = True
        people = People(self.make, self.provider.namespace, self.accounts, worker=worker)
        self.meet(people, *(names or ("romeo", "juliet", "nurse")))
        return people

    def meet(self, people: People, *names: str) -> None:
        """Introduce people, who say yes to what they are asked meanwhile."""
        __tracebackhide__ = True
        people.answer = True
        call(
            lambda: self.introduce(people, *names),
            own=(),
            rule="seals",
            doing="introducing people to each other",
        )
        people.answer = False

    def people(self, *, worker: bool = False) -> People:
        """Give people that all tests of the class share: for tests that change nothing."""
        __tracebackhide__ = True
        key = (type(self), worker)
        if key not in self._met:
            self._met[key] = self.new_people(worker=worker)
        return self._met[key]

    def look_again(self, people: People, reader: str, about: str) -> None:
        """Tell an encrypter that follows nodes that those of a contact changed."""
        party = people[reader]
        if isinstance(party.encrypter, Observing):
            for node in party.encrypter.nodes:
                drive(party.encrypter.notified(people[about].contact, node, party.ports))

    # -- calls that are judged ---------------------------------------------------------------------

    def seal(
        self, people: People, sender: str, *recipients: str, payload: bytes = b"Wherefore", doing: str = ""
    ) -> Body:
        """Seal for people who know each other; give the body as it arrives."""
        __tracebackhide__ = True
        job = people.seal_job(sender, *recipients)
        return required(self.try_seal(people, job, people[sender], payload), "seals", doing or sender)

    def try_seal(
        self,
        people: People,
        job: SealJob,
        party: Party,
        payload: bytes = b"Wherefore",
        rule: str = "seal-own-errors",
    ) -> Body | BaseException:
        """Seal; give the body as it arrives, or our error. Any other error breaks ``rule``."""
        __tracebackhide__ = True

        async def work() -> Body:
            keys = await party.encrypter.seal_keys(job, party.ports)
            return await party.encrypter.encrypt(payload, keys, party.ports)

        body: object = call(lambda: drive(work()), own=(GreError,), rule=rule, doing=f"{party.name} seals")
        if isinstance(body, GreError):
            return body
        demand(isinstance(body, Body), "seals", f"encrypt() gave {type(body).__name__}")
        assert isinstance(body, Body)
        return over_the_wire(body, job.formatter, people.namespace)

    async def opening(self, party: Party, body: Body, job: OpenJob) -> Opened:
        """Open as an engine does: missing signers are looked for once more."""
        keys = await party.encrypter.open_keys(body, job, party.ports)
        opened = await party.encrypter.decrypt(body, keys, party.ports)
        if isinstance(opened, Opened) and opened.missing:
            keys = await party.encrypter.open_keys(body, replace(job, missing=opened.missing), party.ports)
            opened = await party.encrypter.decrypt(body, keys, party.ports)
        return opened

    def try_open(
        self, party: Party, body: Body, job: OpenJob, doing: str = "", rule: str = "open-own-errors"
    ) -> Opened | BaseException:
        """Open; give the result, or our error. Any other error breaks ``rule``."""
        __tracebackhide__ = True
        opened: Any = call(
            lambda: drive(self.opening(party, body, job)),
            own=OPEN_ERRORS,
            rule=rule,
            doing=f"{party.name} opens ({doing or 'a body'})",
        )
        if isinstance(opened, OPEN_ERRORS):
            return opened
        fine = isinstance(opened, Opened) and isinstance(opened.verdict, Verdict)
        demand(fine, "opens-its-own", f"decrypt() gave {type(opened).__name__}, not Opened with a verdict")
        demand(type(opened.payload) is bytes, "round-trip-payload", "the payload is no bytes")
        assert isinstance(opened, Opened)
        return opened

    def open(
        self,
        people: People,
        reader: str,
        sender: str,
        body: Body,
        direction: Direction = Direction.RECEIVED,
        rule: str = "opens-its-own",
    ) -> Opened:
        """Open what the reader must be able to open."""
        __tracebackhide__ = True
        job = people.open_job(reader, sender, direction)
        return required(self.try_open(people[reader], body, job), rule, reader)
