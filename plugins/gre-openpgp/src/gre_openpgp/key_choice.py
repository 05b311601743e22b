"""Which keys of a contact a message is encrypted to, and when the user has to be asked first.

========================================  =========================================================
what the sources serve                    what happens
========================================  =========================================================
a key that the user pinned                that one, and no other
nothing remembered yet                    the first source's keys are taken, and remembered
the same keys, or a part of them          used
a further key, other keys                 ``key-added``, ``key-changed``: the user has to agree
other keys than the contact's domain,     ``key-contradiction``: nothing is sent, and the text names
than a verified key, or than the          both sides
contact's own message says
some of what the contact's domain serves  those; what only the gateway serves beside is left out
========================================  =========================================================

The policy ``accept-when-confirmed`` takes a changed or further key without asking when the contact's domain
serves it too, or a message by an accepted key named it. ``always-ask`` asks at the first use too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gre_core.model import Question
from gre_openpgp.contact_record import By, KeyState, Source
from gre_openpgp.trust import compare

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gre_openpgp.contact_record import ContactRecord

KEY_CONTRADICTION: Final = "key-contradiction"
KEY_FIRST_USE: Final = "key-first-use"

ORDER: Final = (Source.XEP0373, Source.WKD, Source.AUTOCRYPT, Source.GOSSIP)
"""Sources, best first. What the user pinned stands before them."""

NAMES: Final = {
    Source.PINNED: "you",
    Source.XEP0373: "the key list of the contact's JID (for a contact on a gateway: the gateway)",
    Source.WKD: "the contact's own mail domain (Web Key Directory)",
    Source.AUTOCRYPT: "a signed message of the contact (Autocrypt)",
    Source.GOSSIP: "a message of somebody else (Autocrypt gossip)",
}
"""What the sources are called in texts for people."""


class TrustPolicy(StrEnum):
    """When the user is asked about keys (``Policy.options``, ``{urn:xmpp:gre:encrypter:openpgp:0}trust``)."""

    ASK = "ask"
    WHEN_CONFIRMED = "accept-when-confirmed"
    ALWAYS_ASK = "always-ask"

    @classmethod
    def read(cls, text: str) -> TrustPolicy:
        """Give the policy of that name; ``ask`` for any other."""
        return cls(text) if text in set(cls) else cls.ASK


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Arguments:
        use: fingerprints to encrypt to; none when no source serves a usable key.
        source: the one that decided.
        question: the user has to say yes to it before anything is encrypted.
        by: how keys that were not trusted yet come to be.
        left_out: served, but not used, since better sources say otherwise.
    """

    use: tuple[str, ...] = ()
    source: Source | None = None
    question: Question | None = None
    by: By = By.FIRST_USE
    left_out: tuple[str, ...] = ()


def choose(
    jid: str,
    record: ContactRecord,
    served: Mapping[Source, Sequence[str]],
    usable: Collection[str],
    policy: TrustPolicy = TrustPolicy.ASK,
    *,
    note: str = "",
) -> Choice:
    """Choose the keys to encrypt to.

    Arguments:
        jid: of the contact.
        record: what is remembered.
        served: what each source serves now, or served when it answered last: fingerprints, upper case.
        usable: the keys among them that can be encrypted to for this contact.
        policy: when to ask.
        note: a further sentence for a question.
    """
    pinned = [known.fingerprint for known in record.keys.values() if known.state is KeyState.PINNED]
    if pinned:
        return Choice(tuple(name for name in pinned if name in usable), Source.PINNED)
    blocked = {known.fingerprint for known in record.keys.values() if known.state is KeyState.BLOCKED}
    offers = {
        source: [name for name in served.get(source, ()) if name in usable and name not in blocked]
        for source in ORDER
    }
    source = next((source for source in ORDER if offers[source]), None)
    if source is None:
        return Choice()
    return _Case(jid, record, source, offers, note).decide(policy)


class _Case:
    """One contact for which some source serves something usable."""

    def __init__(
        self,
        jid: str,
        record: ContactRecord,
        source: Source,
        offers: Mapping[Source, Sequence[str]],
        note: str,
    ) -> None:
        self.jid, self.record, self.source, self.note = jid, record, source, note
        self.trusted = {known.fingerprint: known for known in record.trusted()}
        self.domain = set() if source is Source.WKD else set(offers[Source.WKD]) - set(record.overruled)
        offered = offers[source]
        denied = bool(self.domain) and self.domain.isdisjoint(offered) and not self._user_named(offered)
        self.denied_by = {Source.WKD: self.domain} if denied else {}
        self.left_out = tuple(
            name
            for name in offered
            if self.domain and not denied and name not in self.domain and name not in self.trusted
        )
        self.use = tuple(name for name in offered if name not in self.left_out)
        self.new = {name for name in self.use if name not in self.trusted}

    def decide(self, policy: TrustPolicy) -> Choice:
        """Choose."""
        question: Question | None = None
        by = By.ANSWER
        if self.denied_by:
            question = self._contradiction(self.denied_by)
        elif policy is TrustPolicy.ALWAYS_ASK and self._nothing_asked():
            question = self._first_use()
        elif not self.trusted:
            by = By.CONFIRMED if self.domain.issuperset(self.use) else By.FIRST_USE
        elif self.new:
            if policy is TrustPolicy.WHEN_CONFIRMED and self._confirmed():
                by = By.CONFIRMED
            else:
                against = self._replaced()
                question = (
                    self._contradiction(against)
                    if against
                    else compare(self.jid, self.trusted, self.use, note=self.note)
                )
        return Choice(self.use, self.source, question, by, self.left_out)

    def _user_named(self, names: Iterable[str]) -> bool:
        known = [self.trusted[name] for name in names if name in self.trusted]
        return any(one.state is KeyState.VERIFIED or one.by is By.USER for one in known)

    def _nothing_asked(self) -> bool:
        """Tell whether the user never said yes to any of the keys."""
        asked = {By.ANSWER, By.USER}
        return not any(name in self.trusted and self.trusted[name].by in asked for name in self.use)

    def _verified_away(self) -> set[str]:
        verified = {name for name, known in self.trusted.items() if known.state is KeyState.VERIFIED}
        return verified if verified.isdisjoint(self.use) else set()

    def _confirmed(self) -> bool:
        autocrypt = self.record.autocrypt
        vouched = {autocrypt.fingerprint} if autocrypt.vouched else set()
        return not self._verified_away() and self.new <= self.domain | vouched

    def _replaced(self) -> dict[Source, set[str]]:
        """Name who else stands behind the keys that would all be replaced."""
        against: dict[Source, set[str]] = {}
        if self.trusted.keys().isdisjoint(self.use):
            if verified := self._verified_away():
                against[Source.PINNED] = verified
            named = self.record.autocrypt.fingerprint
            if self.source is Source.XEP0373 and named in self.trusted:
                against[Source.AUTOCRYPT] = {named}
        return against

    def _contradiction(self, against: Mapping[Source, Collection[str]]) -> Question:
        offered = _join(self.use)
        others = "; ".join(
            f"you verified {_join(names)}"
            if other is Source.PINNED
            else f"{NAMES[other]} says that it is {_join(names)}"
            for other, names in against.items()
        )
        text = (
            f"Two sources contradict each other about the key of {self.jid}: {NAMES[self.source]} serves "
            f"{offered}, but {others}. One of them may want to read your messages, so nothing is sent. Compare "
            f"the fingerprint with your contact by another way. If you agree, {offered} is used from now on; "
            f"otherwise choose the right key with: gre keys pin. {self.note}"
        )
        before = {name for names in against.values() for name in names}
        return Question(KEY_CONTRADICTION, self.jid, text.strip(), _join(before), offered)

    def _first_use(self) -> Question:
        text = (
            f"You did not agree to a key of {self.jid} yet. {NAMES[self.source]} serves {_join(self.use)}: "
            f"compare it with your contact by another way. If you agree, it is used and remembered. {self.note}"
        )
        return Question(KEY_FIRST_USE, self.jid, text.strip(), "", _join(self.use))


def settle(record: ContactRecord, choice: Choice, served: Mapping[Source, Sequence[str]]) -> ContactRecord:
    """Remember a choice that the user agreed to, or that needed no agreement.

    A key that was accepted without the user naming it, and that nothing serves any more, counts no longer.
    """
    changed = []
    everywhere = {name for names in served.values() for name in names}
    for known in record.keys.values():
        if known.fingerprint in choice.use:
            if not known.trusted:
                changed.append(replace(known, state=KeyState.ACCEPTED, by=choice.by))
            elif choice.question is not None and known.by in {By.FIRST_USE, By.CONFIRMED, By.NOBODY}:
                changed.append(replace(known, by=By.ANSWER))
        elif (
            choice.source is not Source.PINNED
            and known.state is KeyState.ACCEPTED
            and known.by is not By.USER
            and (known.fingerprint not in everywhere or choice.question is not None)
        ):
            changed.append(replace(known, state=KeyState.FORMER))
    settled = record.with_keys(changed) if changed else record
    if choice.question is not None and choice.question.code == KEY_CONTRADICTION:
        overruled = {*settled.overruled, *served.get(Source.WKD, ())} - set(choice.use)
        settled = replace(settled, overruled=tuple(sorted(overruled)))
    return settled


def _join(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
