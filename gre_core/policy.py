"""What the user allows, and the memory that makes a change for the worse visible (GRE, "Security Considerations").

Nothing here decides in the user's place: what became weaker raises :class:`~gre_core.errors.PolicyChanged` with a
question, unless the user has said yes to exactly that question.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidNamespace, PolicyChanged
from gre_core.model import Notice, Question, Signature, Verdict
from gre_core.namespaces import Namespace
from gre_core.negotiation import Agreement, Offer, rank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.ports import Decide, Store


VALID: Final = frozenset({Signature.OTHER_RECIPIENTS, Signature.REPLAYED, Signature.STALE, Signature.PARTIAL})
"""Signed by the contact, with something else that is wrong."""

_LONGEST_PEER: Final = 400
"""Longer JIDs are hashed, since a key of the store has at most 512 characters."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The user's preferences.

    Arguments:
        encrypters: names of encrypters, best first; others follow by name.
        formatters: names of formatters, best first; others follow by name. A contact's pair never changes silently
            to a name that stands no higher in these lists.
        capabilities_lifetime: after how many seconds the announced features are asked again. A change that the
            gateway announces by presence (XEP-0115) is seen at once.
        options: wishes for formatters and encrypters, in Clark notation: ``{namespace}name``. They reach them as
            ``SealJob.options``; each package documents its own.
    """

    encrypters: tuple[str, ...] = ()
    formatters: tuple[str, ...] = ()
    capabilities_lifetime: float = 3600.0
    options: Mapping[str, str] = field(default_factory=dict)


class Memory:
    """Remembers what each gateway and contact had, and asks before anything weaker is used.

    Arguments:
        store: the store of the account.
        decide: asks the user when no approval is stored.
    """

    def __init__(self, store: Store, decide: Decide) -> None:
        self._store = store
        self._decide = decide
        self._known: dict[str, str | None] = {}
        self._spending: set[str] = set()

    async def approve(self, question: Question) -> None:
        """Store the user's yes to a question; it counts once."""
        await self._store.put(_approval(question), b"yes")

    async def decide(self, question: Question) -> bool:
        """Answer a question: by a stored approval, else by asking the user."""
        key = _approval(question)
        if key not in self._spending:
            self._spending.add(key)
            try:
                if await self._store.get(key) is not None:
                    await self._store.delete(key)
                    return True
            finally:
                self._spending.discard(key)
        return await self._decide(question)

    async def require(self, question: Question) -> None:
        """Go on only with the user's yes.

        Raises:
            PolicyChanged: the answer was not yes. Carries the question.
        """
        if await self.decide(question) is not True:
            raise PolicyChanged(
                question.text,
                question=question,
                peer=question.peer,
                before=question.before,
                after=question.after,
            )

    async def _read(self, peer: str, what: str) -> str | None:
        key = _key(peer, what)
        if key not in self._known:
            value = await self._store.get(key)
            self._known[key] = None if value is None else value.decode("utf-8", "replace")
        return self._known[key]

    async def _write(self, peer: str, what: str, value: str) -> None:
        key = _key(peer, what)
        await self._store.put(key, value.encode())
        self._known[key] = value

    async def _forget(self, peer: str, what: str) -> None:
        key = _key(peer, what)
        await self._store.delete(key)
        self._known[key] = None

    # -- encrypted_only ------------------------------------------------------------------------------

    async def see_offer(self, gateway: str, offer: Offer) -> Notice | None:
        """Remember that a gateway takes only encrypted content; say so when it no longer does (P2).

        Arguments:
            gateway: the domain.
            offer: what it announces now.

        Result:
            What to show to the user, or None.
        """
        seen = await self._read(gateway, "encrypted-only")
        if offer.encrypted_only:
            if seen is None:
                await self._write(gateway, "encrypted-only", "1")
            return None
        if seen is None:
            return None
        return Notice(
            "encrypted-only-withdrawn",
            f"{gateway} used to take only encrypted messages and no longer says so. Nothing is sent to it "
            "unencrypted without your word.",
            {"gateway": gateway},
        )

    async def require_plain(self, gateway: str, peer: str) -> None:
        """Allow an unencrypted message only when nothing better was ever known of the gateway or the contact (P2).

        Raises:
            PolicyChanged: the user has to decide.
        """
        if await self._read(gateway, "encrypted-only") is not None:
            await self.require(
                Question(
                    "encrypted-only-withdrawn",
                    gateway,
                    f"{gateway} used to take only encrypted messages and no longer does. Sending to {peer} "
                    "unencrypted lets the gateway and everybody behind it read the message. If you say yes, "
                    f"{gateway} counts from now on as one that takes unencrypted messages. Send it all the same?",
                    before="encrypted only",
                    after="unencrypted allowed",
                )
            )
            await self._forget(gateway, "encrypted-only")
        if await self._read(peer, "pair") is not None:
            await self.require(
                Question(
                    "plain-after-encrypted",
                    peer,
                    f"Messages to {peer} were encrypted until now. Send this one unencrypted?",
                    before="encrypted",
                    after="unencrypted",
                )
            )

    # -- the pair ------------------------------------------------------------------------------------

    async def require_pair(self, peer: str, agreement: Agreement, policy: Policy) -> None:
        """Allow a pair that is not weaker than the one remembered for the contact, and remember it (P2).

        Raises:
            PolicyChanged: the pair is weaker; the user has to decide.
        """
        now = f"{agreement.formatter} {agreement.encrypter}"
        before = await self._read(peer, "pair")
        if before == now:
            return
        if before is not None and _weaker(before, agreement, policy):
            await self.require(
                Question(
                    "pair-weaker",
                    peer,
                    f"Until now messages to {peer} were made with {before.replace(' ', ' and ')}; now they would be "
                    f"made with {now.replace(' ', ' and ')}, which your policy does not prefer. Use it from now on?",
                    before=before,
                    after=now,
                )
            )
        await self._write(peer, "pair", now)

    # -- sender_id -----------------------------------------------------------------------------------

    async def require_sender_id(self, gateway: str, peer: str, sender_id: str) -> None:
        """Let the user confirm once who the gateway says we are, and pin it (P3).

        A gateway may give another sender_id for another contact: then the contact has a pin of its own.

        Raises:
            PolicyChanged: not confirmed yet, or changed; the user has to decide.
        """
        pinned = await self._read(peer, "sender-id")
        if pinned is None:
            pinned = await self._read(gateway, "sender-id")
        if pinned == sender_id:
            return
        if pinned is None:
            question = Question(
                "confirm-sender-id",
                gateway,
                f"{gateway} says that others see you as {sender_id}. You will sign as {sender_id}, and a key made for "
                "this account bears that name. Is it yours?",
                after=sender_id,
            )
        else:
            question = Question(
                "sender-id-changed",
                peer,
                f"For messages to {peer}, {gateway} said that others see you as {pinned}; now it says {sender_id}. "
                "A gateway that does this without your doing may be hostile. Is the new one yours?",
                before=pinned,
                after=sender_id,
            )
        await self.require(question)
        await self._write(peer, "sender-id", sender_id)
        await self._write(gateway, "sender-id", sender_id)

    async def sender_ids(self, gateway: str, peer: str) -> tuple[str, ...]:
        """Give who we are on a network, as the user confirmed it; nothing when he never did."""
        pins = [await self._read(name, "sender-id") for name in (peer, gateway)]
        return tuple(dict.fromkeys(pin for pin in pins if pin is not None))

    # -- signatures ----------------------------------------------------------------------------------

    async def see_signature(self, peer: str, verdict: Verdict) -> Notice | None:
        """Remember that a contact signs; say so when a message does not bear a valid signature of theirs (P2)."""
        seen = await self._read(peer, "signs")
        if verdict.signature is Signature.GOOD:
            if seen is None:
                await self._write(peer, "signs", "1")
            return None
        if seen is None or verdict.signature in VALID:
            return None
        return Notice(
            "signature-missing",
            f"Messages from {peer} used to bear a good signature; this one does not ({verdict.signature.value}).",
            {"peer": peer, "signature": verdict.signature.value},
        )


def _weaker(before: str, agreement: Agreement, policy: Policy) -> bool:
    """Tell whether a pair is weaker than the remembered one, or only different: the gateway must not choose that."""
    try:
        formatter, encrypter = (Namespace.parse(text) for text in before.split(" "))
    except (InvalidNamespace, ValueError):
        return True
    return any(
        new.version < old.version if new.name == old.name else rank(new, order)[0] >= rank(old, order)[0]
        for old, new, order in (
            (formatter, agreement.formatter, policy.formatters),
            (encrypter, agreement.encrypter, policy.encrypters),
        )
    )


def _key(peer: str, what: str) -> str:
    if len(peer) > _LONGEST_PEER:
        peer = hashlib.sha256(peer.encode("utf-8", "surrogatepass")).hexdigest()
    return f"policy/{peer}/{what}"


def _approval(question: Question) -> str:
    parts = f"{question.code}\0{question.peer}\0{question.before}\0{question.after}"
    return f"approved/{hashlib.sha256(parts.encode('utf-8', 'surrogatepass')).hexdigest()}"
