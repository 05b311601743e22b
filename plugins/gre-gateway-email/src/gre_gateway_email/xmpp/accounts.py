"""What users may change about themselves, and admins about users: the rules, whatever way it is asked for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gre_core.errors import InvalidAddress, Refused
from gre_core.jid_escape import unescape
from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.store.errors import AddressTaken
from gre_gateway_email.store.records import User
from gre_gateway_email.xmpp.address_rules import not_acceptable, usable_address
from gre_gateway_email.xmpp.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.config import Config
    from gre_gateway_email.store.store import Store

_log = get_logger(__name__)


class Accounts:
    """Registers, changes and removes users. Errors are :class:`~gre_core.errors.Refused` with a text.

    Arguments:
        store: where they are kept.
        config: which addresses there are, and for whom.
        now: the clock, in seconds since 1970.
    """

    def __init__(self, store: Store, config: Config, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._config = config
        self._now = now
        self._tries = Tries(limit=20, seconds=3600.0)
        self._lock = asyncio.Lock()

    async def get(self, jid: str) -> User | None:
        """Give the user with a bare JID."""
        return await self._store.users.get(jid)

    async def require(self, jid: str) -> User:
        """Give the user with a bare JID, who is not blocked.

        Raises:
            Refused: not registered, or blocked.
        """
        user = await self.get(jid)
        if user is None:
            raise Refused(
                "You are not registered with this gateway.",
                condition="registration-required",
                error_type="auth",
            )
        _require_not_blocked(user)
        return user

    def is_admin(self, jid: str) -> bool:
        """Tell whether a bare JID may use the commands for admins."""
        return jid in self._config.admins

    # -- registration --------------------------------------------------------------------------------

    def check_may_register(self, jid: str) -> None:
        """Refuse whom the operator has not invited; the answer does not depend on any address.

        Raises:
            Refused: ``not-allowed`` when nobody may, ``forbidden`` when others may.
        """
        servers = self._config.registration.servers
        if not servers or not self._config.mail.domains:
            raise Refused(
                "Only the operator of this gateway registers users. Ask them.",
                condition="not-allowed",
                error_type="cancel",
            )
        local, at, domain = jid.rpartition("@")
        if not (local and at) or domain not in servers:
            raise Refused(
                "Users of your server cannot register with this gateway.",
                condition="forbidden",
                error_type="auth",
            )

    def own_address(self, jid: str) -> str:
        """Give the address that belongs to a JID when nobody may choose.

        Raises:
            Refused: the JID's local part cannot be an address, or is reserved.
        """
        try:
            name = unescape(jid.rpartition("@")[0])
        except InvalidAddress as error:
            raise not_acceptable(error.text) from error
        return usable_address(name, self._config.mail.domains[0], self._config.registration.reserved)

    async def register(
        self, jid: str, address: str, *, encrypted_only: bool = False, publish_key: bool = False
    ) -> User:
        """Register a user with one address; it is checked by :meth:`chosen_address` before.

        Raises:
            Refused: ``conflict`` when the address is taken, ``resource-constraint`` after many tries.
        """
        async with self._lock:
            self._tries.take(jid)
            return await self._put(
                User(
                    jid,
                    (address,),
                    encrypted_only=encrypted_only,
                    publish_key=publish_key,
                    registered_at=self._now(),
                )
            )

    def chosen_address(self, name: str, domain: str) -> str:
        """Give the address of a name and a domain that a user chose.

        Raises:
            Refused: ``not-acceptable``, with the reason.
        """
        if domain not in self._config.mail.domains:
            raise not_acceptable("This gateway has no addresses in that domain. Choose one of the list.")
        return usable_address(name, domain, self._config.registration.reserved)

    async def _put(self, user: User) -> User:
        """Store a user.

        Raises:
            Refused: an address is taken.
        """
        for address in user.addresses:
            owner = await self._store.users.by_address(address)
            if owner is not None and owner.jid != user.jid:
                raise _taken()
        try:
            await self._store.users.put(user)
        except AddressTaken as error:
            raise _taken() from error
        return user

    # -- changes -------------------------------------------------------------------------------------

    async def set_policy(self, jid: str, *, encrypted_only: bool, publish_key: bool) -> User:
        """Change what a user decided. Raises :class:`~gre_core.errors.Refused` as :meth:`require`."""
        async with self._lock:
            user = await self.require(jid)
            changed = replace(user, encrypted_only=encrypted_only, publish_key=publish_key)
            return user if changed == user else await self._put(changed)

    def may_choose(self, user: User) -> bool:
        """Tell whether a user may change addresses: not when the operator gave them, or gives everybody one."""
        return not user.from_config and self._config.registration.address == "choose"

    async def set_first(self, jid: str, address: str) -> User:
        """Put an address in the place of the one that a user's mails come from.

        Raises:
            Refused: it is taken, or may not be changed.
        """
        async with self._lock:
            user = self._require_choice(await self.require(jid))
            if user.addresses[0] == address:
                return user
            self._tries.take(jid)
            rest = tuple(each for each in user.addresses[1:] if each != address)
            return await self._put(replace(user, addresses=(address, *rest)))

    async def add_address(self, jid: str, address: str) -> User:
        """Give a user one address more; raises as :meth:`set_first`."""
        async with self._lock:
            user = self._require_choice(await self.require(jid))
            if address in user.addresses:
                return user
            most = self._config.registration.max_addresses
            if len(user.addresses) >= most:
                raise Refused(
                    f"You may have {most} address(es). Remove one first.",
                    condition="not-allowed",
                    error_type="cancel",
                )
            self._tries.take(jid)
            return await self._put(replace(user, addresses=(*user.addresses, address)))

    async def remove_address(self, jid: str, address: str) -> User:
        """Take an address from a user, not the last one; raises as :meth:`set_first`."""
        async with self._lock:
            user = self._require_choice(await self.require(jid))
            rest = tuple(each for each in user.addresses if each != address)
            if not rest:
                raise Refused(
                    "This is your only address. Unregister to give it up.",
                    condition="not-allowed",
                    error_type="cancel",
                )
            return await self._put(replace(user, addresses=rest))

    async def prefer(self, jid: str, address: str) -> User:
        """Let mails of a user come from another of the user's addresses; raises as :meth:`set_first`."""
        async with self._lock:
            user = await self.require(jid)
            if user.from_config:
                raise _given_by_operator()
            if address not in user.addresses:
                raise not_acceptable("That is not one of your addresses.")
            rest = tuple(each for each in user.addresses if each != address)
            return await self._put(replace(user, addresses=(address, *rest)))

    def _require_choice(self, user: User) -> User:
        if not self.may_choose(user):
            raise _given_by_operator()
        return user

    # -- the end -------------------------------------------------------------------------------------

    async def unregister(self, jid: str) -> None:
        """Erase everything of a user who asks for it.

        Raises:
            Refused: not registered, blocked, or registered by the operator.
        """
        async with self._lock:
            user = await self.require(jid)
            if user.from_config:
                raise Refused(
                    "The operator of this gateway registered you. Ask them to remove you.",
                    condition="forbidden",
                    error_type="cancel",
                )
            await self._store.forget(jid)

    # -- for admins ----------------------------------------------------------------------------------

    async def add(self, jid: str, address: str) -> User:
        """Register a user for an admin: with any address in our domains, reserved ones too.

        Raises:
            Refused: there is such a user, or the address is bad or taken.
        """
        async with self._lock:
            if await self.get(jid) is not None:
                raise Refused("There is such a user.", condition="conflict", error_type="cancel")
            try:
                check_address(address)
            except InvalidAddress as error:
                raise not_acceptable(error.text) from error
            if domain_of(address).lower() not in self._config.mail.domains:
                raise not_acceptable("This gateway has no addresses in that domain.")
            return await self._put(User(jid, (address.lower(),), registered_at=self._now()))

    async def block(self, jid: str, *, blocked: bool) -> User:
        """Block a user, or let them in again.

        Raises:
            Refused: there is no such user.
        """
        async with self._lock:
            user = await self.get(jid)
            if user is None:
                raise Refused("There is no such user.", condition="item-not-found", error_type="cancel")
            return await self._put(replace(user, blocked=blocked))

    async def forget(self, jid: str) -> int:
        """Erase everything of a user, registered or not; give how many rows that were."""
        async with self._lock:
            return await self._store.forget(jid)


def _require_not_blocked(user: User) -> None:
    if user.blocked:
        raise Refused(
            "The operator of this gateway has blocked you. Ask them.",
            condition="forbidden",
            error_type="auth",
        )


def _given_by_operator() -> Refused:
    return Refused(
        "The operator of this gateway decides about your address.",
        condition="not-allowed",
        error_type="cancel",
    )


def _taken() -> Refused:
    return Refused(
        "That address belongs to somebody else. Choose another one.",
        condition="conflict",
        error_type="cancel",
    )
