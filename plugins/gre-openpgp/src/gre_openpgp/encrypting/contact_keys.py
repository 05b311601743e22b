"""The keys of contacts, for hosts and command-line tools: look, pin, verify, trust, fetch.

::

    keys = ContactKeys("juliet@example.org", client.engine.ports)
    for info in await keys.list():
        print(info.address, info.fingerprint, info.state, ", ".join(info.sources))
    await keys.verify(r"romeo\\40example.net@mail.example.org", "ABCD ...")
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress, NoUsableKey, PeerTimeout
from gre_core.jid_escape import canonical
from gre_core.jid_escape import contact as legacy_contact
from gre_openpgp.armor import PUBLIC_KEY, armor, dearmor, is_armored
from gre_openpgp.concurrent_record import save_over
from gre_openpgp.contact_record import (
    PREFIX,
    By,
    ContactRecord,
    KeyState,
    KnownKey,
    Seen,
    Source,
    load_record,
    save_record,
)
from gre_openpgp.encrypting import key_notices
from gre_openpgp.encrypting.contacts import Contact, usable_keys
from gre_openpgp.encrypting.key_sources import Gathered, ask_domain, ask_list, note, remembered_answers
from gre_openpgp.encrypting.wanted import unwant
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.key_choice import choose, settle
from gre_openpgp.wkd import WkdAnswer, WkdOutcome
from gre_openpgp.xep0373 import PublicKey, normal_fingerprint

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from datetime import datetime

    from gre_core.ports import Ports
    from gre_openpgp.encrypting.engine import Engine
    from gre_openpgp.key_origin import Origin

__all__ = ["ContactKeyInfo", "ContactKeys", "FetchResult", "KeyState", "Outcome", "Seen", "Source"]

_SHORTEST: Final = 16
"""How many digits of a fingerprint name a key, at least. To verify one takes all of them."""


@dataclass(frozen=True, slots=True)
class ContactKeyInfo:
    """One key of a contact.

    Arguments:
        jid: bare JID of the contact.
        address: its legacy id, ``""`` when the JID holds none.
        fingerprint: in upper-case hex.
        user_ids: those that its owner bound to it.
        sources: who served it, with first and last date, best source first.
        state: what was decided about it.
        by: who decided: ``first-use``, ``confirmed``, ``answer``, ``user`` or ``""``.
        problem: why nothing is encrypted to it, for people, or ``""``.
        expires: or None.
        data: the binary public key.
        origin: where the gateway says that it has the key from, or None. It proves nothing.
    """

    jid: str
    address: str
    fingerprint: str
    user_ids: tuple[str, ...]
    sources: Mapping[Source, Seen]
    state: KeyState
    by: str
    problem: str
    expires: datetime | None
    data: bytes = field(repr=False)
    origin: Origin | None = None


class Outcome(StrEnum):
    """What asking one source gave."""

    KEYS = "keys"
    NOTHING = "nothing"
    OFFLINE = "offline"
    REFUSED = "refused"
    """The source answered with something that is not accepted; the text says what."""
    CONTRADICTS = "contradicts"
    """Keys, but none of those that count or that another source serves."""
    OFF = "off"
    """Not asked: the user switched it off, or the host cannot."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What one source said.

    Arguments:
        source: which.
        outcome: what came.
        fingerprints: the keys that it serves for the contact.
        detail: for people.
    """

    source: Source
    outcome: Outcome
    fingerprints: tuple[str, ...] = ()
    detail: str = ""


class ContactKeys:
    """The keys of the contacts of one account.

    What is changed here counts at once, also for engines that run: they look at the store for each message.

    Arguments:
        engine: the OpenPGP library.
        account: our bare JID.
        ports: of the host.
    """

    def __init__(self, engine: Engine, account: str, ports: Ports) -> None:
        self._engine = engine
        self._account = account
        self._ports = ports

    async def list(self, jid: str | None = None) -> tuple[ContactKeyInfo, ...]:
        """Give the known keys of one contact, or of all.

        Raises:
            StoreError: the store failed.
        """
        if jid is not None:
            return await self._infos(canonical(jid))
        found: builtins.list[ContactKeyInfo] = []
        for name in await self._ports.store.keys(PREFIX):
            contact = name.removeprefix(PREFIX)
            if contact != canonical(self._account):
                found += await self._infos(contact)
        return tuple(found)

    async def show(self, fingerprint: str) -> tuple[ContactKeyInfo, ...]:
        """Give a key by its fingerprint or the end of it (at least 16 digits): once for each contact that has it.

        Raises:
            NoUsableKey: there is none.
        """
        wanted = _digits(fingerprint)
        found = tuple(info for info in await self.list() if info.fingerprint.endswith(wanted))
        if len(wanted) < _SHORTEST or not found:
            raise NoUsableKey(f"No contact has a key {fingerprint}. The known ones: gre keys list")
        return found

    async def pin(self, jid: str, data: bytes) -> ContactKeyInfo:
        """Use this key for a contact and no other, whatever any source serves.

        Arguments:
            jid: of the contact.
            data: the public key, binary or armored.

        Raises:
            NoUsableKey: it is no public key, or cannot be used for this contact; the text says why.
        """
        jid, address = _contact(jid)
        try:
            key = PublicKey.read(dearmor(data, PUBLIC_KEY) if is_armored(data) else data)
            parsed = self._engine.read(key)
            record, problems = note(
                self._engine, await self._record(jid), Source.PINNED, [key], self._ports.now()
            )
        except BadOpenPGP as error:
            raise NoUsableKey(f"This is no public key that can be used: {error.text}", peer=jid) from error
        problem = problems.get(key.fingerprint) or parsed.usable_problem(address, self._ports.now())
        if problem or record.keys[key.fingerprint].revoked:
            raise NoUsableKey(
                f"The key {key.fingerprint} cannot be pinned for {address}: {problem or 'its owner revoked it'}",
                peer=jid,
            )
        return await self._decide(jid, record, key.fingerprint, KeyState.PINNED)

    async def unpin(self, jid: str, fingerprint: str = "") -> tuple[str, ...]:
        """Take the pin from one key, or from all of a contact; they stay accepted. Gives their fingerprints."""
        jid = canonical(jid)
        record = await self._record(jid)
        wanted = _digits(fingerprint)
        pinned = [
            known
            for known in record.keys.values()
            if known.state is KeyState.PINNED and known.fingerprint.endswith(wanted)
        ]
        if pinned:
            changed = record.with_keys(replace(known, state=KeyState.ACCEPTED) for known in pinned)
            await save_record(jid, changed, self._ports.store)
        return tuple(known.fingerprint for known in pinned)

    async def verify(self, jid: str, fingerprint: str) -> ContactKeyInfo:
        """Note that the user compared the whole fingerprint with the contact by another way.

        Raises:
            NoUsableKey: the contact has no such key; the text names those that are known.
        """
        jid = canonical(jid)
        record = await self._record(jid)
        whole = normal_fingerprint(fingerprint)
        if whole is None:
            raise NoUsableKey("To verify a key takes its whole fingerprint, 40 or 64 digits", peer=jid)
        known = _only(jid, record, whole)
        state = KeyState.PINNED if known.state is KeyState.PINNED else KeyState.VERIFIED
        return await self._decide(jid, record, known.fingerprint, state)

    async def trust(self, jid: str, fingerprint: str, *, yes: bool) -> ContactKeyInfo:
        """Take the user's word on a key: accept it, or block it.

        Raises:
            NoUsableKey: the contact has no such key.
        """
        jid = canonical(jid)
        record = await self._record(jid)
        known = _only(jid, record, fingerprint)
        state = KeyState.BLOCKED
        if yes:
            firm = {KeyState.VERIFIED, KeyState.PINNED}
            state = known.state if known.state in firm else KeyState.ACCEPTED
        return await self._decide(jid, record, known.fingerprint, state)

    async def fetch(self, jid: str, address: str = "") -> tuple[FetchResult, ...]:
        """Ask every source now: the key list of the JID, then the mail domain.

        A first use is remembered, as it is when something is sent; a change is not: that takes the user's word.

        Arguments:
            jid: of the contact.
            address: its legacy id; taken from the JID otherwise.

        Raises:
            NoUsableKey: the JID holds no address, and none is given.
            StoreError: the store failed.
        """
        jid, address = (canonical(jid), address) if address else _contact(jid)
        before, now = await self._record(jid), self._ports.now()
        try:
            gathered = await ask_list(self._engine, jid, before, self._ports.pubsub, now)
            problem = gathered.problems.get(Source.XEP0373, "")
            listed = FetchResult(Source.XEP0373, Outcome.REFUSED if problem else Outcome.KEYS, (), problem)
        except PeerTimeout as error:
            gathered = Gathered(before, {}, listed=False)
            listed = FetchResult(Source.XEP0373, Outcome.OFFLINE, (), error.text)
        record = gathered.record
        domain = FetchResult(Source.WKD, Outcome.OFF, (), "Look-ups by HTTPS are switched off")
        if self._ports.web is not None:
            record, answer = await ask_domain(self._engine, record, address, self._ports.web, now)
            domain = _from_domain(answer)
        served = {**gathered.served, **remembered_answers(record, address)}
        gathered = replace(gathered, record=record, served=served)
        usable, problems = usable_keys(Contact(self._engine, jid), gathered, address, now)
        choice = choose(jid, record, served, usable)
        if choice.use and choice.question is None:
            record = settle(record, choice, served)
        if record != before:
            await save_over(jid, record, before, self._ports.store)
        if gathered.listed:
            await unwant(jid, self._ports.store)
        messages = (
            FetchResult(source, Outcome.KEYS)
            for source in (Source.AUTOCRYPT, Source.GOSSIP)
            if source in served
        )
        said = key_notices.origins(gathered.record, served.get(Source.XEP0373, ())) or gathered.why_none
        if listed.outcome is Outcome.KEYS and said:
            listed = replace(listed, detail=said)
        return tuple(_compared(result, served, before, problems) for result in (listed, domain, *messages))

    async def export(self, jid: str) -> bytes:
        """Give the keys that messages to a contact are encrypted to, armored.

        Raises:
            NoUsableKey: there is none.
        """
        keys = [info for info in await self.list(jid) if not info.problem]
        pinned = [info for info in keys if info.state is KeyState.PINNED]
        trusted = [info for info in keys if info.state in {KeyState.ACCEPTED, KeyState.VERIFIED}]
        data = b"".join(info.data for info in pinned or trusted)
        if not data:
            raise NoUsableKey(
                f"No key of {jid} is accepted and usable. The known ones: gre keys list", peer=jid
            )
        return armor(data, PUBLIC_KEY)

    async def _record(self, jid: str) -> ContactRecord:
        return await load_record(jid, self._ports.store)

    async def _decide(
        self, jid: str, record: ContactRecord, fingerprint: str, state: KeyState
    ) -> ContactKeyInfo:
        known = replace(record.keys[fingerprint], state=state, by=By.USER)
        await save_record(jid, record.with_keys([known]), self._ports.store)
        return self._info(jid, known)

    async def _infos(self, jid: str) -> tuple[ContactKeyInfo, ...]:
        record = await self._record(jid)
        return tuple(self._info(jid, known) for known in record.keys.values())

    def _info(self, jid: str, known: KnownKey) -> ContactKeyInfo:
        try:
            _, address = legacy_contact(jid)
        except InvalidAddress:
            address = ""
        user_ids: tuple[str, ...] = ()
        expires = None
        try:
            parsed = self._engine.read(known.key)
            user_ids, expires = parsed.user_ids, parsed.expires
            problem = parsed.usable_problem(address, self._ports.now())
        except BadOpenPGP as error:
            problem = error.text
        if known.revoked:
            problem = "its owner revoked it"
        sources = {source: known.sources[source] for source in Source if source in known.sources}
        return ContactKeyInfo(
            jid,
            address,
            known.fingerprint,
            user_ids,
            sources,
            known.state,
            known.by.value,
            problem,
            expires,
            known.key.data,
            known.key.origin if Source.XEP0373 in known.sources else None,
        )


def _contact(jid: str) -> tuple[str, str]:
    try:
        return legacy_contact(jid)
    except InvalidAddress as error:
        raise NoUsableKey(
            f"{jid} is not the JID of a contact on a gateway: {error.text}", peer=jid
        ) from error


def _digits(text: str) -> str:
    return "".join(text.split()).upper()


def _only(jid: str, record: ContactRecord, fingerprint: str) -> KnownKey:
    wanted = _digits(fingerprint)
    found = [known for name, known in record.keys.items() if name.endswith(wanted)]
    if len(wanted) < _SHORTEST or len(found) != 1:
        names = ", ".join(record.keys) or "none; ask for them with gre keys fetch"
        raise NoUsableKey(f"{jid} has no key {fingerprint}. The known ones: {names}", peer=jid)
    return found[0]


def _from_domain(answer: WkdAnswer) -> FetchResult:
    outcome = {
        WkdOutcome.KEYS: Outcome.KEYS,
        WkdOutcome.NOTHING: Outcome.NOTHING,
        WkdOutcome.NO_DIRECTORY: Outcome.NOTHING,
        WkdOutcome.OFFLINE: Outcome.OFFLINE,
        WkdOutcome.REFUSED: Outcome.REFUSED,
    }[answer.outcome]
    return FetchResult(Source.WKD, outcome, (), answer.detail)


def _compared(
    result: FetchResult,
    served: Mapping[Source, tuple[str, ...]],
    before: ContactRecord,
    problems: Mapping[str, str],
) -> FetchResult:
    """Complete a result with the keys, and say whether they contradict the others."""
    if result.outcome is not Outcome.KEYS:
        return result
    names = served.get(result.source, ())
    if not names:
        return replace(result, outcome=Outcome.NOTHING)
    said = [result.detail] if result.detail else []
    detail = "; ".join([*said, *(f"{name}: {problems[name]}" for name in names if name in problems)])
    trusted = {known.fingerprint for known in before.trusted()}
    others = [
        set(theirs)
        for source, theirs in served.items()
        if source not in {result.source, Source.GOSSIP} and theirs
    ]
    if trusted:
        others.append(trusted)
    against = [theirs for theirs in others if theirs.isdisjoint(names)]
    if against:
        say = ", ".join(sorted({name for theirs in against for name in theirs}))
        detail = "; ".join(filter(None, (detail, f"others say {say}")))
        return replace(result, outcome=Outcome.CONTRADICTS, fingerprints=names, detail=detail)
    return replace(result, fingerprints=names, detail=detail)
