"""The keys of contacts for one session: fetched when needed first, kept parsed until something changes.

Nothing is ever asked of anybody because a message is opened: what is not known then is noted, and fetched when
something is sent, at the start of a session, by an event of the contact's key list, or when the user says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import InvalidAddress, PeerTimeout, PolicyChanged
from gre_core.jid_escape import contact as legacy_contact
from gre_core.model import Direction, Recipient, Signature
from gre_openpgp.concurrent_record import save_over
from gre_openpgp.contact_record import (
    PREFIX,
    By,
    ContactRecord,
    KeyState,
    Source,
    read_record,
)
from gre_openpgp.encrypting import key_notices
from gre_openpgp.encrypting.engine import Engine, ParsedCert, by_id
from gre_openpgp.encrypting.key_sources import (
    Gathered,
    all_served,
    ask_domain,
    ask_list,
    domain_is_due,
    remembered_answers,
    why_none,
)
from gre_openpgp.encrypting.wanted import unwant, want, wanted
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.key_choice import Choice, TrustPolicy, choose, settle
from gre_openpgp.trust import allowed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gre_core.model import Notice, Opened, OpenJob
    from gre_core.ports import Ports, Store

MAX_CONTACTS: Final = 4096
"""How many contacts are kept parsed at a time (some 20 KB each)."""

FormValues = tuple[str, ...] | None
_Terms = tuple[FormValues, TrustPolicy]


@dataclass(slots=True)
class Contact:
    """What is known of one contact in this session.

    Arguments:
        engine: the OpenPGP library.
        jid: bare JID.
        record: what is remembered.
        raw: the record as it lies in the store.
        parsed: all trusted keys, also those that nothing may be encrypted to any more.
        by_id: the same by what signatures name, in lower-case hex.
        usable: what is encrypted to; empty until a message is sealed.
        until: when one of the usable keys expires, or the contact's domain may be asked again.
        terms: the gateway's data field and the policy when the usable keys were chosen.
        current: False when the sources must be asked before the next message is sealed.
        trial: the keys are only those that the message itself brought.
        heard: the Autocrypt fields of the last message.
    """

    engine: Engine = field(repr=False)
    jid: str = ""
    record: ContactRecord = field(default_factory=ContactRecord)
    raw: bytes | None = field(default=None, repr=False)
    parsed: tuple[ParsedCert, ...] = ()
    by_id: dict[str, Any] = field(default_factory=dict)
    usable: tuple[ParsedCert, ...] = ()
    until: datetime | None = None
    terms: _Terms | None = None
    current: bool = False
    trial: bool = False
    heard: tuple[str, ...] = field(default=(), repr=False)
    _certs: dict[str, ParsedCert] = field(default_factory=dict, repr=False)

    def cert(self, fingerprint: str) -> ParsedCert:
        """Give a known key, parsed once.

        Raises:
            BadOpenPGP: it cannot be read.
        """
        key = self.record.keys[fingerprint].key
        found = self._certs.get(fingerprint)
        if found is None or found.key != key:
            found = self._certs[fingerprint] = self.engine.read(key)
        return found

    def problem(self, fingerprint: str, address: str, now: datetime) -> str:
        """Say why nothing may be encrypted to a known key, or ``""``."""
        if self.record.keys[fingerprint].revoked:
            return "its owner revoked it"
        try:
            return self.cert(fingerprint).usable_problem(address, now)
        except BadOpenPGP as error:
            return error.text

    def hold(self, record: ContactRecord, raw: bytes | None) -> None:
        """Take a record, as it lies in the store, as what is known."""
        self.record, self.raw = record, raw
        self.parsed = self._readable(known.fingerprint for known in record.trusted())
        self.by_id = by_id(self.parsed)

    def on_trial(self) -> Contact:
        """Give the contact with the keys that its own messages brought, when there is no other yet."""
        names = [
            name
            for name, known in self.record.keys.items()
            if Source.AUTOCRYPT in known.sources and known.state is KeyState.NEW and not known.revoked
        ]
        if self.parsed or not names:
            return self
        certs = self._readable(names)
        return replace(self, parsed=certs, by_id=by_id(certs), trial=True)

    def _readable(self, names: Iterable[str]) -> tuple[ParsedCert, ...]:
        found = []
        for name in names:
            try:
                found.append(self.cert(name))
            except BadOpenPGP:
                continue
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a message to a contact would be encrypted to.

    Arguments:
        gathered: what the sources say.
        choice: the keys, or the question.
        problems: why keys cannot be used, by fingerprint or source.
    """

    gathered: Gathered
    choice: Choice
    problems: dict[str, str]

    def view(self, contact: Contact) -> Contact:
        """Give the contact with what was gathered, which is not remembered yet; what is parsed is shared."""
        return replace(contact, record=self.gathered.record)

    def require_key(self, recipient: Recipient, form: FormValues) -> None:
        """Go on only with a key; raises :class:`NoUsableKey`."""
        if not self.choice.use:
            pinned = self.choice.source is Source.PINNED
            raise key_notices.no_key(
                recipient,
                self.problems,
                pinned=pinned,
                empty_form=form == (),
                why_none=self.gathered.why_none,
            )


class Contacts:
    """The contacts of one account. ``engine`` is the OpenPGP library."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: dict[str, Contact] = {}

    async def recall(self, jid: str, ports: Ports) -> Contact:
        """Give what is known of a contact; what the user said in another program counts at once.

        Raises:
            StoreError: the memory cannot be read.
        """
        raw = await ports.store.get(PREFIX + jid)
        contact = self._known.get(jid)
        if contact is None:
            while len(self._known) >= MAX_CONTACTS:
                del self._known[next(iter(self._known))]
            contact = self._known.setdefault(jid, Contact(self.engine, jid))
        elif contact.raw == raw:
            return contact
        contact.hold(read_record(raw, jid), raw)
        contact.current = False
        return contact

    async def keep(
        self, contact: Contact, record: ContactRecord, store: Store, base: ContactRecord | None = None
    ) -> None:
        """Remember a changed record, with what the user decided elsewhere since ``base``.

        Arguments:
            contact: whose.
            record: what is to be remembered.
            store: of the host.
            base: what it was made of; None when that is what is known now, and nothing was waited for.

        Raises:
            StoreError: the memory failed.
        """
        if base is not None or record != contact.record or contact.raw is None:
            contact.hold(*await save_over(contact.jid, record, base or contact.record, store))

    # -- sealing -----------------------------------------------------------------------------------

    async def to_encrypt(
        self, recipient: Recipient, form: FormValues, policy: TrustPolicy, ports: Ports
    ) -> tuple[ParsedCert, ...]:
        """Give all usable keys of a recipient; without any round trip when nothing changed.

        Arguments:
            recipient: whose.
            form: the fingerprints in the gateway's data form; None when it has no such field.
            policy: when the user is asked.
            ports: of the host.

        Raises:
            NoUsableKey: there is none; the text says why and what to do.
            PolicyChanged: the keys changed and the user has to agree first.
            PeerTimeout, StoreError: they cannot be found out.
        """
        contact = await self.recall(recipient.jid, ports)
        now = ports.now()
        ended = contact.until is not None and contact.until <= now
        if contact.current and contact.terms == (form, policy) and not ended:
            return contact.usable
        contact.current, base = False, contact.record
        plan = await self.plan(contact, recipient, form, policy, ports)
        choice, gathered = plan.choice, plan.gathered
        if not choice.use:
            await self.keep(contact, gathered.record, ports.store, base)
        plan.require_key(recipient, form)
        if choice.question is not None and not await allowed(choice.question, ports):
            await self.keep(contact, gathered.record, ports.store, base)
            raise PolicyChanged(choice.question.text, choice.question)
        settled = settle(gathered.record, choice, gathered.served)
        await self.keep(contact, settled, ports.store, base)
        if contact.record != settled:  # the user decided something in another program meanwhile
            return await self.to_encrypt(recipient, form, policy, ports)
        contact.usable = tuple(contact.cert(name) for name in choice.use)
        contact.until = self._until(contact, ports)
        contact.terms, contact.current = (form, policy), True
        return contact.usable

    async def plan(
        self, contact: Contact, recipient: Recipient, form: FormValues, policy: TrustPolicy, ports: Ports
    ) -> Plan:
        """Ask the sources and choose. Nothing is remembered, nobody is asked.

        Raises:
            PeerTimeout: the key list cannot be read, and no key is pinned.
            NoUsableKey: the gateway says two different things about a contact that we know nothing of.
        """
        gathered = await self._gather(contact.jid, contact.record, recipient.legacy_id, form, ports)
        usable, problems = usable_keys(contact, gathered, recipient.legacy_id, ports.now())
        note = ""
        listed = [name for name in gathered.served.get(Source.XEP0373, ()) if name in usable]
        if form and listed and not _has_pin(contact.record):
            first_use = not contact.record.trusted()
            note = key_notices.form_contradiction(contact.jid, listed, form, first_use=first_use)
        note = f"{note} {key_notices.origins(gathered.record, listed)}".strip()
        choice = choose(contact.jid, gathered.record, gathered.served, usable, policy, note=note)
        if form == () and not choice.use and not gathered.record.keys:
            gathered = replace(gathered, why_none=await why_none(contact.jid, ports.pubsub))
        return Plan(gathered, choice, problems)

    async def _gather(
        self, jid: str, record: ContactRecord, address: str, form: FormValues, ports: Ports
    ) -> Gathered:
        now = ports.now()
        if form == ():
            gathered = Gathered(record, {Source.XEP0373: ()})
        else:
            try:
                gathered = await ask_list(self.engine, jid, record, ports.pubsub, now)
            except PeerTimeout as error:
                if not _has_pin(record):
                    raise
                gathered = Gathered(record, {}, {Source.XEP0373: error.text}, listed=False)
        record, problems = gathered.record, dict(gathered.problems)
        if ports.web is not None and domain_is_due(record, address, now):
            record, answer = await ask_domain(self.engine, record, address, ports.web, now)
            if answer.detail:
                problems[Source.WKD] = answer.detail
        served = {**gathered.served, **remembered_answers(record, address)}
        return replace(gathered, record=record, served=served, problems=problems)

    def _until(self, contact: Contact, ports: Ports) -> datetime | None:
        ends = [cert.expires for cert in contact.usable if cert.expires is not None]
        if ports.web is not None and contact.record.wkd is not None:
            ends.append(contact.record.wkd.until)
        return min(ends, default=None)

    # -- opening -----------------------------------------------------------------------------------

    async def to_verify(self, jid: str, ports: Ports, *, again: bool = False) -> Contact:
        """Give what is known of a contact. Nothing is fetched.

        Arguments:
            jid: the sender.
            ports: of the host.
            again: a signer was missing, and the message may have brought its key itself.

        Raises:
            StoreError: the memory cannot be read.
        """
        contact = await self.recall(jid, ports)
        return contact.on_trial() if again else contact

    async def judged(self, opened: Opened, seen: Contact, job: OpenJob, ports: Ports) -> Opened:
        """Complete a verdict: name the source of the key, remember a first use, say what is missing.

        Raises:
            StoreError: the memory cannot be written.
        """
        if job.direction is not Direction.RECEIVED:
            return opened
        verdict = opened.verdict
        if verdict.signature is Signature.UNKNOWN_SIGNER and opened.missing:
            notice = await self._missing(seen, opened.missing, ports)
            detail = f"The message is signed by the key {opened.missing[0]}, which is not known to be theirs"
            verdict = replace(verdict, detail=detail)
            return replace(opened, verdict=verdict, warnings=(*opened.warnings, notice))
        known = seen.record.keys.get(verdict.signer or "")
        if verdict.source is None or known is None:
            return opened
        source = known.source or Source.XEP0373
        if source != verdict.source:
            opened = replace(opened, verdict=replace(verdict, source=source))
        if verdict.signature is not Signature.GOOD:
            return opened
        new = replace(known, state=KeyState.ACCEPTED, by=By.FIRST_USE) if seen.trial else known
        if not known.confirmed and not known.told:
            new = replace(new, told=True)
            opened = replace(opened, warnings=(*opened.warnings, key_notices.not_verified(seen.jid, known)))
        if new is not known:
            base = seen.record  # the message may have been in the worker while the user decided something
            contact = await self.recall(seen.jid, ports)
            await self.keep(contact, contact.record.with_keys([new]), ports.store, base)
            contact.current = contact.current and not seen.trial
        return opened

    async def _missing(self, seen: Contact, missing: tuple[str, ...], ports: Ports) -> Notice:
        """Say what is known of an unknown signer, and note that the contact's keys are to be fetched."""
        for known in seen.record.keys.values():
            if not known.trusted and known.named_by(missing):
                return key_notices.missing_signer(seen.jid, missing[0], known)
        await want(seen.jid, ports.store)
        contact = self._known.get(seen.jid)
        if contact is not None:
            contact.current = False
        return key_notices.missing_signer(seen.jid, missing[0], None)

    # -- sessions, events, the user ----------------------------------------------------------------

    async def changed(self, jid: str, ports: Ports) -> list[Notice]:
        """React to a change of a contact's key list: read it now, if the contact is one of ours.

        Raises:
            StoreError: the memory failed.
        """
        contact = await self.recall(jid, ports)
        contact.current = False
        if not contact.record.keys and jid not in await wanted(ports.store):
            return []
        return await self.refresh(jid, ports)

    async def acquaint(self, jids: Iterable[str], ports: Ports) -> list[Notice]:
        """Fetch the keys of contacts that nothing is known of.

        Raises:
            StoreError: the memory failed.
        """
        notices: list[Notice] = []
        for jid in jids:
            if not (await self.recall(jid, ports)).record.keys:
                notices += await self.refresh(jid, ports)
        return notices

    async def refresh_wanted(self, ports: Ports) -> list[Notice]:
        """Fetch the keys of contacts whose messages bore an unknown signature.

        Raises:
            StoreError: the memory failed.
        """
        notices: list[Notice] = []
        for jid in await wanted(ports.store):
            notices += await self.refresh(jid, ports)
        return notices

    async def refresh(self, jid: str, ports: Ports) -> list[Notice]:
        """Read a contact's key list without asking the user: a first use is remembered, a change is told."""
        contact = await self.recall(jid, ports)
        contact.current, base = False, contact.record
        try:
            recipient = Recipient(*legacy_contact(jid))
            gathered = await ask_list(self.engine, jid, base, ports.pubsub, ports.now())
        except (PeerTimeout, InvalidAddress):
            return []
        if not gathered.listed:
            return []
        await unwant(jid, ports.store)
        served = {**gathered.served, **remembered_answers(gathered.record, recipient.legacy_id)}
        gathered = replace(gathered, served=served)
        usable, _ = usable_keys(contact, gathered, recipient.legacy_id, ports.now())
        note = key_notices.origins(gathered.record, served.get(Source.XEP0373, ()))
        choice = choose(jid, gathered.record, served, usable, note=note)
        if choice.question is not None or not choice.use:
            await self.keep(contact, gathered.record, ports.store, base)
            return [] if choice.question is None else [key_notices.changed(choice.question)]
        await self.keep(contact, settle(gathered.record, choice, served), ports.store, base)
        return []


def usable_keys(
    contact: Contact, gathered: Gathered, address: str, now: datetime
) -> tuple[set[str], dict[str, str]]:
    """Tell which of the served and pinned keys can be encrypted to, and what is wrong with the others."""
    view = replace(contact, record=gathered.record)  # shares what is parsed
    problems = dict(gathered.problems)
    usable: set[str] = set()
    pinned = [name for name, known in view.record.keys.items() if known.state is KeyState.PINNED]
    for name in dict.fromkeys([*pinned, *all_served(gathered.served)]):
        if name in view.record.keys:
            problem = view.problem(name, address, now)
            if problem:
                problems[name] = problem
            else:
                usable.add(name)
    return usable, problems


def _has_pin(record: ContactRecord) -> bool:
    return any(known.state is KeyState.PINNED for known in record.keys.values())
