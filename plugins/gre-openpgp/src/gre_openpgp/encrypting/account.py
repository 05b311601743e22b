"""What the encrypter keeps for one account during a session, and how it comes by its own key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.model import Notice, Question
from gre_openpgp.encrypting.announcing import (
    announce,
    check_ours,
    check_removed,
    check_served,
    refuse_second_key,
)
from gre_openpgp.encrypting.backups import offer_backup
from gre_openpgp.encrypting.contacts import Contacts
from gre_openpgp.encrypting.engine import by_id
from gre_openpgp.encrypting.keyring import KeyRing, Unlocking
from gre_openpgp.encrypting.own import OwnKey, user_id_for
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import ANONYMOUS
from gre_openpgp.trust import accept, allowed, remember, remembered
from gre_openpgp.xep0373 import Announced, fetch_keys

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from gre_core.ports import Ports
    from gre_openpgp.encrypting.engine import Engine, ParsedCert, Secret

EXPIRES_SOON: Final = 30
"""How many days before the end of our key the user is told."""


class Ours(NamedTuple):
    """Our public keys: fingerprints in upper-case hex; certs by what signatures name, in lower-case hex."""

    fingerprints: frozenset[str]
    certs: dict[str, Any]


class Account:
    """One account: our keys, the keys of contacts.

    Arguments:
        engine: the OpenPGP library.
        jid: our bare JID.
        unlocking: how long our keys stay unlocked.
    """

    def __init__(self, engine: Engine, jid: str, unlocking: Unlocking | None = None) -> None:
        self.jid = jid
        self.contacts = Contacts(engine)
        self.ring = KeyRing(engine, jid, unlocking)
        self._engine = engine
        self.others: tuple[ParsedCert, ...] = ()
        """Keys of our other devices and programs that the user agreed to."""
        self._candidate: OwnKey | None = None
        self._loaded = 0
        self._settled = -1
        self._generation = -1
        self._decryptors: dict[str, Any] | None = None
        self._ours: Ours | None = None

    @property
    def own(self) -> OwnKey | None:
        """Our key that signs."""
        return self.ring.active

    @property
    def older(self) -> tuple[OwnKey, ...]:
        """Our other keys."""
        return self.ring.keys[1:]

    async def load(self, ports: Ports) -> OwnKey | None:
        """Give our key that signs, from the store; None when there is none.

        Raises:
            NoUsableKey, StoreError: it cannot be read.
        """
        own = await self.ring.load(ports)
        changes = self.ring.changes
        if self._loaded != changes:
            names = {key.fingerprint for key in self.ring.keys}
            accepted = await remembered(self.jid, ports.store)
            others = [key for key in accepted if key.fingerprint not in names]
            known = len(accepted) - len(others)
            if known < len(names):  # a new key: making or importing it was the user's word
                ours = [key.parsed.key for key in self.ring.keys]
                await remember(self.jid, [*ours, *others], ports.store)
            self.others, self._ours = tuple(self._engine.read(key) for key in others), None
            self._loaded = changes
        return own

    def _refresh(self) -> None:
        """Forget what was made of other keys than those that are there now."""
        if self._generation != self.ring.generation:
            self._decryptors = self._ours = None
            self._generation = self.ring.generation

    def decryptors(self) -> dict[str, Any]:
        """Give the decryptors of all our keys that are unlocked, by key id in upper-case hex."""
        self._refresh()
        if self._decryptors is None:
            self._decryptors = {}
            for key in self.ring.keys:
                if not key.locked:
                    self._decryptors.update(key.decryptors())
        return self._decryptors

    def secrets(self) -> tuple[Secret, ...]:
        """Give the secret keys that are unlocked as bytes, for what the decryptors cannot do."""
        return tuple(key.numbers for key in self.ring.keys if not key.locked)

    @property
    def ours(self) -> Ours:
        """All keys of ours that the user agreed to."""
        self._refresh()
        if self._ours is None:
            certs = [*(key.parsed for key in self.ring.keys), *self.others]
            self._ours = Ours(frozenset(cert.key.fingerprint for cert in certs), by_id(certs))
        return self._ours

    def renew(self) -> None:
        """Drop what a failure of the library may have poisoned."""
        self._decryptors = None
        for key in self.ring.keys:
            key.renew()

    async def unlock_for(self, key_ids: Collection[str], ports: Ports) -> None:
        """Unlock the keys that a received message is for; the user is asked only when one of them is locked.

        Raises:
            KeyLocked: nobody gave the passphrase.
            NoUsableKey: what is stored is damaged.
        """
        anybody = ANONYMOUS in key_ids
        keys = [key for key in self.ring.keys if anybody or not key.key_ids.isdisjoint(key_ids)]
        await self.ring.unlock(keys, ports, received=True)

    # -- for sealing -------------------------------------------------------------------------------

    async def signing_key(self, sender_id: str, ports: Ports) -> OwnKey:
        """Give our key for a sender, unlocked; make and publish one when there is none anywhere.

        Arguments:
            sender_id: our identifier on the legacy network, which the user confirmed.
            ports: of the host.

        Raises:
            NoUsableKey: there is none, and it is not safe or not possible to make one; the text says what to
                do.
            KeyLocked: nobody gave its passphrase.
            PolicyChanged: the user has to agree first.
            StoreError: the store failed.
        """
        own = await self.load(ports) or await self._make(sender_id, ports)
        await self.ring.unlock((own,), ports)
        if not own.bears(sender_id):
            own = await self._add_user_id(own, sender_id, ports)
        changes = self.ring.changes
        if self._settled != changes:
            await announce(self.jid, own, ports)
            await offer_backup(self.ring, own, ports)
            self._settled = changes
        return own

    async def _make(self, sender_id: str, ports: Ports) -> OwnKey:
        user_id = user_id_for(sender_id)
        await refuse_second_key(self.jid, ports)
        candidate = self._candidate
        if candidate is None or not candidate.bears(sender_id):
            from gre_openpgp.encrypting.keymaking import make_key  # noqa: PLC0415 - loads PGPy

            # Tasks that come here at the same time share it, and only one key is made.
            candidate = self._candidate = OwnKey.read(self._engine, make_key(user_id, ports.now()))
        return await self.ring.first(candidate, ports)

    async def _add_user_id(self, own: OwnKey, sender_id: str, ports: Ports) -> OwnKey:
        """Put a further name on our key. Never unasked: everybody who sees the key sees all names on it."""
        question = Question(
            "own-key-user-id",
            self.jid,
            f"Your key bears the names {', '.join(own.parsed.user_ids)}; this gateway knows you as "
            f"{sender_id}. If you agree, that name is added, and everybody who has your key sees that all "
            f"of them are you.",
            ", ".join(own.parsed.user_ids),
            sender_id,
        )
        user_id = user_id_for(sender_id)
        if not await allowed(question, ports):
            raise PolicyChanged(question.text, question)
        from gre_openpgp.encrypting.keymaking import add_user_id  # noqa: PLC0415 - loads PGPy

        new = own.changed(add_user_id(own.secret, user_id, lifetime=own.lifetime))
        if not new.bears(sender_id):
            raise NoUsableKey(f"The name {sender_id} could not be added to your key {own.fingerprint}")
        await self.ring.keep(new, ports)
        return new

    # -- for a session -----------------------------------------------------------------------------

    async def check_announced(self, ports: Ports) -> list[Notice]:
        """Look whether our key is still served as it is, and whether others came (XEP-0373, section 7.3).

        Raises:
            StoreError: the store failed.
        """
        try:
            own = await self.load(ports)
        except NoUsableKey as error:
            return [Notice("own-key-unusable", error.text)]
        if own is None:
            return []
        notices = [*_ends_soon(own, ports.now())]
        try:
            present = await check_ours(self.jid, self.ring.keys, ports)
            notices += await check_removed(self.jid, own, present, ports)
            notices += await check_served(self.jid, own, present, ports)
            notices += await self._look_at_others(own, present, ports)
        except (PeerError, PeerTimeout, BadOpenPGP) as error:
            notices.append(
                Notice("own-key-unchecked", f"Your own key list cannot be read or written: {error.text}")
            )
        return notices

    async def _look_at_others(
        self, own: OwnKey, present: tuple[Announced, ...], ports: Ports
    ) -> list[Notice]:
        """Take in keys of our other programs, if the user agrees: what we send is encrypted to them too."""
        ours = {own.fingerprint, *(key.fingerprint for key in self.older)}
        if all(entry.fingerprint in ours for entry in present):
            self.others, self._ours = (), None
            return []
        known = {cert.key.fingerprint: cert.key for cert in self.others}
        fetched = await fetch_keys(self.jid, ports.pubsub, known)
        others = [key for key in fetched.keys if key.fingerprint not in ours]
        try:
            await accept(
                self.jid,
                [own.parsed.key, *(key.parsed.key for key in self.older), *others],
                ports,
                note="This is your own account: if you agree, your other program reads what you send.",
            )
            self.others, self._ours = tuple(self._engine.read(key) for key in others), None
        except PolicyChanged as error:
            return [Notice("own-" + error.question.code, error.question.text, {"account": self.jid})]
        except BadOpenPGP as error:
            return [Notice("own-key-unreadable", error.text)]
        return []


def _ends_soon(own: OwnKey, now: datetime) -> tuple[Notice, ...]:
    ends = own.parsed.expires
    if own.problem(now) or ends is None or (ends - now).days >= EXPIRES_SOON:
        return ()
    return (
        Notice(
            "own-key-expires",
            f"Your key {own.fingerprint} ends on {ends:%Y-%m-%d}. Extend it (gre keys extend), or nobody can write to "
            f"you after that",
            {"fingerprint": own.fingerprint, "expires": f"{ends:%Y-%m-%d}"},
        ),
    )
