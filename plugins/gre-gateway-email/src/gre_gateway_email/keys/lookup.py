"""Finds public keys of mail users, and says of each where it comes from.

=====================  ========================================================  ==============
source                 what it is                                                for whom
=====================  ========================================================  ==============
``directory``          the operator's folder                                     all users
``wkd``                the contact's mail domain; our own users who agreed       all users
``autocrypt``          the newest mail with a key, authenticated by DKIM or not  who received it
=====================  ========================================================  ==============

A client encrypts to every key that it is told of. So a source is asked only when those above it have no key that could
be used: a key out of any mail never comes in beside one that the operator or the contact's domain stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_openpgp.certificate_parts import life_of
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.key_origin import AUTOCRYPT, DIRECTORY, WKD, Origin
from gre_openpgp.wkd import WkdOutcome
from gre_openpgp.xep0373 import MAX_KEYS, PublicKey, timestamp

from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import domain_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gre_openpgp.keydirectory import KeyDirectory
    from gre_openpgp.wkd import WkdAnswer

    from gre_gateway_email.keys.domain_directories import DomainDirectories
    from gre_gateway_email.store.records import HarvestedKey
    from gre_gateway_email.store.store import ContactKeys

_DOMAIN_SAID: Final = {
    WkdOutcome.KEYS: "its key cannot be used",
    WkdOutcome.NOTHING: "it has no key",
    WkdOutcome.NO_DIRECTORY: "it has no directory",
    WkdOutcome.OFFLINE: "it did not answer",
    WkdOutcome.REFUSED: "its answer was not accepted",
}

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one address.

    Arguments:
        keys: each with its origin, the best first.
        asked: where it was looked for, in words for people.
    """

    keys: tuple[PublicKey, ...]
    asked: tuple[str, ...]

    def why_none(self) -> str:
        """Say that there is no key, where it was looked for, and what to do."""
        where = "; ".join(self.asked) or "nowhere: the operator switched it off"
        return (
            f"No OpenPGP key of this contact was found. Looked for it in: {where}. Ask your contact to send you a mail "
            f"with the key (most mail programs attach it by themselves: Autocrypt) or to publish it, ask the gateway's "
            f"operator to add it, or give it to your own program."
        )


class KeyFinder:
    """Asks the sources in their order.

    Arguments:
        directory: the operator's folder, or None.
        domains: asks the contacts' domains (WKD), or None.
        harvested: keys that came with mails, or None.
        own: gives the published keys of the gateway's own users by their mail address, None for all other addresses.
        now: seconds since 1970.
    """

    def __init__(
        self,
        directory: KeyDirectory | None,
        domains: DomainDirectories | None,
        harvested: ContactKeys | None,
        own: Callable[[str], Awaitable[Sequence[PublicKey] | None]],
        now: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._domains = domains
        self._harvested = harvested
        self._own = own
        self._now = now

    async def find(self, user: str, address: str) -> Found:
        """Find the keys of an address for a user; a look-up at the contact's domain takes at most five seconds.

        Arguments:
            user: bare JID of who asks.
            address: of the contact.

        Raises:
            StoreError: the store cannot be asked.
        """
        found: dict[str, PublicKey] = {}
        asked: list[str] = []
        for source in (self._from_directory, self._from_domain, self._from_mails):
            keys = await source(user, address, asked)
            for key in keys:
                found.setdefault(key.fingerprint, key)
            if any(map(self._usable, keys)):
                break
        return Found(tuple(found.values())[:MAX_KEYS], tuple(asked))

    async def known(self, user: str, address: str) -> Sequence[PublicKey]:
        """Give all keys of all sources that are at hand, without asking anybody: for keys that were announced."""
        keys = list(await self._from_directory(user, address, []))
        if self._domains is not None and (answer := self._domains.remembered(address)) is not None:
            keys += _of_domain(answer.keys)
        return [*keys, *await self._from_mails(user, address, [])]

    async def _from_directory(self, _user: str, address: str, asked: list[str]) -> Sequence[PublicKey]:
        if self._directory is None:
            return ()
        asked.append("the operator's directory of keys")
        return [replace(key, origin=Origin(DIRECTORY)) for key in self._directory.keys(address)]

    async def _from_domain(self, user: str, address: str, asked: list[str]) -> Sequence[PublicKey]:
        own = await self._own(address)
        if own is not None:
            asked.append("what the users of this gateway published")
            return _of_domain(own)
        if self._domains is None:
            return ()
        answer = await self._domains.look_up(address, user)
        asked.append(f"the Web Key Directory of {domain_of(address)} ({_say(answer)})")
        return _of_domain(answer.keys)

    async def _from_mails(self, user: str, address: str, asked: list[str]) -> Sequence[PublicKey]:
        if self._harvested is None:
            return ()
        asked.append("the mails that you received (Autocrypt)")
        found = sorted(await self._harvested.get(user, address.lower()), key=_authenticated_first)
        return [key for each in found if each.source == AUTOCRYPT and (key := _of_mail(each)) is not None]

    def _usable(self, key: PublicKey) -> bool:
        try:
            return not life_of(key.data).over(self._now())
        except BadOpenPGP:
            return False


def _say(answer: WkdAnswer) -> str:
    return _DOMAIN_SAID[answer.outcome]


def _authenticated_first(key: HarvestedKey) -> tuple[bool, float]:
    return not key.authenticated, -key.seen_at


def _of_domain(keys: Iterable[PublicKey]) -> list[PublicKey]:
    return [replace(key, date=key_date(key.data), origin=Origin(WKD)) for key in keys]


def _of_mail(harvested: HarvestedKey) -> PublicKey | None:
    seen = timestamp(datetime.fromtimestamp(min(max(harvested.seen_at, 0), 0xFFFFFFFF), UTC))
    try:
        key = PublicKey.read(harvested.data, key_date(harvested.data))
    except BadOpenPGP:
        _log.warning("harvested-key-damaged", peer_domain=domain_of(harvested.address))
        return None
    return replace(key, origin=Origin(AUTOCRYPT, harvested.authenticated, seen))


def key_date(data: bytes) -> str:
    """Give the date of a key's newest signature: it changes when the key does, and clients fetch the key again then."""
    return timestamp(datetime.fromtimestamp(life_of(data).changed, UTC))
