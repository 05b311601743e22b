"""One message to several people: who gets which ciphertext, and in which stanza.

Everybody in To and Cc on one gateway gets one ciphertext, in one stanza where the gateway takes that (XEP-0033). Who
gets a blind copy gets a ciphertext and a stanza of his own, since each ciphertext names the keys that open it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gre_core import wire
from gre_core.addressing import MAX_ADDRESSES
from gre_core.errors import LocalProtocolError, NoUsableKey
from gre_core.jid_escape import contact
from gre_core.model import Question, Recipient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gre_core.capabilities import Capabilities
    from gre_core.model import Message
    from gre_core.policy import Memory
    from gre_core.sealing import Agreed, Ciphertext, Sealed, Sealer

LEAVE_OUT: Final = "leave-out-recipients"
"""Code of the question whether a message goes to the others when somebody has no key."""


@dataclass(frozen=True, slots=True)
class _People:
    """The recipients by their role, each once."""

    to: tuple[Recipient, ...]
    cc: tuple[Recipient, ...]
    bcc: tuple[Recipient, ...]

    @property
    def everybody(self) -> tuple[Recipient, ...]:
        return (*self.to, *self.cc, *self.bcc)

    def without(self, lacking: Mapping[str, NoUsableKey]) -> _People:
        to, cc, bcc = (
            tuple(one for one in role if one.jid not in lacking) for role in (self.to, self.cc, self.bcc)
        )
        return _People(to, cc, bcc)


class Distributor:
    """Seals one message for several people. Nothing is sent here.

    Arguments:
        sealer: makes each ciphertext.
        capabilities: tells which gateway takes one stanza for several recipients.
        memory: asks the user.
    """

    def __init__(self, sealer: Sealer, capabilities: Capabilities, memory: Memory) -> None:
        self._sealer = sealer
        self._capabilities = capabilities
        self._memory = memory

    async def seal(
        self,
        message: Message,
        to: Iterable[str],
        cc: Iterable[str] = (),
        bcc: Iterable[str] = (),
        origin_id: str | None = None,
    ) -> tuple[Sealed, ...]:
        """Seal a message for everybody, or for nobody.

        Arguments:
            message: what to send. Its ``to`` and ``cc`` are replaced by the recipients.
            to: bare JIDs of contacts.
            cc: further ones.
            bcc: those whom nobody else may see.
            origin_id: an id of the caller's; a random one otherwise.

        Raises:
            NoUsableKey: somebody has no key, and nobody would be left without them.
            PolicyChanged: somebody has no key; the question is whether to send without them.
            LocalProtocolError: no recipient, or too many.
            GreError: as :meth:`Sealer.seal`.
        """
        people = _sort(to, cc, bcc)
        origin_id = origin_id or secrets.token_hex(16)
        agreed = {one.jid: await self._sealer.agree(one.jid) for one in people.everybody}
        try:
            return await self._seal(message, people, agreed, origin_id)
        except NoUsableKey:
            lacking = await self._lacking(people, agreed, origin_id)
            if not lacking:
                raise
        people = await self._without(people, lacking)
        return await self._seal(message, people, agreed, origin_id)

    async def _seal(
        self, message: Message, people: _People, agreed: Mapping[str, Agreed], origin_id: str
    ) -> tuple[Sealed, ...]:
        message = replace(
            message,
            to=tuple(one.legacy_id for one in people.to),
            cc=tuple(one.legacy_id for one in people.cc),
        )
        groups: dict[tuple[object, ...], list[Recipient]] = {}
        for one in (*people.to, *people.cc):
            terms = agreed[one.jid]
            key = (wire.domain(one.jid), terms.agreement.pair, terms.data.sender_id)
            groups.setdefault(key, []).append(one)
        sealed: list[Sealed] = []
        for group in (*groups.values(), *([one] for one in people.bcc)):
            cipher = await self._encrypt(message, group, agreed, origin_id)
            for target, addressed in await self._stanzas(group):
                stanza_id = f"{origin_id}-{len(sealed) + 1}" if sealed else origin_id
                sealed.append(self._sealer.wrap(cipher, target, stanza_id, addressed))
        return tuple(sealed)

    async def _encrypt(
        self, message: Message, group: Sequence[Recipient], agreed: Mapping[str, Agreed], origin_id: str
    ) -> Ciphertext:
        terms = agreed[group[0].jid]
        limits = [limit for one in group if (limit := agreed[one.jid].max_size) is not None]
        terms = replace(terms, max_size=min(limits, default=None))
        job = self._sealer.job(tuple(group), terms, origin_id)
        job = replace(job, forms={one.jid: agreed[one.jid].data for one in group})
        return await self._sealer.encrypt(message, job, terms)

    async def _stanzas(self, group: Sequence[Recipient]) -> Sequence[tuple[str, tuple[str, ...]]]:
        """Give the target of each stanza that carries one ciphertext, and whom it lists."""
        if len(group) == 1:
            return [(group[0].jid, ())]
        gateway = wire.domain(group[0].jid)
        if (await self._capabilities.peer(gateway)).multicast:
            return [(gateway, tuple(one.jid for one in group))]
        return [(one.jid, ()) for one in group]

    async def _lacking(
        self, people: _People, agreed: Mapping[str, Agreed], origin_id: str
    ) -> dict[str, NoUsableKey]:
        """Find out who of the recipients has no usable key."""
        lacking = {}
        for one in people.everybody:
            try:
                await self._sealer.find_keys(self._sealer.job((one,), agreed[one.jid], origin_id))
            except NoUsableKey as error:
                lacking[one.jid] = error
        return lacking

    async def _without(self, people: _People, lacking: Mapping[str, NoUsableKey]) -> _People:
        rest = people.without(lacking)
        reasons = " ".join(dict.fromkeys(error.text.rstrip(".") + "." for error in lacking.values()))
        names = ", ".join(one.legacy_id for one in people.everybody if one.jid in lacking)
        if not rest.everybody:
            raise NoUsableKey(
                f"Nothing was sent, since nobody of {names} has a usable key. {reasons}", names=names
            )
        await self._memory.require(
            Question(
                LEAVE_OUT,
                wire.domain(next(iter(lacking))),
                f"No message can be encrypted to {names}. {reasons} Send it to the others only, "
                f"{', '.join(one.legacy_id for one in rest.everybody)}? It then does not name {names}.",
                after=names,
            )
        )
        return rest


def _sort(to: Iterable[str], cc: Iterable[str], bcc: Iterable[str]) -> _People:
    """Check the recipients, and keep each once: in To rather than Cc, and openly rather than blind."""
    seen: set[str] = set()
    roles: list[tuple[Recipient, ...]] = []
    for role in (to, cc, bcc):
        found = []
        for name in role:
            jid, legacy_id = contact(name)
            if jid not in seen:
                seen.add(jid)
                found.append(Recipient(jid, legacy_id))
        roles.append(tuple(found))
    first, second, blind = roles
    if not seen:
        raise LocalProtocolError("A message needs a recipient.")
    if len(seen) > MAX_ADDRESSES:
        raise LocalProtocolError(
            f"A message has at most {MAX_ADDRESSES} recipients, not {len(seen)}. Send it in several parts."
        )
    return _People(first, second, blind) if first else _People(second, (), blind)
