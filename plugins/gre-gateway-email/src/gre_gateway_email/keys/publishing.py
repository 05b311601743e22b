"""Which keys of our users are published in the Web Key Directory (draft-koch-openpgp-webkey-service).

Only those of users who agreed, only with the user ids of the one address, without what others signed. A revoked key is
given too, behind the others: whoever has it has to learn that it is revoked.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from gre_openpgp.certificate_parts import Parts, life_of
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.wkd import zbase32
from gre_openpgp.xep0373 import PublicKey

from gre_gateway_email.mail.addresses import domain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from gre_gateway_email.keys.user_keys import UserKeys
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Users

KEY_AGE: Final = 30.0
"""A key is served as it was at most so many seconds ago. With what else remembers (users: 10 s, HTTP caches: 15 s) a
revocation is seen within a minute."""

PATIENCE: Final = 5.0
"""How long the user's XMPP server may take to give a key, in seconds."""

INDEX_AGE: Final = 20.0
"""Who agreed since then is not found yet, in seconds."""

_BATCH: Final = 200


class Unavailable(Exception):
    """Whether there is a key cannot be told now."""


class _Place(NamedTuple):
    address: str
    jid: str


class Publishing:
    """Gives keys by mail address, or by the hash of its local part.

    Arguments:
        users: who agreed.
        keys: what they publish.
        domains: our mail domains, in lower case.
        clock: in seconds, that never goes back.
    """

    def __init__(
        self,
        users: Users,
        keys: UserKeys,
        domains: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.domains = frozenset(domains)
        self._users = users
        self._keys = keys
        self._clock = clock
        self._index: dict[tuple[str, str], _Place] = {}
        self._indexed_at = float("-inf")
        self._indexing = asyncio.Lock()

    async def by_hash(self, domain: str, digest: str) -> bytes | None:
        """Give what the Web Key Directory serves: binary keys, one behind the other.

        Arguments:
            domain: in lower case.
            digest: of the local part in lower case: SHA-1, z-base-32.

        Result:
            None for whoever is unknown, did not agree, is blocked or has no key: one as the other.

        Raises:
            Unavailable: the user's XMPP server does not answer.
            StoreError: the store cannot be asked.
        """
        await self._look_through_users()
        place = self._index.get((domain, digest))
        if place is None:
            return None
        # The index may be older than the user's word; the store is not.
        user = await self._users.get(place.jid)
        if user is None or place.address not in map(str.lower, user.addresses):
            return None
        return b"".join(key.data for key in await self._of_user(user, place.address)) or None

    async def of_own(self, address: str) -> Sequence[PublicKey] | None:
        """Give the published keys of one of our own users; None when the address is not in our domains.

        A key that cannot be read now is none.

        Raises:
            StoreError: the store cannot be asked.
        """
        address = address.lower()
        if domain_of(address) not in self.domains:
            return None
        user = await self._users.by_address(address)
        try:
            return () if user is None else await self._of_user(user, address)
        except Unavailable:
            return ()

    async def _of_user(self, user: User, address: str) -> Sequence[PublicKey]:
        if user.blocked or not user.publish_key:
            return ()
        keys = await self._keys.published(user.jid, max_age=KEY_AGE, patience=PATIENCE)
        if keys is None:
            raise Unavailable
        good: list[PublicKey] = []
        revoked: list[PublicKey] = []
        for key in keys:
            try:
                data = Parts(key.data).public(address)
                if data is not None:
                    (revoked if life_of(data).revoked else good).append(PublicKey.read(data))
            except BadOpenPGP:
                continue
        return [*good, *revoked]

    async def _look_through_users(self) -> None:
        async with self._indexing:
            if self._clock() - self._indexed_at < INDEX_AGE:
                return
            index: dict[tuple[str, str], _Place] = {}
            count = 0
            async for user in self._users.all():
                count += 1
                if count % _BATCH == 0:
                    await asyncio.sleep(0)  # let others work
                if user.publish_key and not user.blocked:
                    for address in map(str.lower, user.addresses):
                        index[domain_of(address), hash_of(address)] = _Place(address, user.jid)
            self._index, self._indexed_at = index, self._clock()


def hash_of(address: str) -> str:
    """Give the hash of a lower-case address's local part, as it stands in the addresses of the directory."""
    local = address.rpartition("@")[0]
    return zbase32(hashlib.sha1(local.encode(), usedforsecurity=False).digest())
