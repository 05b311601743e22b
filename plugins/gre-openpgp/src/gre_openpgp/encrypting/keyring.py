"""All key pairs of one account, and for how long they stay unlocked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gre_core.ports import Creating, PassphraseRequest
from gre_openpgp.encrypting.own import KeyLocked, OwnKey
from gre_openpgp.encrypting.own_store import (
    ACTIVE,
    ANNOUNCED,
    CHANGED,
    OUTDATED,
    forget_own,
    load_own,
    save_own,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.ports import Ports
    from gre_openpgp.encrypting.engine import Engine

ATTEMPTS: Final = 3
"""How often a passphrase is asked for."""

LOOK_AGAIN: Final = timedelta(seconds=5)
"""How long a change that another process made in the store may stay unnoticed."""

_REST: Final = timedelta(seconds=10)
"""How long nobody is asked again to open received messages after the passphrase was refused."""


@dataclass(frozen=True, slots=True)
class Unlocking:
    """How long keys stay unlocked.

    Arguments:
        idle: without being used.
        longest: since the passphrase was given, whatever happens.
    """

    idle: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(hours=2)


class KeyRing:
    """The key pairs of one account.

    Nothing here has a timer: a key whose time is over is locked at the next call, whatever it is about.

    Arguments:
        engine: the OpenPGP library.
        jid: our bare JID.
        unlocking: for how long.
    """

    def __init__(self, engine: Engine, jid: str, unlocking: Unlocking | None = None) -> None:
        self.engine = engine
        self.jid = jid
        self.keys: tuple[OwnKey, ...] = ()
        """The one that signs first."""
        self.changes = 0
        """Another number whenever the keys are others than before."""
        self.generation = 0
        """The same, also when one was locked or unlocked."""
        self._unlocking = unlocking or Unlocking()
        self._given: datetime | None = None
        self._used: datetime | None = None
        self._refused: datetime | None = None
        self._looked: datetime | None = None
        self._stamp: bytes | None = None

    @property
    def active(self) -> OwnKey | None:
        """The key that signs."""
        return self.keys[0] if self.keys else None

    @property
    def key_ids(self) -> frozenset[str]:
        """The key ids of all keys and subkeys, in upper-case hex."""
        return frozenset(name for key in self.keys for name in key.key_ids)

    # -- the store ---------------------------------------------------------------------------------

    async def load(self, ports: Ports) -> OwnKey | None:
        """Give the key that signs, from the store; None when there is none.

        Raises:
            NoUsableKey, StoreError: it cannot be read.
        """
        now = ports.now()
        self._end(now)
        if self.keys and self._looked is not None and timedelta() <= now - self._looked < LOOK_AGAIN:
            return self.keys[0]
        stamp = await ports.store.get(CHANGED)
        if not self.keys or stamp != self._stamp:
            self.hold(await load_own(self.engine, ports.store))
            self._stamp = stamp
        self._looked = now
        return self.active

    def hold(self, keys: Iterable[OwnKey]) -> None:
        """Take these keys as ours; what is unlocked stays so."""
        known = {key.stored: key for key in self.keys}
        self.keys = tuple(known.get(key.stored, key) for key in keys)
        self.changes += 1
        self.generation += 1

    async def keep(self, key: OwnKey, ports: Ports, *, active: bool = True) -> None:
        """Keep a new key, or a known one in a new form.

        Raises:
            StoreError: it could not be kept; then it is not held either.
        """
        before = next((old for old in self.keys if old.fingerprint == key.fingerprint), None)
        if before is not None and before.parsed.key.data != key.parsed.key.data:
            await ports.store.put(ANNOUNCED + key.fingerprint, OUTDATED)
        await save_own(key, ports.store, active=active)
        keys = {old.fingerprint: old for old in self.keys} | {key.fingerprint: key}
        await self._hold_new(sorted(keys.values(), key=lambda each: active and each is not key), ports)

    async def _hold_new(self, keys: Iterable[OwnKey], ports: Ports) -> None:
        """Take keys as ours that were kept just now."""
        self.hold(keys)
        self._stamp = await ports.store.get(CHANGED)
        if self._given is None:
            self._given = self._used = ports.now()

    async def first(self, candidate: OwnKey, ports: Ports) -> OwnKey:
        """Keep a first key; give the one that won when another task or process made one at the same time.

        Raises:
            NoUsableKey, StoreError: it could not be kept.
        """
        key = await self.protect(candidate, ports)
        store = ports.store
        if await self.load(ports) is None:
            await save_own(key, store, active=False)
            name = key.fingerprint.encode("ascii")
            if not isinstance(store, Creating):
                await store.put(ACTIVE, name)
            elif not await store.create(ACTIVE, name) and await store.get(ACTIVE) != name:
                await forget_own(key, store)
                key = await self.load(ports) or key
            await self._hold_new([key], ports)
        assert self.active is not None
        return self.active

    async def protect(self, key: OwnKey, ports: Ports) -> OwnKey:
        """Give a new key with the passphrase that the user wants for it; unprotected when he wants none."""
        if key.protected:
            return key
        passphrase = await ports.passphrase(PassphraseRequest(self.jid, key.fingerprint, new=True))
        return OwnKey.read(self.engine, key.secret, passphrase)

    # -- the lock ----------------------------------------------------------------------------------

    def _end(self, now: datetime) -> None:
        """Lock what was unlocked for too long, also when the clock went backwards."""
        if self._given is None or self._used is None:
            return
        limits = self._unlocking
        if not (
            timedelta() <= now - self._used < limits.idle
            and timedelta() <= now - self._given < limits.longest
        ):
            self.lock()

    def lock(self) -> None:
        """Forget the secret parts and passphrases of all keys that have one."""
        for key in self.keys:
            key.lock()
        self._given = self._used = None
        self.generation += 1

    async def unlock(self, keys: Iterable[OwnKey], ports: Ports, *, received: bool = False) -> None:
        """Unlock keys, and count that as a use. The user is asked only for what is locked.

        Arguments:
            keys: of ours.
            ports: of the host.
            received: it is for a received message, so that the user did not ask for it: right after a refusal nobody
                is asked again.

        Raises:
            KeyLocked: there is no passphrase, or another one.
            NoUsableKey: what is stored is damaged.
        """
        now = ports.now()
        self._end(now)
        self._used = now
        for key in keys:
            if not key.locked:
                continue
            if received and self._refused is not None and timedelta() <= now - self._refused < _REST:
                raise _refused(key, "")
            await self._ask(key, ports)
            self._given = self._used = ports.now()
            self.generation += 1

    async def _ask(self, key: OwnKey, ports: Ports) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            request = PassphraseRequest(self.jid, key.fingerprint, attempt=attempt)
            passphrase = await ports.passphrase(request)
            if not key.locked:  # another task was faster
                return
            if not passphrase:
                self._refused = ports.now()
                raise _refused(key, "and no passphrase was given")
            if key.unlock(passphrase):
                self._refused = None
                return
        self._refused = ports.now()
        raise _refused(key, f"and its passphrase was wrong {ATTEMPTS} times")


def _refused(key: OwnKey, why: str) -> KeyLocked:
    text = f"Your key {key.fingerprint} is locked, {why}".rstrip(", ")
    return KeyLocked(
        f"{text}. Nothing is lost: give its passphrase, and try again", fingerprint=key.fingerprint
    )
